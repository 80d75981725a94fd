"""Restore points as they are stored: listed, verified, opened (vault-format.md 5.10)."""

from collections.abc import Collection, Mapping

from holdfast.base.errors import HoldfastError
from holdfast.base.ids import ObjectHash, PointId
from holdfast.format import frames, names
from holdfast.format.errors import FormatError
from holdfast.format.maintenance import Forget, ForgottenPoint
from holdfast.format.point import Point, PointRecord, Refs
from holdfast.vault.errors import DamagedObjectError, WrongSignerError
from holdfast.vault.objects import Loaded
from holdfast.vault.points import PointList, PointProblem, RestorePoint, in_order
from holdfast.vault.states import ReadableVault, Vault


def load_points(vault: Vault, *, with_forgets: bool = True) -> PointList:
    """List, verify and, where the vault is readable, open all restore points.

    What cannot be believed is listed among the problems; nothing else of it is used.

    Raises:
        StorageError: the storage did not answer.
    """
    vault.verifier.expect_sessions()
    listing = vault.objects.list(frames.KIND_POINT)
    # After the points, which rely on them: one that is made right now has its refs for longer.
    refs = {listed.hash for listed in vault.objects.list(frames.KIND_REFS)}
    problems: list[PointProblem] = []
    points: list[RestorePoint] = []
    for listed in listing:
        try:
            loaded = vault.objects.load(listed.name, Point)
            vault.verifier.check_point(loaded)
        except HoldfastError as error:
            _note(problems, listed.name, error, PointId(listed.hash))
            continue
        points.append(_opened(vault, loaded, refs))
    epochs = {point.id: point.epoch for point in points}
    forgotten, forgotten_in = load_forgotten(vault, epochs, problems) if with_forgets else ({}, {})
    points = in_order(points)
    return PointList(
        tuple(point for point in points if point.has_refs),
        # Of one that was dropped since it was listed, the refs may be gone by now.
        tuple(point for point in points if not point.has_refs and point.id not in forgotten),
        forgotten,
        tuple(problems),
        forgotten_in=forgotten_in,
    )


def load_forgotten(
    vault: Vault, epochs: Mapping[PointId, int], problems: list[PointProblem]
) -> tuple[dict[PointId, ForgottenPoint], dict[PointId, int]]:
    """Return every point that was dropped on purpose, and the newest epoch that dropped each.

    *epochs* are those of the points that are stored: a forget of an earlier one does not count for
    them. What cannot be believed is added to *problems*.
    """
    found: dict[PointId, ForgottenPoint] = {}
    newest: dict[PointId, int] = {}
    for listed in vault.objects.list(frames.KIND_FORGET):
        try:
            loaded = vault.objects.load(listed.name, Forget)
            epoch = vault.verifier.check_forget(loaded)
        except HoldfastError as error:
            _note(problems, listed.name, error)
            continue
        for item in loaded.body.points:
            if epochs.get(item.point, 0) > epoch:
                _note(problems, listed.name, _late(item.point))
            elif epoch >= newest.get(item.point, 0):
                found[item.point], newest[item.point] = item, epoch
    return found, newest


def _late(point: PointId) -> WrongSignerError:
    return WrongSignerError(
        f"It names restore point {point.hex()[:8]}, which was made under later keys than those"
        " that signed it."
    )


def load_refs(vault: Vault, point: RestorePoint) -> Loaded[Refs]:
    """Return the verified refs of a point.

    Raises:
        MissingObjectError, DamagedObjectError, SignatureError: they cannot be had or believed.
    """
    loaded = vault.objects.load(names.refs_name(vault.vault_id, point.body.refs_hash), Refs)
    vault.verifier.check_of_session(loaded)
    sessions = tuple(item.session_id for item in loaded.body.sessions)
    outside = (loaded.body.session_id, loaded.body.writer_id, sessions)
    if outside != (point.body.session_id, point.body.writer_id, point.body.sessions):
        raise DamagedObjectError(f"'{loaded.name}' does not belong to the point that names it.")
    return loaded


def record_context(vault: Vault, body: Point) -> bytes:
    """Return what the sealed record of a point is bound to (5.10)."""
    return b"".join(
        (
            b"point\0",
            vault.vault_id,
            body.writer_id,
            body.session_id,
            body.series_id,
            body.counter.to_bytes(8, "big"),
        )
    )


def _opened(vault: Vault, loaded: Loaded[Point], refs: Collection[ObjectHash]) -> RestorePoint:
    record: PointRecord | None = None
    unreadable: HoldfastError | None = None
    if isinstance(vault, ReadableVault):
        try:
            record = _record(vault, loaded)
        except HoldfastError as error:
            unreadable = error
    return RestorePoint(
        PointId(loaded.hash),
        loaded.name,
        len(loaded.data),
        loaded.body,
        loaded.body.refs_hash in refs or _refs_exist(vault, loaded.body),
        record,
        unreadable,
        vault.chain.statement(loaded.body.statement_number).body.epoch,
    )


def _refs_exist(vault: Vault, body: Point) -> bool:
    """Ask for refs by name: a listing may lag (G7), and without them a point does not count."""
    return vault.objects.exists(names.refs_name(vault.vault_id, body.refs_hash))


def _record(vault: ReadableVault, loaded: Loaded[Point]) -> PointRecord:
    body = loaded.body
    sessions = vault.verifier.sessions(body.session_id, body.writer_id)
    content = vault.ring.open_in_session(
        (item.body for item in sessions), record_context(vault, body), loaded.stored.attachment
    )
    try:
        record = PointRecord.from_bytes(content)
        record.check_against(vault.vault_id, body)
    except FormatError as error:
        raise DamagedObjectError(f"The record of '{loaded.name}': {error.message}") from error
    return record


def _note(
    problems: list[PointProblem], name: str, error: HoldfastError, point: PointId | None = None
) -> None:
    """Keep an error of one object; one of the storage as such ends the listing."""
    if error.retryable:
        raise error
    problems.append(PointProblem(name, error, point))
