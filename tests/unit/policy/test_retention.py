"""Retention by example."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from holdfast.policy.duration import Duration
from holdfast.policy.errors import (
    InvalidCandidateError,
    InvalidDurationError,
    InvalidKeepRuleError,
    NoKeepRuleError,
    PlanOutdatedError,
)
from holdfast.policy.retention import (
    UNLIMITED,
    Candidate,
    KeepRules,
    RetentionPlan,
    parse_count,
    plan_retention,
)
from holdfast.policy.retention_calendar import ASCII_MARKS, WIDTH, render_calendar

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "retention.md"
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
WARSAW = ZoneInfo("Europe/Warsaw")


def point(when: str, *tags: str, series: str = "host/home") -> Candidate:
    """Make a point whose id is its time."""
    taken_at = datetime.fromisoformat(when)
    if taken_at.tzinfo is None:
        taken_at = taken_at.replace(tzinfo=UTC)
    return Candidate(f"{series} {when}".encode(), series, taken_at, frozenset(tags))


def plan(*points: Candidate, minimum_points: int = 0, **rules: object) -> RetentionPlan:
    """Plan in UTC, without a minimum unless one is asked for."""
    kept = KeepRules(**rules)  # type: ignore[arg-type] - named by each test
    return plan_retention(points, kept, now=NOW, zone=UTC, minimum_points=minimum_points)


def reasons(made: RetentionPlan) -> list[tuple[str, ...]]:
    """Return why each point stays, the newest first."""
    return [decision.reasons for decision in made.decisions]


def test_the_example_of_the_reference_page_is_true() -> None:
    """Both the table and the picture."""
    table, picture = re.findall(r"```text\n(.*?)```", REFERENCE.read_text(), re.DOTALL)
    rows = [re.split(r"  +", line) for line in table.splitlines()]

    made = plan(*(point(row[0]) for row in rows), last=1, daily=2, monthly=3)

    assert [", ".join(why) for why in reasons(made)] == ["".join(row[2:]) for row in rows]
    assert [d.is_kept for d in made.decisions] == [row[1] == "keep" for row in rows]
    assert render_calendar(made) == picture


def test_the_point_that_was_made_last_stays_whatever_its_time() -> None:
    """It is what ``latest`` names, and a clock in the past made it look old."""
    made_last = replace(point("2026-01-05"), is_latest=True)
    others = (point("2026-03-19"), point("2026-03-18"), point("2026-01-04"))
    made = plan(made_last, *others, minimum_points=1, last=1)

    assert reasons(made) == [("last",), (), ("latest",), ()]
    assert [note for note in made.notes if "made last" in note]
    assert reasons(plan(made_last, *others, last=1)) == [("last",), (), (), ()]


def test_a_point_that_was_made_last_counts_as_any_other_for_the_rules() -> None:
    """Where a rule keeps it, the rule is the reason."""
    made_last = replace(point("2026-01-05"), is_latest=True)
    made = plan(made_last, point("2026-03-19"), minimum_points=1, last=2)

    assert reasons(made) == [("last",), ("last",)]
    assert made.notes == ()


def test_periods_without_points_do_not_count() -> None:
    """Holidays do not eat the history."""
    made = plan(
        *(point(f"20{year}-01-0{day}") for year in (20, 22, 25) for day in (1, 2)), yearly=2
    )

    assert [c.taken_at.isoformat()[:10] for c in made.kept] == ["2025-01-02", "2022-01-02"]


def test_weeks_are_iso_weeks_also_across_the_new_year() -> None:
    """2024-12-30 and 2025-01-02 are both in week 1 of 2025."""
    made = plan(point("2025-01-02"), point("2024-12-30"), point("2024-12-29"), weekly=2)

    assert reasons(made) == [("weekly",), (), ("weekly",)]


def test_unlimited_keeps_every_period_and_the_oldest_point() -> None:
    """As restic's -1."""
    made = plan(point("2025-01-02 08:00"), point("2025-01-01 09:00"), point("2025-01-01"), daily=-1)

    assert parse_count("unlimited") == UNLIMITED
    assert reasons(made) == [("daily",), ("daily",), ("oldest daily",)]


def test_the_hour_that_comes_twice_is_two_hours() -> None:
    """Clocks in Warsaw went back at 01:00 UTC on 2025-10-26."""
    points = [point("2025-10-26T00:30"), point("2025-10-26T01:30"), point("2025-10-26T01:10")]
    made = plan_retention(points, KeepRules(hourly=2), now=NOW, zone=WARSAW)

    assert reasons(made) == [("hourly",), (), ("hourly",)]


