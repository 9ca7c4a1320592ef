"""The ground room: errors, atomic writes, number formats, schedules, seeds, what a job shows. Every room may import it.

It imports nothing else of ours, and it loads neither torch nor hydra at import.
"""
