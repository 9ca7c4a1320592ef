"""Demonstrations: the store, recording, replay, inspection. `demos.DemoSet(path)` reads, `demos.DemoWriter` writes."""

from demos.errors import DemoError
from demos.store.demo_set import DemoSet, DemoWriter
from demos.store.verify import verify

__all__ = ["DemoError", "DemoSet", "DemoWriter", "verify"]
