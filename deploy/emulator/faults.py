"""Faults of the network and of the controller's software, which the console injects."""

import random
import time


class Faults:
    """The present faults of the connection. Packet losses come from their own generator, which `seed` seeds."""

    def __init__(self, seed: int = 0):
        self._random = random.Random(seed)
        self.version: int | None = None
        """The false protocol version that a client gets; None for the true one."""
        self._share, self._packets = 0.0, 0
        self._gap_end_s = 0.0

    def lose_packets(self, share: float, duration_ms: int) -> None:
        """Loses this share of the next `duration_ms` commands. One command comes each millisecond."""
        self._share, self._packets = share, duration_ms

    def loses_packet(self) -> bool:
        """Whether the command that has just come is lost."""
        if not self._packets:
            return False
        self._packets -= 1
        return self._random.random() < self._share

    def open_gap(self, duration_ms: int) -> None:
        """Lets no states and no commands through for this time, on the wall's clock."""
        self._gap_end_s = time.monotonic() + duration_ms / 1000

    def in_gap(self) -> bool:
        return time.monotonic() < self._gap_end_s
