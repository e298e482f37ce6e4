"""The text of replies under way, and how followers hear of more."""
