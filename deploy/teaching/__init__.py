"""A person or a recording on the arm, with the same processes and limits as for a policy."""
