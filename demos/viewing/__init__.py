"""Looking at demonstrations: numbers, an HTML report, the Rerun viewer."""
