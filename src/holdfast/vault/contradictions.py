"""What the objects of a vault say against each other: missing, additional, contradicting ones.

Values in, values out: an inventory and its relations become findings, garbage and notes.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from holdfast.base.ids import PackId, PointId, SeriesId, SessionId, WriterId
from holdfast.format import names
from holdfast.format.point import Point
from holdfast.format.session import Lease
from holdfast.vault import index_rules
from holdfast.vault.inventory import NOT_HANDED_OUT, Finding, Inventory
from holdfast.vault.local import KnownVault
from holdfast.vault.relations import Relations
from holdfast.vault.report import ProblemKind

_MISSING = ProblemKind.MISSING


def find_contradictions(relations: Relations) -> Iterator[Finding]:
    """Say what is missing or too much, as far as that shows without any key.

    Three things cannot show without a memory of one's own (``local``): the last key statement while
    nothing names it yet, a certificate under which nothing was written, and the last forget of a
    series that has no newer point.
    """
    yield from _keys(relations)
    yield from _twins(relations.inventory)
    yield from _sessions(relations.inventory)
    yield from _points(relations)
    yield from _series(relations.inventory)
    yield from _forgets(relations.inventory)
    yield from _packlists(relations)
    yield from _packs(relations)


def find_missing_needs(relations: Relations) -> Iterator[Finding]:
    """Say what is missing of that which tells what points need, and so what a gc may take.

    A pack that is needed and that no index object names, or one drops, is part of it: a gc would
    make that last. A gap in the counters of a series is none of it: it ends at a point that
    somebody names or that was dropped, and what nobody can name nobody can accept the loss of.
    """
    if relations.disputes:
        return  # Nobody knows what refs mean: that is said instead, and a gc refuses for it.
    inventory = relations.inventory
    vault_id = inventory.vault_id
    points, packs = names.points_prefix(vault_id), names.packs_prefix(vault_id)
    indexes = names.indexes_prefix(vault_id)
    telling = (
        points,
        names.refs_prefix(vault_id),
        names.sessions_prefix(vault_id),
        names.packlists_prefix(vault_id),
        indexes,
    )
    for finding in (*_sessions(inventory), *_points(relations), *_series(inventory)):
        is_missing = finding.kind is _MISSING and finding.name.startswith(telling)
        is_dropped = finding.kind is not _MISSING and finding.name.startswith((packs, indexes))
        if (is_missing and finding.name != points) or is_dropped:
            yield finding
    dropped = {names.point_name(vault_id, point) for point in inventory.forgotten()}
    for name in sorted(inventory.unreadable - dropped):
        if name.startswith(telling):
            yield Finding(name, _MISSING, NOT_HANDED_OUT)


def find_vanished(inventory: Inventory, known: KnownVault) -> Iterator[Finding]:
    """Say what this machine has seen before and what is gone without a forget."""
    vault_id = inventory.vault_id
    said = "This machine has seen it."
    if known.statement is not None:
        name = names.statement_name(vault_id, known.statement.number, known.statement.hash)
        if name not in inventory.sizes:
            yield Finding(name, _MISSING, said)
    forgotten_in = inventory.forgotten_in()
    for head in known.heads.values():
        name = names.point_name(vault_id, head.point)
        if name not in inventory.sizes and forgotten_in.get(head.point, -1) < head.epoch:
            yield Finding(name, _MISSING, said)


def garbage(relations: Relations) -> list[str]:
    """Return the names of well-formed objects that no point needs, neither directly nor not.

    They are what dead sessions and half-done upkeep leave; a gc removes them. What is going on
    right now is among them (packs of a session, tombstones of a gc): nobody can tell.
    """
    inventory = relations.inventory
    vault_id = inventory.vault_id
    needed_refs = {point.refs_hash for point in inventory.points.values()}
    needed = {
        pack
        for refs in needed_refs & relations.needs.keys()
        for pack in relations.needs[refs].packs
    }
    drawn = {
        session
        for point in inventory.points.values()
        for session in (point.session_id, *point.sessions)
    }
    found = [names.refs_name(vault_id, item) for item in inventory.refs.keys() - needed_refs]
    found += [names.pack_name(vault_id, item) for item in inventory.packs.keys() - needed]
    found += [item.name for key, item in inventory.sessions.items() if key not in drawn]
    found += [
        names.index_name(vault_id, inventory.indexes[item].group_id, item)
        for item in inventory.replaced() & inventory.indexes.keys()
    ]
    for session_id in inventory.packlists.keys() - inventory.sessions.keys():
        found += [item.name for item in inventory.packlists[session_id]]
    for session_id in inventory.leases.keys() - inventory.sessions.keys():
        found += [
            names.lease_name(vault_id, session_id, number)
            for number in inventory.leases[session_id]
        ]
    found += [names.tombstone_name(vault_id, item) for item in inventory.tombstones]
    return sorted(found)


def notes(inventory: Inventory) -> Iterator[str]:
    """Say what is unusual and no damage."""
    for (writer, series), points in sorted(_by_series(inventory).items()):
        for counter, forks in sorted(points.items()):
            if len(forks) > 1:
                yield (
                    f"{len(forks)} restore points are number {counter} of series {series.hex()}"
                    f" of writer {writer.hex()}: the series was forked."
                )
    unknown = sum(len(inventory.listed.get(kind, ())) for kind in range(14, 23))
    if unknown:
        yield f"{unknown} objects are of kinds that this release does not use."


def _keys(relations: Relations) -> Iterator[Finding]:
    inventory = relations.inventory
    vault_id = inventory.vault_id
    if inventory.chain is None:
        return
    current = inventory.chain.current.body
    for slot in current.slots:
        name = names.slot_name(vault_id, slot.slot_hash)
        if name not in inventory.sizes:
            yield Finding(name, _MISSING, "The current key statement names this way in.")
    wanted = dict.fromkeys(current.certificates, "A key statement carries it over.")
    for session in inventory.sessions.values():
        wanted[session.body.certificate_hash] = f"'{session.name}' was written under it."
    for point_id, point in inventory.points.items():
        wanted[point.certificate_hash] = f"Restore point {point_id.hex()} was signed under it."
    for certificate, why in wanted.items():
        name = names.writer_name(vault_id, certificate)
        if name not in inventory.sizes:
            yield Finding(name, _MISSING, why)
    statements = {
        (point.statement_number, point.statement_hash) for point in inventory.points.values()
    }
    statements.update(
        (session.body.statement_number, session.body.statement_hash)
        for session in inventory.sessions.values()
    )
    for number, statement in sorted(statements):
        name = names.statement_name(vault_id, number, statement)
        if name not in inventory.sizes:
            yield Finding(name, _MISSING, "Something was written under this key statement.")


def _twins(inventory: Inventory) -> Iterator[Finding]:
    """A stolen writer key can sign an object for the session of another; nobody here can tell."""
    for session_id in sorted(inventory.twins):
        standing = inventory.standing_for(session_id)
        signed = [item for item in standing if item.name not in inventory.unattributed]
        for item in standing:
            if signed == [item]:
                continue  # Only those that nobody can have signed are too many.
            detail = (
                f"It, of writer {item.body.writer_id.hex()}, and another object stand for one"
                " session. Only one of them is true; what was sealed under it opens all the same,"
                " and gc does not run."
            )
            yield Finding(item.name, ProblemKind.CONTRADICTION, detail)


def _sessions(inventory: Inventory) -> Iterator[Finding]:
    """What a session says of its point when it ends is the last trace of the newest point."""
    forgotten_in = inventory.forgotten_in()
    forgets = names.forgets_prefix(inventory.vault_id)
    if any(name.startswith(forgets) for name in inventory.damaged):
        return  # What it says may be just this.
    for leases in inventory.leases.values():
        last = leases[max(leases)]
        session = inventory.sessions.get(last.session_id)
        if last.ended and last.point is not None and session is not None:
            name = names.point_name(inventory.vault_id, last.point)
            is_dropped = forgotten_in.get(last.point, -1) >= session.body.epoch
            if name not in inventory.sizes and not is_dropped:
                yield Finding(name, _MISSING, "Its session ended with it, and no forget names it.")


def _points(relations: Relations) -> Iterator[Finding]:
    inventory = relations.inventory
    vault_id = inventory.vault_id
    folders = {name.rsplit("/", 1)[0] + "/" for name in inventory.sizes if "/sessions/" in name}
    # Whoever dropped such a point may have died before it was deleted; gc does that.
    forgotten = inventory.forgotten()
    for point_id, point in sorted(inventory.points.items()):
        said = f"Restore point {point_id.hex()} names it."
        refs_name = names.refs_name(vault_id, point.refs_hash)
        refs = inventory.refs.get(point.refs_hash)
        lacks_refs = refs is None and refs_name not in inventory.sizes
        if lacks_refs and (point_id in forgotten or was_given_up(inventory, point_id, point)):
            continue
        for session_id in sorted({point.session_id, *point.sessions}):
            folder = names.sessions_prefix(vault_id, session_id)
            if folder not in folders:
                yield Finding(folder, _MISSING, said)
        if refs is None:
            if lacks_refs:
                yield Finding(refs_name, _MISSING, said)
            continue
        if (refs.session_id, refs.writer_id, tuple(item.session_id for item in refs.sessions)) != (
            point.session_id,
            point.writer_id,
            point.sessions,
        ):
            yield Finding(
                names.point_name(vault_id, point_id),
                ProblemKind.CONTRADICTION,
                "It and its refs disagree about the sessions that it draws on.",
            )
        yield from _needed_packs(relations, point)
    yield from _needed_indexes(relations)


def _needed_indexes(relations: Relations) -> Iterator[Finding]:
    """Look for packs that points need and no index object names; one finding for each group."""
    inventory = relations.inventory
    folder = names.indexes_prefix(inventory.vault_id)
    if any(name.startswith(folder) for name in inventory.damaged):
        return
    refs = {point.refs_hash for point in inventory.points.values()} & relations.needs.keys()
    lost = set().union(*(relations.needs[item].packs for item in refs)) - relations.indexed
    by_folder: defaultdict[str, set[SessionId]] = defaultdict(set)
    for pack_id in lost:
        session = inventory.sessions.get(relations.owner[pack_id])
        if session is not None:
            group = names.indexes_prefix(inventory.vault_id, session.body.group_id)
            by_folder[group].add(session.body.session_id)
    for name, sessions in sorted(by_folder.items()):
        which = ", ".join(session.hex() for session in sorted(sessions))
        yield Finding(name, _MISSING, f"No index object names needed packs of session {which}.")
    hidden = {key for key, body in inventory.indexes.items() if not lost.isdisjoint(body.pack_ids)}
    for index_id, body in sorted(relations.active.items()):
        if not hidden.isdisjoint(body.replaces):
            yield Finding(
                names.index_name(inventory.vault_id, body.group_id, index_id),
                ProblemKind.CONTRADICTION,
                "It stands in for index objects that name needed packs, and does not name these.",
            )


def was_given_up(inventory: Inventory, point_id: PointId, point: Point) -> bool:
    """Tell whether the point's writer says that it made another one instead, or none.

    Its refs were collected before its last look (G1), so nobody was ever told of it. Only the
    word of its own writer counts: every other absence of refs is a loss.
    """
    leases = inventory.leases.get(point.session_id, {}).values()
    return gives_up((one for one in leases if one.writer_id == point.writer_id), point_id)


def gives_up(leases: Iterable[Lease], point_id: PointId) -> bool:
    """Tell whether the leases that a session's writer signed give a point of it up (5.7)."""
    own = sorted(leases, key=lambda lease: lease.number)
    if any(not lease.ended and lease.point == point_id for lease in own):
        return True
    return bool(own) and own[-1].ended and own[-1].point != point_id


