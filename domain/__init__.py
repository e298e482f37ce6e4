"""The rules: what may happen in a chat and to an account. No I/O, no clock, no randomness."""
