"""The probe tells what a storage does not keep, and tidies up whatever happens."""

import pytest

from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from doubles.storage import (
    DelayedListingBackend,
    FailingBackend,
    FullBackend,
    Kind,
    LyingBackend,
    StallingBackend,
)
from holdfast.base.sizes import MIB
from holdfast.storage.errors import ObjectMissingError, StorageFullError, StorageUnavailableError
from holdfast.storage.interface import Bytes
from holdfast.storage.memory import MemoryBackend
from holdfast.storage.probe import ProbeReport, probe


def _probe(backend: MemoryBackend | LyingBackend, patience_seconds: float = 5) -> ProbeReport:
    return probe(backend, ManualClock(), CountedRandom("probe"), patience_seconds=patience_seconds)


class OverwritingBackend(MemoryBackend):
    """Overwrites like a plain object store."""

    def put(self, name: str, data: Bytes | list[Bytes]) -> bool:  # type: ignore[override]
        self._objects.pop(name, None)
        return super().put(name, data)


class FlippingBackend(LyingBackend):
    """Turns a bit of every large object."""

    def put(self, name: str, data: Bytes | list[Bytes]) -> bool:  # type: ignore[override]
        is_new = super().put(name, data)
        if is_new and len(data) == 8 * MIB:
            self.flip(name, MIB + 5)
        return is_new


class ClingingBackend(MemoryBackend):
    """Shows deleted objects as still there."""

    def exists(self, name: str) -> bool:
        return name.startswith("probe/")


class PaddingBackend(MemoryBackend):
    """Gives zeros instead of refusing a range beyond the end."""

    def get_ranges(self, name: str, ranges: list[tuple[int, int]]) -> list[bytes]:  # type: ignore[override]
        data = self.get(name)
        return [data[offset : offset + length].ljust(length, b"\0") for offset, length in ranges]


def test_storage_that_overwrites_is_found_out() -> None:
    report = _probe(OverwritingBackend())

    assert not report.is_write_once
    assert not report.is_retry_safe
    assert not report.is_usable


def test_storage_that_changes_bytes_is_found_out() -> None:
    report = _probe(FlippingBackend(MemoryBackend()))

    assert not report.reads_what_was_written
    assert not report.reads_ranges
    assert not report.is_usable


def test_storage_that_keeps_showing_what_was_deleted_is_found_out() -> None:
    assert not _probe(ClingingBackend()).is_deleted_at_once


def test_storage_that_makes_up_bytes_beyond_the_end_is_found_out() -> None:
    assert not _probe(PaddingBackend()).reads_ranges


def test_a_listing_that_never_comes_is_waited_for_within_bounds() -> None:
    clock = ManualClock()
    slow = DelayedListingBackend(MemoryBackend(), clock, seconds=1000)

    report = probe(slow, clock, CountedRandom(), patience_seconds=5)

    assert report.put_listing_delay_seconds is None
    assert not report.is_usable
    assert clock.monotonic_seconds() < 11


def test_latency_and_rate_are_told_by_the_clock() -> None:
    clock = ManualClock()
    stalling = StallingBackend(MemoryBackend(), clock, 2.0, "put", "get")

    report = probe(stalling, clock, CountedRandom())

    assert report.small_put_seconds == pytest.approx(2)
    assert report.small_get_seconds == pytest.approx(2)
    assert report.large_put_bytes_per_second == pytest.approx(4 * MIB)
    assert report.large_get_bytes_per_second == pytest.approx(4 * MIB)


@pytest.mark.parametrize("kind", ["put", "get", "get_ranges", "size", "exists", "list"])
@pytest.mark.parametrize("takes_effect", [False, True])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_probe_that_fails_leaves_nothing_behind(
    kind: Kind, nth: int, *, takes_effect: bool
) -> None:
    inner = MemoryBackend()
    inner.put("mine", b"")
    failing = FailingBackend(inner, kind, nth=nth, takes_effect=takes_effect)

    with pytest.raises(StorageUnavailableError):
        probe(failing, ManualClock(), CountedRandom())

    assert [found.name for found in inner.list("")] == ["mine"]


def test_a_full_storage_is_said_to_be_full_and_tidied() -> None:
    inner = MemoryBackend()
    with pytest.raises(StorageFullError):
        probe(FullBackend(inner, 4 * MIB), ManualClock(), CountedRandom())

    assert list(inner.list("")) == []


def test_a_delete_that_fails_once_is_made_up_for() -> None:
    inner = MemoryBackend()
    failing = FailingBackend(inner, "delete", error=lambda: ObjectMissingError("Not there."))

    report = probe(failing, ManualClock(), CountedRandom(), patience_seconds=0)

    assert not report.is_deleted_at_once
    assert report.delete_listing_delay_seconds is None
    assert list(inner.list("")) == []