def test_points_in_the_hour_that_comes_twice_are_ordered_by_real_time() -> None:
    """Two aware times of one zone would compare by their clock faces."""
    first = datetime(2025, 10, 26, 2, 50, tzinfo=WARSAW)
    second = datetime(2025, 10, 26, 2, 10, fold=1, tzinfo=WARSAW)
    points = [Candidate(b"first", "s", first), Candidate(b"second", "s", second)]
    made = plan_retention(points, KeepRules(last=1), now=NOW, zone=WARSAW)

    assert [c.point_id for c in made.kept] == [b"second"]


def test_the_day_is_the_one_of_the_zone() -> None:
    """23:30 UTC is tomorrow in Warsaw."""
    points = [point("2026-01-10T23:30"), point("2026-01-10T22:30"), point("2026-01-09T23:30")]

    local = plan_retention(points, KeepRules(daily=1), now=NOW, zone=WARSAW)
    assert reasons(local) == [("daily",), (), ()]
    local = plan_retention(points, KeepRules(daily=2), now=NOW, zone=WARSAW)
    assert reasons(local) == [("daily",), ("daily",), ()]


def test_within_is_seen_from_the_newest_point_and_excludes_its_own_edge() -> None:
    """A machine that is off for a year loses nothing by that."""
    points = [point("2025-01-08"), point("2025-01-01 00:00:01"), point("2025-01-01")]
    made = plan(*points, within=Duration.parse("7d"))

    assert reasons(made) == [("within 7d",), ("within 7d",), ()]


