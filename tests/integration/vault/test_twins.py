"""A second signed object for one session: readers try each, the checks name it, gc does not run.

A stolen write-only key can sign one for the session of another writer, or for one of its own. Only
what was sealed tells which of them is true (vault-format.md 5.6).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from doubles.scenario import Desk, Listing, fill, listing, noise, objects_of
from holdfast.base.ids import PointId, SessionId
from holdfast.base.progress import Silence
from holdfast.format import frames, names
from holdfast.format.session import Session
from holdfast.keys.keyring import ReadRing, SessionKeys
from holdfast.operations.context import Context
from holdfast.operations.point_reader import open_point
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.blind import blind_verify
from holdfast.vault.check import check
from holdfast.vault.check_errors import UpkeepRefusedError
from holdfast.vault.gc import plan_gc
from holdfast.vault.gc_looks import GcLooks
from holdfast.vault.inventory_reading import read_inventory
from holdfast.vault.local import WriterKey
from holdfast.vault.objects import Loaded, ObjectStore
from holdfast.vault.point_loading import load_points
from holdfast.vault.report import ProblemKind, Report

Thief = Callable[["House"], WriterKey]


@dataclass
class House:
    """A machine with two restore points, of which the second draws on both sessions."""

    desk: Desk
    source: Path
    contents: dict[PointId, Listing]
    folder: Path

    def sessions(self) -> dict[SessionId, Loaded[Session]]:
        """Return the session objects, before there are others."""
        objects = self.objects()
        loaded = [objects.load(item.name, Session) for item in objects.list(frames.KIND_SESSION)]
        return {item.body.session_id: item for item in loaded}

    def objects(self) -> ObjectStore:
        vault_id = self.desk.closed().vault_id
        return ObjectStore(self.desk.backend, vault_id, clock=self.desk.clock)

    def reports(self) -> dict[str, Report]:
        ring = self.desk.readable().ring
        return {
            "check": check(self.objects(), ring),
            "verify": self.desk.verify(),
            "blind": blind_verify(self.objects()),
        }

    def new_machine(self, name: str) -> Desk:
        """Return a machine that has seen nothing yet: no index and no object is kept on it."""
        return Desk(self.desk.backend, self.folder / name, seed=name, host=name)


@pytest.fixture
def house(tmp_path: Path) -> House:
    desk = Desk(MemoryBackend(), tmp_path / "laptop")
    desk.init()
    source, contents = tmp_path / "home", {}
    fill(source, {"kept": noise("kept", 70_000), **{f"{n}": noise(f"{n}", 90) for n in range(20)}})
    contents[desk.backup(source).point_id] = listing(source)
    fill(source, {"new": noise("new", 30_000)})
    contents[desk.backup(source).point_id] = listing(source)
    return House(desk, source, contents, tmp_path)


def of_another_writer(house: House) -> WriterKey:
    other = Desk(house.desk.backend, house.folder / "server", host="server")
    other.add_writer()
    return other.writer_key()


def of_the_same_writer(house: House) -> WriterKey:
    return house.desk.writer_key()


def of_a_later_epoch(house: House) -> WriterKey:
    house.desk.add_password("soon gone")
    house.desk.remove_password("soon gone")
    return house.desk.writer_key()


def put_twin(
    house: House,
    true: Loaded[Session],
    key: WriterKey,
    *,
    before: bool,
    claims: dict[str, bytes] | None = None,
) -> str:
    """Put a second object for a session, whose name sorts before or after that of the true one."""
    vault, random = house.desk.closed().with_writer(key), house.desk.random
    ring = vault.ring
    while True:
        made = ring.new_session_key(true.body.session_id, random)
        fields: dict[str, Any] = {
            "commitment": made.commitment,
            "sealed_session_key": made.sealed,
            "certificate_hash": ring.certificate.hash,
            "time": true.body.time + random.take(1)[0],
            **(claims or {}),
        }
        body = replace(
            true.body,
            writer_id=ring.writer_id,
            statement_number=ring.statement.number,
            statement_hash=ring.statement.hash,
            epoch=ring.epoch,
            **fields,
        )
        data = frames.build(
            frames.KIND_SESSION, body.to_body(), sign=ring.sign, vault_id=vault.vault_id
        )
        found = frames.object_hash(data)
        if (found < true.hash) is before:
            name = names.session_name(vault.vault_id, true.body.session_id, found)
            vault.objects.put(name, data)
            return name


@pytest.fixture(params=[of_another_writer, of_the_same_writer, of_a_later_epoch])
def thief(request: pytest.FixtureRequest) -> Thief:
    return cast(Thief, request.param)


@pytest.fixture(params=[True, False], ids=["before", "after"])
def twins(request: pytest.FixtureRequest, house: House, thief: Thief) -> set[str]:
    """Put a twin of every session; return the names of all objects that stand for one with it."""
    key = thief(house)
    sessions = house.sessions().values()
    found = {put_twin(house, session, key, before=request.param) for session in sessions}
    return found | {session.name for session in sessions}


@pytest.mark.usefixtures("twins")
def test_points_are_listed_opened_and_restored(house: House, tmp_path: Path) -> None:
    for machine in (house.desk, house.new_machine("elsewhere")):
        listed = load_points(machine.readable())

        assert not listed.problems
        assert {point.id for point in listed.points} == house.contents.keys()
        assert [point.unreadable for point in listed.points] == [None, None]
        for point, content in house.contents.items():
            assert machine.restore(point, tmp_path / "target") == content


@pytest.mark.usefixtures("twins")
def test_points_are_read_as_the_commands_do(house: House) -> None:
    machine = house.new_machine("elsewhere")
    vault, warned = machine.readable(), list[str]()
    context = Context(
        machine.clock, machine.random, machine.folders, "here", cast(Any, None), warned.append
    )
    for point in load_points(vault).points:
        with open_point(vault, point, context, Silence()) as reader:
            page = reader.pumped(reader.engine.walk(reader.root, None, 1000))
        # The root stands in its tree, too.
        assert len(page) == len(house.contents[point.id]) + 1
    assert not warned


def test_checks_name_the_twins_and_touch_no_point(house: House, twins: set[str]) -> None:
    for report in house.reports().values():
        problems = {item.name: (item.kind, item.points) for item in report.problems}
        assert problems == dict.fromkeys(twins, (ProblemKind.CONTRADICTION, ()))
        assert all("stand for one session" in item.detail for item in report.problems)


@pytest.mark.usefixtures("twins")
def test_the_next_backup_works_and_draws_on_what_is_there(house: House, tmp_path: Path) -> None:
    fill(house.source, {"third": noise("third", 500)})
    made = house.desk.backup(house.source)

    found = house.new_machine("elsewhere").restore(made.point_id, tmp_path / "target")
    assert found == listing(house.source)
    (point,) = (item for item in house.desk.points() if item.id == made.point_id)
    assert len(point.body.sessions) > 1
    for report in house.reports().values():
        assert not any(item.points for item in report.problems)


def test_gc_refuses_and_deletes_nothing(house: House, twins: set[str]) -> None:
    house.desk.forget(next(iter(house.contents)))
    stored = objects_of(house.desk.backend)

    for work in (lambda: plan_gc(house.objects()), house.desk.collect):
        with pytest.raises(UpkeepRefusedError, match="stand for one session") as error:
            work()
        assert any(name in error.value.message for name in twins)
    assert objects_of(house.desk.backend) == stored


@pytest.mark.parametrize("before", [True, False])
def test_a_twin_that_claims_the_same_and_does_not_open_hides_nothing(
    house: House, tmp_path: Path, *, before: bool
) -> None:
    """Commitment and sealed key stand in clear in every pack: anybody can copy either."""
    key = of_another_writer(house)
    for session in house.sessions().values():
        commitment, sealed = session.body.commitment, session.body.sealed_session_key
        assert commitment is not None
        assert sealed is not None
        put_twin(house, session, key, before=before, claims={"commitment": commitment})
        put_twin(house, session, key, before=before, claims={"sealed_session_key": sealed})
        both = {"commitment": commitment, "sealed_session_key": sealed}
        put_twin(house, session, key, before=before, claims=both)

    machine = house.new_machine("elsewhere")
    for point, content in house.contents.items():
        assert machine.restore(point, tmp_path / "target") == content
    for report in house.reports().values():
        assert report.problems
        assert not any(item.points for item in report.problems)


def test_one_that_nobody_can_have_signed_stands_before_none_that_somebody_did(
    house: House, tmp_path: Path
) -> None:
    """Whoever writes the storage needs no key to name a certificate that there is not."""
    key = of_the_same_writer(house)
    nowhere = {"certificate_hash": bytes(32)}
    fakes = {
        put_twin(house, session, key, before=True, claims=nowhere)
        for session in house.sessions().values()
    }

    machine = house.new_machine("elsewhere")
    for point, content in house.contents.items():
        assert machine.restore(point, tmp_path / "target") == content
    for report in house.reports().values():
        problems = {item.name: (item.kind, item.points) for item in report.problems}
        assert problems == dict.fromkeys(fakes, (ProblemKind.CONTRADICTION, ()))
    with pytest.raises(UpkeepRefusedError):
        machine.collect()


def test_many_twins_are_opened_once_each(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer that is hostile makes readers work for what it stored, and no more."""
    opened = list[bytes | None]()
    open_one = ReadRing.session_keys

    def counted(ring: ReadRing, session: Session) -> SessionKeys:
        opened.append(session.sealed_session_key)
        return open_one(ring, session)

    key = of_another_writer(house)
    (session, *_) = house.sessions().values()
    for _ in range(20):
        put_twin(house, session, key, before=True)
    (point, *_) = house.contents
    machine = house.new_machine("elsewhere")
    monkeypatch.setattr(ReadRing, "session_keys", counted)

    assert machine.restore(point, tmp_path / "target") == house.contents[point]
    # For the index, for the packs; and the true ones for their points, which name their writer.
    assert len([item for item in opened if item != session.body.sealed_session_key]) <= 2 * 20 + 4


def test_gc_refuses_a_twin_that_comes_while_it_looks(house: House) -> None:
    inventory = read_inventory(house.objects())
    looks = GcLooks(house.objects(), inventory, wait=lambda: None)
    (session, *_) = house.sessions().values()
    put_twin(house, session, of_another_writer(house), before=True)

    with pytest.raises(UpkeepRefusedError, match="stand for one session"):
        looks.sessions()
