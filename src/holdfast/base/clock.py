"""The one door to time. Everything that needs the time is handed a :class:`Clock`."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time for records, monotonic time for waiting."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        ...

    def monotonic_seconds(self) -> float:
        """Return seconds that never run backwards and go on while the machine is suspended."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait at least *seconds*."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the wall time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        """Return seconds since some start, suspension included where the system can tell."""
        boottime = getattr(time, "CLOCK_BOOTTIME", None)
        return time.monotonic() if boottime is None else time.clock_gettime(boottime)

    def sleep(self, seconds: float) -> None:
        """Wait at least *seconds*."""
        time.sleep(seconds)
