"""What a storage may hold after a gc, worked out from the specification and not by the gc's code.

Only formats of single objects are used (frames, bodies, names), nothing of ``holdfast.vault``.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

from holdfast.format import frames, names
from holdfast.format.index_body import IndexBody
from holdfast.format.maintenance import Tombstone
from holdfast.format.point import Point, Refs
from holdfast.format.runs import decode_runs
from holdfast.format.session import Lease, Packlist
from holdfast.format.statement import Statement

_KEPT: Final = frozenset(
    {
        frames.KIND_MARKER,
        frames.KIND_VAULT,
        frames.KIND_STATEMENT,
        frames.KIND_FORGET,
    }
)
"""What is never collected."""


def unreferenced(objects: Mapping[str, bytes]) -> dict[str, str]:
    """Return the objects that no restore point needs, each with the reason.

    A point needs its refs, the packs that they name, the sessions that it and its refs draw on. A
    session needs its packlists and leases; a way in or a writer is needed once a statement stands
    that names it or whose authority signed it; an index object is needed while it counts and names or
    drops something whose session is there; a tombstone has to go once all its targets are gone.
    """
    by_kind: defaultdict[int, dict[str, Any]] = defaultdict(dict)
    bodies = {
        frames.KIND_POINT: Point,
        frames.KIND_REFS: Refs,
        frames.KIND_PACKLIST: Packlist,
        frames.KIND_INDEX: IndexBody,
        frames.KIND_TOMBSTONE: Tombstone,
        frames.KIND_LEASE: Lease,
        frames.KIND_STATEMENT: Statement,
    }
    found: dict[str, str] = {}
    for name, data in objects.items():
        parsed = names.parse_name(name)
        if parsed is None:
            found[name] = "not an object"
            continue
        body: Any = None
        if parsed.kind == frames.KIND_WRITER:
            body = frames.parse(parsed.kind, data)
        elif parsed.kind in bodies:
            ended = parsed.kind == frames.KIND_LEASE
            stored = (frames.parse_hash_ended if ended else frames.parse)(parsed.kind, data)
            body = bodies[parsed.kind].from_body(stored.body)
        by_kind[parsed.kind][name] = (parsed, body)

    points = [body for _, body in by_kind[frames.KIND_POINT].values()]
    refs = {parsed.hash: body for parsed, body in by_kind[frames.KIND_REFS].values()}
    needed_refs = {point.refs_hash for point in points}
    packs_at: dict[tuple[bytes, int], bytes] = {}
    for _, packlist in by_kind[frames.KIND_PACKLIST].values():
        for number, pack in enumerate(packlist.pack_ids):
            packs_at[packlist.session_id, packlist.first_position + number] = pack
    needed_packs = {
        packs_at[item.session_id, position]
        for refs_hash in needed_refs
        for item in refs[refs_hash].sessions
        for run in decode_runs(item.runs)
        for position in run
    }
    drawn = {session for point in points for session in (point.session_id, *point.sessions)}
    drawn |= {item.session_id for key in needed_refs for item in refs[key].sessions}
    stored_packs = {parsed.hash for parsed, _ in by_kind[frames.KIND_PACK].values()}
    sessions = {parsed.session_id for parsed, _ in by_kind[frames.KIND_SESSION].values()}
    replaced = {key for _, body in by_kind[frames.KIND_INDEX].values() for key in body.replaces}
    authorities = {body.authority_public_key for _, body in by_kind[frames.KIND_STATEMENT].values()}
    slots = {
        slot.slot_hash for _, body in by_kind[frames.KIND_STATEMENT].values() for slot in body.slots
    }

    def reason(kind: int, parsed: Any, body: Any) -> str | None:
        match kind:
            case frames.KIND_POINT:
                return None
            case frames.KIND_SLOT:
                return None if parsed.hash in slots else "slot that no statement names"
            case frames.KIND_WRITER:
                signers = {item.public_key for item in body.signatures}
                return None if signers <= authorities else "no authority that stands signed it"
            case frames.KIND_REFS:
                return None if parsed.hash in needed_refs else "refs without a point"
            case frames.KIND_PACK:
                return None if parsed.hash in needed_packs else "pack that no refs name"
            case frames.KIND_SESSION:
                return None if parsed.session_id in drawn else "session that nothing draws on"
            case frames.KIND_PACKLIST | frames.KIND_LEASE:
                return None if parsed.session_id in sessions else "its session is gone"
            case frames.KIND_INDEX:
                if parsed.hash in replaced:
                    return "replaced"
                names_packs = set(body.pack_ids)
                if not names_packs <= stored_packs:
                    return "names a pack that is gone"
                if any(drop.session_id not in sessions for drop in body.drops):
                    return "drops a pack of a session that is gone"
                return None if names_packs or body.drops else "says nothing"
            case frames.KIND_TOMBSTONE:
                alive = (
                    any(pack in stored_packs for pack in body.packs)
                    or any(item in refs for item in body.refs)
                    or any(session in sessions for session in body.sessions)
                )
                return None if alive else "all its targets are gone"
            case _:
                return f"of kind {kind}"

    for kind, items in by_kind.items():
        if kind in _KEPT:
            continue
        for name, (parsed, body) in items.items():
            why = reason(kind, parsed, body)
            if why is not None:
                found[name] = why
    missing = needed_packs - stored_packs
    assert not missing, f"packs that points need are gone: {missing}"
    assert needed_refs <= refs.keys(), "refs of points are gone"
    assert drawn <= sessions, "sessions of points are gone"
    return found
