"""Making and opening a repository, and what a cut while it is made leaves behind."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from doubles.storage import (
    WRITES,
    DyingBackend,
    FailingBackend,
    Kind,
    PowerCut,
    T,
    WrappedBackend,
)
from doubles.vaults import SMALL, make_machine, make_vault, storing
from holdfast.format import frames, names
from holdfast.storage.errors import ObjectExistsError, StorageFullError
from holdfast.storage.local import LocalBackend
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.errors import (
    DowngradeError,
    ForeignFolderError,
    MissingObjectError,
    NoRepositoryError,
    RepositoryExistsError,
    VaultChangedError,
)
from holdfast.vault.point_loading import load_points
from holdfast.vault.repository import open_repository
from holdfast.vault.states import ClosedVault


def test_the_vault_object_comes_last_but_for_the_marker(tmp_path: Path) -> None:
    backend = MemoryBackend()
    puts: list[str] = []

    class Recorder(WrappedBackend):
        def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
            if kind == "put":
                puts.append(name)
            return act()

    vault = make_vault(Recorder(backend), make_machine(tmp_path))

    assert puts[-2:] == [names.vault_name(vault.vault_id), names.MARKER_NAME]
    assert open_repository(backend, ManualClock()).vaults == (vault.vault_id,)


@pytest.mark.parametrize("takes_effect", [False, True])
@pytest.mark.parametrize("nth", range(1, 6))
def test_a_repository_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, *, nth: int, takes_effect: bool
) -> None:
    """A full disk takes deletes; and what came of the last put may be unknown."""
    backend = MemoryBackend()
    full = FailingBackend(
        backend,
        "put",
        nth=nth,
        error=lambda: StorageFullError("It is full."),
        takes_effect=takes_effect,
    )

    with pytest.raises(StorageFullError):
        make_vault(full, make_machine(tmp_path))

    assert list(backend.list("")) == []
    make_vault(backend, make_machine(tmp_path))


def test_a_marker_that_somebody_else_put_meanwhile_is_not_taken_back(tmp_path: Path) -> None:
    backend = MemoryBackend()

    class Overtaken(WrappedBackend):
        def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
            if kind == "put" and name == names.MARKER_NAME:
                self.inner.put(name, b"another's")
            return act()

    with pytest.raises(ObjectExistsError):
        make_vault(Overtaken(backend), make_machine(tmp_path))

    assert [item.name for item in backend.list("")] == [names.MARKER_NAME]


@pytest.mark.parametrize("dies_before", range(1, 6))
def test_a_repository_that_was_cut_while_it_was_made_is_made_by_the_same_command(
    tmp_path: Path, dies_before: int
) -> None:
    backend = MemoryBackend()
    with pytest.raises(PowerCut):
        make_vault(
            DyingBackend(backend, dies_before=dies_before, kinds=WRITES),
            make_machine(tmp_path / "first"),
        )
    if dies_before < 5:
        with pytest.raises(NoRepositoryError):
            open_repository(backend, ManualClock())

    vault = make_vault(backend, make_machine(tmp_path / "second"))

    assert open_repository(backend, ManualClock()).vaults == (vault.vault_id,)
    vault.backup(storing(b"one"))
    assert len(load_points(vault.readable()).points) == 1


@pytest.mark.parametrize("dies_before", range(1, 7))
def test_clearing_away_an_unfinished_repository_may_be_cut_too(
    tmp_path: Path, dies_before: int
) -> None:
    backend = MemoryBackend()
    with pytest.raises(PowerCut):
        make_vault(
            DyingBackend(backend, dies_before=5, kinds=WRITES), make_machine(tmp_path / "first")
        )
    with pytest.raises(PowerCut):
        make_vault(
            DyingBackend(backend, dies_before=dies_before, kinds=WRITES),
            make_machine(tmp_path / "second"),
        )

    vault = make_vault(backend, make_machine(tmp_path / "third"))

    assert open_repository(backend, ManualClock()).vaults == (vault.vault_id,)


def test_a_repository_is_never_made_twice(tmp_path: Path) -> None:
    vault = make_vault(MemoryBackend(), make_machine(tmp_path))
    before = {item.name for item in vault.backend.list("")}

    with pytest.raises(RepositoryExistsError):
        make_vault(vault.backend, make_machine(tmp_path / "again"))
    assert {item.name for item in vault.backend.list("")} == before


def test_a_repository_that_lost_its_marker_is_not_cleared_away_once_it_was_used(
    tmp_path: Path,
) -> None:
    vault = make_vault(MemoryBackend(), make_machine(tmp_path))
    vault.backup(storing(b"one"))
    vault.backend.delete(names.MARKER_NAME)

    with pytest.raises(RepositoryExistsError):
        make_vault(vault.backend, make_machine(tmp_path / "again"))
    assert len(load_points(vault.readable()).points) == 1


@pytest.mark.parametrize("milliseconds", [3_600_001, 2**64 - 1])
def test_a_marker_makes_nobody_wait_for_longer_than_an_hour(
    tmp_path: Path, milliseconds: int
) -> None:
    """Nobody signs it: one that says so is none, and the backend's own promise counts."""
    vault = make_vault(MemoryBackend(), make_machine(tmp_path))
    marker = frames.parse_hash_ended(frames.KIND_MARKER, vault.backend.get(names.MARKER_NAME))
    vault.backend.delete(names.MARKER_NAME)
    planted = frames.build_hash_ended(frames.KIND_MARKER, {**marker.body, 3: milliseconds})
    vault.backend.put(names.MARKER_NAME, planted)

    opened = open_repository(vault.backend, ManualClock())

    assert opened.marker is None
    assert opened.listing_delay_seconds == vault.backend.capabilities.listing_delay_seconds


def test_nothing_there_and_something_else_there_are_told_apart(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    backend = LocalBackend(folder, clock=ManualClock(), random=CountedRandom())
    with pytest.raises(NoRepositoryError, match="nothing is there"):
        open_repository(backend, ManualClock())

    (folder / "Holiday.jpg").write_bytes(b"")

    with pytest.raises(ForeignFolderError):
        open_repository(backend, ManualClock())
    with pytest.raises(ForeignFolderError):
        make_vault(backend, make_machine(tmp_path / "machine"))
    backend.close()


@pytest.mark.parametrize(("suite", "error"), [(3, VaultChangedError), (0, DowngradeError)])
def test_another_vault_at_a_known_address_is_refused(
    tmp_path: Path, suite: int, error: type[Exception]
) -> None:
    machine = make_machine(tmp_path / "machine")
    make_vault(MemoryBackend(), machine).closed()
    other = make_vault(
        MemoryBackend(), make_machine(tmp_path / "thief"), template=replace(SMALL, suite=suite)
    )
    repository = open_repository(other.backend, machine.clock)

    with pytest.raises(error):
        ClosedVault.load(repository, other.vault_id, machine)


def test_what_a_stranger_left_does_not_hide_that_the_vault_object_is_lost(tmp_path: Path) -> None:
    """As a probe that was cut short leaves it."""
    vault = make_vault(MemoryBackend(), make_machine(tmp_path / "machine"))
    vault.backup(storing(b"one"))
    vault.backend.put("probe/0011223344556677/small-0", b"left")
    vault.backend.delete(names.vault_name(vault.vault_id))

    with pytest.raises(MissingObjectError, match=names.vault_name(vault.vault_id)):
        open_repository(vault.backend, ManualClock())
