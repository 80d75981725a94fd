"""One run of gc: the phases in their order, each with its two looks (docs/design/gc.md)."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from holdfast.base.clock import Clock
from holdfast.base.ids import GroupId, IndexId, ObjectHash, PackId, SessionId
from holdfast.base.randomness import Random
from holdfast.format import frames, names
from holdfast.format.index_body import Drop, IndexBody
from holdfast.format.maintenance import Tombstone
from holdfast.format.session import Session
from holdfast.keys.errors import UnknownEpochError
from holdfast.keys.keyring import ReadRing
from holdfast.storage.errors import StorageFullError
from holdfast.storage.interface import local_files
from holdfast.vault import gc_plan, index_rules
from holdfast.vault.check_errors import MergeRaceError
from holdfast.vault.gc_looks import GcLooks
from holdfast.vault.gc_missing import take_whole_inventory
from holdfast.vault.inventory import Inventory
from holdfast.vault.leases import SILENCE_SECONDS
from holdfast.vault.local import KnownVault
from holdfast.vault.merge import IndexMerger
from holdfast.vault.objects import ObjectStore
from holdfast.vault.trust import Authority

SPOOL_AGE_SECONDS: Final = 24 * 3600.0
"""No session takes a day to fill one pack."""
_RUN_ID_BYTES: Final = 16
_TOMBSTONE_ITEMS: Final = 50_000
"""At most 1.6 MB of hashes: below the 4 MiB of a tombstone."""
_DROPS_AT_ONCE: Final = 50_000
_MERGE_ATTEMPTS: Final = 8

GcProgress = Callable[[str], None]
"""Told the phase that begins."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How sessions that look alive are treated.

    A session that has not said that it ended is spared, unless *is_dead* knows better or its lease
    stays silent for *silence_seconds*, for which gc waits only if *patience_seconds* allows it.
    """

    silence_seconds: float = SILENCE_SECONDS
    patience_seconds: float = 0.0
    is_dead: Callable[[SessionId], bool] = lambda _session: False

    @property
    def waits(self) -> bool:
        """Whether gc waits to see who is silent."""
        return self.patience_seconds >= self.silence_seconds


@dataclass(frozen=True, slots=True)
class GcResult:
    """What a gc took away; sizes in bytes, *waited_seconds* for listings and silent sessions."""

    points: int = 0
    refs: int = 0
    packs: int = 0
    pack_bytes: int = 0
    sessions: int = 0
    packlists: int = 0
    leases: int = 0
    tombstones: int = 0
    index_written: int = 0
    index_deleted: int = 0
    keys: int = 0
    temporary_files: int = 0
    spared_packs: int = 0
    spared_bytes: int = 0
    spared_sessions: tuple[SessionId, ...] = ()
    waited_seconds: float = 0.0


def quiet_in(
    inventory: Inventory, patience: Patience, silent: Collection[SessionId] = ()
) -> frozenset[SessionId]:
    """Return the sessions in which nobody works any more, as far as *patience* can tell."""
    known = {*inventory.leases, *inventory.sessions}
    dead = [session for session in sorted(known) if patience.is_dead(session)]
    return gc_plan.quiet_sessions(inventory.leases, inventory.sessions, dead, silent)


def seem_alive(inventory: Inventory, quiet: Collection[SessionId]) -> set[SessionId]:
    """Return the sessions, readers' included, that are not *quiet*."""
    return {*inventory.leases, *inventory.sessions}.difference(quiet)


def left_keys(inventory: Inventory) -> list[str]:
    """Return the slots and certificates of key changes that died before their statement."""
    if inventory.chain is None:
        return []
    named = {slot.slot_hash for link in inventory.chain.links for slot in link.body.slots}
    vault_id = inventory.vault_id
    left = [names.slot_name(vault_id, slot) for slot in inventory.slots.keys() - named]
    prefix = names.writers_prefix(vault_id)
    left += [name for name in inventory.unattributed if name.startswith(prefix)]
    return sorted(left)


