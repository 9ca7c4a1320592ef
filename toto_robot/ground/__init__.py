"""What every room may import: errors, atomic writes, number formats, schedules. Neither torch nor hydra is loaded at import."""
