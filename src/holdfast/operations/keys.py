"""Ways in: list, add, change, remove, verify. Removing is a rotation, planned and shown first."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from holdfast.base.errors import IntegrityError, KeysError
from holdfast.base.ids import ObjectHash
from holdfast.keys.changes import Change, add_slot, change_password, remove_slot
from holdfast.keys.errors import KeyRequestError, LastWayInError
from holdfast.keys.keyring import ReadRing
from holdfast.keys.opening import open_ring
from holdfast.keys.slots import check_hint
from holdfast.keys.unlockers import SLOT_WORDS, Unlocker
from holdfast.keys.ways import WayInListing, list_ways_in
from holdfast.operations.context import Context
from holdfast.operations.errors import KeyChangeLostError, NoSuchSlotError
from holdfast.operations.init import new_way_in
from holdfast.operations.opening import opened, unlocked, unlocked_by
from holdfast.operations.writers import WriterListing, list_writers
from holdfast.storage.interface import alone
from holdfast.vault.errors import StalePlanError
from holdfast.vault.states import ClosedVault, ReadableVault

_SHORT = 8
_LOOK_AFTER_SECONDS: Final = 2.0
"""Where nothing keeps others out, this long between a put and the look whether it stands: far more
than lies between the look at the chain and the put, in which another one may have begun."""


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
        StorageBusyError: somebody else is changing the keys. Nothing was changed.
        KeyChangeLostError: another change won; this one has to be made again.
    """
    check_hint(hint)
    with opened(address, context) as closed:
        vault, key = unlocked_by(closed, context)
        new = _new_unlocker(closed, context)
        way = new_way_in(new, hint, context)
        with _changing(closed, vault, key, context, new=new) as now:
            change = add_slot(
                now.closed.chain, now.ring, way, clock=context.clock, random=context.random
            )
            return _applied(now, change, context, removed=None, dry_run=dry_run)


def change(
    address: str, hint: str | None, context: Context, *, rotate: bool, dry_run: bool = False
) -> KeyChanged:
    """Replace the way in that the present secret opens by a new one.

    With *dry_run* everything is checked and nothing is stored.

    Raises:
        KeysError: the present secret opens nothing. Nothing was changed.
        KeyRequestError: the new one opens the vault already. Nothing was changed.
        StorageBusyError: somebody else is changing the keys. Nothing was changed.
        KeyChangeLostError: another change won; this one has to be made again.
    """
    check_hint(hint or "")
    with opened(address, context) as closed:
        vault, key = unlocked_by(closed, context)
        kept = next(
            (
                way.plain_hint
                for way in list_ways_in(closed.chain, closed.slots())
                if way.slot_hash == vault.ring.slot_hash
            ),
            "",
        )
        new = _new_unlocker(closed, context)
        way = new_way_in(new, kept if hint is None else hint, context)
        with _changing(closed, vault, key, context, new=new) as now:
            made = change_password(
                now.closed.chain,
                now.ring,
                way,
                clock=context.clock,
                random=context.random,
                rotate=rotate,
                certificates=now.closed.certificates() if rotate else None,
            )
            return _applied(now, made, context, removed=now.ring.slot_hash, dry_run=dry_run)


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
        StorageBusyError: somebody else is changing the keys. Nothing was changed.
        KeyChangeLostError: another change won; this one has to be made again.
    """
    with opened(address, context) as closed:
        _refuse_stale(closed, plan)
        vault, key = unlocked_by(closed, context)
        removed = plan.removed.slot_hash
        with _changing(closed, vault, key, context, plan=plan) as now:
            made = remove_slot(
                now.closed.chain,
                now.ring,
                removed,
                now.closed.certificates(),
                clock=context.clock,
                random=context.random,
            )
            return _applied(now, made, context, removed=removed)


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
    _refuse_known(closed, unlocker)
    return unlocker


def _refuse_known(closed: ClosedVault, unlocker: Unlocker) -> None:
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


def _refuse_stale(closed: ClosedVault, plan: RemovalPlan) -> None:
    if closed.chain.current.hash != plan.statement:
        raise StalePlanError(
            "The keys have changed since the plan was made; nothing was done.",
            hint="Run the command again to see the new plan.",
        )


@dataclass(frozen=True, slots=True)
class _Now:
    """The vault as it is right before its keys are changed.

    Attributes:
        is_alone: nobody else changes them meanwhile.
    """

    closed: ClosedVault
    ring: ReadRing
    is_alone: bool


@contextmanager
def _changing(
    before: ClosedVault,
    vault: ReadableVault,
    key: Unlocker,
    context: Context,
    *,
    new: Unlocker | None = None,
    plan: RemovalPlan | None = None,
) -> Iterator[_Now]:
    """Keep other changes out, as far as the storage can, and read the chain again.

    Nobody is asked anything meanwhile: *vault* is what *key* opened *before*. What was checked then
    is checked again if somebody has changed the keys since.

    Raises:
        StorageBusyError: somebody else is at it. Nothing was changed.
        StalePlanError, KeysError, KeyRequestError: it does not hold any more. Nothing was changed.
    """
    with alone(before.repository.backend) as is_alone:
        now = ClosedVault.load(before.repository, before.vault_id, context.machine)
        ring = vault.ring
        if now.chain.current.hash != before.chain.current.hash:
            if plan is not None:
                _refuse_stale(now, plan)
            ring = now.unlock([key]).ring
            if new is not None:
                _refuse_known(now, new)
        yield _Now(now, ring, is_alone)


def _applied(
    now: _Now,
    change: Change,
    context: Context,
    *,
    removed: ObjectHash | None,
    dry_run: bool = False,
) -> KeyChanged:
    """Store a change, and look again whether it stands; with *dry_run* say what it would be."""
    closed = now.closed
    problems = [f"{item.name}: {item.error.message}" for item in change.problems]
    if dry_run:
        ways = list_ways_in(closed.chain, closed.slots())
        gone = None if removed is None else short(removed)
        # The id that the new way in will have is made when it is made.
        return KeyChanged(None, gone, change.chain.epoch, ways, tuple(problems))
    for item in change.objects:
        closed.objects.put(item.name, item.data)
    delay = 2 * closed.repository.listing_delay_seconds
    if not now.is_alone:
        delay = max(delay, _LOOK_AFTER_SECONDS)
    if delay:
        context.clock.sleep(delay)
    after = ClosedVault.load(closed.repository, closed.vault_id, context.machine)
    if change.chain.current.hash not in {link.hash for link in after.chain.links}:
        raise KeyChangeLostError(
            "Somebody else changed the keys at the same moment, and that change stands.",
            hint="Run the command again.",
        )
    if set(after.chain.forks) - set(closed.chain.forks):
        # Whoever looked before this put came has been told that his change stands.
        problems.append(
            "Somebody else changed the keys at the same moment, and that change does not count, "
            "whatever it said: it has to be made again."
        )
    return KeyChanged(
        added=None if change.added is None else short(change.added),
        removed=None if removed is None else short(removed),
        epoch=after.chain.epoch,
        ways_in=list_ways_in(after.chain, after.slots()),
        problems=tuple(problems),
    )


def _points_prefix(closed: ClosedVault) -> str:
    return f"vaults/{closed.vault_id.hex()}/points/"
