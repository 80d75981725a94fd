"""The stand-ins do what tests believe of them; a tame one would prove nothing."""

from dataclasses import replace

import pytest

from doubles.clock import ManualClock
from doubles.storage import (
    WRITES,
    CountingBackend,
    DelayedListingBackend,
    DyingBackend,
    FailingBackend,
    FullBackend,
    LyingBackend,
    PowerCut,
    WrappedBackend,
)
from holdfast.storage.errors import (
    ObjectMissingError,
    ObjectTruncatedError,
    StorageFullError,
    StorageUnavailableError,
)
from holdfast.storage.memory import IN_MEMORY, MemoryBackend


def _names(backend: MemoryBackend | WrappedBackend) -> list[str]:
    return sorted(found.name for found in backend.list(""))


def test_a_failing_backend_fails_at_the_call_chosen_and_then_works() -> None:
    backend = FailingBackend(MemoryBackend(), "put", nth=2)
    backend.put("a", b"")

    with pytest.raises(StorageUnavailableError):
        backend.put("b", b"")
    assert not backend.exists("b")
    assert backend.put("b", b"")


def test_a_failed_call_may_have_taken_effect() -> None:
    backend = FailingBackend(MemoryBackend(), "put", takes_effect=True)

    with pytest.raises(StorageUnavailableError):
        backend.put("a", b"")
    assert not backend.put("a", b"")


def test_the_power_is_cut_before_the_call_chosen_and_stays_off() -> None:
    inner = MemoryBackend()
    backend = DyingBackend(inner, dies_before=2, kinds=WRITES)
    backend.put("a", b"")
    assert backend.exists("a")

    with pytest.raises(PowerCut):
        backend.put("b", b"")
    with pytest.raises(PowerCut):
        backend.get("a")
    assert _names(inner) == ["a"]
    assert backend.calls == 2


@pytest.mark.parametrize(("is_durable", "left"), [(True, ["a", "b"]), (False, ["a"])])
def test_a_power_cut_takes_what_was_not_promised_to_be_durable(
    *, is_durable: bool, left: list[str]
) -> None:
    inner = MemoryBackend(capabilities=replace(IN_MEMORY, durable_put=is_durable))
    backend = DyingBackend(inner, dies_before=3, loses_unsynced=True)
    backend.put("a", b"")
    backend.settle()
    backend.put("b", b"")

    with pytest.raises(PowerCut):
        backend.put("c", b"")
    assert _names(inner) == left


def test_a_full_backend_takes_what_fits_and_more_after_a_delete() -> None:
    backend = FullBackend(MemoryBackend(), 10)
    backend.put("a", b"12345678")

    with pytest.raises(StorageFullError):
        backend.put("b", b"123")
    assert not backend.put("a", b"12345678")
    assert backend.free_bytes() == 2
    backend.delete("a")
    assert backend.put("b", b"123")


def test_a_delayed_listing_shows_puts_and_deletes_later_and_reads_at_once() -> None:
    clock = ManualClock()
    backend = DelayedListingBackend(MemoryBackend(), clock, seconds=10)
    backend.put("a", b"1")
    backend.put("short-lived", b"2")
    backend.delete("short-lived")

    assert backend.get("a") == b"1"
    assert _names(backend) == []
    clock.advance(10)
    assert _names(backend) == ["a"]
    backend.delete("a")
    assert not backend.exists("a")
    assert _names(backend) == ["a"]
    clock.advance(10)
    assert _names(backend) == []


def test_lies_are_told_by_every_way_of_reading() -> None:
    inner = MemoryBackend()
    backend = LyingBackend(inner)
    for name in ("flipped", "cut", "one", "two", "gone"):
        backend.put(name, name.encode())

    backend.flip("flipped", 0, bit=1)
    backend.truncate("cut", 1)
    backend.swap("one", "two")
    backend.forget("gone")
    backend.replace("added", b"!")

    assert backend.get("flipped") == b"dlipped"
    assert backend.get_ranges("flipped", [(0, 2)]) == [b"dl"]
    assert backend.size("cut") == 1
    with pytest.raises(ObjectTruncatedError):
        backend.get_ranges("cut", [(0, 2)])
    assert (backend.get("one"), backend.get("two")) == (b"two", b"one")
    assert not backend.exists("gone")
    with pytest.raises(ObjectMissingError):
        backend.get("gone")
    assert _names(backend) == ["added", "cut", "flipped", "one", "two"]
    backend.be_honest()
    assert _names(backend) == _names(inner)
    assert backend.get("flipped") == b"flipped"


def test_calls_requests_and_bytes_are_counted() -> None:
    backend = CountingBackend(MemoryBackend())
    backend.put("a", b"12345")
    backend.get("a")
    backend.get_ranges("a", [(0, 1), (2, 1)])

    assert backend.calls == {"put": 1, "get": 1, "get_ranges": 1}
    assert backend.requests == {"put": 1, "get": 1, "get_ranges": 2}
    assert (backend.bytes_put, backend.bytes_got) == (5, 7)
    assert backend.names == [("put", "a"), ("get", "a"), ("get_ranges", "a")]
