"""A run from start to end: settings, parts, recording, the operator's side, the report."""
