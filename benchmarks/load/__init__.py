"""What the benchmarks of streams share: a provider, clients, and those who stand in between."""
