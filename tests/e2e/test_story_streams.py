"""Streams: what a program prints becomes a restore point only if the program succeeds."""

import os

import pytest

from doubles.command_line import CommandLine


def test_standard_input_becomes_one_file(ready: CommandLine) -> None:
    """Under the name that was given."""
    answer = ready("backup", "--stdin", "--name", "dump.sql", stdin=b"select 1;\n" * 1000)
    assert answer.code == 0, answer.err

    ready.done("restore", "latest", "--to", ready.folder / "x")

    assert (ready.folder / "x" / "dump.sql").read_bytes() == b"select 1;\n" * 1000


def test_a_command_that_succeeds_makes_a_point(ready: CommandLine) -> None:
    """It is run without a shell, with its own options."""
    words = ["--from-command", "--name", "words", "--", "printf", "%s-%s", "a", "b"]
    assert ready("backup", *words).code == 0

    ready.done("restore", "latest:words", "--to", ready.folder / "x")

    assert (ready.folder / "x" / "words").read_bytes() == b"a-b"


def test_a_command_that_fails_makes_none(ready: CommandLine) -> None:
    """However much it printed before."""
    answer = ready(
        "backup", "--name", "x", "--from-command", "--", "sh", "-c", "seq 1 100000; exit 7"
    )

    assert answer.code == 1
    assert "status 7" in answer.err
    assert ready.done("points", "--json").document["points"] == []


def test_a_command_that_does_not_exist_is_named(ready: CommandLine) -> None:
    """And a stream without a name is refused."""
    absent = ready("backup", "--name", "x", "--from-command", "--", "/no/such/program")

    assert absent.code == 1
    assert "H705" in absent.err
    assert ready("backup", "--stdin").code == 2


def test_a_stream_in_which_nothing_comes_makes_none(ready: CommandLine) -> None:
    """Mostly whatever feeds it has failed, and a pipe does not tell."""
    piped = ready("backup", "--stdin", "--name", "dump", stdin=b"")
    made = ready("backup", "--from-command", "--name", "dump", "--", "true")

    for answer in (piped, made):
        assert answer.code == 2, answer.err
        assert "The stream was empty" in answer.err
        assert "H702" in answer.err
    assert ready.done("points", "--json").document["points"] == []
    ready.done("backup", "--allow-empty", "--from-command", "--name", "dump", "--", "true")
    ready.done("restore", "latest", "--to", "back")
    assert (ready.folder / "back" / "dump").read_bytes() == b""


@pytest.mark.parametrize(
    "option",
    [
        ("-e", "*.tmp"),
        ("--exclude-from", "password"),
        ("--exclude-caches",),
        ("--exclude-if-present", ".nobackup"),
        ("--exclude-larger-than", "1"),
        ("--files-from", "password"),
        ("-x",),
    ],
)
def test_a_stream_refuses_what_would_leave_out_files(
    ready: CommandLine, option: tuple[str, ...]
) -> None:
    """It would be stored whole, and nobody would know."""
    refused = ready("backup", "--stdin", "--name", "dump", *option, stdin=b"dump")

    assert (refused.code, "H900" in refused.err) == (2, True)
    assert ready.done("points", "--json").document["points"] == []


def test_paths_and_patterns_come_from_standard_input_by_a_dash(ready: CommandLine) -> None:
    """As of other programs; it can be read only once."""
    source = ready.source(**{"a b": b"1", "c": b"2", "d": b"3"})
    listing = b"\0".join(os.fsencode(source / name) for name in ("a b", "c")) + b"\0"

    assert ready("backup", "--files-from", "-", stdin=listing).code == 0
    assert (
        ready("backup", source, "--exclude-from", "-", "--source", "s", stdin=b"c\nd\n").code == 0
    )
    twice = ready("backup", "--files-from", "-", "--exclude-from", "-", stdin=listing)

    for series, names in ((source / "a b", ("a b", "c")), ("s", ("a b",))):
        shown = ready.done("ls", "latest", "-R", "--source", str(series)).out.splitlines()
        assert shown == [str(source / name) for name in names]
    assert (twice.code, "only once" in twice.err) == (2, True)
