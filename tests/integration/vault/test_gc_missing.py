"""gc where objects are missing that say what is needed: nothing is deleted, the way out is said."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from doubles.rich_vaults import (
    EVERYBODY_IS_DEAD,
    RichVault,
    back_up,
    forget,
    make_rich_vault,
    run_gc,
    write_source,
)
from doubles.storage import DyingBackend, Kind, PowerCut, T, WrappedBackend
from doubles.vaults import TestVault, make_machine
from holdfast.base.clock import Clock
from holdfast.base.ids import GroupId, PointId, SessionId
from holdfast.format import frames, names
from holdfast.format.index_body import Drop
from holdfast.format.point import Point
from holdfast.format.session import Lease
from holdfast.storage.errors import ObjectMissingError
from holdfast.storage.interface import Capabilities, ObjectInfo, StorageBackend
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.blind import blind_verify
from holdfast.vault.check import check
from holdfast.vault.check_errors import UpkeepRefusedError
from holdfast.vault.forget import apply_forget, plan_forget
from holdfast.vault.gc import plan_gc
from holdfast.vault.gc_plan import StandIn
from holdfast.vault.inventory import Inventory
from holdfast.vault.inventory_reading import read_inventory
from holdfast.vault.local import KnownVault
from holdfast.vault.merge import IndexMerger
from holdfast.vault.relations import Relations
from holdfast.vault.seen_points import see_points
from holdfast.vault.trust import Authority


@pytest.fixture
def rich(tmp_path: Path) -> RichVault:
    """A vault in which a gc has nothing to do."""
    rich = make_rich_vault(MemoryBackend(), tmp_path)
    run_gc(rich)
    return rich


def stored(rich: RichVault) -> dict[str, bytes]:
    backend = rich.vault.backend
    return {item.name: backend.get(item.name) for item in backend.list("")}


def take(rich: RichVault, *beginnings: str) -> dict[str, bytes]:
    """Take away what begins so; return it."""
    taken = {name: data for name, data in stored(rich).items() if name.startswith(beginnings)}
    assert taken
    for name in taken:
        rich.vault.backend.delete(name)
    return taken


def is_refused(rich: RichVault, name: str, known: KnownVault | None = None) -> str:
    """Neither a plan nor a run comes about; nothing is deleted. Return the hint."""
    before = stored(rich)
    with pytest.raises(UpkeepRefusedError, match=name) as planned:
        plan_gc(rich.objects(), patience=EVERYBODY_IS_DEAD, known=known)
    with pytest.raises(UpkeepRefusedError, match=name) as refused:
        run_gc(rich, known=known)

    assert stored(rich) == before
    assert str(planned.value) == str(refused.value)
    return refused.value.hint or ""


def _refs(rich: RichVault, inventory: Inventory) -> str:
    return names.refs_name(inventory.vault_id, inventory.points[rich.points[-1]].refs_hash)


def _folder_of_refs(_: RichVault, inventory: Inventory) -> str:
    return names.refs_prefix(inventory.vault_id)


def _point_that_a_lease_names(rich: RichVault, inventory: Inventory) -> str:
    return names.point_name(inventory.vault_id, rich.points[-1])


def _folder_of_points(_: RichVault, inventory: Inventory) -> str:
    return names.points_prefix(inventory.vault_id)


def _session(rich: RichVault, inventory: Inventory) -> str:
    session_id = inventory.points[rich.points[-1]].session_id
    return names.sessions_prefix(inventory.vault_id, session_id)


def _session_that_others_draw_on(rich: RichVault, inventory: Inventory) -> str:
    # The last point of the other series draws on the session of the first one.
    session_id = inventory.points[rich.points[1]].session_id
    return names.sessions_prefix(inventory.vault_id, session_id)


def _packlists(rich: RichVault, inventory: Inventory) -> str:
    session_id = inventory.points[rich.points[-1]].session_id
    return names.packlists_prefix(inventory.vault_id, session_id)


def _indexes(_: RichVault, inventory: Inventory) -> str:
    return names.indexes_prefix(inventory.vault_id, _group(inventory))


def _group(inventory: Inventory) -> GroupId:
    (group_id,) = {body.group_id for body in inventory.indexes.values()}
    return group_id


@pytest.mark.parametrize(
    "what",
    [
        _refs,
        _folder_of_refs,
        _point_that_a_lease_names,
        _folder_of_points,
        _session,
        _session_that_others_draw_on,
        _packlists,
        _indexes,
    ],
)
def test_what_says_what_is_needed_is_missed_and_gc_goes_on_when_it_is_back(
    rich: RichVault, what: Callable[[RichVault, Inventory], str]
) -> None:
    before = stored(rich)
    name = what(rich, read_inventory(rich.objects()))
    taken = take(rich, name)

    hint = is_refused(rich, name)

    assert "Put what is missing back" in hint
    assert "holdfast forget" in hint
    for one, data in taken.items():
        rich.vault.backend.put(one, data)
    run_gc(rich)
    assert stored(rich) == before


@pytest.mark.parametrize("what", [_refs, _session, _session_that_others_draw_on, _packlists])
def test_gc_goes_on_when_the_loss_of_the_points_is_accepted(
    rich: RichVault, what: Callable[[RichVault, Inventory], str]
) -> None:
    name = what(rich, read_inventory(rich.objects()))
    take(rich, name)
    hint = is_refused(rich, name)
    lost = [point for point in rich.points if point.hex()[:8] in hint]
    forget(rich.vault, *lost)

    run_gc(rich)

    inventory = read_inventory(rich.objects())
    assert set(inventory.points) == set(rich.points) - set(lost)
    assert inventory.findings == []
    assert plan_gc(rich.objects(), patience=EVERYBODY_IS_DEAD).is_empty


def test_a_point_that_another_one_follows_is_missed(rich: RichVault) -> None:
    """Its leases are gone as well, so nothing else names it."""
    inventory = read_inventory(rich.objects())
    (before,) = (
        one
        for point in inventory.points.values()
        if (one := point.predecessor) in inventory.points and one == rich.points[1]
    )
    assert before is not None
    name = names.point_name(inventory.vault_id, before)
    session_id = inventory.points[before].session_id
    take(rich, name, names.leases_prefix(inventory.vault_id, session_id))

    is_refused(rich, name)


def test_points_that_only_this_machine_remembers_are_missed(rich: RichVault) -> None:
    """Whatever could name them is gone with them, and so is every other point."""
    known = rich.vault.machine.known.find(rich.vault.vault_id)
    assert known is not None
    vault_id = rich.vault.vault_id
    take(rich, names.points_prefix(vault_id), names.leases_prefix(vault_id))

    hint = is_refused(rich, names.points_prefix(vault_id), known)

    assert any(head.point.hex()[:8] in hint for head in known.heads.values())


def late_point(rich: RichVault, folder: Path, *left: str) -> Point:
    """Make a point, take away what its session put but the point and what *left* names."""
    before = stored(rich)
    write_source(folder / "late", 9)
    point = back_up(rich.vault, folder / "late", "late")
    body = read_inventory(rich.objects()).points[point]
    for name in stored(rich).keys() - before.keys():
        if not any(part in name for part in ("/points/", *left)):
            rich.vault.backend.delete(name)
    return body


def put_lease(
    rich: RichVault, vault: TestVault, session_id: SessionId, given_up: PointId | None = None
) -> str:
    """Let the writer of *vault* say that a session is over, or that it has given a point up."""
    writable = vault.writable()
    body = Lease(
        session_id=session_id,
        number=77,
        ended=given_up is None,
        point=given_up,
        writer_id=writable.writer_id,
    )
    vault_id = rich.vault.vault_id
    data = frames.build_hash_ended(
        frames.KIND_LEASE, body.to_body(), sign=writable.ring.sign, vault_id=vault_id
    )
    name = names.lease_name(vault_id, session_id, 77)
    rich.vault.backend.put(name, data)
    return name


@pytest.mark.parametrize("left", ["nothing", "/sessions/", "/sessions/ and a lease"])
def test_a_point_without_refs_is_missed_whatever_has_gone_with_them(
    rich: RichVault, tmp_path: Path, left: str
) -> None:
    """Storage alone can take away refs and leases; nobody may lose a point by it without a word."""
    body = late_point(rich, tmp_path, *left.split(" and ")[:1])
    if "lease" in left:
        name = names.lease_name(rich.vault.vault_id, body.session_id, 0)
        lease = Lease(
            session_id=body.session_id, number=0, ended=False, point=None, writer_id=body.writer_id
        )
        data = frames.build_hash_ended(
            frames.KIND_LEASE,
            lease.to_body(),
            sign=rich.vault.writable().ring.sign,
            vault_id=rich.vault.vault_id,
        )
        rich.vault.backend.put(name, data)
    refs = names.refs_name(rich.vault.vault_id, body.refs_hash)

    is_refused(rich, refs)

    assert refs in {problem.name for problem in check(rich.objects(), rich.ring).problems}
    assert refs in {problem.name for problem in blind_verify(rich.objects()).problems}
    (bereft,) = see_points(rich.vault.readable()).bereft
    forget(rich.vault, bereft.id)
    run_gc(rich)
    assert check(rich.objects(), rich.ring).problems == ()


@pytest.mark.parametrize("still_at_work", [False, True])
def test_a_point_that_its_own_writer_gave_up_is_not_missed(
    rich: RichVault, tmp_path: Path, *, still_at_work: bool
) -> None:
    """It slept while its session was collected with all that it had left, and said so."""
    body = late_point(rich, tmp_path)
    (point,) = read_inventory(rich.objects()).points.keys() - set(rich.points)
    name = put_lease(rich, rich.vault, body.session_id, point if still_at_work else None)
    before = stored(rich)

    run_gc(rich)

    assert stored(rich) == before
    assert name in before
    assert check(rich.objects(), rich.ring).problems == ()
    listed = see_points(rich.vault.readable())
    assert listed.bereft == ()
    # Nobody need wonder whether it is the latest, and who wants it gone can say so.
    assert listed.select("latest", source="home").id in rich.points
    assert listed.find_bereft(point.hex()) is not None


def test_a_forget_of_a_point_without_refs_that_was_cut_off_is_finished_by_gc(
    rich: RichVault,
) -> None:
    """Nobody could name that point any more."""
    inventory = read_inventory(rich.objects())
    last = rich.points[-1]
    take(rich, names.refs_name(inventory.vault_id, inventory.points[last].refs_hash))
    readable = rich.vault.readable()
    plan = plan_forget(see_points(readable), [last])
    dying = DyingBackend(rich.vault.backend, dies_before=1, kinds={"delete"})
    with pytest.raises(PowerCut):
        apply_forget(rich.vault.on(dying).readable(), plan)

    assert check(rich.objects(), rich.ring).problems == ()
    run_gc(rich)

    assert last not in read_inventory(rich.objects()).points
    assert check(rich.objects(), rich.ring).problems == ()


@pytest.mark.parametrize("left", ["nothing", "/sessions/"])
def test_what_another_writer_says_of_a_session_does_not_count(
    rich: RichVault, tmp_path: Path, left: str
) -> None:
    other = rich.vault.add_writer(make_machine(tmp_path / "other"))
    body = late_point(rich, tmp_path, left)
    put_lease(rich, other, body.session_id)
    refs = names.refs_name(rich.vault.vault_id, body.refs_hash)

    is_refused(rich, refs)

    assert refs in {problem.name for problem in check(rich.objects(), rich.ring).problems}
    assert len(see_points(rich.vault.readable()).bereft) == 1


def test_a_running_session_is_not_over_because_another_writer_says_so(
    rich: RichVault, tmp_path: Path
) -> None:
    other = rich.vault.add_writer(make_machine(tmp_path / "other"))
    session_id = next(iter(read_inventory(rich.objects()).sessions))
    name = put_lease(rich, other, session_id)

    inventory = read_inventory(rich.objects())

    assert 77 not in inventory.leases[session_id]
    assert any(name in note for note in inventory.notes)


def test_needed_packs_that_the_index_drops_are_not_given_up(rich: RichVault) -> None:
    """Whoever had a password that was removed can sign such an object; without it all is well."""
    before = stored(rich)
    inventory = read_inventory(rich.objects())
    owners = Relations(inventory).owner
    drops = tuple(sorted(Drop(pack, owners[pack]) for pack in inventory.packs))
    merger = IndexMerger(
        rich.objects(),
        rich.ring,
        Authority(rich.ring.authority_seed()),
        rich.vault.machine.random,
        None,
    )
    merger.put(_group(inventory), StandIn((), frozenset(), drops), {}, {})
    (bogus,) = stored(rich).keys() - before.keys()

    is_refused(rich, names.pack_name(inventory.vault_id, drops[0].pack_id))

    rich.vault.backend.delete(bogus)
    run_gc(rich)
    assert stored(rich) == before


class _Forgetting(WrappedBackend):
    """Somebody forgets a point right after its name was listed."""

    def __init__(self, rich: RichVault, point: PointId) -> None:
        super().__init__(rich.vault.backend)
        self._rich, self._point = rich, point
        self._name = names.point_name(rich.vault.vault_id, point)
        self._is_done = False

    def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
        if kind == "get" and name == self._name and not self._is_done:
            self._is_done = True
            forget(self._rich.vault, self._point)
        return act()


def test_a_forget_beside_a_check_is_no_damage(rich: RichVault) -> None:
    """Not even of a point that others follow, and that this machine remembers."""
    known = rich.vault.machine.known.find(rich.vault.vault_id)
    for point in (rich.points[-1], rich.points[-2]):
        beside = rich.objects(_Forgetting(rich, point))

        assert check(beside, rich.ring, known=known).problems == ()
        assert point not in read_inventory(rich.objects()).points


class _Withholding(WrappedBackend):
    """Lists an object and does not hand it out."""

    def __init__(self, inner: StorageBackend, name: str) -> None:
        super().__init__(inner)
        self._name = name

    def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
        if name == self._name and kind in {"get", "size"}:
            raise ObjectMissingError(f"The object {name} is not there.")
        return act()

    def exists(self, name: str) -> bool:
        return name != self._name and super().exists(name)


@pytest.mark.parametrize("what", [_refs, _point_that_a_lease_names])
def test_what_is_listed_and_cannot_be_read_is_missed(
    rich: RichVault, what: Callable[[RichVault, Inventory], str]
) -> None:
    name = what(rich, read_inventory(rich.objects()))
    failing = _Withholding(rich.vault.backend, name)

    with pytest.raises(UpkeepRefusedError, match=name):
        plan_gc(rich.objects(failing), patience=EVERYBODY_IS_DEAD)

    assert name in {problem.name for problem in blind_verify(rich.objects(failing)).problems}


class _LateSessions(WrappedBackend):
    """Its listings show no session object before the clock has reached *until*."""

    until = 0.0

    def __init__(self, inner: StorageBackend, clock: Clock) -> None:
        super().__init__(inner)
        self._clock = clock

    @property
    def capabilities(self) -> Capabilities:
        return replace(super().capabilities, consistent_list=False, listing_delay_seconds=5.0)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        is_late = self._clock.monotonic_seconds() < self.until
        listed = super().list(prefix)
        return (item for item in listed if not (is_late and "/sessions/" in item.name))


def test_what_a_listing_does_not_show_yet_is_looked_for_again(rich: RichVault) -> None:
    clock = rich.vault.machine.clock
    behind = _LateSessions(rich.vault.backend, clock)
    behind.until = clock.monotonic_seconds() + 10.0

    assert plan_gc(rich.objects(behind), patience=EVERYBODY_IS_DEAD).is_empty

    behind.until = clock.monotonic_seconds() + 11.0
    with pytest.raises(UpkeepRefusedError, match="/sessions/"):
        plan_gc(rich.objects(behind), patience=EVERYBODY_IS_DEAD)
