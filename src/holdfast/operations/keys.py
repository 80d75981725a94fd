"""Ways in: list, add, change, remove, verify. Removing is a rotation, planned and shown first."""

from contextlib import suppress
from dataclasses import dataclass

from holdfast.base.errors import IntegrityError, KeysError
from holdfast.base.ids import ObjectHash
from holdfast.keys.changes import Change, add_slot, change_password, remove_slot
from holdfast.keys.errors import KeyRequestError, LastWayInError
from holdfast.keys.opening import open_ring
from holdfast.keys.slots import check_hint
from holdfast.keys.unlockers import SLOT_WORDS, Unlocker
from holdfast.keys.ways import WayInListing, list_ways_in
from holdfast.operations.context import Context
from holdfast.operations.errors import KeyChangeLostError, NoSuchSlotError
from holdfast.operations.init import new_way_in
from holdfast.operations.opening import opened, unlocked
from holdfast.operations.writers import WriterListing, list_writers
from holdfast.vault.errors import StalePlanError
from holdfast.vault.states import ClosedVault

_SHORT = 8


@dataclass(frozen=True, slots=True)
class KeyList:
    """Who can open the vault now."""

    vault_id: bytes
    suite: str
    epoch: int
    statement: int
    ways_in: tuple[WayInListing, ...]


