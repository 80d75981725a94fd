"""Drop restore points: the ones that are named, or those that no keep rule keeps.

Both are planned first. Space is freed by gc, never here.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from holdfast.base.ids import PointId
from holdfast.base.progress import Listener, Progress
from holdfast.format.maintenance import ForgetReason
from holdfast.operations.context import Context
from holdfast.operations.opening import opened, unlocked
from holdfast.operations.points import PointInfo, describe, openers_of
from holdfast.policy.retention import Candidate, KeepRules, RetentionPlan, plan_retention
from holdfast.vault.errors import NoSuchPointError
from holdfast.vault.forget import apply_forget, plan_forget
from holdfast.vault.local import SeriesKey
from holdfast.vault.points import PointList, RestorePoint, of_series
from holdfast.vault.seen_points import see_points


@dataclass(frozen=True, slots=True)
class DropPlan:
    """What would be dropped.

    Attributes:
        dropped: the points that go.
        staying: how many stay.
        emptied: series that would have no point left.
        lost: ids of points that are gone already and whose loss is accepted.
        retention: for a prune, what the rules decided.
    """

    address: str
    reason: ForgetReason
    dropped: tuple[PointInfo, ...]
    staying: int
    emptied: tuple[str, ...]
    retention: RetentionPlan | None = None
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was dropped."""

    points: tuple[str, ...]


def plan_named(
    address: str,
    names: Sequence[str],
    context: Context,
    *,
    source: str | None = None,
    host: str | None = None,
) -> DropPlan:
    """Plan to drop the points that people *names*; changes nothing.

    One that is gone, though nobody dropped it, or whose refs are, may be named: then its loss is
    accepted.

    Raises:
        NoSuchPointError, AmbiguousPointError: a name means no point, or several.
        KeysError: nothing that was given opens the vault.
        PointsInDoubtError: a restore point is damaged, so nobody knows all of them.
    """
    with opened(address, context) as closed:
        vault = unlocked(closed, context)
        listed = see_points(vault, with_leases=True)
        listed.require_believable()
        lost = {name: listed.find_lost(name) for name in names}
        chosen = {
            point.id: point
            for point in (
                listed.find_bereft(name) or listed.select(name, source=source, host=host)
                for name in names
                if lost[name] is None
            )
        }
        suite, openers = closed.chain.suite.name, openers_of(closed.chain)
        return DropPlan(
            address,
            ForgetReason.FORGET,
            tuple(describe(point, suite, openers) for point in chosen.values()),
            sum(point.id not in chosen for point in listed.points),
            _emptied(listed, set(chosen)),
            lost=tuple(sorted({item.point.hex() for item in lost.values() if item is not None})),
        )


def plan_prune(
    address: str,
    rules: KeepRules,
    context: Context,
    *,
    zone: tzinfo,
    minimum_points: int = 1,
    source: str | None = None,
    host: str | None = None,
) -> DropPlan:
    """Plan to drop what no rule keeps, series by series; changes nothing.

    Raises:
        NoKeepRuleError: there is no rule.
        NoSuchPointError: a source or machine was named that has no restore point.
        KeysError: nothing that was given opens the vault.
        PointsInDoubtError: a restore point is damaged or lacks its refs, so nobody knows all of
            them.
    """
    # Without rules nobody is asked for a password.
    plan_retention([], rules, now=context.clock.now(), zone=zone, minimum_points=minimum_points)
    with opened(address, context) as closed:
        vault = unlocked(closed, context)
        listed = see_points(vault)
        listed.require_whole()
        for point in listed.points:
            point.opened()
        points = of_series(listed.points, source, host)
        if not points and not (source is None and host is None):
            raise NoSuchPointError(
                "There is no restore point of this source and machine.",
                hint="'holdfast points' lists them.",
            )
        retention = plan_retention(
            _candidates(points, listed.points),
            rules,
            now=context.clock.now(),
            zone=zone,
            minimum_points=minimum_points,
        )
        by_id = {bytes(point.id): point for point in points}
        dropped = [by_id[item.point_id] for item in retention.forgotten]
        suite, openers = closed.chain.suite.name, openers_of(closed.chain)
        return DropPlan(
            address,
            ForgetReason.PRUNE,
            tuple(describe(point, suite, openers) for point in dropped),
            len(listed.points) - len(dropped),
            _emptied(listed, {point.id for point in dropped}),
            retention,
        )


