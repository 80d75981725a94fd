"""Is everything that is shown harmless, aligned and complete?"""

import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.cli.output import (
    Output,
    columns,
    harmless,
    json_name,
    local_zone,
    printable,
    show_seconds,
    table,
)
from holdfast.policy.retention import Candidate, KeepRules, plan_retention


@pytest.fixture
def london(monkeypatch: pytest.MonkeyPatch) -> Iterator[tzinfo]:
    """The local zone of a machine in London, where clocks were an hour ahead all through 1970."""
    monkeypatch.setenv("TZ", "Europe/London")
    time.tzset()
    yield local_zone()
    monkeypatch.undo()
    time.tzset()


def test_the_local_zone_knows_summer_and_winter(london: tzinfo) -> None:
    """Days and hours of keep rules begin when they begin on the wall."""
    moments = [
        datetime(2026, 1, 5, 12, tzinfo=UTC),
        datetime(2026, 7, 5, 23, 30, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        *(datetime(2026, 10, 25, hour, 30, tzinfo=UTC) for hour in range(4)),
        *(datetime(2026, 3, 29, hour, 30, tzinfo=UTC) for hour in range(4)),
    ]
    there = ZoneInfo("Europe/London")

    for moment in moments:
        shown, right = moment.astimezone(london), moment.astimezone(there)
        assert shown.isoformat() == right.isoformat()
        assert (shown.fold, shown.tzname()) == (right.fold, right.tzname())
        assert shown.astimezone(UTC) == moment


def test_the_hour_that_comes_twice_is_two_hours_of_the_local_zone(london: tzinfo) -> None:
    """With the plan as the command line makes it."""
    points = [
        Candidate(bytes([hour]), "s", datetime(2026, 10, 25, hour, 30, tzinfo=UTC))
        for hour in (0, 1)
    ]

    now = datetime(2026, 11, 1, tzinfo=UTC)
    plan = plan_retention(points, KeepRules(hourly=5), now=now, zone=london, minimum_points=0)

    assert [decision.reasons for decision in plan.decisions] == [("hourly",), ("hourly",)]


def test_names_that_could_steer_a_terminal_come_out_as_escapes() -> None:
    """Escape sequences, line breaks, bytes that are no text, marks that turn text around."""
    assert printable(b"a\x1b[31mb") == "a\\x1b[31mb"
    assert printable(b"a\nb\tc") == "a\\nb\\tc"
    assert printable(b"caf\xe9") == "caf\\xe9"
    assert printable("\u202egnp.exe") == "\\u202egnp.exe"
    assert printable("\x9b31m") == "\\u009b31m"
    assert printable("Übung 日本") == "Übung 日本"


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_two_different_names_never_look_the_same(one: bytes, other: bytes) -> None:
    """A backslash is doubled, so an escape cannot be imitated."""
    assert (printable(one) == printable(other)) == (one == other)


@given(st.text(max_size=60))
def test_text_is_never_longer_than_its_lines(text: str) -> None:
    """Whatever is said, only line feeds stay of all control characters."""
    assert all(c == "\n" or c.isprintable() or c.isspace() for c in harmless(text))
    assert "\x1b" not in harmless(text)
    assert "\r" not in harmless(text)


def test_a_table_is_aligned_by_columns_of_the_terminal() -> None:
    """Wide characters take two."""
    text = table(("name", "size"), [("日本", "1"), ("a", "22")], right=(1,))

    assert text.splitlines() == ["name  size", "日本     1", "a       22"]
    assert columns("日本") == 4


def test_json_names_keep_every_byte() -> None:
    """Text where it is text, base 16 beside it where it is not."""
    assert json_name(b"a") == {"path": "a"}
    assert json_name(b"\xff")["path_hex"] == "ff"


def test_json_goes_to_stdout_and_talk_is_silent() -> None:
    """A program reads documents only."""
    out, err = io.StringIO(), io.StringIO()
    output = Output(is_json=True, out=out, err=err)
    output.say("hello")
    output.result("a table")
    output.format_note()
    output.document("points", {"points": []})

    assert json.loads(out.getvalue()) == {
        "schema": 1,
        "command": "points",
        "format": 0,
        "points": [],
    }
    assert err.getvalue() == ""


def test_spans_of_time_are_short() -> None:
    """Tenths only where they matter."""
    shown = [show_seconds(seconds) for seconds in (0.42, 12.3, 200, 7500)]
    assert shown == ["0.4 s", "12 s", "3 min 20 s", "2 h 5 min"]