@pytest.mark.parametrize(
    ("text", "moment", "expected"),
    [
        ("1m", "2026-03-31T10:00+02:00", "2026-02-28T10:00+01:00"),
        ("1y", "2024-02-29T10:00+01:00", "2023-02-28T10:00+01:00"),
        ("1d", "2026-03-29T10:00+02:00", "2026-03-28T10:00+01:00"),
        ("24h", "2026-03-29T10:00+02:00", "2026-03-28T09:00+01:00"),
        ("2w", "2026-01-15T10:00+01:00", "2026-01-01T10:00+01:00"),
        ("1y6m", "2026-01-15T10:00+01:00", "2024-07-15T10:00+02:00"),
        ("999999y", "2026-01-15T10:00+01:00", "0001-01-01T00:00+00:00"),
        ("999999d", "2026-01-15T10:00+01:00", "0001-01-01T00:00+00:00"),
    ],
)
def test_durations_step_through_the_calendar(text: str, moment: str, expected: str) -> None:
    """Days keep the time of day; hours are real; the calendar has a beginning."""
    found = Duration.parse(text).before(datetime.fromisoformat(moment), WARSAW)

    assert found == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    "text", ["", "7", "d", "7x", "7d7d", "0d", "-7d", "7 d", "1.5d", "7d,", "٣d"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Nobody guesses what 7 means."""
    with pytest.raises(InvalidDurationError):
        Duration.parse(text)


@pytest.mark.parametrize("text", ["", "-1", "x", "1.0", "٣", "9" * 10])
def test_what_is_no_count_is_refused(text: str) -> None:
    """-1 is spelt out, so that a slip does not keep everything for ever."""
    with pytest.raises(InvalidKeepRuleError):
        parse_count(text)


def test_rules_that_make_no_sense_are_refused() -> None:
    """They would be read as something that nobody meant."""
    with pytest.raises(InvalidKeepRuleError, match="keep-daily"):
        KeepRules(daily=-2)
    for tags in (set(), {""}, {"a", ""}):
        with pytest.raises(InvalidKeepRuleError, match="tag"):
            KeepRules(tags=frozenset({frozenset(tags)}))
    with pytest.raises(InvalidKeepRuleError, match="minimum"):
        plan(point("2025-01-01"), last=1, minimum_points=-1)


def test_no_rule_at_all_is_refused_and_the_hint_names_gc() -> None:
    """Who wants space and not forgetting is told where to go."""
    with pytest.raises(NoKeepRuleError) as refusal:
        plan(point("2025-01-01"))

    assert "gc" in (refusal.value.hint or "")


def test_tags_of_one_set_must_all_be_there() -> None:
    """Several sets are alternatives."""
    points = [point("2025-01-03", "a", "b"), point("2025-01-02", "a"), point("2025-01-01", "c")]
    made = plan(*points, tags=frozenset({frozenset("ab"), frozenset("c")}))

    assert reasons(made) == [("tag a,b",), (), ("tag c",)]


def test_the_newest_points_stay_by_the_minimum_and_the_plan_says_so() -> None:
    """A tag rule alone would forget a whole series."""
    points = [point("2025-01-02"), point("2025-01-01"), point("2025-01-01", series="other")]
    made = plan(*points, tags=frozenset({frozenset("x")}), minimum_points=1)

    assert reasons(made) == [("minimum",), (), ("minimum",)]
    assert len(made.notes) == 2
    assert made.notes[0].startswith("host/home: 1 point ")


def test_points_from_the_future_stay_and_count_for_nothing() -> None:
    """A clock set to 2100 once does not push out every real point for good."""
    points = [point("2100-01-01"), point("2099-01-01"), point("2025-01-02"), point("2025-01-01")]
    made = plan(*points, last=1, within=Duration(hours=1), minimum_points=1)

    assert reasons(made) == [("future",), ("future",), ("last", "within 1h"), ()]
    assert "2 points from the future stay and count for nothing" in made.notes[0]
    (note,) = plan(*points[1:], last=1, minimum_points=1).notes
    assert "1 point from the future stays and counts for nothing" in note


def test_equal_times_are_decided_by_id() -> None:
    """Every engine and every run decides alike."""
    points = [Candidate(name, "s", NOW) for name in (b"b", b"c", b"a")]

    assert [c.point_id for c in plan(*points, last=2).kept] == [b"c", b"b"]


def test_impossible_candidates_are_refused() -> None:
    """A plan from nonsense would be nonsense."""
    with pytest.raises(InvalidCandidateError, match="twice"):
        plan(point("2025-01-01"), point("2025-01-01"), last=1)
    with pytest.raises(InvalidCandidateError, match="zone"):
        plan(Candidate(b"x", "s", datetime(2025, 1, 1)), last=1)  # noqa: DTZ001 - what is refused
    with pytest.raises(InvalidCandidateError, match="9999"):
        plan(Candidate(b"x", "s", datetime.max.replace(tzinfo=UTC)), last=1)


def test_a_plan_is_refused_on_another_state() -> None:
    """Plan, show, apply: what is applied is what was shown."""
    points = [point("2025-01-02"), point("2025-01-01")]
    made = plan(*points, last=1)

    made.require_current(reversed(points))
    changed = Candidate(points[0].point_id, "host/home", points[0].taken_at, frozenset({"new"}))
    for other in ([*points, point("2025-01-03")], points[:1], [changed, points[1]]):
        with pytest.raises(PlanOutdatedError):
            made.require_current(other)


def test_the_fingerprint_covers_the_question_too() -> None:
    """A plan that was shown for other rules is another plan."""
    points = [point("2025-01-02"), point("2025-01-01")]

    def fingerprint(zone: ZoneInfo, minimum_points: int, seconds: int, **rules: int) -> bytes:
        now = NOW + timedelta(seconds=seconds)
        kept = KeepRules(**rules)
        made = plan_retention(points, kept, now=now, zone=zone, minimum_points=minimum_points)
        return made.fingerprint

    found = [
        fingerprint(WARSAW, 1, 0, last=1),
        fingerprint(WARSAW, 1, 0, last=2),
        fingerprint(WARSAW, 1, 0, daily=1),
        fingerprint(WARSAW, 2, 0, last=1),
        fingerprint(WARSAW, 1, 1, last=1),
        fingerprint(ZoneInfo("UTC"), 1, 0, last=1),
    ]
    assert len(set(found)) == len(found)
    assert fingerprint(WARSAW, 1, 0, last=1) == found[0]


def test_the_picture_survives_long_and_hostile_names() -> None:
    """A series name comes from another machine: no control sequences, no broken lines."""
    made = plan(
        point("2020-01-31", series="\x1b[2J" + "日本" * 60),
        point("2024-02-29", series="\x1b[2J" + "日本" * 60),
        point("2024-02-29", series="x" * 200),
        last=1,
    )
    picture = render_calendar(made, marks=ASCII_MARKS)

    assert "\x1b" not in picture
    assert "(48 months without a point)" in picture
    assert max(map(len, picture.splitlines())) <= WIDTH


def test_an_empty_plan_has_a_picture_too() -> None:
    """Nothing there is no error."""
    assert render_calendar(plan(last=1)).count("\n") == 1