class GcRun:
    """One run."""

    def __init__(
        self,
        objects: ObjectStore,
        ring: ReadRing,
        clock: Clock,
        random: Random,
        patience: Patience,
        cache: Path | None,
        progress: GcProgress,
        known: KnownVault | None = None,
    ) -> None:
        self._objects = objects
        self._ring = ring
        self._clock = clock
        self._random = random
        self._patience = patience
        self._progress = progress
        self._known = known
        self._maintainer = Authority(ring.authority_seed())
        self._merger = IndexMerger(objects, ring, self._maintainer, random, cache)
        self._result = GcResult()
        self._delay_seconds = 0.0

    def run(self) -> GcResult:
        """Do all phases in order."""
        self._progress("looking")
        inventory = take_whole_inventory(self._objects, self._known)
        chain = inventory.chain
        if chain is None or self._ring.epoch != chain.epoch:
            raise UnknownEpochError(
                "The vault's keys have been changed; upkeep needs the current ones.",
                hint="Open the vault with a way in that is still valid.",
            )
        # As every command counts it: never below what the backend says of itself.
        self._delay_seconds = max(
            inventory.listing_delay_seconds,
            self._objects.backend.capabilities.listing_delay_seconds,
        )
        local = local_files(self._objects.backend)
        if local is not None:
            # First, because it needs no room: what follows needs a little.
            self._count(temporary_files=local.sweep(SPOOL_AGE_SECONDS))
        silent = self._silent(inventory)
        quiet = quiet_in(inventory, self._patience, silent)
        looks = GcLooks(self._objects, inventory, self._wait, quiet)
        self._finish_forgetting(looks, inventory)
        self._collect_refs(looks, quiet)
        self._collect_packs(looks, quiet)
        self._collect_sessions(looks, quiet, inventory)
        self._tidy_index(looks)
        self._lift_left_tombstones(looks, inventory)
        if self._patience.waits:
            self._collect_keys(looks, inventory)
        alive = seem_alive(inventory, quiet)
        self._result = replace(self._result, spared_sessions=tuple(sorted(alive)))
        return self._result

    # --- small things -----------------------------------------------------------------------------

    def _wait(self) -> None:
        """Let twice the listing delay pass (G7); nothing when listings are never behind."""
        if self._delay_seconds:
            self._sleep(2 * self._delay_seconds)

    def _sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)
        self._count(waited_seconds=seconds)

    def _count(self, **counts: float) -> None:
        current = {name: getattr(self._result, name) + count for name, count in counts.items()}
        self._result = replace(self._result, **current)

    def _silent(self, inventory: Inventory) -> frozenset[SessionId]:
        """Return the sessions whose lease does not move while this waits, if it may wait."""
        alive = seem_alive(inventory, quiet_in(inventory, self._patience))
        if not alive or not self._patience.waits:
            return frozenset()
        self._progress("waiting for silent sessions")
        before = {session: self._newest_lease(session) for session in alive}
        self._sleep(self._patience.silence_seconds)
        return frozenset(
            session for session in alive if self._newest_lease(session) == before[session]
        )

    def _newest_lease(self, session_id: SessionId) -> int:
        listed = self._objects.list(frames.KIND_LEASE, session_id=session_id)
        return max((item.parsed.number or 0 for item in listed), default=-1)

    def _mark(
        self,
        *,
        packs: Iterable[PackId] = (),
        refs: Iterable[ObjectHash] = (),
        sessions: Iterable[SessionId] = (),
    ) -> list[str]:
        """Put tombstones, each under a run id of its own; return their names (G2, G6)."""
        put = []
        all_packs, all_refs, all_sessions = sorted(packs), sorted(refs), sorted(sessions)
        longest = max(len(all_packs), len(all_refs), len(all_sessions))
        for start in range(0, longest, _TOMBSTONE_ITEMS):
            part = slice(start, start + _TOMBSTONE_ITEMS)
            body = Tombstone(
                run_id=self._random.take(_RUN_ID_BYTES),
                packs=tuple(all_packs[part]),
                refs=tuple(all_refs[part]),
                sessions=tuple(all_sessions[part]),
                time=int(self._clock.now().timestamp()),
                writer_id=None,
            )
            data = frames.build(
                frames.KIND_TOMBSTONE,
                body.to_body(),
                sign=self._maintainer.sign,
                vault_id=self._objects.vault_id,
            )
            name = names.tombstone_name(self._objects.vault_id, frames.object_hash(data))
            self._objects.put(name, data)
            put.append(name)
        return put

    def _lift(self, looks: GcLooks, tombstones: Sequence[str]) -> None:
        for name in tombstones:
            looks.delete(name)

    # --- points and refs --------------------------------------------------------------------------

    def _finish_forgetting(self, looks: GcLooks, inventory: Inventory) -> None:
        """Delete points that somebody forgot and did not come to delete (W3)."""
        for point in sorted(inventory.half_forgotten()):
            gone = looks.delete(names.point_name(self._objects.vault_id, point))
            self._count(points=gone)

    def _collect_refs(self, looks: GcLooks, quiet: frozenset[SessionId]) -> None:
        """G4. Refs are listed before points, so a point put meanwhile is seen."""
        orphans = gc_plan.orphan_refs(looks.view(quiet))
        if not orphans:
            return
        self._progress("refs")
        own = self._mark(refs=orphans)
        self._wait()
        # Whoever has begun to read a point that is gone by now is seen here, too.
        for refs in sorted(orphans & gc_plan.orphan_refs(looks.view(quiet))):
            gone = looks.delete(names.refs_name(self._objects.vault_id, refs))
            self._count(refs=gone)
        self._lift(looks, own)

    # --- packs ------------------------------------------------------------------------------------

    def _collect_packs(self, looks: GcLooks, quiet: frozenset[SessionId]) -> None:
        """G2."""
        view = looks.view(quiet, with_points=False)
        candidates = gc_plan.doomed_packs(view)
        spared = gc_plan.unneeded_packs(view) - candidates
        sizes = looks.packs()
        self._count(
            spared_packs=len(spared), spared_bytes=sum(sizes.get(pack, 0) for pack in spared)
        )
        if not candidates:
            return
        self._progress("packs")
        own = self._mark(packs=candidates)
        self._wait()
        needs = looks.needs(looks.refs())
        doomed = sorted(candidates.difference(*(refs.packs for refs in needs.values())))
        # Packs that are needed now keep this run's tombstone until the end: listings that show the
        # end of one tombstone and not the beginning of another would show none at all.
        written = self._result.index_written
        try:
            replaced = self._drop(looks, doomed)
        except StorageFullError:
            # Nothing is dropped, so that all are let go (G2). A tombstone that stayed at each try
            # would take what little room there is.
            if self._result.index_written == written:
                self._lift(looks, own)
            raise
        for pack in doomed:
            gone = looks.delete(names.pack_name(self._objects.vault_id, pack))
            self._count(packs=gone, pack_bytes=sizes.get(pack, 0) if gone else 0)
        self._wait()
        self._retire(looks, replaced)
        self._lift(looks, own)

    def _drop(self, looks: GcLooks, doomed: Sequence[PackId]) -> list[str]:
        """Say in the index that packs are gone, before they are; return what was replaced."""
        sessions = looks.sessions()
        by_group: dict[GroupId, list[Drop]] = {}
        for pack in doomed:
            owner = looks.owner(pack)
            # The packs of a session that is gone are refused for ever, without a drop (G8).
            if owner is not None and owner in sessions:
                group = sessions[owner][1].group_id
                by_group.setdefault(group, []).append(Drop(pack, owner))
        replaced: list[str] = []
        for group_id, drops in sorted(by_group.items()):
            for start in range(0, len(drops), _DROPS_AT_ONCE):
                some = drops[start : start + _DROPS_AT_ONCE]
                try:
                    replaced += self._stand_in(looks, group_id, new_drops=some)
                except StorageFullError:
                    # The packs that go make the room that one object for the others needs.
                    self._put_drops(looks, group_id, some)
        return replaced

    def _put_drops(self, looks: GcLooks, group_id: GroupId, drops: Collection[Drop]) -> None:
        """Put an object of drops alone, which is small; `_tidy_index` does the rest (G8)."""
        known = {drop for body in looks.indexes().values() for drop in index_rules.drops(body)}
        left = tuple(sorted(drop for drop in drops if drop not in known))
        if left:
            self._put_all(group_id, [gc_plan.StandIn((), frozenset(), left)], {}, {})

    # --- the index --------------------------------------------------------------------------------

    def _stand_in(
        self,
        looks: GcLooks,
        group_id: GroupId,
        *,
        new_drops: Sequence[Drop] = (),
        merge: bool = False,
    ) -> list[str]:
        """Put index objects for others; return the names of those others."""
        for _ in range(_MERGE_ATTEMPTS):
            bodies = {
                name: body for name, body in looks.indexes().items() if body.group_id == group_id
            }
            gone = self._gone_sessions(looks, bodies.values()) if merge else frozenset()
            known = {
                drop for body in gc_plan.active(bodies).values() for drop in index_rules.drops(body)
            }
            stand_ins = gc_plan.plan_stand_ins(
                bodies,
                new_drops=[drop for drop in new_drops if drop not in known],
                gone=gone,
                index_bytes=looks.index_bytes,
                merge=merge,
            )
            sessions = {key: body for key, (_, body) in looks.sessions().items()}
            try:
                return self._put_all(group_id, stand_ins, bodies, sessions)
            except MergeRaceError:
                continue
        raise MergeRaceError(
            "Others keep replacing the same index objects.", hint="Try again later."
        )

    def _put_all(
        self,
        group_id: GroupId,
        stand_ins: Iterable[gc_plan.StandIn],
        bodies: dict[IndexId, IndexBody],
        sessions: dict[SessionId, Session],
    ) -> list[str]:
        replaced = []
        for stand_in in stand_ins:
            put = self._merger.put(group_id, stand_in, bodies, sessions)
            self._count(index_written=put is not None)
            replaced += [
                names.index_name(self._objects.vault_id, group_id, name)
                for name in stand_in.replaces
            ]
        return replaced

    def _gone_sessions(self, looks: GcLooks, bodies: Iterable[IndexBody]) -> frozenset[SessionId]:
        """Return sessions that index objects name and that are gone; asked by name (G8)."""
        named = gc_plan.sessions_named(bodies)
        if named <= looks.sessions().keys():
            return frozenset()
        # A listing may be behind by one delay; the session was put before what names it.
        self._wait()
        listed = looks.sessions()
        return frozenset(
            session
            for session in named
            if session not in listed or not looks.is_there(listed[session][0])
        )

    def _retire(self, looks: GcLooks, replaced: Iterable[str]) -> None:
        for name in replaced:
            self._count(index_deleted=looks.delete(name))

    def _tidy_index(self, looks: GcLooks) -> None:
        """Leave no replaced object, no name or drop of sessions that are gone; merge (G8)."""
        self._progress("index")
        bodies = looks.indexes()
        left = [
            names.index_name(self._objects.vault_id, bodies[name].group_id, name)
            for name in sorted(gc_plan.left_over(bodies))
        ]
        replaced: list[str] = []
        for group_id in sorted({body.group_id for body in bodies.values()}):
            replaced += self._stand_in(looks, group_id, merge=True)
        if left or replaced:
            self._wait()
            # Those that were replaced before go first: their stand-in may itself be replaced now.
            self._retire(looks, left)
            self._retire(looks, replaced)

    # --- sessions ---------------------------------------------------------------------------------

    def _collect_sessions(
        self, looks: GcLooks, quiet: frozenset[SessionId], inventory: Inventory
    ) -> None:
        """G9, and what is left of sessions that are gone."""
        view = looks.view(quiet)
        doomed = gc_plan.doomed_sessions(view)
        own: list[str] = []
        if doomed:
            self._progress("sessions")
            own = self._mark(sessions=doomed)
            self._wait()
            doomed &= gc_plan.doomed_sessions(looks.view(quiet))
        for session_id in sorted(doomed):
            self._delete_packlists(looks, session_id)
            for name in looks.names(frames.KIND_SESSION, session_id):
                self._count(sessions=looks.delete(name))
            self._delete_leases(looks, session_id)
        stray = self._stray_sessions(looks, quiet, inventory)
        if doomed or stray:
            self._wait()
        present = looks.sessions().keys()
        for session_id in sorted(stray - present):
            self._delete_packlists(looks, session_id)
            self._delete_leases(looks, session_id)
        self._lift(looks, own)

    def _stray_sessions(
        self, looks: GcLooks, quiet: frozenset[SessionId], inventory: Inventory
    ) -> frozenset[SessionId]:
        """Return session ids that only packlists or leases still speak of, and nobody uses."""
        # The last lease of a point's session may say that the point was given up.
        needed = {point.session_id for point in looks.points().values()}
        return gc_plan.stray_sessions(
            inventory.leases, inventory.packlists, {*looks.sessions(), *needed}, quiet
        )

    def _delete_packlists(self, looks: GcLooks, session_id: SessionId) -> None:
        for name in looks.names(frames.KIND_PACKLIST, session_id):
            self._count(packlists=looks.delete(name))

    def _delete_leases(self, looks: GcLooks, session_id: SessionId) -> None:
        for name in looks.names(frames.KIND_LEASE, session_id):
            self._count(leases=looks.delete(name))

    # --- what others left -------------------------------------------------------------------------

    def _lift_left_tombstones(self, looks: GcLooks, inventory: Inventory) -> None:
        """G3: lift tombstones whose targets are all gone, asked by name."""
        vault_id = self._objects.vault_id
        left = []
        for tombstone, body in sorted(inventory.tombstones.items()):
            targets = [names.pack_name(vault_id, pack) for pack in body.packs]
            targets += [names.refs_name(vault_id, refs) for refs in body.refs]
            sessions = (looks.names(frames.KIND_SESSION, session) for session in body.sessions)
            if not any(map(looks.is_there, targets)) and not any(sessions):
                left.append(names.tombstone_name(vault_id, tombstone))
        if left:
            self._wait()
            for name in left:
                self._count(tombstones=looks.delete(name))

    def _collect_keys(self, looks: GcLooks, inventory: Inventory) -> None:
        """Remove slots and certificates of key changes that died before their statement.

        Only when no statement has come in the silence in which no session moves, for a change of
        keys takes seconds, and in twice the listing delay: its statement may be there for so long
        before it is listed (G7). Both count from the inventory, which saw none.
        """
        left = left_keys(inventory)
        needed_seconds = self._patience.silence_seconds + 2 * self._delay_seconds
        if left and self._result.waited_seconds < needed_seconds:
            self._sleep(needed_seconds - self._result.waited_seconds)
        statements = {item.name for item in inventory.listed[frames.KIND_STATEMENT]}
        if set(looks.names(frames.KIND_STATEMENT)) == statements:
            for name in left:
                self._count(keys=looks.delete(name))
