"""Is what is sent held to the rate?"""

from collections.abc import Sequence

from doubles.clock import ManualClock
from holdfast.base.errors import IntegrityError
from holdfast.base.ids import PackId
from holdfast.core import Bytes, Event, Store, WrittenPack
from holdfast.core.face import Written
from holdfast.operations.pace import PacedRun


class Packs:
    """A run that hands out packs of one size as often as it is asked."""

    def __init__(self, size_bytes: int) -> None:
        pack = WrittenPack(
            pack_id=PackId(bytes(32)),
            kind="data",
            stored_bytes=size_bytes,
            first_offset=0,
            segments=(),
            index_table=b"",
        )
        self._event = Store(1, pack.pack_id, "data", b"", pack)

    def step(self, timeout_seconds: float) -> Sequence[Event]:
        del timeout_seconds
        return (self._event,)

    def stored(self, tickets: Sequence[int]) -> None:
        del tickets

    def fetched(self, ticket: int, parts: Sequence[Bytes]) -> None:
        del ticket, parts

    def failed(self, ticket: int, code: str) -> None:
        del ticket, code

    def lost(self, ticket: int, error: IntegrityError) -> None:
        del ticket, error

    def cancel(self) -> None:
        pass

    def result(self) -> Written | None:
        return None


def test_the_rate_is_kept_over_time_in_short_rests() -> None:
    """Never longer than a step may take, so that leases are renewed meanwhile."""
    clock = ManualClock()
    run = PacedRun(Packs(3_000_000), 1_000_000, clock)
    sent = 0
    rests = []
    while clock.monotonic_seconds() < 60:
        before = clock.monotonic_seconds()
        events = run.step(1.0)
        sent += sum(event.written.stored_bytes for event in events if isinstance(event, Store))
        rests.append(clock.monotonic_seconds() - before)

    assert abs(sent - 60_000_000) <= 3_000_000
    assert max(rests) <= 1.0
