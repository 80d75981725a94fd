"""Which restore points stay and which may go: rules in, a plan out.

The rules mean what restic's mean; ``docs/reference/retention.md`` says it for people. Two promises
go further. The newest points of a series always stay (*minimum_points*), and points that claim to
come from the future stay and count for nothing, so that a wrong clock cannot push out real ones.

Adding a rule, or raising a number in one, never forgets a point that would have been kept before.
"""

import hashlib
import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime, tzinfo
from itertools import groupby
from typing import Final

from holdfast.policy.duration import Duration
from holdfast.policy.errors import (
    InvalidCandidateError,
    InvalidKeepRuleError,
    NoKeepRuleError,
    PlanOutdatedError,
)

UNLIMITED: Final = -1
"""As a count: keep every period that has a point."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A restore point as retention sees it; *taken_at* is aware.

    Attributes:
        is_latest: it was made last in its series. If a clock was wrong, that is not the one with
            the newest time.
    """

    point_id: bytes
    series: str
    taken_at: datetime
    tags: frozenset[str] = frozenset()
    is_latest: bool = False


@dataclass(frozen=True, slots=True)
class KeepRules:
    """What to keep; a count of 0 is no rule, :data:`UNLIMITED` keeps all periods.

    Attributes:
        within: keep all points younger than this, seen from the newest of the series.
        tags: keep all points that have every tag of at least one of these sets.

    Raises:
        InvalidKeepRuleError: a count below -1, an empty set of tags, or an empty tag: no point has
            it, so the rule would keep nothing.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: Duration | None = None
    tags: frozenset[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        for name, count in self.counts().items():
            if count < UNLIMITED:
                message = f"keep-{name} cannot be {count}"
                hint = "Give the number of periods to keep, or 'unlimited'."
                raise InvalidKeepRuleError(message, hint=hint)
        if not all(tags and all(tags) for tags in self.tags):
            raise InvalidKeepRuleError("keep-tag needs a tag, and none of several may be empty")

    def __bool__(self) -> bool:
        """Tell whether there is any rule."""
        return any(self.counts().values()) or self.within is not None or bool(self.tags)

    def counts(self) -> dict[str, int]:
        """Return the counted rules by name, the finest first."""
        return {
            "last": self.last,
            "hourly": self.hourly,
            "daily": self.daily,
            "weekly": self.weekly,
            "monthly": self.monthly,
            "yearly": self.yearly,
        }


def parse_count(text: str) -> int:
    """Read the count of a keep rule: a number from 0, or ``unlimited``.

    Raises:
        InvalidKeepRuleError: *text* is neither.
    """
    typed = text.strip()
    if typed == "unlimited":
        return UNLIMITED
    if not (typed.isascii() and typed.isdigit() and len(typed) <= 9):  # noqa: PLR2004 - more periods than there ever were
        message = f"'{text}' is not a number of restore points to keep"
        raise InvalidKeepRuleError(message, hint="Write a number, or 'unlimited'.")
    return int(typed)


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to one point; *reasons* names the rules that keep it and is empty if none does.

    Reasons are ``last``, ``hourly`` … ``yearly``, ``oldest daily`` (the oldest point, kept while a
    rule has counts left), ``within 7d``, ``tag a,b``, ``minimum``, ``latest`` and ``future``.
    """

    candidate: Candidate
    reasons: tuple[str, ...]

    @property
    def is_kept(self) -> bool:
        """Tell whether the point stays."""
        return bool(self.reasons)


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """What retention would do; made by :func:`plan_retention`, applied by others.

    Attributes:
        decisions: one per point, by series name, the newest point first.
        notes: sentences on points that stay though no rule keeps them.
        fingerprint: 32 bytes over everything that went into the plan; see :meth:`require_current`.
    """

    rules: KeepRules
    minimum_points: int
    planned_at: datetime
    zone: tzinfo
    decisions: tuple[Decision, ...]
    notes: tuple[str, ...]
    fingerprint: bytes

    @property
    def kept(self) -> tuple[Candidate, ...]:
        """The points that stay."""
        return tuple(d.candidate for d in self.decisions if d.is_kept)

    @property
    def forgotten(self) -> tuple[Candidate, ...]:
        """The points that would be forgotten."""
        return tuple(d.candidate for d in self.decisions if not d.is_kept)

    def by_series(self) -> Iterator[tuple[str, tuple[Decision, ...]]]:
        """Yield each series with its decisions, the newest point first."""
        for series, decisions in groupby(self.decisions, lambda d: d.candidate.series):
            yield series, tuple(decisions)

    def require_current(self, candidates: Iterable[Candidate]) -> None:
        """Check, before the plan is applied, that *candidates* are still what it was made from.

        Raises:
            PlanOutdatedError: a point came, went or changed. Nothing was changed.
            InvalidCandidateError: as for :func:`plan_retention`.
        """
        points = list(candidates)
        _check(points, self.planned_at)
        now = _fingerprint(points, self.rules, self.planned_at, self.zone, self.minimum_points)
        if now != self.fingerprint:
            message = "the restore points have changed since this plan was made"
            raise PlanOutdatedError(message, hint="Make a new plan and look at it again.")


