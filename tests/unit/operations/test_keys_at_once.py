"""Keys that two change, or begin, at the same moment, with and without locks."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from doubles.vaults import PASSWORD, TestVault, make_machine, make_vault
from holdfast.keys.changes import Change, WayIn, add_slot
from holdfast.keys.unlockers import KeyFileUnlocker, PasswordUnlocker, Unlocker
from holdfast.operations import init, keys, writers
from holdfast.operations.context import Context
from holdfast.operations.errors import KeyChangeLostError
from holdfast.storage._files import SystemFiles
from holdfast.storage.errors import StorageBusyError
from holdfast.storage.local import LocalBackend
from holdfast.vault.errors import RepositoryExistsError


class Secrets:
    """The right password, and a key file as the new way in."""

    is_given = True
    can_ask = False

    def __init__(self, byte: int) -> None:
        self.new = KeyFileUnlocker(bytes([byte]) * 32)
        self.when_asked: Callable[[], object] = lambda: None

    def given(self) -> Sequence[Unlocker]:
        return ()

    def attempts(
        self, hints: Sequence[str], *, may_skip: bool = False
    ) -> Iterator[Sequence[Unlocker]]:
        del hints, may_skip
        yield [PasswordUnlocker(PASSWORD)]

    def new_unlocker(self, what: str) -> Unlocker:
        del what
        self.when_asked()
        return self.new


class Interrupted(ManualClock):
    """Something happens while somebody waits, once."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = lambda: None

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()


class Place:
    """A vault in a local folder, and somebody who changes its keys from a machine of his own."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.root = folder / "repository"
        self.root.mkdir()
        backend = LocalBackend(self.root, clock=ManualClock(), random=CountedRandom("backend"))
        self.vault: TestVault = make_vault(backend, make_machine(folder / f"maker{seed}"))
        self.clock = Interrupted()
        self.secrets = Secrets(1)
        machine = make_machine(folder / f"mine{seed}")
        self.context = Context(
            self.clock, machine.random, machine.folders, "here", self.secrets, print
        )

    def add(self) -> keys.KeyChanged:
        return keys.add(str(self.root), "", self.context)

    def competing(self) -> Change:
        """Return what somebody else is about to store, who has read the keys as they are."""
        readable = self.vault.readable()
        way = WayIn(KeyFileUnlocker(bytes([2]) * 32))
        machine = self.vault.machine
        return add_slot(
            readable.chain, readable.ring, way, clock=machine.clock, random=machine.random
        )

    def store(self, change: Change) -> None:
        for item in change.objects:
            self.vault.backend.put(item.name, item.data)


@pytest.fixture
def unlockable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that locks nothing."""

    def refuse(_: SystemFiles, descriptor: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK), str(descriptor))

    monkeypatch.setattr(SystemFiles, "lock", refuse)


@pytest.mark.usefixtures("unlockable")
def test_without_locks_nobody_is_told_that_a_change_stands_which_lost(tmp_path: Path) -> None:
    """The look comes after everybody has put who began before; the winner tells of the other."""
    won = []
    for number in range(8):
        folder = tmp_path / str(number)
        folder.mkdir()
        place = Place(folder, number)
        other = place.competing()
        place.clock.meanwhile = partial(place.store, other)
        try:
            done = place.add()
        except KeyChangeLostError:
            won.append(False)
        else:
            won.append(True)
            assert any("has to be made again" in problem for problem in done.problems)
        chain = place.vault.closed().chain
        assert (chain.current.hash != other.chain.current.hash) == won[-1]
        # Nobody remembers a statement that has another one beside it.
        known = place.context.machine.known.find(place.vault.vault_id)
        assert known is not None
        assert known.statement == chain.links[0].seen
    assert set(won) == {True, False}


def test_what_changed_while_somebody_typed_is_not_lost(tmp_path: Path) -> None:
    """Nobody is kept waiting by a password prompt: the chain is read again under the lock."""
    place = Place(tmp_path, 0)
    place.secrets.when_asked = lambda: place.store(place.competing())

    done = place.add()

    chain = place.vault.closed().chain
    assert chain.current.body.number == 2
    assert chain.forks == ()
    assert len(done.ways_in) == 3


def test_whoever_cannot_get_the_lock_changes_nothing(tmp_path: Path) -> None:
    """Exit status 11 after some seconds."""
    place = Place(tmp_path, 0)
    before = sorted(path.name for path in place.root.rglob("*"))
    other = LocalBackend(place.root, clock=ManualClock(), random=CountedRandom("other"))
    path = tmp_path / "writer.key"
    with other.alone(0):
        with pytest.raises(StorageBusyError) as busy:
            place.add()
        with pytest.raises(StorageBusyError):
            writers.run_add(str(place.root), "laptop", path, place.context)
    other.close()

    assert busy.value.exit_code == 11
    assert 10 <= place.clock.monotonic_seconds() < 60
    assert sorted(path.name for path in place.root.rglob("*")) == before
    assert not path.exists()


def test_a_writer_is_not_made_for_keys_that_have_just_ended(tmp_path: Path) -> None:
    """A rotation carries over the certificates that it finds, and no later ones."""
    place = Place(tmp_path, 0)
    closed = place.vault.closed()
    readable = place.vault.readable()
    keys.change(str(place.root), None, place.context, rotate=True)
    path = tmp_path / "writer.key"

    with pytest.raises(KeyChangeLostError):
        writers.add_writer(closed, readable, "laptop", path, place.context)

    assert not path.exists()


def test_an_init_takes_nothing_away_from_one_that_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it finds looks like what an unfinished attempt left."""
    request = init.InitRequest(str(tmp_path / "repository"))
    one, two = (_someone(tmp_path / name) for name in ("one", "two"))
    link = SystemFiles.link
    refused: list[StorageBusyError] = []

    def interrupted(
        files: SystemFiles, source: str, target: str, *, source_folder: int, folder: int
    ) -> None:
        link(files, source, target, source_folder=source_folder, folder=folder)
        monkeypatch.setattr(SystemFiles, "link", link)
        with pytest.raises(StorageBusyError) as busy:
            init.run(request, two)
        refused.append(busy.value)

    monkeypatch.setattr(SystemFiles, "link", interrupted)
    made = init.run(request, one)

    assert [error.exit_code for error in refused] == [11]
    assert not two.folders.writers.exists()
    assert made.writer_key.exists()
    assert keys.list_keys(request.address, one).vault_id == made.vault_id


def test_an_init_that_was_overtaken_while_somebody_typed_leaves_nothing(tmp_path: Path) -> None:
    """It says what an init on a repository says."""
    request = init.InitRequest(str(tmp_path / "repository"))
    one, two = (_someone(tmp_path / name) for name in ("one", "two"))
    assert isinstance(one.secrets, Secrets)
    one.secrets.when_asked = lambda: init.run(request, two)

    with pytest.raises(RepositoryExistsError):
        init.run(request, one)

    assert not one.folders.writers.exists()
    assert len(keys.list_keys(request.address, two).ways_in) == 1


def _someone(folder: Path) -> Context:
    machine = make_machine(folder)
    return Context(machine.clock, machine.random, machine.folders, "here", Secrets(1), print)
