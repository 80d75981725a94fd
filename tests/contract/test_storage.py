"""What every storage backend promises; a new one is one more param of the fixture."""

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from doubles.storage import CountingBackend, DelayedListingBackend
from holdfast.storage.address import holds_nothing
from holdfast.storage.errors import (
    InvalidNameError,
    ObjectExistsError,
    ObjectMissingError,
    ObjectTooLargeError,
    ObjectTruncatedError,
)
from holdfast.storage.interface import ObjectInfo, StorageBackend, local_files
from holdfast.storage.local import LocalBackend
from holdfast.storage.memory import MemoryBackend
from holdfast.storage.probe import probe


def _local(folder: Path) -> StorageBackend:
    return LocalBackend(folder, clock=ManualClock(), random=CountedRandom())


_BACKENDS: Mapping[str, Callable[[Path], StorageBackend]] = {
    "memory": lambda _: MemoryBackend(),
    "local": _local,
    "counting": lambda _: CountingBackend(MemoryBackend()),
}


@pytest.fixture(params=sorted(_BACKENDS))
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorageBackend]:
    opened = _BACKENDS[request.param](tmp_path)
    yield opened
    opened.close()


def _names(backend: StorageBackend, prefix: str = "") -> list[str]:
    return sorted(found.name for found in backend.list(prefix))


def test_what_was_put_is_got(backend: StorageBackend) -> None:
    is_new = backend.put("packs/ab/abcd", b"bytes")

    assert is_new
    assert backend.get("packs/ab/abcd") == b"bytes"
    assert backend.size("packs/ab/abcd") == 5
    assert backend.exists("packs/ab/abcd")


def test_what_is_larger_than_expected_is_not_read(backend: StorageBackend) -> None:
    backend.put("packs/ab/abcd", b"bytes")

    assert backend.get("packs/ab/abcd", most_bytes=5) == b"bytes"
    with pytest.raises(ObjectTooLargeError):
        backend.get("packs/ab/abcd", most_bytes=4)


@pytest.mark.parametrize(
    "data", [b"", [], [b"", b""], bytearray(b"ab"), memoryview(b"abc"), [b"a", memoryview(b"bc")]]
)
def test_bytes_come_in_one_run_or_in_parts(
    backend: StorageBackend, data: bytes | list[bytes]
) -> None:
    backend.put("whole", data)

    expected = b"".join(data) if isinstance(data, list) else bytes(data)
    assert backend.get("whole") == expected


def test_an_existing_object_is_never_overwritten(backend: StorageBackend) -> None:
    """Write-once: the second put fails and the first bytes stay."""
    backend.put("packs/a", b"first")

    with pytest.raises(ObjectExistsError):
        backend.put("packs/a", b"other")
    with pytest.raises(ObjectExistsError):
        backend.put("packs/a", b"")
    assert backend.get("packs/a") == b"first"


@pytest.mark.parametrize("data", [b"", b"same", b"12" * 3_000_000])
def test_the_same_bytes_again_are_a_success_that_created_nothing(
    backend: StorageBackend, data: bytes
) -> None:
    """Names are content hashes, so a retry after an unknown outcome is safe."""
    assert backend.put("packs/a", data)
    assert not backend.put("packs/a", [data[:3], data[3:]])


def test_ranges_come_back_in_the_order_asked(backend: StorageBackend) -> None:
    backend.put("a", b"0123456789")

    assert backend.get_ranges("a", [(8, 2), (0, 1), (3, 0), (10, 0)]) == [b"89", b"0", b"", b""]
    assert backend.get_ranges("a", []) == []


@pytest.mark.parametrize("beyond", [(9, 2), (10, 1), (500, 3), (0, 11)])
def test_a_range_beyond_the_end_is_refused(
    backend: StorageBackend, beyond: tuple[int, int]
) -> None:
    backend.put("a", b"0123456789")

    with pytest.raises(ObjectTruncatedError, match="has 10 bytes"):
        backend.get_ranges("a", [(0, 1), beyond])


