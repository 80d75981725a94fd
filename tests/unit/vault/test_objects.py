"""Objects are compared with their names, and the storage is asked again when that may help."""

from itertools import pairwise
from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.storage import FailingBackend, LyingBackend
from doubles.vaults import make_machine, make_vault, storing
from holdfast.format import frames, names
from holdfast.format.session import Session
from holdfast.storage.errors import StorageFullError, StorageUnavailableError
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.errors import DamagedObjectError, MissingObjectError
from holdfast.vault.objects import ObjectStore
from holdfast.vault.retries import RetryRule


def test_waiting_grows_and_is_bounded() -> None:
    clock = ManualClock()
    waits: list[float] = []

    def act() -> None:
        waits.append(clock.monotonic_seconds())
        raise StorageUnavailableError("The storage is away.")

    with pytest.raises(StorageUnavailableError):
        RetryRule().run(clock, act)

    assert [later - before for before, later in pairwise(waits)] == [
        0.5,
        1,
        2,
        4,
        8,
        16,
        32,
        32,
    ]


def test_what_may_not_be_tried_again_is_not() -> None:
    calls: list[int] = []

    def act() -> None:
        calls.append(1)
        raise StorageFullError("The storage is full.")

    with pytest.raises(StorageFullError):
        RetryRule().run(ManualClock(), act)

    assert calls == [1]


@pytest.mark.parametrize("takes_effect", [False, True])
@pytest.mark.parametrize("kind", ["put", "get", "list", "exists", "delete"])
def test_a_backup_survives_one_failure_of_any_kind_of_call(
    tmp_path: Path, kind: str, *, takes_effect: bool
) -> None:
    vault = make_vault(MemoryBackend(), make_machine(tmp_path))

    for nth in range(1, 6):
        failing = FailingBackend(vault.backend, kind, nth=nth, takes_effect=takes_effect)  # type: ignore[arg-type]
        vault.on(failing).backup(storing(b"%d" % nth), source=f"{nth}")


def test_a_delete_whose_answer_was_lost_is_no_failure() -> None:
    backend = MemoryBackend()
    backend.put("a/b", b"")
    failing = FailingBackend(backend, "delete", takes_effect=True)

    ObjectStore(failing, b"", clock=ManualClock()).delete("a/b")  # type: ignore[arg-type]

    assert not backend.exists("a/b")


def test_missing_and_damaged_are_told_apart_and_named(tmp_path: Path) -> None:
    vault = make_vault(MemoryBackend(), make_machine(tmp_path))
    vault.backup(storing(b"one"))
    lying = LyingBackend(vault.backend)
    store = vault.on(lying).closed().objects.uncached()
    name = store.list(frames.KIND_SESSION)[0].name
    lying.flip(name, 40)

    with pytest.raises(DamagedObjectError, match=name):
        store.load(name, Session)
    vault.backend.delete(name)
    with pytest.raises(MissingObjectError, match=name):
        vault.closed().objects.uncached().load(name, Session)


def test_a_damaged_copy_on_this_machine_is_fetched_again(tmp_path: Path) -> None:
    vault = make_vault(MemoryBackend(), make_machine(tmp_path))
    vault.backup(storing(b"one"))
    store = vault.closed().objects
    listed = store.list(frames.KIND_SESSION)[0]
    store.load(listed.name, Session)
    copy = vault.machine.folders.objects(vault.vault_id) / listed.hash.hex()
    copy.write_bytes(b"rubbish")

    store.load(listed.name, Session)

    assert copy.read_bytes() == vault.backend.get(listed.name)


def test_names_that_are_none_are_not_listed(tmp_path: Path) -> None:
    vault = make_vault(MemoryBackend(), make_machine(tmp_path))
    vault.backend.put(names.points_prefix(vault.vault_id) + "not-a-point", b"")

    assert vault.closed().objects.list(frames.KIND_POINT) == []
