"""A repository in a folder, written by the plain engine: from the source to the restore point."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from doubles.trees import build_small_tree, mutate_tree
from doubles.vaults import TestEngine, TestVault, make_machine, make_vault, reading
from holdfast.core.python.index import PythonIndex
from holdfast.format import names
from holdfast.format.packs import PackHeader
from holdfast.storage.local import LocalBackend
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.index_cache import PackOwner, opened_index
from holdfast.vault.points import load_points, load_refs
from holdfast.vault.publishing import pack_positions


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
