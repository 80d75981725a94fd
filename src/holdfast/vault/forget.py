"""Dropping restore points on purpose (vault-format.md 5.11 and W3).

The forget comes first: from then on nobody takes the missing points for stolen ones. Then the
points go. Their refs, and what only they needed, are gc's, by its double look.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from holdfast.base.ids import PointId
from holdfast.format import frames, names
from holdfast.format.maintenance import Forget, ForgetReason, ForgottenPoint
from holdfast.vault.errors import NoSuchPointError, StalePlanError
from holdfast.vault.points import PointList, RestorePoint, in_time
from holdfast.vault.states import ReadableVault, WritableVault

_POINTS_LIMIT: Final = 16_384
"""Points in one forget object; 85 bytes each of its 4 MiB."""


@dataclass(frozen=True, slots=True)
class ForgetPlan:
    """What is about to be dropped."""

    points: tuple[RestorePoint, ...]
    reason: ForgetReason
    lost: tuple[ForgottenPoint, ...] = ()
    """Points that are gone already: their loss is accepted."""


@dataclass(frozen=True, slots=True)
class ForgetResult:
    """What was dropped."""

    points: tuple[PointId, ...]


def plan_forget(
    listed: PointList, wanted: Collection[PointId], reason: ForgetReason = ForgetReason.FORGET
) -> ForgetPlan:
    """Plan to drop the restore points *wanted*; also points without refs, and lost ones.

    Raises:
        NoSuchPointError: one is not there.
    """
    there = {point.id: point for point in (*listed.points, *listed.incomplete)}
    for point_id in wanted:
        if point_id not in there and point_id not in listed.lost:
            raise NoSuchPointError(f"There is no restore point {point_id.hex()[:8]}.")
    chosen = [point for point in there.values() if point.id in wanted]
    lost = tuple(listed.lost[point_id] for point_id in sorted(set(wanted) - there.keys()))
    return ForgetPlan(tuple(sorted(chosen, key=in_time)), reason, lost)


def apply_forget(vault: ReadableVault | WritableVault, plan: ForgetPlan) -> ForgetResult:
    """Drop what *plan* names. Cut short, some of it may be gone; the same again does the rest.

    Raises:
        NotAllowedError: the key at hand only writes.
        StalePlanError: a point of the plan is gone already, or a lost one is back. Nothing was
            done.
    """
    maintainer = vault.maintainer
    stored = {PointId(listed.hash) for listed in vault.objects.list(frames.KIND_POINT)}
    for point in plan.points:
        if point.id not in stored:
            raise StalePlanError(
                f"Restore point {point.id.hex()[:8]} is gone since the plan was made.",
                hint="Run the command again.",
            )
    for item in plan.lost:
        if vault.objects.exists(names.point_name(vault.vault_id, item.point)):
            raise StalePlanError(
                f"Restore point {item.point.hex()[:8]} is back since the plan was made.",
                hint="Run the command again.",
            )
    going = [*plan.lost, *map(_forgotten, plan.points)]
    for first in range(0, len(going), _POINTS_LIMIT):
        some = going[first : first + _POINTS_LIMIT]
        body = Forget(
            points=tuple(some),
            time=vault.machine.now_seconds(),
            reason=plan.reason,
            writer_id=maintainer.writer_id,
        )
        data = frames.build(
            frames.KIND_FORGET, body.to_body(), sign=maintainer.sign, vault_id=vault.vault_id
        )
        vault.objects.put(names.forget_name(vault.vault_id, frames.object_hash(data)), data)
        for item in some:
            vault.objects.delete(names.point_name(vault.vault_id, item.point))
    return ForgetResult(tuple(item.point for item in going))


def _forgotten(point: RestorePoint) -> ForgottenPoint:
    return ForgottenPoint(
        point=point.id,
        writer_id=point.body.writer_id,
        series_id=point.body.series_id,
        counter=point.body.counter,
    )
