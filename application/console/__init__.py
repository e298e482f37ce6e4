"""What the console asks: how the service does, what it costs, and what the log says."""
