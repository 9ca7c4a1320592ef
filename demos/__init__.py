"""Demonstrations: the store, recording, replay, inspection, import and export."""