def apply(plan: DropPlan, context: Context, listener: Listener) -> Dropped:
    """Drop what *plan* names. Cut short, the same command again does the rest.

    Raises:
        StalePlanError: points have gone since the plan was made. Nothing was done.
        PlanOutdatedError: since a prune was planned, points have come or gone so that one of those
            that it drops is gone or would stay now. Nothing was done.
        PointsInDoubtError: a restore point is damaged. Nothing was done.
    """
    with opened(plan.address, context) as closed:
        vault = unlocked(closed, context)
        listed = see_points(vault, with_leases=bool(plan.lost))
        listed.require_believable()
        if plan.retention is not None:
            listed.require_whole()
            planned = {decision.candidate.point_id for decision in plan.retention.decisions}
            series = {point.series_key for point in listed.points if bytes(point.id) in planned}
            concerned = [point for point in listed.points if point.series_key in series]
            now = _candidates(concerned, listed.points)
            _check_current(plan.retention, plan.dropped, now, context)
        ids = (*(point.id for point in plan.dropped), *plan.lost)
        wanted = [PointId(bytes.fromhex(point_id)) for point_id in ids]
        if not wanted:
            return Dropped(())
        listener.progress(Progress(plan.reason.name.lower()))
        done = apply_forget(vault, plan_forget(listed, wanted, plan.reason))
        return Dropped(tuple(point.hex() for point in done.points))


def _check_current(
    retention: RetentionPlan,
    dropped: Sequence[PointInfo],
    points: Sequence[Candidate],
    context: Context,
) -> None:
    """Let a plan pass that names only what one made now would drop, too.

    Backups that end between a plan and its doing are usual where many machines share a repository;
    what they add stays, and the next prune sees it.
    """
    anew = plan_retention(
        points,
        retention.rules,
        now=context.clock.now(),
        zone=retention.zone,
        minimum_points=retention.minimum_points,
    )
    going = {bytes(item.point_id).hex() for item in anew.forgotten}
    if not going.issuperset(point.id for point in dropped):
        retention.require_current(points)


def _labels(points: Sequence[RestorePoint]) -> dict[SeriesKey, str]:
    """Return a name for each series that no other one has.

    Series of two writers may have one name, by chance or because one of them wants the other's
    restore points to go: rules count for each by itself.
    """
    ordered = sorted(points, key=lambda point: point.body.counter)
    names = {point.series_key: point.series for point in ordered}
    marked = {
        key: f"{name} (writer {key[0].hex()}, series {key[1].hex()})" for key, name in names.items()
    }
    counts = Counter(names.values())
    labels = {key: name if counts[name] == 1 else marked[key] for key, name in names.items()}
    return labels if len(set(labels.values())) == len(labels) else marked


def _candidates(points: Iterable[RestorePoint], listed: Sequence[RestorePoint]) -> list[Candidate]:
    """Return *points*, some of all that are *listed*, as retention sees them."""
    labels = _labels(listed)
    newest: dict[SeriesKey, int] = {}
    for point in listed:
        counter = max(point.body.counter, newest.get(point.series_key, 0))
        newest[point.series_key] = counter
    return [
        Candidate(
            point_id=bytes(point.id),
            series=labels[point.series_key],
            taken_at=datetime.fromtimestamp(point.time_ns / 10**9, UTC),
            tags=frozenset(point.opened().tags),
            # Of a fork, each: nobody can tell which of them was the last.
            is_latest=point.body.counter == newest[point.series_key],
        )
        for point in points
    ]


def _emptied(listed: PointList, dropped: set[PointId]) -> tuple[str, ...]:
    called = {item.key: item.name for item in listed.series()}
    before = {called[point.series_key] for point in listed.points}
    after = {called[point.series_key] for point in listed.points if point.id not in dropped}
    return tuple(sorted(before - after))
