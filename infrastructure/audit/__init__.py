"""The Merkle tree over the log, its signed checkpoints, and proofs from them."""
