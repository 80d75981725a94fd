"""What only the keys show: trees against refs, rows against packs."""

from dataclasses import replace
from pathlib import Path

import pytest

from doubles.rich_vaults import RichVault, make_rich_vault
from holdfast.base.ids import PointId
from holdfast.format import frames, names
from holdfast.format.index_body import IndexBody
from holdfast.format.point import Point, Refs, SessionRuns
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.blind import blind_verify
from holdfast.vault.check import NOT_READ, check
from holdfast.vault.inventory_reading import read_inventory
from holdfast.vault.relations import Relations
from holdfast.vault.report import ProblemKind, Report
from holdfast.vault.verify import verify


@pytest.fixture
def rich(tmp_path: Path) -> RichVault:
    return make_rich_vault(MemoryBackend(), tmp_path)


def retold(rich: RichVault, sessions: tuple[SessionRuns, ...]) -> tuple[str, PointId]:
    """Let the writer sign the newest point anew, with refs that name these packs."""
    backend, vault_id = rich.vault.backend, rich.vault.vault_id
    sign = rich.vault.writable().ring.sign
    old_name = names.point_name(vault_id, rich.points[-1])
    old = rich.objects().load(old_name, Point)
    refs = replace(newest_refs(rich), sessions=sessions)
    data = frames.build(frames.KIND_REFS, refs.to_body(), sign=sign, vault_id=vault_id)
    refs_hash = frames.object_hash(data)
    point = replace(
        old.body, refs_hash=refs_hash, sessions=tuple(item.session_id for item in sessions)
    )
    point_data = frames.build(
        frames.KIND_POINT,
        point.to_body(),
        attachment=old.stored.attachment,
        sign=sign,
        vault_id=vault_id,
    )
    point_id = PointId(frames.object_hash(point_data))
    backend.put(names.refs_name(vault_id, refs_hash), data)
    backend.put(names.point_name(vault_id, point_id), point_data)
    backend.delete(old_name)
    return names.refs_name(vault_id, refs_hash), point_id


def newest_refs(rich: RichVault) -> Refs:
    inventory = read_inventory(rich.objects())
    return inventory.refs[inventory.points[rich.points[-1]].refs_hash]


def of(report: Report, name: str) -> tuple[ProblemKind, tuple[PointId, ...]]:
    (problem,) = (item for item in report.problems if item.name == name)
    return problem.kind, problem.points


def test_check_says_that_contents_were_not_read(rich: RichVault) -> None:
    assert NOT_READ in check(rich.objects(), rich.ring).notes


def test_refs_that_lack_a_pack_of_the_tree_are_named(rich: RichVault) -> None:
    sessions = newest_refs(rich).sessions
    assert len(sessions) > 1
    name, point = retold(rich, sessions[1:])
    report = check(rich.objects(), rich.ring)

    assert of(report, name) == (ProblemKind.CONTRADICTION, (point,))


def test_refs_that_name_a_pack_too_many_are_named(rich: RichVault) -> None:
    """Refs are computed from what the point reaches, never taken over."""
    sessions = {item.session_id: item for item in newest_refs(rich).sessions}
    inventory = read_inventory(rich.objects())
    (other, *_) = sorted(inventory.packlists.keys() - sessions.keys())
    sessions[other] = SessionRuns(session_id=other, runs=(0, 1))
    name, point = retold(rich, tuple(sessions[key] for key in sorted(sessions)))
    report = check(rich.objects(), rich.ring)

    assert of(report, name) == (ProblemKind.CONTRADICTION, (point,))


def test_an_index_object_whose_rows_are_not_those_of_its_packs_is_named(rich: RichVault) -> None:
    """A writer signed it: without keys nothing shows, and verify compares with the directories."""
    backend, vault_id = rich.vault.backend, rich.vault.vault_id
    inventory = read_inventory(rich.objects())
    relations = Relations(inventory)
    index_id, body = next(
        (key, body)
        for key, body in inventory.indexes.items()
        if len(body.pack_ids) > 1 and all(map(relations.points_needing, body.pack_ids))
    )
    old_name = names.index_name(vault_id, body.group_id, index_id)
    attachment = rich.objects().load(old_name, IndexBody).stored.attachment
    packs = tuple(reversed(body.pack_ids))
    data = frames.build(
        frames.KIND_INDEX,
        replace(body, pack_ids=packs).to_body(),
        attachment=attachment,
        sign=rich.vault.writable().ring.sign,
        vault_id=vault_id,
    )
    index_hash = frames.object_hash(data)
    new_name = f"{names.indexes_prefix(vault_id, body.group_id)}{index_hash.hex()}"
    backend.put(new_name, data)
    backend.delete(old_name)

    assert blind_verify(rich.objects()).problems == ()
    report = verify(rich.objects(), rich.ring, random=rich.vault.machine.random)
    assert [problem.name for problem in report.problems] == [new_name]
    assert report.points
