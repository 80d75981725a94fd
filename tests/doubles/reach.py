# ruff: noqa: ANN401  # bodies of objects are of many classes, by kind
"""What a storage may hold after a gc, worked out from the specification and not by the gc's code.

Only formats of single objects are used (frames, bodies, names), nothing of ``holdfast.vault``.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.format import frames, names
from holdfast.format.index_body import IndexBody
from holdfast.format.maintenance import Tombstone
from holdfast.format.names import ObjectName
from holdfast.format.point import Point, Refs
from holdfast.format.runs import decode_runs
from holdfast.format.session import Packlist
from holdfast.format.statement import Statement

_BODIES: Final[Mapping[int, Any]] = {
    frames.KIND_POINT: Point,
    frames.KIND_REFS: Refs,
    frames.KIND_PACKLIST: Packlist,
    frames.KIND_INDEX: IndexBody,
    frames.KIND_TOMBSTONE: Tombstone,
    frames.KIND_STATEMENT: Statement,
}
_NEVER_COLLECTED: Final = frozenset(
    {
        frames.KIND_MARKER,
        frames.KIND_VAULT,
        frames.KIND_STATEMENT,
        frames.KIND_POINT,
        frames.KIND_FORGET,
    }
)


def unreferenced(objects: Mapping[str, bytes]) -> dict[str, str]:
    """Return the objects that no restore point needs, each with the reason.

    * A point needs its refs, the packs that they name, and the sessions that both draw on.
    * Packlists and leases are needed as long as their session is there.
    * An index object is needed while nothing replaces it, and all that it names is there; drops of
      sessions that are gone have to be gone.
    * A way in, or a writer, is needed once a statement names it, or an authority of one signed it.
    * A tombstone has to go when all its targets are gone.
    """
    return _Reach(objects).unreferenced()


class _Reach:
    def __init__(self, objects: Mapping[str, bytes]) -> None:
        self.objects = objects
        self.parsed: dict[str, ObjectName | None] = {
            name: names.parse_name(name) for name in objects
        }
        self.bodies = {name: self._body(name) for name in objects}
        points = self._all(Point)
        needed_refs = {point.refs_hash for point in points}
        self.refs = {
            self._hash(name): body for name, body in self.bodies.items() if isinstance(body, Refs)
        }
        self.needed_refs = needed_refs
        self.needed_packs = self._needed_packs()
        self.drawn = {
            session for point in points for session in (point.session_id, *point.sessions)
        }
        for refs_hash in needed_refs:
            self.drawn |= {item.session_id for item in self.refs[refs_hash].sessions}
        self.packs = {self._hash(name) for name in self._of_kind(frames.KIND_PACK)}
        self.sessions = {
            parsed.session_id
            for parsed in self.parsed.values()
            if parsed is not None and parsed.kind == frames.KIND_SESSION
        }
        self.replaced = {name for body in self._all(IndexBody) for name in body.replaces}
        statements = self._all(Statement)
        self.slots = {slot.slot_hash for body in statements for slot in body.slots}
        self.authorities = {body.authority_public_key for body in statements}

    def unreferenced(self) -> dict[str, str]:
        """See above."""
        assert self.needed_packs <= self.packs, "packs that points need are gone"
        assert self.drawn <= self.sessions, "sessions that points need are gone"
        judges: dict[int, Callable[[str], str | None]] = {
            frames.KIND_SLOT: self._slot,
            frames.KIND_WRITER: self._writer,
            frames.KIND_REFS: self._refs,
            frames.KIND_PACK: self._pack,
            frames.KIND_SESSION: self._session,
            frames.KIND_PACKLIST: self._of_session,
            frames.KIND_LEASE: self._of_session,
            frames.KIND_INDEX: self._index,
            frames.KIND_TOMBSTONE: self._tombstone,
        }
        found = {}
        for name, parsed in self.parsed.items():
            if parsed is not None and parsed.kind in _NEVER_COLLECTED:
                continue
            judge = None if parsed is None else judges.get(parsed.kind)
            why = "it is of no kind that belongs here" if judge is None else judge(name)
            if why is not None:
                found[name] = why
        return found

    # --- judges -------------------------------------------------------------------------------

    def _slot(self, name: str) -> str | None:
        return None if self._hash(name) in self.slots else "no statement names it"

    def _writer(self, name: str) -> str | None:
        stored = frames.parse(frames.KIND_WRITER, self.objects[name])
        signers = {item.public_key for item in stored.signatures}
        return None if signers <= self.authorities else "no authority that stands signed it"

    def _refs(self, name: str) -> str | None:
        return None if self._hash(name) in self.needed_refs else "no point names it"

    def _pack(self, name: str) -> str | None:
        return None if self._hash(name) in self.needed_packs else "no refs of a point name it"

    def _session(self, name: str) -> str | None:
        return None if self._session_id(name) in self.drawn else "no point draws on it"

    def _of_session(self, name: str) -> str | None:
        return None if self._session_id(name) in self.sessions else "its session is gone"

    def _index(self, name: str) -> str | None:
        body = self.bodies[name]
        if self._hash(name) in self.replaced:
            return "another one stands for it"
        if not set(body.pack_ids) <= self.packs:
            return "it names a pack that is gone"
        if any(drop.session_id not in self.sessions for drop in body.drops):
            return "it drops a pack of a session that is gone"
        return None if body.pack_ids or body.drops else "it says nothing"

    def _tombstone(self, name: str) -> str | None:
        body = self.bodies[name]
        is_needed = (
            not self.packs.isdisjoint(body.packs)
            or not self.refs.keys().isdisjoint(body.refs)
            or not self.sessions.isdisjoint(body.sessions)
        )
        return None if is_needed else "all its targets are gone"

    # --- reading ------------------------------------------------------------------------------

    def _needed_packs(self) -> set[bytes]:
        packs_at: dict[tuple[bytes, int], bytes] = {}
        for packlist in self._all(Packlist):
            for number, pack in enumerate(packlist.pack_ids):
                packs_at[packlist.session_id, packlist.first_position + number] = pack
        return {
            packs_at[item.session_id, position]
            for refs_hash in self.needed_refs
            for item in self.refs[refs_hash].sessions
            for run in decode_runs(item.runs)
            for position in run
        }

    def _body(self, name: str) -> Any:
        parsed = self.parsed[name]
        if parsed is None or parsed.kind not in _BODIES:
            return None
        stored = frames.parse(parsed.kind, self.objects[name])
        return _BODIES[parsed.kind].from_body(stored.body)

    def _all(self, body: type[Any]) -> list[Any]:
        return [item for item in self.bodies.values() if isinstance(item, body)]

    def _of_kind(self, kind: int) -> list[str]:
        return [name for name, parsed in self.parsed.items() if parsed and parsed.kind == kind]

    def _hash(self, name: str) -> bytes | None:
        parsed = self.parsed[name]
        return None if parsed is None else parsed.hash

    def _session_id(self, name: str) -> bytes | None:
        parsed = self.parsed[name]
        return None if parsed is None else parsed.session_id
