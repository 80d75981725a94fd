"""How the objects of a vault hang together: what is missing, what is too much, what hangs on what.

Values in, values out. Nothing here reads anything.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from holdfast.base.ids import (
    ObjectHash,
    PackId,
    PointId,
    SessionId,
)
from holdfast.format import frames, names
from holdfast.format.point import Point, Refs
from holdfast.format.runs import decode_runs
from holdfast.vault.index_rules import drops
from holdfast.vault.inventory import Finding, Inventory
from holdfast.vault.report import Problem

NOBODY: Final[tuple[PointId, ...]] = ()
_ANOTHERS: Final = "a pack of its session that another object says is of another session."


@dataclass(slots=True)
class Needs:
    """What one set of refs needs.

    *packs* are those that can be named; in *open_sessions* some packs cannot, because packlists
    are missing or damaged: (session, first position that nobody lists).
    """

    packs: frozenset[PackId]
    open_sessions: dict[SessionId, int] = field(default_factory=dict)


class Positions:
    """The packs of each session by position, put together from packlists."""

    def __init__(self, inventory: Inventory) -> None:
        self._packs: dict[SessionId, dict[int, PackId]] = {}
        self.session_of: dict[PackId, SessionId] = {}
        self.sizes: dict[PackId, int] = {}
        self.contents: dict[PackId, int] = {}
        self.disputes: dict[str, str] = {}
        """Packlists that claim what another one claims, and what that is."""
        for session_id, lists in inventory.packlists.items():
            packs = self._packs.setdefault(session_id, {})
            for name, body in lists:
                for number, pack_id in enumerate(body.pack_ids):
                    position = body.first_position + number
                    if packs.setdefault(position, pack_id) != pack_id:
                        self.disputes[name] = (
                            "It gives a position of its session to another pack than a second"
                            " packlist."
                        )
                    if self.session_of.setdefault(pack_id, session_id) != session_id:
                        self.disputes[name] = f"It lists {_ANOTHERS}"
                    self.sizes[pack_id] = body.sizes[number]
                    self.contents[pack_id] = body.contents[number]

    def listed(self, session_id: SessionId) -> Mapping[int, PackId]:
        """Return the packs of a session by position."""
        return self._packs.get(session_id, {})

    def needs(self, refs: Refs) -> Needs:
        """Return the packs that *refs* name."""
        found: set[PackId] = set()
        unlisted: dict[SessionId, int] = {}
        for item in refs.sessions:
            packs = self.listed(item.session_id)
            for run in decode_runs(item.runs):
                # A hostile run may be long; what is listed is not.
                known = (
                    [packs[position] for position in run if position in packs]
                    if (len(run) <= len(packs))
                    else [pack for position, pack in packs.items() if position in run]
                )
                found.update(known)
                if len(known) < len(run):
                    first = next(position for position in run if position not in packs)
                    unlisted.setdefault(item.session_id, first)
        return Needs(frozenset(found), unlisted)


class Relations:
    """What hangs on what in one inventory."""

    def __init__(self, inventory: Inventory) -> None:
        self.inventory: Final = inventory
        self.positions: Final = Positions(inventory)
        self.active: Final = inventory.active_indexes()
        self.dropped: Final = {
            drop.pack_id for body in self.active.values() for drop in drops(body)
        }
        self.owner: Final = dict(self.positions.session_of)
        self.indexed: Final[set[PackId]] = set()
        self.disputes: Final = dict(self.positions.disputes)
        """Signed objects that contradict others about whose a pack is, and how."""
        for index_id, body in inventory.indexes.items():
            packs = iter(body.pack_ids)
            for owner in body.owners:
                for pack in (next(packs) for _ in range(owner.count)):
                    if self.owner.setdefault(pack, owner.session_id) != owner.session_id:
                        name = names.index_name(inventory.vault_id, body.group_id, index_id)
                        self.disputes[name] = f"It names {_ANOTHERS}"
        for body in self.active.values():
            self.indexed.update(body.pack_ids)
        self._standing: Final = {
            item.name
            for session_id in inventory.sessions
            for item in inventory.standing_for(session_id)
        }
        self.needs: Final = {
            refs_hash: self.positions.needs(body) for refs_hash, body in inventory.refs.items()
        }

    # --- which points an object touches -----------------------------------------------------------

    def points_drawing_on(self, session_id: SessionId) -> tuple[PointId, ...]:
        """Return the points that need something of a session, its key at least."""
        return self._points(
            lambda point: session_id == point.session_id or session_id in point.sessions
        )

    def points_needing(self, pack_id: PackId) -> tuple[PointId, ...]:
        """Return the points whose refs name a pack, or may do so."""
        owner = self.owner.get(pack_id)

        def needs(point: Point) -> bool:
            known = self.needs.get(point.refs_hash)
            if known is None:
                # Its refs are damaged: any pack of the sessions that it draws on may be needed.
                return owner is None or owner in point.sessions
            return pack_id in known.packs or owner in known.open_sessions

        return self._points(needs)

    def points_not_indexed(self) -> tuple[PointId, ...]:
        """Return the points that need a pack which no index object names any more."""

        def lacks(point: Point) -> bool:
            known = self.needs.get(point.refs_hash)
            return known is not None and not known.packs <= self.indexed

        return self._points(lacks)

    def all_points(self) -> tuple[PointId, ...]:
        """Return every visible point."""
        return tuple(sorted(self.inventory.points))

    def touched(  # noqa: PLR0911 - one answer for each kind
        self, name: str
    ) -> tuple[PointId, ...]:
        """Return all points that the object called *name* touches when it is damaged or missing."""
        parsed = names.parse_name(name)
        if parsed is None:
            return self._touched_in_folder(name)
        match parsed.kind:
            case frames.KIND_MARKER | frames.KIND_VAULT | frames.KIND_STATEMENT:
                return self.all_points()
            case frames.KIND_SLOT:
                return self.all_points() if self._is_way_in(parsed.hash) else NOBODY
            case frames.KIND_WRITER:
                return self._signed_under(parsed.hash)
            case frames.KIND_SESSION | frames.KIND_PACKLIST if parsed.session_id is not None:
                # A session object that is whole touches nothing by not being the only one.
                is_whole = name in self._standing
                return NOBODY if is_whole else self.points_drawing_on(parsed.session_id)
            case frames.KIND_PACK if parsed.hash is not None:
                return self.points_needing(PackId(parsed.hash))
            case frames.KIND_INDEX:
                return self.points_not_indexed()
            case frames.KIND_REFS:
                return self._points(lambda point: point.refs_hash == parsed.hash)
            case frames.KIND_POINT if parsed.hash is not None:
                return (PointId(parsed.hash),)
            case _:
                # Leases are advice, forgets and tombstones tell of what is gone: nothing that can
                # be restored hangs on them.
                return NOBODY

    def problems(self, findings: Iterable[Finding]) -> tuple[Problem, ...]:
        """Return *findings* with the points that they touch, one problem an object, sorted."""
        first: dict[tuple[str, str], Problem] = {}
        for name, kind, detail, packs in findings:
            # Several points whose names nobody knows may be missing.
            is_point = name == names.points_prefix(self.inventory.vault_id)
            key = (name, detail if is_point else "")
            if key not in first:
                points = {*self.touched(name), *chain(*map(self.points_needing, packs))}
                first[key] = Problem(name, kind, detail, tuple(sorted(points)))
        return tuple(sorted(first.values()))

    def _touched_in_folder(self, folder: str) -> tuple[PointId, ...]:
        """The same for an object that is missing and whose hash nobody knows."""
        vault_id = self.inventory.vault_id
        if folder == names.statements_prefix(vault_id):
            return self.all_points()
        if folder.startswith(names.indexes_prefix(vault_id)):
            return self.points_not_indexed()
        for prefix in (names.packlists_prefix(vault_id), names.sessions_prefix(vault_id)):
            if folder.startswith(prefix):
                session_id = SessionId(bytes.fromhex(folder.removeprefix(prefix)[:32]))
                return self.points_drawing_on(session_id)
        return NOBODY

    def _is_way_in(self, slot_hash: ObjectHash | None) -> bool:
        statements = self.inventory.chain
        if statements is None:
            return True
        return any(slot.slot_hash == slot_hash for slot in statements.current.body.slots)

    def _signed_under(self, certificate: ObjectHash | None) -> tuple[PointId, ...]:
        sessions = {
            session_id
            for session_id, session in self.inventory.sessions.items()
            if session.body.certificate_hash == certificate
        }
        return self._points(
            lambda point: (
                point.certificate_hash == certificate
                or point.session_id in sessions
                or not sessions.isdisjoint(point.sessions)
            )
        )

    def _points(self, is_touched: Callable[[Point], bool]) -> tuple[PointId, ...]:
        points = self.inventory.points.items()
        return tuple(sorted(point_id for point_id, point in points if is_touched(point)))
