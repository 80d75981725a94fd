"""Retention, for all histories and rules."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.policy.duration import Duration
from holdfast.policy.retention import UNLIMITED, Candidate, KeepRules, RetentionPlan, plan_retention
from holdfast.policy.retention_calendar import WIDTH, render_calendar

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
HOURS_AROUND = 5000
RULES = ("last", "hourly", "daily", "weekly", "monthly", "yearly")

zones = st.sampled_from(["UTC", "Europe/Warsaw", "America/New_York", "Pacific/Apia"]).map(ZoneInfo)
tag_sets = st.sampled_from([frozenset(tags) for tags in ("", "a", "b", "ab")])
minutes_ago = st.one_of(st.integers(-600, 3000), st.integers(0, HOURS_AROUND * 60))
histories = st.lists(
    st.tuples(minutes_ago, st.sampled_from(["s", "t"]), tag_sets), max_size=40
).map(
    lambda drawn: [
        Candidate(number.to_bytes(2, "big"), series, NOW - timedelta(minutes=ago), tags)
        for number, (ago, series, tags) in enumerate(drawn)
    ]
)
# Made in the order of their numbers, at whatever times their clocks said.
made_in_order = histories.map(
    lambda points: [
        replace(
            point, is_latest=all(point.series != later.series for later in points[number + 1 :])
        )
        for number, point in enumerate(points)
    ]
)
counts = st.one_of(st.just(0), st.integers(0, 8), st.just(UNLIMITED))
rule_sets = st.builds(
    KeepRules,
    last=counts,
    hourly=counts,
    daily=counts,
    weekly=counts,
    monthly=counts,
    yearly=counts,
    within=st.none() | st.builds(Duration, months=st.integers(0, 3), hours=st.integers(1, 90)),
    tags=st.sampled_from([frozenset(), frozenset({frozenset("b")}), frozenset({frozenset("ab")})]),
).filter(bool)
bounded = settings(max_examples=80, deadline=None)


def plan(
    points: Sequence[Candidate], rules: KeepRules, zone: ZoneInfo, minimum: int = 1
) -> RetentionPlan:
    """Plan at one fixed time."""
    return plan_retention(points, rules, now=NOW, zone=zone, minimum_points=minimum)


@bounded
@given(made_in_order, rule_sets, zones, st.data())
def test_adding_a_rule_or_raising_a_count_never_forgets_more(
    points: list[Candidate], rules: KeepRules, zone: ZoneInfo, data: st.DataObject
) -> None:
    """Who adds a rule wants to keep more."""
    name = data.draw(st.sampled_from(RULES))
    count = rules.counts()[name]
    more = UNLIMITED if count == UNLIMITED else count + data.draw(st.integers(1, 5))
    richer = replace(rules, **{name: more})
    richer = replace(richer, tags=richer.tags | {frozenset("a")})

    assert set(plan(points, rules, zone).kept) <= set(plan(points, richer, zone).kept)


@bounded
@given(made_in_order, rule_sets, zones, st.data())
def test_the_order_of_the_input_does_not_matter(
    points: list[Candidate], rules: KeepRules, zone: ZoneInfo, data: st.DataObject
) -> None:
    """Listings come in any order; the plan and its fingerprint do not show it."""
    shuffled = data.draw(st.permutations(points))

    assert plan(points, rules, zone) == plan(shuffled, rules, zone)


@bounded
@given(histories, rule_sets, zones, st.integers(0, 5))
def test_the_newest_points_of_each_series_always_stay(
    points: list[Candidate], rules: KeepRules, zone: ZoneInfo, minimum: int
) -> None:
    """And every point is decided once, those from the future being kept."""
    made = plan(points, rules, zone, minimum)

    assert {d.candidate for d in made.decisions} == set(points)
    assert len(made.decisions) == len(points)
    for _, decisions in made.by_series():
        past = [d for d in decisions if d.candidate.taken_at <= NOW]
        assert all(d.is_kept for d in past[:minimum])
        assert all(d.reasons == ("future",) for d in decisions if d not in past)


@bounded
@given(made_in_order, rule_sets, zones, st.integers(1, 5))
def test_the_point_that_was_made_last_in_each_series_always_stays(
    points: list[Candidate], rules: KeepRules, zone: ZoneInfo, minimum: int
) -> None:
    """And no other one goes or stays for it."""
    made = plan(points, rules, zone, minimum)
    without = plan([replace(point, is_latest=False) for point in points], rules, zone, minimum)

    latest = {point.point_id for point in points if point.is_latest}
    kept = {point.point_id for point in made.kept}
    assert kept == latest | {point.point_id for point in without.kept}


@bounded
@given(histories, st.integers(1, 45), zones)
def test_keep_last_keeps_as_many_as_it_says(
    points: list[Candidate], count: int, zone: ZoneInfo
) -> None:
    """Or all there are."""
    for _, decisions in plan(points, KeepRules(last=count), zone).by_series():
        past = [d for d in decisions if d.candidate.taken_at <= NOW]
        assert [d.is_kept for d in past] == [n < count for n in range(len(past))]


LOCAL_KEYS: dict[str, Callable[[datetime], object]] = {
    "hourly": lambda t: t.strftime("%Y %j %H %z"),
    "daily": lambda t: t.strftime("%Y %j"),
    "weekly": lambda t: t.strftime("%G %V"),
    "monthly": lambda t: t.strftime("%Y %m"),
    "yearly": lambda t: t.strftime("%Y"),
}


@bounded
@given(histories, st.sampled_from(sorted(LOCAL_KEYS)), st.integers(1, 12), zones)
def test_a_counted_rule_keeps_the_newest_point_of_each_of_the_newest_periods(
    points: list[Candidate], name: str, count: int, zone: ZoneInfo
) -> None:
    """Against a second way to say it, also where clocks change."""
    made = plan(points, KeepRules(**{name: count}), zone)
    for _, decisions in made.by_series():
        newest: dict[object, Candidate] = {}
        past = [d.candidate for d in decisions if d.candidate.taken_at <= NOW]
        for candidate in past:
            newest.setdefault(LOCAL_KEYS[name](candidate.taken_at.astimezone(zone)), candidate)
        expected = set(list(newest.values())[:count])
        if len(newest) < count and past:
            expected.add(past[-1])
        kept = {d.candidate for d in decisions if d.is_kept and d.candidate in past}
        assert kept == expected


@bounded
@given(histories, rule_sets, zones)
def test_the_picture_fits_and_has_no_row_too_many(
    points: list[Candidate], rules: KeepRules, zone: ZoneInfo
) -> None:
    """One row per month with points."""
    picture = render_calendar(plan(points, rules, zone))
    months = {(p.series, *p.taken_at.astimezone(zone).timetuple()[:2]) for p in points}

    assert max(map(len, picture.splitlines())) <= WIDTH
    assert sum(line[:2] == "20" for line in picture.splitlines()) == len(months)
