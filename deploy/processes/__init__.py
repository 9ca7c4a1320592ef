"""The processes of a run, and the loop of the process that owns the arm."""
