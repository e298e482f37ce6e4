"""What Dabir does: commands that decide and append, queries that read views, and their ports."""
