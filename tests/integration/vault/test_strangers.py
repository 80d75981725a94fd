"""One strange or damaged object keeps nobody from what does not need it; the checks name it."""

from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from doubles.scenario import Desk, fill, noise
from doubles.storage import LyingBackend
from holdfast.base.ids import ObjectHash, PackId, PointId
from holdfast.format import frames, names
from holdfast.storage.local import LocalBackend
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.errors import KeysInDoubtError
from holdfast.vault.sessions import FINDING_NOT_BELIEVED


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A machine with one restore point, and two ways in."""
    desk = Desk(LyingBackend(MemoryBackend()), tmp_path / "machine")
    desk.init()
    fill(tmp_path / "home", {"a": noise("a", 3000)})
    desk.backup(tmp_path / "home")
    desk.add_password("battery staple")
    return desk


def elsewhere(desk: Desk, tmp_path: Path) -> Desk:
    """Return a machine that has never seen the vault."""
    return Desk(desk.backend, tmp_path / "elsewhere", seed="elsewhere")


def lies(desk: Desk) -> LyingBackend:
    assert isinstance(desk.backend, LyingBackend)
    return desk.backend


def test_rubbish_among_the_key_statements_stops_nothing_and_is_named(
    desk: Desk, tmp_path: Path
) -> None:
    vault_id = desk.closed().vault_id
    garbage = b"garbage" * 100
    strange = names.statement_name(vault_id, 9, frames.object_hash(garbage))
    damaged = names.statement_name(vault_id, 0, b"\xff" * 32)
    desk.backend.put(strange, garbage)
    desk.backend.put(damaged, garbage)

    made = desk.backup(tmp_path / "home")
    other = elsewhere(desk, tmp_path)
    found = other.restore(made.point_id, tmp_path / "target")
    collected = desk.collect()

    assert list(found) == ["a"]
    assert collected.tombstones == 0
    assert {item.path.decode() for item in desk.notes.findings} == {strange, damaged}
    assert {item.code for item in desk.notes.findings} == {FINDING_NOT_BELIEVED}
    for report in (other.verify(), other.verify_blind()):
        assert [problem.name for problem in report.problems] == sorted((strange, damaged))


def test_a_damaged_newest_statement_is_refused_by_who_has_seen_it_and_who_has_not(
    desk: Desk, tmp_path: Path
) -> None:
    name = desk.closed().chain.current.name
    lies(desk).flip(name, 300)

    for machine in (desk, elsewhere(desk, tmp_path)):
        with pytest.raises(KeysInDoubtError, match=name) as error:
            machine.readable()
        assert error.value.exit_code == 20
        assert error.value.hint
        assert name in [problem.name for problem in machine.verify().problems]


def test_a_damaged_way_in_leaves_the_others(desk: Desk, tmp_path: Path) -> None:
    slot = desk.readable().ring.slot_hash
    lies(desk).flip(names.slot_name(desk.closed().vault_id, slot), 100)

    other = elsewhere(desk, tmp_path)
    other.password = "battery staple"

    assert other.readable().ring.slot_hash != slot


def test_a_damaged_certificate_of_another_writer_stops_no_backup(
    desk: Desk, tmp_path: Path
) -> None:
    vault_id = desk.closed().vault_id
    desk.backend.put(names.writer_name(vault_id, b"\x01" * 32), b"rotten")

    made = desk.backup(tmp_path / "home")

    assert made.point_id in {point.id for point in desk.points()}


def test_a_marker_that_is_no_file_stops_nothing_and_is_named(tmp_path: Path) -> None:
    """It is a hint."""
    desk = on_disk(tmp_path)
    marker = tmp_path / "repository" / names.MARKER_NAME
    marker.unlink()
    marker.mkdir()

    assert desk.readable().vault_id == desk.closed().vault_id
    assert names.MARKER_NAME in [problem.name for problem in desk.verify_blind().problems]


def on_disk(tmp_path: Path) -> Desk:
    """Return a machine whose repository is a folder, with one restore point in it."""
    folder = tmp_path / "repository"
    folder.mkdir()
    backend = LocalBackend(folder, clock=ManualClock(), random=CountedRandom("disk"))
    desk = Desk(backend, tmp_path / "machine")
    desk.init()
    fill(tmp_path / "home", {"a": noise("a", 3000)})
    desk.backup(tmp_path / "home")
    return desk


def test_a_huge_file_among_the_objects_fills_no_memory_and_is_named(tmp_path: Path) -> None:
    """A file that is all hole costs who plants it nothing, and has 64 GiB."""
    desk = on_disk(tmp_path)
    vault_id = desk.closed().vault_id
    strange = ObjectHash(b"\xff" * 32)
    session = next(iter(desk.closed().stored_sessions()))
    huge = [
        names.statement_name(vault_id, 0, strange),
        names.writer_name(vault_id, strange),
        names.session_name(vault_id, session, strange),
        names.packlist_name(vault_id, session, strange),
        names.refs_name(vault_id, strange),
        names.point_name(vault_id, PointId(strange)),
        names.forget_name(vault_id, strange),
        names.pack_name(vault_id, PackId(strange)),
    ]
    for name in huge:
        path = tmp_path / "repository" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(64 << 30)

    other = elsewhere(desk, tmp_path)
    (point,) = other.points()

    assert list(other.restore(point.id, tmp_path / "target")) == ["a"]
    for report in (other.verify(), other.verify_blind()):
        assert [problem.name for problem in report.problems] == sorted(huge)
    marker = tmp_path / "repository" / names.MARKER_NAME
    with marker.open("wb") as file:
        file.truncate(64 << 30)
    assert other.closed().vault_id == vault_id
