"""Bytes that look random and are the same in every run."""

import hashlib
import threading


class CountedRandom:
    """SHA-256 in counter mode: never the same bytes twice, the same sequence for the same seed."""

    def __init__(self, seed: str = "") -> None:
        self._seed = seed.encode()
        self._count = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> bytes:
        with self._lock:
            self._count += 1
            key = self._seed + self._count.to_bytes(8, "big")
        return hashlib.shake_256(key).digest(count)
