"""The demonstration set on disk: its schema, reading, writing, verification."""

from demos.store.demo_set import DemoSet, DemoWriter
from demos.store.verify import verify

__all__ = ["DemoSet", "DemoWriter", "verify"]