@pytest.mark.parametrize(
    "ask",
    [
        lambda backend: backend.get("packs/none"),
        lambda backend: backend.get_ranges("packs/none", [(0, 1)]),
        lambda backend: backend.size("packs/none"),
        lambda backend: backend.delete("packs/none"),
    ],
)
def test_what_is_not_there_is_said_to_be_missing(
    backend: StorageBackend, ask: Callable[[StorageBackend], object]
) -> None:
    assert not backend.exists("packs/none")
    with pytest.raises(ObjectMissingError, match="packs/none"):
        ask(backend)


def test_a_deleted_object_is_gone_and_its_name_free(backend: StorageBackend) -> None:
    backend.put("packs/a", b"first")
    backend.delete("packs/a")

    assert not backend.exists("packs/a")
    assert _names(backend) == []
    assert backend.put("packs/a", b"other")


def test_a_listing_shows_all_below_a_folder_and_nothing_else(backend: StorageBackend) -> None:
    for name in ("marker", "packs/ab/1", "packs/ac/2", "packs-2/3", "points/4"):
        backend.put(name, name.encode())

    assert _names(backend) == ["marker", "packs-2/3", "packs/ab/1", "packs/ac/2", "points/4"]
    assert _names(backend, "packs/") == ["packs/ab/1", "packs/ac/2"]
    assert list(backend.list("packs/ab/")) == [ObjectInfo("packs/ab/1", 10)]
    assert _names(backend, "none/") == []


@pytest.mark.parametrize(
    "name", ["", "/", "a/", "/a", "a//b", "..", "a/../b", ".a", "A", "a.b", "ä"]
)
def test_a_name_that_no_object_can_have_is_refused(backend: StorageBackend, name: str) -> None:
    for ask in (backend.get, backend.size, backend.exists, backend.delete):
        with pytest.raises(InvalidNameError):
            ask(name)
    with pytest.raises(InvalidNameError):
        backend.put(name, b"")
    with pytest.raises(InvalidNameError):
        backend.get_ranges(name, [])


@pytest.mark.parametrize("prefix", ["packs", "/", "../", "a//", "A/"])
def test_a_prefix_that_is_no_folder_is_refused(backend: StorageBackend, prefix: str) -> None:
    with pytest.raises(InvalidNameError):
        list(backend.list(prefix))


def test_of_many_who_put_the_same_exactly_one_created_it(backend: StorageBackend) -> None:
    """Also while others delete what lies beside it, which may take the folder away."""
    created: list[bool] = []
    start = threading.Barrier(4)

    def work(number: int) -> None:
        start.wait()
        for turn in range(20):
            backend.put(f"packs/x/{number}-{turn}", b"mine")
            created.append(backend.put(f"points/{turn}", [b"sa", b"me"]))
            backend.delete(f"packs/x/{number}-{turn}")

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert len(created) == 80
    assert sum(created) == 20
    assert _names(backend, "packs/") == []


def test_a_new_storage_holds_nothing_and_a_used_one_something(backend: StorageBackend) -> None:
    assert holds_nothing(backend)
    backend.put("a", b"")
    assert not holds_nothing(backend)


def test_the_ability_of_local_files_is_promised_when_it_is_there(backend: StorageBackend) -> None:
    assert (local_files(backend) is not None) == backend.capabilities.local_files


def test_the_probe_finds_it_usable_and_leaves_nothing(backend: StorageBackend) -> None:
    report = probe(backend, ManualClock(), CountedRandom("probe"))

    assert report.is_usable
    assert report.put_listing_delay_seconds == 0
    assert holds_nothing(backend)


def test_a_delayed_listing_is_measured_by_the_probe(backend: StorageBackend) -> None:
    clock = ManualClock()
    slow = DelayedListingBackend(backend, clock, seconds=3)

    report = probe(slow, clock, CountedRandom("probe"))

    assert report.is_usable
    assert report.put_listing_delay_seconds == pytest.approx(3, abs=0.2)
    assert report.delete_listing_delay_seconds == pytest.approx(3, abs=0.2)
