"""Packs on their way: a bounded number, and an end without waiting for a storage that is away."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.storage import FailingBackend, Kind, T, WrappedBackend
from doubles.vaults import TestVault, make_machine, make_vault, storing
from holdfast.base.ids import VaultId
from holdfast.storage.errors import StorageFullError, StorageUnavailableError
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.objects import ObjectStore
from holdfast.vault.point_loading import load_points
from holdfast.vault.uploads import Uploader


def names(count: int) -> Sequence[str]:
    return [f"packs/{number}" for number in range(count)]


class Slow(WrappedBackend):
    """Puts wait until they are let go; counts how many wait at once."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())
        self.gate = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.waiting = self.most = 0

    def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
        del name
        if kind == "put":
            with self.lock:
                self.waiting += 1
                self.most = max(self.most, self.waiting)
            assert self.gate.acquire(timeout=10)
            with self.lock:
                self.waiting -= 1
        return act()


def test_no_more_than_so_many_packs_are_on_their_way() -> None:
    slow = Slow()
    uploader = Uploader(ObjectStore(slow, VaultId(b""), clock=ManualClock()), 2)
    uploader.put(0, "packs/0", b"0")
    uploader.put(1, "packs/1", b"1")
    assert uploader.is_full
    slow.gate.release()

    uploader.put(2, "packs/2", b"2")

    slow.gate.release(2)
    stored = list(uploader.stored(timeout_seconds=10))
    while not uploader.is_idle:
        stored += uploader.stored(timeout_seconds=10)
    uploader.close()
    assert sorted(stored) == [0, 1, 2]
    assert slow.most <= 2


def test_closing_does_not_wait_for_a_storage_that_is_away() -> None:
    """The clock is the test's: nobody moves it, so whoever went on trying would never end."""
    began = threading.Event()

    class Away(WrappedBackend):
        def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
            del kind, name, act
            began.set()
            raise StorageUnavailableError("The storage is away.")

    class Stopped(ManualClock):
        def sleep(self, seconds: float) -> None:
            del seconds
            closing.wait(10)

    closing = threading.Event()
    store = ObjectStore(Away(MemoryBackend()), VaultId(b""), clock=Stopped())
    uploader = Uploader(store, 1)
    uploader.put(0, "packs/0", b"0")
    assert began.wait(10)

    threading.Timer(0.1, closing.set).start()
    uploader.close()

    assert list(uploader.stored()) == []


@pytest.fixture
def vault(tmp_path: Path) -> TestVault:
    return make_vault(MemoryBackend(), make_machine(tmp_path))


@pytest.mark.parametrize("uploads", [0, 3])
def test_a_full_storage_ends_the_session_and_leaves_earlier_points(
    vault: TestVault, uploads: int
) -> None:
    first = vault.backup(storing(b"one"))
    full = FailingBackend(
        vault.backend, "put", nth=3, times=100, error=lambda: StorageFullError("No space.")
    )

    with pytest.raises(StorageFullError):
        vault.on(full).backup(storing(b"two", b"three", b"four"), uploads=uploads)

    assert [point.id for point in load_points(vault.readable()).points] == [first.point_id]
    assert not list(vault.machine.folders.cache.rglob("spool/*/*"))