def _needed_packs(relations: Relations, point: Point) -> Iterator[Finding]:
    inventory = relations.inventory
    vault_id = inventory.vault_id
    needs = relations.needs[point.refs_hash]
    for session_id, position in sorted(needs.open_sessions.items()):
        folder = names.packlists_prefix(vault_id, session_id)
        if not any(name.startswith(folder) for name in inventory.damaged):
            detail = (
                f"Pack {position} of the session is in no packlist, and a restore point needs it."
            )
            yield Finding(folder, _MISSING, detail)
    for pack_id in sorted(needs.packs):
        name = names.pack_name(vault_id, pack_id)
        if pack_id not in inventory.packs:
            yield Finding(name, _MISSING, "A restore point needs it.")
        elif pack_id in relations.dropped:
            detail = f"It is needed, and {_dropping(relations, pack_id)} drops it."
            yield Finding(name, ProblemKind.CONTRADICTION, detail)


def _dropping(relations: Relations, pack_id: PackId) -> str:
    """Name the index objects that say of a pack that it is gone."""
    vault_id = relations.inventory.vault_id
    return " and ".join(
        f"'{names.index_name(vault_id, body.group_id, index_id)}'"
        for index_id, body in sorted(relations.active.items())
        if any(drop.pack_id == pack_id for drop in index_rules.drops(body))
    )


