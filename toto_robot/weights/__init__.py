LIMIT_MB = 16
"""Largest size of one set of shipped weights, in megabytes."""
