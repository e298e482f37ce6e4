"""What a command's exit code tells a script."""

FAULTS_FOUND = 1
"""The command ran, and what it looked at is not as it should be."""

WRONG_USAGE = 2
"""A wrong flag or setting, as shells have it."""

REFUSED = 3
"""What was asked for cannot be done as things are; nothing was changed."""

INTERRUPTED = 130
"""Ctrl-C, as shells have it."""