def _by_series(
    inventory: Inventory,
) -> dict[tuple[WriterId, SeriesId], dict[int, list[PointId]]]:
    series: defaultdict[tuple[WriterId, SeriesId], dict[int, list[PointId]]] = defaultdict(dict)
    for point_id, point in inventory.points.items():
        counters = series[point.writer_id, point.series_id]
        counters.setdefault(point.counter, []).append(point_id)
    return dict(series)


def _series(inventory: Inventory) -> Iterator[Finding]:
    """Look for gaps in the counters of each series that no forget explains."""
    vault_id = inventory.vault_id
    forgotten = {
        (item.writer_id, item.series_id, item.counter): item.point
        for forget in inventory.forgets.values()
        for item in forget.points
    }
    named = inventory.forgotten()
    damaged = any(
        name.startswith((names.points_prefix(vault_id), names.forgets_prefix(vault_id)))
        for name in inventory.damaged
    )
    has_all_forgets = not any(
        name.startswith(names.forgets_prefix(vault_id)) for name in inventory.damaged
    )
    for (writer, series), counters in sorted(_by_series(inventory).items()):
        for points in counters.values():
            for point_id in points:
                before = inventory.points[point_id].predecessor
                if before is not None and before not in named and has_all_forgets:
                    name = names.point_name(vault_id, before)
                    if name not in inventory.sizes:
                        yield Finding(name, _MISSING, f"Restore point {point_id.hex()} follows it.")
        if damaged:
            continue
        explained = {*counters, *(item[2] for item in forgotten if item[:2] == (writer, series))}
        # A predecessor that is named and gone has been said above.
        explained |= {
            counter - 1
            for counter, points in counters.items()
            if any(inventory.points[item].predecessor is not None for item in points)
        }
        for low, high in pairwise(sorted({0, *explained})):
            if low < max(counters) and high - low > 1:
                detail = (
                    f"Numbers {low + 1} to {high - 1} of series {series.hex()} of writer"
                    f" {writer.hex()} are gone, and no forget names them."
                )
                yield Finding(names.points_prefix(vault_id), _MISSING, detail)


