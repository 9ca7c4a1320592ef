"""Faults of the network and of the controller's software that the console injects."""

import random
import time


class Faults:
    """What is wrong with the connection now. Packet losses are drawn from a generator of their own, from `seed` on."""

    def __init__(self, seed: int = 0):
        self._random = random.Random(seed)
        self.version: int | None = None
        """The protocol version that a client is told instead of the true one; None for the true one."""
        self._share, self._packets = 0.0, 0
        self._gap_end_s = 0.0

    def lose_packets(self, share: float, duration_ms: int) -> None:
        """Loses this share of the commands that come, of the next `duration_ms` of them (one comes each millisecond)."""
        self._share, self._packets = share, duration_ms

    def loses_packet(self) -> bool:
        """Whether the command that has just come is lost."""
        if not self._packets:
            return False
        self._packets -= 1
        return self._random.random() < self._share

    def open_gap(self, duration_ms: int) -> None:
        """Neither states nor commands get through for as long, wall time."""
        self._gap_end_s = time.monotonic() + duration_ms / 1000

    def in_gap(self) -> bool:
        return time.monotonic() < self._gap_end_s
