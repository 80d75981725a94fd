"""Sending no faster than somebody allows."""

from collections.abc import Sequence
from pathlib import Path

from holdfast.base.clock import Clock
from holdfast.base.errors import IntegrityError
from holdfast.core import Bytes, Event, Run, Store, Writer, Written
from holdfast.vault.sessions import StartRun


def paced(start: StartRun, bytes_per_second: int, clock: Clock) -> StartRun:
    """Return *start* so that what it begins hands out at most *bytes_per_second* over time."""

    def begin(writer: Writer, state: Path | None, started_ns: int) -> Run[Written]:
        return PacedRun(start(writer, state, started_ns), bytes_per_second, clock)

    return begin


class PacedRun:
    """A run that rests after each pack for as long as the pack takes at the allowed rate."""

    def __init__(self, run: Run[Written], bytes_per_second: int, clock: Clock) -> None:
        self._run = run
        self._rate = bytes_per_second
        self._clock = clock
        self._free_at = clock.monotonic_seconds()

    def step(self, timeout_seconds: float) -> Sequence[Event]:
        """Rest at most *timeout_seconds*, or work."""
        now = self._clock.monotonic_seconds()
        if now < self._free_at:
            self._clock.sleep(min(timeout_seconds, self._free_at - now))
            return ()
        events = self._run.step(timeout_seconds)
        sent = sum(event.written.stored_bytes for event in events if isinstance(event, Store))
        self._free_at = max(now, self._free_at) + sent / self._rate
        return events

    def stored(self, tickets: Sequence[int]) -> None:
        """Pass on."""
        self._run.stored(tickets)

    def fetched(self, ticket: int, parts: Sequence[Bytes]) -> None:
        """Pass on."""
        self._run.fetched(ticket, parts)

    def failed(self, ticket: int, code: str) -> None:
        """Pass on."""
        self._run.failed(ticket, code)

    def lost(self, ticket: int, error: IntegrityError) -> None:
        """Pass on."""
        self._run.lost(ticket, error)

    def cancel(self) -> None:
        """Pass on."""
        self._run.cancel()

    def result(self) -> Written | None:
        """Pass on."""
        return self._run.result()
