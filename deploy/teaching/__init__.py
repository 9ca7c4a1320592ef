"""A person or a recording on the arm, through the same stack."""
