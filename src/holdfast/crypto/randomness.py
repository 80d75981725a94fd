"""The one user of the operating system's random generator."""

import os


class SystemRandom:
    """Bytes from the operating system, safe after a fork."""

    def take(self, count: int) -> bytes:
        """Return *count* fresh bytes."""
        return os.urandom(count)  # noqa: TID251 - this class is the door the rule points to
