"""An engine that reads is answered with the bytes that it asked for, from wherever they lie."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from doubles.storage import FailingBackend
from doubles.vaults import Notes
from holdfast.base.errors import IntegrityError
from holdfast.base.ids import PackId, PointId, VaultId
from holdfast.base.progress import Finding
from holdfast.core import Fetch
from holdfast.crypto.hashing import sha256
from holdfast.format import names
from holdfast.storage.errors import StorageDeniedError, StorageUnavailableError
from holdfast.storage.interface import StorageBackend
from holdfast.storage.local import LocalBackend
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.errors import DamagedObjectError, PackMissingError
from holdfast.vault.objects import ObjectStore
from holdfast.vault.reading import pump

VAULT = VaultId(bytes(32))
PACK = b"0123456789" * 100
PACK_ID = PackId(sha256(PACK))


class Asking:
    """Asks for ranges, all at once, and returns what it got."""

    def __init__(self, *ranges: tuple[int, int], pack_id: PackId = PACK_ID) -> None:
        self.is_cancelled = False
        self._fetches = [Fetch(number, pack_id, (one,)) for number, one in enumerate(ranges)]
        self._got: dict[int, bytes] = {}
        self._lost: IntegrityError | None = None

    def step(self, timeout_seconds: float) -> Sequence[Any]:
        del timeout_seconds
        if self._lost is not None:
            raise self._lost
        events, self._fetches = [*self._fetches], []
        return [*events, Finding("X", b"path", "odd")] if events else ()

    def fetched(self, ticket: int, parts: Sequence[bytes | memoryview]) -> None:
        self._got[ticket] = b"".join(parts)

    def stored(self, tickets: Sequence[int]) -> None:
        raise AssertionError(tickets)

    def failed(self, ticket: int, code: str) -> None:
        raise AssertionError((ticket, code))

    def lost(self, ticket: int, error: IntegrityError) -> None:
        assert ticket == 0
        self._lost = error

    def cancel(self) -> None:
        self.is_cancelled = True

    def result(self) -> list[bytes] | None:
        return [self._got[ticket] for ticket in sorted(self._got)] if len(self._got) == 3 else None


@pytest.fixture(params=["memory", "local"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorageBackend]:
    made: StorageBackend = MemoryBackend()
    if request.param == "local":
        made = LocalBackend(tmp_path, clock=ManualClock(), random=CountedRandom())
    made.put(names.pack_name(VAULT, PACK_ID), PACK)
    yield made
    made.close()


def store(backend: StorageBackend) -> ObjectStore:
    return ObjectStore(backend, VAULT, clock=ManualClock())


def test_a_run_gets_what_it_asks_for(backend: StorageBackend) -> None:
    run, notes = Asking((0, 3), (995, 5), (10, 0)), Notes()

    assert pump(run, store(backend), notes) == [b"012", b"56789", b""]
    assert notes.codes == ["X"]
    assert run.is_cancelled


def test_a_missing_pack_is_named_with_the_points_that_need_it(backend: StorageBackend) -> None:
    run = Asking((0, 3), pack_id=PackId(bytes(32)))

    with pytest.raises(PackMissingError, match="needed by 70707070"):
        pump(run, store(backend), Notes(), needed_by=lambda _: (PointId(b"p" * 32),))
    assert run.is_cancelled


def test_a_pack_that_is_too_short_is_damaged(backend: StorageBackend) -> None:
    with pytest.raises(DamagedObjectError):
        pump(Asking((999, 2)), store(backend), Notes())


def test_a_request_that_failed_is_made_again(backend: StorageBackend) -> None:
    failing = FailingBackend(backend, "get_ranges", times=3)

    assert pump(Asking((0, 1), (1, 1), (2, 1)), store(failing), Notes()) == [b"0", b"1", b"2"]


def test_the_storage_speaks_for_itself(backend: StorageBackend) -> None:
    failing = FailingBackend(backend, "get_ranges", error=lambda: StorageDeniedError("No."))

    with pytest.raises(StorageDeniedError):
        pump(Asking((0, 1)), store(failing), Notes())


def test_a_pack_that_a_drive_cannot_read_any_more_is_damaged(backend: StorageBackend) -> None:
    failing = FailingBackend(backend, "get_ranges", times=1000)

    with pytest.raises(DamagedObjectError, match="cannot be read"):
        pump(Asking((0, 1)), store(failing), Notes())


def test_a_drive_that_is_gone_is_no_damage(backend: StorageBackend) -> None:
    failing = FailingBackend(
        FailingBackend(backend, "get_ranges", times=1000), "exists", times=1000
    )

    with pytest.raises(StorageUnavailableError):
        pump(Asking((0, 1)), store(failing), Notes())
