"""What a gc may take away: values in, values out (docs/design/gc.md).

Every question is asked of one look at the storage. Which looks are needed, and what has to be
waited for between them, is ``gc``'s.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from holdfast.base.ids import IndexId, ObjectHash, PackId, PointId, SessionId
from holdfast.format.index_body import Drop, IndexBody
from holdfast.format.point import Point
from holdfast.format.session import Lease
from holdfast.vault import index_rules

TIER: Final = 8
_TIER_BITS: Final = 3
_ROW_BYTES: Final = 36
_PACK_BYTES: Final = 32 + 8 * 65
"""Its id, and its segments as far as an estimate goes."""


@dataclass(frozen=True, slots=True)
class RefsNeeds:
    """What one refs object keeps: packs, and the sessions that it draws on, its own included."""

    packs: frozenset[PackId]
    sessions: frozenset[SessionId]


@dataclass(frozen=True, slots=True)
class GcView:
    """One look at what gc decides on.

    *packs* have the session that wrote them, None where nobody can tell. *quiet* are the sessions
    that have ended, or are known to be dead, or have been silent for long enough. *being_read* are
    the points of readers that are not quiet.
    """

    points: Mapping[PointId, Point]
    refs: Mapping[ObjectHash, RefsNeeds]
    refs_owner: Mapping[ObjectHash, SessionId]
    packs: Mapping[PackId, SessionId | None]
    sessions: frozenset[SessionId]
    quiet: frozenset[SessionId]
    being_read: frozenset[PointId] = frozenset()

    def is_quiet(self, session_id: SessionId) -> bool:
        """Tell whether nobody works in a session any more: one that is gone, nobody does."""
        return session_id in self.quiet or session_id not in self.sessions


def orphan_refs(view: GcView) -> frozenset[ObjectHash]:
    """Return refs without a point (G4), those left out that a session may be about to use.

    None while somebody reads a point that is gone: which refs were its own, nobody can tell.
    """
    if not view.being_read <= view.points.keys():
        return frozenset()
    pointed = {point.refs_hash for point in view.points.values()}
    return frozenset(
        refs for refs in view.refs.keys() - pointed if view.is_quiet(view.refs_owner[refs])
    )


def unneeded_packs(view: GcView) -> frozenset[PackId]:
    """Return packs that no refs name (G2), whoever wrote them."""
    needed: set[PackId] = set()
    needed.update(*(refs.packs for refs in view.refs.values()))
    return frozenset(view.packs.keys() - needed)


def doomed_packs(view: GcView) -> frozenset[PackId]:
    """Return unneeded packs of sessions that are over. A pack of which nobody can tell stays."""
    return frozenset(
        pack
        for pack in unneeded_packs(view)
        if (session := view.packs[pack]) is not None and view.is_quiet(session)
    )


def doomed_sessions(view: GcView) -> frozenset[SessionId]:
    """Return sessions without packs on which neither refs nor points draw (G9).

    The keys of a session stay as long as a point is sealed under them, even if it wrote no pack.
    """
    drawn = {session for session in view.packs.values() if session is not None}
    drawn.update(*(refs.sessions for refs in view.refs.values()))
    for point in view.points.values():
        drawn.update((point.session_id, *point.sessions))
    return frozenset(session for session in view.sessions - drawn if view.is_quiet(session))


def stray_sessions(
    leases: Collection[SessionId],
    packlists: Collection[SessionId],
    present: Collection[SessionId],
    quiet: Collection[SessionId],
) -> frozenset[SessionId]:
    """Return sessions that only leases or packlists still speak of: readers', and what is left.

    *present* are those whose object is there. A reader has none, and may be at work until it is
    *quiet*; packlists without a session object are nobody's.
    """
    return frozenset((set(leases) & set(quiet) | set(packlists)) - set(present))


def quiet_sessions(
    leases: Mapping[SessionId, Mapping[int, Lease]],
    sessions: Collection[SessionId],
    known_dead: Collection[SessionId],
    silent: Collection[SessionId] = (),
) -> frozenset[SessionId]:
    """Return the sessions, readers' included, in which nobody works any more.

    A session without a lease has only begun: it is as alive as one that says so.
    """
    ended = {session for session, numbers in leases.items() if numbers[max(numbers)].ended}
    return frozenset((ended | set(known_dead) | set(silent)) & {*leases, *sessions})


# --- the index ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StandIn:
    """One index object to be put for others. With neither packs nor drops there is no need for it.

    *replaces* are the objects that it stands in for; rows of *dead* packs are left out.
    """

    replaces: tuple[IndexId, ...]
    dead: frozenset[PackId]
    drops: tuple[Drop, ...]


def active(bodies: Mapping[IndexId, IndexBody]) -> dict[IndexId, IndexBody]:
    """Return the objects that no other one replaces."""
    gone = index_rules.replaced(bodies)
    return {name: body for name, body in bodies.items() if name not in gone}


def left_over(bodies: Mapping[IndexId, IndexBody]) -> frozenset[IndexId]:
    """Return the objects that another one stands in for and that are still there."""
    return frozenset(index_rules.replaced(bodies))


def sessions_named(bodies: Iterable[IndexBody]) -> frozenset[SessionId]:
    """Return the sessions of all packs that index objects name or drop."""
    found: set[SessionId] = set()
    for body in bodies:
        found.update(owner.session_id for owner in body.owners)
        found.update(drop.session_id for drop in body.drops)
    return frozenset(found)


def plan_stand_ins(
    bodies: Mapping[IndexId, IndexBody],
    *,
    new_drops: Collection[Drop] = (),
    gone: Collection[SessionId] = (),
    index_bytes: int,
    merge: bool = False,
) -> list[StandIn]:
    """Return the objects to put for one group (G8).

    Replaced is every object that names a dropped pack, or names or drops one of a session that is
    *gone*; with *merge* also eight or more objects of about one size, so that n sessions leave at
    most 8·log₈ n of them. A drop stays until its session is gone. No object gets larger than
    *index_bytes*, as far as that can be told before rows are taken out.
    """
    counting = active(bodies)
    dead = {drop.pack_id for body in counting.values() for drop in index_rules.drops(body)}
    dead.update(drop.pack_id for drop in new_drops)
    gone = frozenset(gone)
    chosen = {
        name
        for name, body in counting.items()
        if not dead.isdisjoint(body.pack_ids) or not gone.isdisjoint(sessions_named((body,)))
    }
    if merge:
        chosen.update(_due(counting, index_bytes))
    batches = _batches({name: counting[name] for name in chosen}, index_bytes)
    stand_ins = []
    pending = tuple(new_drops)
    for batch in batches or ([()] if pending else []):
        packs = [pack for name in batch for pack in _of_gone(counting[name], gone)]
        drops = {drop for name in batch for drop in index_rules.drops(counting[name])}
        drops.update(pending)
        pending = ()
        kept = sorted(drop for drop in drops if drop.session_id not in gone)
        stand_ins.append(StandIn(tuple(sorted(batch)), frozenset({*dead, *packs}), tuple(kept)))
    return stand_ins


def _of_gone(body: IndexBody, gone: frozenset[SessionId]) -> Iterable[PackId]:
    packs = iter(body.pack_ids)
    for owner in body.owners:
        for pack in (next(packs) for _ in range(owner.count)):
            if owner.session_id in gone:
                yield pack


def _size(body: IndexBody) -> int:
    return _ROW_BYTES * body.row_count + _PACK_BYTES * len(body.pack_ids) + 48 * len(body.drops)


def _due(counting: Mapping[IndexId, IndexBody], index_bytes: int) -> set[IndexId]:
    """Return the objects of every tier that has eight of them; the largest object is left alone."""
    tiers: dict[int, list[IndexId]] = {}
    for name, body in counting.items():
        if 2 * _size(body) <= index_bytes:
            tiers.setdefault(body.row_count.bit_length() // _TIER_BITS, []).append(name)
    return {name for names in tiers.values() if len(names) >= TIER for name in names}


def _batches(chosen: Mapping[IndexId, IndexBody], index_bytes: int) -> list[tuple[IndexId, ...]]:
    """Put objects together, the small ones first, as long as one object holds them."""
    batches: list[tuple[IndexId, ...]] = []
    batch: list[IndexId] = []
    size = 0
    for name in sorted(chosen, key=lambda item: (_size(chosen[item]), item)):
        size += _size(chosen[name])
        if batch and size > index_bytes:
            batches.append(tuple(batch))
            batch, size = [], _size(chosen[name])
        batch.append(name)
    return [*batches, tuple(batch)] if batch else batches
