"""A run from start to end: settings, parts, records, the operator's side, the report."""
