"""Demonstrations: the store, recording, replay, inspection. `demos.DemoSet(path)` reads, `demos.DemoWriter` writes."""

from demos.errors import DemoError
from demos.store import DemoSet, DemoWriter
from demos.verify import verify

__all__ = ["DemoError", "DemoSet", "DemoWriter", "verify"]
