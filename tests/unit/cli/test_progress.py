"""Progress without a terminal: seldom, plain, with rate and time left."""

import io
import json

import pytest

from doubles.clock import ManualClock
from holdfast.base.progress import Finding, Progress
from holdfast.base.sizes import MIB
from holdfast.cli.output import Output
from holdfast.cli.progress import ProgressPrinter


def printer(
    *, is_json: bool = False, verbosity: int = 0
) -> tuple[ProgressPrinter, ManualClock, Output]:
    clock = ManualClock()
    output = Output(is_json=is_json, verbosity=verbosity, out=io.StringIO(), err=io.StringIO())
    return ProgressPrinter(output, clock, is_terminal=False), clock, output


def test_a_plain_line_comes_at_most_every_ten_seconds() -> None:
    """A log file stays readable."""
    listener, clock, output = printer()
    for second in range(25):
        listener.progress(Progress("backup", bytes_done=second * MIB, bytes_total=100 * MIB))
        clock.sleep(1)

    assert isinstance(output.err, io.StringIO)
    lines = output.err.getvalue().splitlines()
    assert len(lines) == 2
    assert "1.0 MiB/s" in lines[0]
    assert "left" in lines[0]


def test_findings_are_named_and_many_are_counted() -> None:
    """From the hundredth on, unless somebody wants them all."""
    listener, _, output = printer()
    for number in range(150):
        listener.finding(Finding("H510", b"file %d\x1b" % number, "gone"))

    assert isinstance(output.err, io.StringIO)
    lines = output.err.getvalue().splitlines()
    assert len(listener.findings) == 150
    assert len(lines) == 101
    assert "\x1b" not in output.err.getvalue()


@pytest.mark.parametrize(
    ("findings", "verbosity", "is_json", "said"),
    [
        (100, 0, False, "Each is named above."),
        (101, 0, False, "The first 100 are named above; -v names all."),
        (101, 1, False, "Each is named above."),
        (101, 0, True, "Each is named above."),
    ],
)
def test_that_each_is_named_is_said_only_where_it_is_true(
    *, findings: int, verbosity: int, is_json: bool, said: str
) -> None:
    """Whoever looks for the 101st above looks in vain."""
    listener, _, output = printer(is_json=is_json, verbosity=verbosity)
    for number in range(findings):
        listener.finding(Finding("H510", b"file %d" % number, "gone"))

    assert listener.where_named == said
    assert isinstance(output.err, io.StringIO)
    assert isinstance(output.out, io.StringIO)
    shown = (output.out if is_json else output.err).getvalue()
    assert ("file 100" in shown) == (findings > 100 and said.startswith("Each"))


def test_json_tells_events_one_a_line() -> None:
    """A path that is no text keeps its bytes."""
    listener, clock, output = printer(is_json=True)
    clock.sleep(2)
    listener.progress(Progress("backup", items=1))
    listener.finding(Finding("H510", b"\xff", "gone"))

    assert isinstance(output.out, io.StringIO)
    events = [json.loads(line) for line in output.out.getvalue().splitlines()]
    assert [event["type"] for event in events] == ["progress", "finding"]
    assert events[1]["path_hex"] == "ff"
