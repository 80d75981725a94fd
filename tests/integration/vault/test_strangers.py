"""One strange or damaged object keeps nobody from what does not need it; the checks name it."""

from pathlib import Path

import pytest

from doubles.scenario import Desk, fill, noise
from doubles.storage import LyingBackend
from holdfast.format import frames, names
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
