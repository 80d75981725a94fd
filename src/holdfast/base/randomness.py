"""The door through which randomness comes in.

``holdfast.crypto.randomness`` opens it to the system's generator.
"""

from typing import Protocol


class Random(Protocol):
    """A source of bytes nobody can guess. A test passes fixed ones."""

    def take(self, count: int) -> bytes:
        """Return *count* fresh bytes."""
        ...
