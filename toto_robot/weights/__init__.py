LIMIT_MB = 16
"""The most that one set of shipped weights may have."""
