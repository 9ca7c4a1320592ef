"""Measurements of frozen features and of predictions: probes, the looks table, completions, scaling laws."""
