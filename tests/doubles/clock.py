"""A clock that moves only when told, or when somebody sleeps."""

from datetime import UTC, datetime, timedelta


class ManualClock:
    """Starts at 2026-01-01; ``sleep`` returns at once and moves it on."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._seconds = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._seconds)

    def monotonic_seconds(self) -> float:
        return self._seconds

    def sleep(self, seconds: float) -> None:
        self._seconds += seconds

    advance = sleep
