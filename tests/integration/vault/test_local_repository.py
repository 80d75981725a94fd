"""A repository in a folder, written by the plain engine: from the source to the restore point."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from doubles.storage import WRITES, DyingBackend, Kind, PowerCut, T, WrappedBackend
from doubles.trees import build_small_tree, mutate_tree
from doubles.vaults import LIMITS, Notes, TestEngine, TestVault, make_machine, make_vault, reading
from holdfast.core import RestoreRules
from holdfast.core.python.index import PythonIndex
from holdfast.core.python.reader import PythonReader
from holdfast.format import names
from holdfast.format.packs import PackHeader
from holdfast.storage.interface import StorageBackend
from holdfast.storage.local import LocalBackend
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.index_cache import PackOwner, opened_index
from holdfast.vault.point_loading import load_points, load_refs
from holdfast.vault.publishing import pack_positions
from holdfast.vault.reading import pump


@pytest.fixture(params=["local", "memory"])
def vault(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestVault]:
    folder = tmp_path / "repository"
    folder.mkdir()
    backend = (
        LocalBackend(folder, clock=ManualClock(), random=CountedRandom("local"))
        if request.param == "local"
        else MemoryBackend()
    )
    yield make_vault(backend, make_machine(tmp_path / "machine"))
    backend.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    build_small_tree(tmp_path / "source", 1)
    return tmp_path / "source"


@pytest.mark.parametrize("uploads", [0, 4])
def test_a_second_backup_stores_what_changed_and_relies_on_the_rest(
    vault: TestVault, source: Path, uploads: int
) -> None:
    root = os.open(source, os.O_RDONLY)
    first = vault.backup(reading(root), uploads=uploads)
    mutate_tree(source, 2)
    second = vault.backup(reading(root), uploads=uploads)
    third = vault.backup(reading(root), uploads=uploads)
    os.close(root)

    readable = vault.readable()
    points = load_points(readable)
    assert [point.id for point in points.points] == [
        first.point_id,
        second.point_id,
        third.point_id,
    ]
    assert first.written.statistics.new_raw_bytes > 10 * second.written.statistics.new_raw_bytes
    assert second.session_id in points.points[2].body.sessions
    assert third.written.root == second.written.root
    # Every pack that the refs name is stored, and every stored pack is in a packlist.
    stored = {
        parsed.hash
        for item in vault.backend.list(names.packs_prefix(vault.vault_id))
        if (parsed := names.parse_name(item.name))
    }
    listed: set[bytes] = set()
    for point in points.points:
        owner = PackOwner(point.body.session_id, point.body.writer_id)
        listed |= pack_positions(readable, owner).keys()
    assert stored == listed
    needed = {*third.written.needed, *(pack.pack_id for pack in third.written.packs)}
    assert needed <= stored
    refs = load_refs(readable, points.points[2]).body
    assert sum(sum(item.runs[1::2]) for item in refs.sessions) == len(needed)


def test_whoever_reads_finds_every_node_through_the_index(vault: TestVault, source: Path) -> None:
    root = os.open(source, os.O_RDONLY)
    result = vault.backup(reading(root))
    os.close(root)
    readable = vault.readable()
    group_id = next(iter(readable.ring.groups))

    with opened_index(readable, TestEngine(), readable.index_keys(group_id), reads=True) as cache:
        view = cache.refresh()
        assert set(view.present) == {pack.pack_id for pack in result.written.packs}
        assert isinstance(cache.index, PythonIndex)
        assert not cache.index.without_positions()
        rows = b"".join(
            pack.index_table[start : start + 20]
            for pack in result.written.packs
            for start in range(0, len(pack.index_table), 36)
        )
        assert None not in cache.index.locate(rows)


def test_what_was_backed_up_is_read_back(vault: TestVault, source: Path, tmp_path: Path) -> None:
    """Through locator, pack, ranges and keys of two sessions, as a restore does."""
    root = os.open(source, os.O_RDONLY)
    vault.backup(reading(root))
    mutate_tree(source, 3)
    vault.backup(reading(root))
    readable = vault.readable()
    point = load_points(readable).points[-1]
    session = readable.verifier.session(point.body.session_id, point.body.writer_id).body
    keys = readable.read_keys(session.group_id, point.body.sessions)
    rules = RestoreRules(overwrite="always", delete=False, sparse=True, numeric_ids=True)
    (tmp_path / "target").mkdir()
    target = os.open(tmp_path / "target", os.O_RDONLY)
    notes = Notes()

    index_keys = readable.index_keys(session.group_id)
    with opened_index(readable, TestEngine(), index_keys, reads=True) as cache:
        cache.refresh()
        assert isinstance(cache.index, PythonIndex)
        random = vault.machine.random
        reader = PythonReader(keys, readable.parameters, cache.index, LIMITS, random)
        node = point.opened().root_node
        restored = pump(reader.restore(node, [], target, rules), readable.objects, notes)
        compared = pump(reader.compare(node, [], root, rules), readable.objects, notes)
        reader.close()
    os.close(root)
    os.close(target)

    assert restored.items > 250
    assert compared.differences == 0
    assert notes.findings == []
    assert (tmp_path / "target" / "large").read_bytes() == (source / "large").read_bytes()


def test_the_spool_of_a_local_repository_is_empty_afterwards(
    vault: TestVault, source: Path, tmp_path: Path
) -> None:
    root = os.open(source, os.O_RDONLY)
    vault.backup(reading(root))
    os.close(root)

    assert not list((tmp_path / "repository").rglob(".spool/*"))
    assert not list((tmp_path / "machine" / "cache").rglob("spool/*"))


def test_packs_say_to_which_session_they_belong(vault: TestVault, source: Path) -> None:
    root = os.open(source, os.O_RDONLY)
    result = vault.backup(reading(root))
    os.close(root)

    for pack in result.written.packs:
        data = vault.backend.get(names.pack_name(vault.vault_id, pack.pack_id))
        assert PackHeader.decode(data).session_id == result.session_id


class Interrupted(WrappedBackend):
    """Somebody presses Ctrl-C while the n-th pack is stored."""

    def __init__(self, inner: StorageBackend, nth: int) -> None:
        super().__init__(inner)
        self.left = nth

    def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
        if kind == "put" and "/packs/" in name:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return act()


@pytest.mark.parametrize("uploads", [0, 4])
def test_what_an_interrupted_backup_stored_is_not_stored_again(
    vault: TestVault, source: Path, tmp_path: Path, uploads: int
) -> None:
    root = os.open(source, os.O_RDONLY)
    with pytest.raises(KeyboardInterrupt):
        vault.on(Interrupted(vault.backend, 20)).backup(reading(root), uploads=uploads)
    stored = len(list(vault.backend.list(names.packs_prefix(vault.vault_id))))
    assert stored >= 15
    assert not load_points(vault.readable()).points

    result = vault.backup(reading(root), uploads=uploads)
    os.close(root)

    assert len(load_points(vault.readable()).points) == 1
    assert len(result.written.needed) >= 15
    assert not list((tmp_path / "machine" / "cache").rglob("spool/*/*"))


def test_a_power_cut_at_any_change_leaves_what_was_there_and_the_same_again_succeeds(
    vault: TestVault, source: Path
) -> None:
    root = os.open(source, os.O_RDONLY)
    expected = vault.backup(reading(root)).written.root
    (source / "new").write_bytes(bytes(range(256)) * 1000)
    for count in itertools.count(1):
        dying = DyingBackend(vault.backend, dies_before=count, kinds=WRITES)
        with suppress(PowerCut):
            vault.on(dying).backup(reading(root))
            break
        points = load_points(vault.readable())
        assert points.points[0].opened().root_node == expected
        assert not points.problems
    os.close(root)

    points = load_points(vault.readable())
    assert count > 6
    assert not points.series()[0].forks
    assert not points.series()[0].missing