@dataclass(frozen=True, slots=True)
class KeyChanged:
    """What a change of keys left."""

    added: str | None
    removed: str | None
    epoch: int
    ways_in: tuple[WayInListing, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RemovalPlan:
    """What removing a way in would do.

    Attributes:
        removed: who loses access to what is stored from then on.
        staying: who keeps it, without having to do anything.
        writers: machines that go on writing, with new certificates.
        epoch: the one that would begin.
        points: restore points that the removed one can open for ever, if it has kept a copy.
        statement: the plan holds for this one only.
    """

    removed: WayInListing
    staying: tuple[WayInListing, ...]
    writers: tuple[WriterListing, ...]
    epoch: int
    points: int
    statement: ObjectHash


@dataclass(frozen=True, slots=True)
class Opens:
    """Which way in was opened."""

    slot: str
    kind: str
    epoch: int


def list_keys(address: str, context: Context) -> KeyList:
    """Return the ways in; needs no password."""
    with opened(address, context) as closed:
        return KeyList(
            vault_id=closed.vault_id,
            suite=closed.chain.suite.name,
            epoch=closed.chain.epoch,
            statement=closed.chain.current.body.number,
            ways_in=list_ways_in(closed.chain, closed.slots()),
        )


def add(address: str, hint: str, context: Context, *, dry_run: bool = False) -> KeyChanged:
    """Add a way in with the new secret that the context gives.

    With *dry_run* everything is checked and nothing is stored.

    Raises:
        KeysError: the present secret opens nothing. Nothing was changed.
        KeyRequestError: the new one opens the vault already. Nothing was changed.
        KeyChangeLostError: another change won; this one has to be made again.
    """
    check_hint(hint)
    with opened(address, context) as closed:
        vault = unlocked(closed, context)
        way = new_way_in(_new_unlocker(closed, context), hint, context)
        change = add_slot(closed.chain, vault.ring, way, clock=context.clock, random=context.random)
        return _applied(closed, change, context, removed=None, dry_run=dry_run)


def change(
    address: str, hint: str | None, context: Context, *, rotate: bool, dry_run: bool = False
) -> KeyChanged:
    """Replace the way in that the present secret opens by a new one.

    With *dry_run* everything is checked and nothing is stored.

    Raises:
        KeysError: the present secret opens nothing. Nothing was changed.
        KeyRequestError: the new one opens the vault already. Nothing was changed.
        KeyChangeLostError: another change won; this one has to be made again.
    """
    check_hint(hint or "")
    with opened(address, context) as closed:
        vault = unlocked(closed, context)
        old = vault.ring.slot_hash
        kept = next(
            (
                way.plain_hint
                for way in list_ways_in(closed.chain, closed.slots())
                if way.slot_hash == old
            ),
            "",
        )
        unlocker = _new_unlocker(closed, context)
        way = new_way_in(unlocker, kept if hint is None else hint, context)
        made = change_password(
            closed.chain,
            vault.ring,
            way,
            clock=context.clock,
            random=context.random,
            rotate=rotate,
            certificates=closed.certificates() if rotate else None,
        )
        return _applied(closed, made, context, removed=old, dry_run=dry_run)


def plan_removal(address: str, slot: str, context: Context) -> RemovalPlan:
    """Say what removing the way in whose id begins with *slot* would do; changes nothing.

    Raises:
        NoSuchSlotError: there is none, or several.
        LastWayInError: it is the only way in.
    """
    with opened(address, context) as closed:
        ways = list_ways_in(closed.chain, closed.slots())
        removed = _found(ways, slot)
        staying = tuple(way for way in ways if way is not removed)
        if not staying:
            raise LastWayInError(
                "This is the last way in: without it nobody could open the vault any more.",
                hint="Add another way in first, with 'holdfast key add'.",
            )
        points = sum(1 for _ in closed.repository.backend.list(_points_prefix(closed)))
        return RemovalPlan(
            removed=removed,
            staying=staying,
            writers=tuple(w for w in list_writers(closed, None) if w.is_current),
            epoch=closed.chain.epoch + 1,
            points=points,
            statement=closed.chain.current.hash,
        )


def remove(address: str, plan: RemovalPlan, context: Context) -> KeyChanged:
    """Remove a way in: a new epoch for everybody else, for which nobody else is needed.

    Raises:
        StalePlanError: the keys have changed since the plan was made. Nothing was changed.
        KeysError: the present secret opens nothing. Nothing was changed.
        KeyRequestError: the new one opens the vault already. Nothing was changed.
        KeyChangeLostError: another change won; this one has to be made again.
    """
    with opened(address, context) as closed:
        if closed.chain.current.hash != plan.statement:
            raise StalePlanError(
                "The keys have changed since the plan was made; nothing was done.",
                hint="Run the command again to see the new plan.",
            )
        vault = unlocked(closed, context)
        removed = plan.removed.slot_hash
        made = remove_slot(
            closed.chain,
            vault.ring,
            removed,
            closed.certificates(),
            clock=context.clock,
            random=context.random,
        )
        return _applied(closed, made, context, removed=removed)


def verify(address: str, context: Context) -> Opens:
    """Try whether what the context gives opens the vault.

    Raises:
        KeysError: it does not.
    """
    with opened(address, context) as closed:
        vault = unlocked(closed, context)
        ways = list_ways_in(closed.chain, closed.slots())
        way = next(way for way in ways if way.slot_hash == vault.ring.slot_hash)
        return Opens(short(way.slot_hash), way.kind, vault.ring.epoch)


def short(slot_hash: bytes) -> str:
    """Return the id of a slot as people see and type it."""
    return slot_hash.hex()[:_SHORT]


def _found(ways: tuple[WayInListing, ...], slot: str) -> WayInListing:
    fitting = [way for way in ways if slot and way.slot_hash.hex().startswith(slot.lower())]
    if len(fitting) == 1:
        return fitting[0]
    raise NoSuchSlotError(
        f"{'Several ways' if fitting else 'No way'} in of this vault "
        f"{'have' if fitting else 'has'} an id that begins with '{slot}'.",
        hint="'holdfast key list' shows the ids.",
    )


def _new_unlocker(closed: ClosedVault, context: Context) -> Unlocker:
    """Return a new secret that opens nothing yet.

    One secret in two ways in is a trap: whoever removes one of them believes that it is gone.

    Raises:
        KeyRequestError: it opens one of the ways in.
    """
    unlocker = context.secrets.new_unlocker("new password")
    ring = None
    # A damaged way in does not keep anybody from adding a sound one.
    with suppress(KeysError, IntegrityError):
        ring = open_ring(closed.chain, closed.slots(), unlocker)
    if ring is not None:
        raise KeyRequestError(
            f"This {SLOT_WORDS[unlocker.kind]} opens the repository already, "
            f"as {short(ring.slot_hash)}; nothing was changed.",
            hint="Choose another one.",
        )
    return unlocker


def _applied(
    closed: ClosedVault,
    change: Change,
    context: Context,
    *,
    removed: ObjectHash | None,
    dry_run: bool = False,
) -> KeyChanged:
    """Store a change, and look again whether it stands; with *dry_run* say what it would be."""
    problems = tuple(f"{item.name}: {item.error.message}" for item in change.problems)
    if dry_run:
        ways = list_ways_in(closed.chain, closed.slots())
        gone = None if removed is None else short(removed)
        # The id that the new way in will have is made when it is made.
        return KeyChanged(None, gone, change.chain.epoch, ways, problems)
    for item in change.objects:
        closed.objects.put(item.name, item.data)
    delay = closed.repository.listing_delay_seconds
    if delay:
        context.clock.sleep(2 * delay)
    after = ClosedVault.load(closed.repository, closed.vault_id, context.machine)
    if change.chain.current.hash not in {link.hash for link in after.chain.links}:
        raise KeyChangeLostError(
            "Somebody else changed the keys at the same moment, and that change stands.",
            hint="Run the command again.",
        )
    return KeyChanged(
        added=None if change.added is None else short(change.added),
        removed=None if removed is None else short(removed),
        epoch=after.chain.epoch,
        ways_in=list_ways_in(after.chain, after.slots()),
        problems=problems,
    )


def _points_prefix(closed: ClosedVault) -> str:
    return f"vaults/{closed.vault_id.hex()}/points/"
