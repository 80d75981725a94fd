"""gc where objects are missing that say what is needed: nothing is deleted, the way out is said."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from doubles.rich_vaults import RichVault, back_up, forget, make_rich_vault, write_source
from doubles.storage import WrappedBackend
from holdfast.base.clock import Clock
from holdfast.base.ids import PointId
from holdfast.format import names
from holdfast.storage.interface import Capabilities, ObjectInfo, StorageBackend
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.check_errors import UpkeepRefusedError
from holdfast.vault.gc import Patience, apply_gc, plan_gc
from holdfast.vault.inventory import Inventory, read_inventory
from holdfast.vault.local import KnownVault

EVERYBODY_IS_DEAD = Patience(is_dead=lambda _session: True)


@pytest.fixture
def rich(tmp_path: Path) -> RichVault:
    """A vault in which a gc has nothing to do."""
    rich = make_rich_vault(MemoryBackend(), tmp_path)
    run_gc(rich)
    return rich


def run_gc(rich: RichVault, known: KnownVault | None = None) -> None:
    machine = rich.vault.machine
    apply_gc(
        rich.objects(),
        rich.ring,
        clock=machine.clock,
        random=machine.random,
        patience=EVERYBODY_IS_DEAD,
        known=known,
    )


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
        run_gc(rich, known)

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


def test_a_point_whose_session_was_collected_before_it_came_does_not_count(
    rich: RichVault, tmp_path: Path
) -> None:
    """Its writer slept before it put the point, and died right after it: it was never told of."""
    before = stored(rich)
    write_source(tmp_path / "late", 9)
    point = back_up(rich.vault, tmp_path / "late", "late")
    for name in stored(rich).keys() - before.keys():
        if "/points/" not in name:
            rich.vault.backend.delete(name)

    run_gc(rich)

    assert set(stored(rich)) == {*before, names.point_name(rich.vault.vault_id, PointId(point))}


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
