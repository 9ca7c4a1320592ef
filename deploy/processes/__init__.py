"""The processes of a run, and the loop of the one that owns the arm."""
