"""The one door to time. Everything that needs the time is handed a :class:`Clock`."""

import time
from datetime import UTC, datetime
from typing import Final, Protocol

_FIRST_SECOND: Final = -62_135_510_400
_LAST_SECOND: Final = 253_402_214_400
"""A day inside the calendar of ``datetime``, so that every zone can show them."""


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


def moment(seconds: int) -> datetime:
    """Return the time *seconds* after 1970, as near as the calendar goes.

    Times that stand in objects are what their writers wrote.
    """
    return datetime.fromtimestamp(min(max(seconds, _FIRST_SECOND), _LAST_SECOND), UTC)


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
