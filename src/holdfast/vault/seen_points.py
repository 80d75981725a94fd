"""Restore points held against what else is known of them: by this machine, and by their sessions.

What is missing is named here, so that people can put it back or accept its loss.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count

from holdfast.base.errors import HoldfastError, IntegrityError, SignatureError
from holdfast.base.ids import PointId, SessionId, WriterId
from holdfast.format import frames, names
from holdfast.format.maintenance import ForgottenPoint
from holdfast.format.point import Point
from holdfast.format.session import Lease, Session
from holdfast.vault.attribution import check_attributed
from holdfast.vault.contradictions import gives_up
from holdfast.vault.local import KnownVault, SeenHead, SeriesKey
from holdfast.vault.point_loading import load_points
from holdfast.vault.points import PointList, RestorePoint
from holdfast.vault.states import Vault


def see_points(vault: Vault, *, with_leases: bool = False) -> PointList:
    """Return what :func:`load_points` does, held against what this machine has seen before.

    *with_leases* also asks sessions that have ended for the points that they made: the last trace
    of one that nothing else names. The heads are remembered; where this machine's state cannot be
    written they are not, and nothing else fails for it.

    Raises:
        StorageError: the storage did not answer.
    """
    listed = load_points(vault)
    known = vault.known()
    seen = {} if known is None else known.heads
    gone = {
        key: head
        for key, head in listed.vanished(seen).items()
        # A damaged one is there, and a listing may lag; the name itself does not (rule G7).
        if not vault.objects.exists(names.point_name(vault.vault_id, head.point))
    }
    lost = _lost(vault, listed, gone)
    forgotten = listed.forgotten_heads(seen)

    def newer(known: KnownVault) -> KnownVault:
        return known.without_heads(forgotten).with_heads(listed.heads())

    with suppress(OSError):
        vault.machine.known.change(vault.vault_id, is_encrypted=vault.is_sealed, how=newer)
    if with_leases:
        lost |= _named_by_leases(vault, listed, lost)
    bereft = tuple(point for point in listed.incomplete if not _was_given_up(vault, point))
    return replace(listed, gone=gone, lost=lost, bereft=bereft)


def _lost(
    vault: Vault, listed: PointList, gone: Mapping[SeriesKey, SeenHead]
) -> dict[PointId, ForgottenPoint]:
    """Return every point that is gone, that nobody dropped, and whose id is known.

    Ids of points are hashes: what follows a point that is believed is believed, too. Copies on this
    machine tell what a point that is gone followed, as far as there are any.
    """
    stored = {point.id for point in (*listed.points, *listed.incomplete)}
    ends = {(*series.key, gap.stop) for series in listed.series() for gap in series.missing}
    waiting = _before(*(point.body for point in (*listed.points, *listed.incomplete)))
    for item in listed.forgotten.values():
        if (item.writer_id, item.series_id, item.counter) in ends:
            waiting += _before_lost(vault, item)
    # Looked at first: their places are what this machine has seen, not what another point says.
    waiting += [
        ForgottenPoint(point=head.point, writer_id=key[0], series_id=key[1], counter=head.counter)
        for key, head in gone.items()
    ]
    lost: dict[PointId, ForgottenPoint] = {}
    # Of a head that is gone a forget may be there that does not count for it.
    dropped = listed.forgotten.keys() - {head.point for head in gone.values()}
    while waiting:
        item = waiting.pop()
        if item.point in stored or item.point in dropped or item.point in lost:
            continue
        if vault.objects.exists(names.point_name(vault.vault_id, item.point)):
            continue  # Damaged, or younger than the listing.
        lost[item.point] = item
        waiting += _before_lost(vault, item)
    return dict(sorted(lost.items(), key=lambda one: (one[1].counter, one[0])))


def _before_lost(vault: Vault, item: ForgottenPoint) -> list[ForgottenPoint]:
    """Return the predecessor of a point that is gone, if this machine has a copy that names it."""
    try:
        loaded = vault.objects.load(names.point_name(vault.vault_id, item.point), Point)
    except IntegrityError:
        return []
    return _before(loaded.body)


def _before(*bodies: Point) -> list[ForgottenPoint]:
    """Return the predecessors that points name, and their places in their series."""
    return [
        ForgottenPoint(
            point=body.predecessor,
            writer_id=body.writer_id,
            series_id=body.series_id,
            counter=body.counter - 1,
        )
        for body in bodies
        if body.predecessor is not None and body.counter > 1
    ]


def _was_given_up(vault: Vault, point: RestorePoint) -> bool:
    """Tell whether its own writer says that it made another one, as ``contradictions`` does."""
    session_id = point.body.session_id
    numbers = _lease_numbers(vault, session_id).get(session_id, [])
    leases = _leases(vault, session_id, numbers, point.body.writer_id)
    return gives_up(leases, point.id)


def _named_by_leases(
    vault: Vault, listed: PointList, lost: Mapping[PointId, ForgottenPoint]
) -> dict[PointId, ForgottenPoint]:
    """Return the missing points that only the last leases of their sessions name.

    A lease says nothing of the place in the series, so each takes the first one that is free, the
    oldest session first.
    """
    stored = (*listed.points, *listed.incomplete)
    with_point = {point.body.session_id for point in stored}
    known = {point.id for point in stored} | lost.keys()
    known |= {problem.point for problem in listed.problems if problem.point is not None}
    sessions = {
        item.parsed.session_id
        for item in vault.objects.list(frames.KIND_SESSION)
        if item.parsed.session_id is not None
    }
    found = [
        (session.time, point, (session.writer_id, session.series_id))
        for session, point in _ended_with(vault, sessions - with_point)
        if session.series_id is not None
        and point not in known
        and listed.forgotten_in.get(point, -1) < session.epoch
        # Else it is younger than the listing.
        and not vault.objects.exists(names.point_name(vault.vault_id, point))
    ]
    taken: defaultdict[SeriesKey, set[int]] = defaultdict(set)
    for point in stored:
        taken[point.series_key].add(point.body.counter)
    for item in (*listed.forgotten.values(), *lost.values()):
        taken[item.writer_id, item.series_id].add(item.counter)
    named = {}
    for _, point_id, key in sorted(found):
        counter = next(number for number in count(1) if number not in taken[key])
        taken[key].add(counter)
        named[point_id] = ForgottenPoint(
            point=point_id, writer_id=key[0], series_id=key[1], counter=counter
        )
    return named


def _ended_with(
    vault: Vault, session_ids: Collection[SessionId]
) -> Iterator[tuple[Session, PointId]]:
    """Yield sessions that have ended, and the points that their last leases name."""
    for session_id, numbers in _lease_numbers(vault).items():
        if session_id not in session_ids:
            continue
        with suppress(IntegrityError, SignatureError):
            for session in vault.verifier.sessions(session_id):
                last = next(_leases(vault, session_id, numbers, session.body.writer_id), None)
                if last is not None and last.ended and last.point is not None:
                    yield session.body, last.point


def _lease_numbers(vault: Vault, session_id: SessionId | None = None) -> dict[SessionId, list[int]]:
    found: defaultdict[SessionId, list[int]] = defaultdict(list)
    for item in vault.objects.list(frames.KIND_LEASE, session_id=session_id):
        if item.parsed.session_id is not None and item.parsed.number is not None:
            found[item.parsed.session_id].append(item.parsed.number)
    return found


def _leases(
    vault: Vault, session_id: SessionId, numbers: Iterable[int], writer_id: WriterId
) -> Iterator[Lease]:
    """Yield the leases of a session that its writer has signed, the last one first."""
    for number in sorted(numbers, reverse=True):
        try:
            loaded = vault.objects.load(names.lease_name(vault.vault_id, session_id, number), Lease)
            check_attributed(vault.verifier, vault.vault_id, loaded)
        except HoldfastError as error:
            if error.retryable:
                raise
            continue
        body = loaded.body
        if (body.session_id, body.number, body.writer_id) == (session_id, number, writer_id):
            yield body
