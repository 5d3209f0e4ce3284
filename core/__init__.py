"""Loupe's engine: reads, diffs, repairs, loads and runs checkpoints. It has no screen."""
