"""Behaviour cloning: demonstrations to batches, epochs, the clone."""