def _forgets(inventory: Inventory) -> Iterator[Finding]:
    """Look for forgets that keys from before a rotation signed, of points from after it."""
    for name, forget in sorted(inventory.forgets.items()):
        late = [
            item.point
            for item in forget.points
            if inventory.epoch_of(item.point) > inventory.forget_epochs.get(name, 0)
        ]
        for point in late[:1]:
            detail = (
                f"It names restore point {point.hex()}, which was made under later keys than those"
                " that signed it, and does not count for it."
            )
            object_name = names.forget_name(inventory.vault_id, name)
            yield Finding(object_name, ProblemKind.CONTRADICTION, detail)


def _packlists(relations: Relations) -> Iterator[Finding]:
    inventory = relations.inventory
    for name, detail in relations.disputes.items():
        yield Finding(name, ProblemKind.CONTRADICTION, detail)
    lists = names.packlists_prefix(inventory.vault_id)
    damaged = [name for name in inventory.damaged if name.startswith(lists)]
    unlisted: set[SessionId] = set()
    for session_id in inventory.packlists:
        positions = relations.positions.listed(session_id)
        if len(positions) <= max(positions):
            unlisted.add(session_id)
    for body in relations.active.values():
        packs = iter(body.pack_ids)
        for owner in body.owners:
            for pack_id in (next(packs) for _ in range(owner.count)):
                if (
                    owner.session_id in inventory.sessions
                    and pack_id not in relations.dropped
                    and relations.positions.session_of.get(pack_id) != owner.session_id
                ):
                    unlisted.add(owner.session_id)
    for session_id in sorted(unlisted):
        folder = names.packlists_prefix(inventory.vault_id, session_id)
        if not any(name.startswith(folder) for name in damaged):
            yield Finding(folder, _MISSING, "Packs of the session are in no packlist.")


def _packs(relations: Relations) -> Iterator[Finding]:
    inventory = relations.inventory
    vault_id = inventory.vault_id
    for pack_id, session_id in sorted(relations.positions.session_of.items()):
        name = names.pack_name(vault_id, pack_id)
        size = inventory.packs.get(pack_id)
        if size is None:
            if pack_id not in relations.dropped and session_id in inventory.sessions:
                yield Finding(name, _MISSING, "A packlist names it, and nothing says it is gone.")
        elif size != relations.positions.sizes[pack_id]:
            detail = f"It has {size} bytes; {relations.positions.sizes[pack_id]} were written."
            yield Finding(name, ProblemKind.DAMAGED, detail)


def pack_without_list(
    relations: Relations, pack_id: PackId, session_id: SessionId
) -> Finding | None:
    """Judge a whole pack that no packlist names: left by a dead session, or put there by somebody.

    A session lists its packs before it ends.
    """
    inventory = relations.inventory
    leases = inventory.leases.get(session_id)
    folder = names.packlists_prefix(inventory.vault_id, session_id)
    is_open = any(session_id in needs.open_sessions for needs in relations.needs.values())
    if (
        is_open
        or pack_id in relations.indexed
        or any(name.startswith(folder) for name in inventory.damaged)
    ):
        return None  # What is missing is the packlist.
    if leases and leases[max(leases)].ended and session_id in inventory.sessions:
        name = names.pack_name(inventory.vault_id, pack_id)
        return Finding(
            name, ProblemKind.ADDITIONAL, "Its session has ended without listing this pack."
        )
    return None