def plan_retention(
    candidates: Iterable[Candidate],
    rules: KeepRules,
    *,
    now: datetime,
    zone: tzinfo,
    minimum_points: int = 1,
) -> RetentionPlan:
    """Decide for each of *candidates* whether it stays; their order does not matter.

    Args:
        candidates: all visible points of every series concerned.
        rules: what to keep.
        now: the present, aware; points after it are from the future.
        zone: whose hours, days, weeks, months and years count.
        minimum_points: so many of the newest points of each series stay whatever the rules say, and
            the one that was made last; with 0 neither does.

    Raises:
        NoKeepRuleError: *rules* holds no rule.
        InvalidKeepRuleError: *minimum_points* is negative.
        InvalidCandidateError: a point stands there twice, or has an impossible time.
    """
    points = list(candidates)
    if not rules:
        raise NoKeepRuleError(
            "no keep rule was given, so nothing says which restore points to keep",
            hint="Give a rule such as --keep-daily 7; to free space only, run gc.",
        )
    if minimum_points < 0:
        message = f"the minimum of restore points cannot be {minimum_points}"
        raise InvalidKeepRuleError(message, hint="Give 0 or more; 1 is the default.")
    _check(points, now)
    # Points of one time are ordered by id, so that every run of every engine decides alike.
    points.sort(key=lambda point: (_moment(point), point.point_id), reverse=True)
    points.sort(key=lambda point: point.series)
    decisions: list[Decision] = []
    notes: list[str] = []
    for series, members in groupby(points, lambda point: point.series):
        decided = _decide(list(members), rules, now.astimezone(UTC), zone, minimum_points)
        decisions += decided
        notes += _notes(series, decided)
    return RetentionPlan(
        rules=rules,
        minimum_points=minimum_points,
        planned_at=now,
        zone=zone,
        decisions=tuple(decisions),
        notes=tuple(notes),
        fingerprint=_fingerprint(points, rules, now, zone, minimum_points),
    )


def _check(points: Sequence[Candidate], now: datetime) -> None:
    if now.utcoffset() is None or any(point.taken_at.utcoffset() is None for point in points):
        raise InvalidCandidateError("a time without a time zone cannot be compared")
    seen: set[bytes] = set()
    for point in points:
        if point.point_id in seen:
            message = f"restore point {point.point_id.hex()} was given twice"
            raise InvalidCandidateError(message)
        seen.add(point.point_id)
        # At either end of the calendar there is no local time to speak of.
        if not MINYEAR < point.taken_at.year < MAXYEAR:
            message = f"restore point {point.point_id.hex()} is from the year {point.taken_at.year}"
            raise InvalidCandidateError(message)


def _moment(point: Candidate) -> datetime:
    # Two times of one zone compare by their clock faces, which lies when clocks are set back.
    return point.taken_at.astimezone(UTC)


def _hour(local: datetime) -> Hashable:
    # The offset parts the two hours of one name when clocks are set back.
    return (local.date(), local.hour, local.utcoffset())


_PERIODS: Final[dict[str, Callable[[datetime], Hashable]]] = {
    "hourly": _hour,
    "daily": lambda local: local.date(),
    "weekly": lambda local: local.isocalendar()[:2],
    "monthly": lambda local: (local.year, local.month),
    "yearly": lambda local: local.year,
}


def _decide(
    newest_first: Sequence[Candidate],
    rules: KeepRules,
    now: datetime,
    zone: tzinfo,
    minimum_points: int,
) -> list[Decision]:
    """Decide for the points of one series."""
    past = [point for point in newest_first if _moment(point) <= now]
    reasons: dict[bytes, list[str]] = {point.point_id: [] for point in newest_first}
    for rule in (_by_count(past, rules, zone), _by_age(past, rules, zone), _by_tag(past, rules)):
        for point, reason in rule:
            reasons[point.point_id].append(reason)
    for point in past[:minimum_points]:
        if not reasons[point.point_id]:
            reasons[point.point_id].append("minimum")
    for point in past if minimum_points else ():
        # People restore it unless they name another one; its time may be wrong.
        if point.is_latest and not reasons[point.point_id]:
            reasons[point.point_id].append("latest")
    for point in newest_first[: len(newest_first) - len(past)]:
        reasons[point.point_id].append("future")
    return [Decision(point, tuple(reasons[point.point_id])) for point in newest_first]


_Kept = Iterator[tuple[Candidate, str]]


def _by_age(past: Sequence[Candidate], rules: KeepRules, zone: tzinfo) -> _Kept:
    if rules.within is not None and past:
        limit = rules.within.before(past[0].taken_at, zone)
        for point in past:
            if _moment(point) > limit:
                yield point, f"within {rules.within}"


def _by_tag(past: Sequence[Candidate], rules: KeepRules) -> _Kept:
    for tags in sorted(rules.tags, key=sorted):
        for point in past:
            if tags <= point.tags:
                yield point, f"tag {','.join(sorted(tags))}"


def _by_count(past: Sequence[Candidate], rules: KeepRules, zone: tzinfo) -> _Kept:
    for name, count in rules.counts().items():
        yield from _counted(past, name, count, zone)


def _counted(past: Sequence[Candidate], name: str, count: int, zone: tzinfo) -> _Kept:
    """Yield what one counted rule keeps: the newest point of each of the newest *count* periods.

    While counts are left at the oldest point, it stays too (restic's rule), so that a young series
    keeps its whole reach until the rule is full.
    """
    period_of = _PERIODS.get(name)
    seen: set[Hashable] = set()
    for number, point in enumerate(past, start=1):
        if len(seen) == count:
            return
        period = point.point_id if period_of is None else period_of(point.taken_at.astimezone(zone))
        if period not in seen:
            seen.add(period)
            yield point, name
        elif number == len(past):
            yield point, f"oldest {name}"


def _notes(series: str, decisions: Sequence[Decision]) -> Iterator[str]:
    minimum = sum(decision.reasons == ("minimum",) for decision in decisions)
    latest = sum(decision.reasons == ("latest",) for decision in decisions)
    future = sum(decision.reasons == ("future",) for decision in decisions)
    if minimum:
        yield f"{series}: {_stay(minimum)}, being among the newest"
    if latest:
        yield f"{series}: {_stay(latest)}, being made last; was a clock wrong?"
    if future:
        what = "1 point from the future stays and counts"
        if future > 1:
            what = f"{future} points from the future stay and count"
        yield f"{series}: {what} for nothing; was a clock wrong?"


def _stay(count: int) -> str:
    if count == 1:
        return "1 point that no rule keeps stays"
    return f"{count} points that no rule keeps stay"


def _fingerprint(
    points: Sequence[Candidate],
    rules: KeepRules,
    now: datetime,
    zone: tzinfo,
    minimum_points: int,
) -> bytes:
    """Hash everything that the decisions depend on; the zone by what it makes of each time."""
    inputs = {
        "counts": rules.counts(),
        "within": None if rules.within is None else str(rules.within),
        "tags": sorted(sorted(tags) for tags in rules.tags),
        "minimum_points": minimum_points,
        "now": now.astimezone(UTC).isoformat(),
        "points": sorted(
            [
                point.point_id.hex(),
                point.series,
                point.taken_at.astimezone(zone).isoformat(),
                sorted(point.tags),
                point.is_latest,
            ]
            for point in points
        ),
    }
    encoded = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(encoded.encode("ascii")).digest()
