"""Errors become sentences and exit codes in one place, and no traceback reaches a person."""

import json
import signal

import pytest

from holdfast import main
from holdfast.base.errors import HoldfastError
from holdfast.storage.errors import StorageFullError
from holdfast.vault.errors import NoRepositoryError


def raising(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let whatever is run raise *error*."""

    def run(arguments: list[str]) -> None:
        del arguments
        raise error

    monkeypatch.setattr(main, "run", run)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoRepositoryError("there is none"), 10),
        (StorageFullError("full"), 1),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("oops"), 1),
        (RecursionError(), 1),
    ],
)
def test_each_error_has_its_exit_code_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
) -> None:
    """A defect too is one sentence with a hint."""
    raising(monkeypatch, error)

    assert main.execute(["points"]) == code
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert said.startswith("holdfast: error: ")


def test_a_sentence_begins_large_and_ends_with_a_full_stop(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever raised it; and nothing in it steers the terminal."""
    raising(monkeypatch, StorageFullError("no \x1b[31mspa\nce", hint="Make some."))
    main.execute([])

    assert capsys.readouterr().err.splitlines() == [
        "holdfast: error: No \\x1b[31mspa\\nce. [H210]",
        "holdfast: hint: Make some.",
    ]


def test_json_gets_an_object_on_the_last_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With everything that a program decides by."""
    raising(monkeypatch, NoRepositoryError("none", hint="make one"))
    main.execute(["points", "--json"])

    assert json.loads(capsys.readouterr().err.splitlines()[-1]) == {
        "type": "error",
        "code": "H600",
        "message": "none",
        "hint": "make one",
        "exit_code": 10,
        "retryable": False,
    }


def test_options_before_the_command_count_for_what_goes_wrong_in_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Though the command line's parser has taken them away by then."""
    main.execute(["--json", "points", "-r", "/no/such/folder"])
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["exit_code"] == 10

    main.execute(["-vv", "points", "-r", "/no/such/folder"])
    assert "Traceback" in capsys.readouterr().err


def test_what_stands_behind_two_dashes_is_not_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that is backed up may have options of the same names."""
    raising(monkeypatch, NoRepositoryError("none"))
    main.execute(["backup", "--", "dump", "--json", "-vv"])

    assert capsys.readouterr().err.startswith("holdfast: error: ")


@pytest.mark.parametrize("words", [["-vv"], ["-v", "points", "-v"], ["--verbose", "--verbose"]])
def test_a_traceback_is_shown_to_whoever_asks_for_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """Twice verbose, or HOLDFAST_DEBUG."""
    raising(monkeypatch, ZeroDivisionError("oops"))
    main.execute(words)

    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "[H999]" in said


@pytest.mark.parametrize(
    ("words", "ours"),
    [
        (["--stdin", "--stdin-filename", "x"], "is --name here"),
        (["--stdin-from-command", "--", "dump"], "is --from-command here"),
    ],
)
def test_a_word_of_restic_that_is_not_taken_over_is_answered_with_ours(
    capsys: pytest.CaptureFixture[str], words: list[str], ours: str
) -> None:
    """Which the general error about options would not."""
    assert main.execute(["backup", *words]) == 2
    assert ours in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["backup", "x"], "the next run goes on from here"),
        (["prune"], "the next run goes on from here"),
        (["verify"], "The next run begins anew"),
        (["snapshots"], "The next run begins anew"),
        (["restore", "latest", "--to", "x"], "--overwrite if-changed; where nobody"),
        (["key", "add"], "the repository is consistent. [H908]"),
    ],
)
def test_an_interruption_says_what_the_command_leaves_behind(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: str,
) -> None:
    """Only what makes or drops something goes on by itself."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("holdfast.cli.invocation.Invocation.of", interrupted)

    assert main.execute(words) == 130
    shown = capsys.readouterr().err
    assert said in shown
    assert ("goes on from here" in said) == ("goes on from here" in shown)


def test_every_error_is_a_sentence_without_its_category() -> None:
    """The base classes are never shown."""
    assert HoldfastError.code == "H000"


def test_a_terminal_that_says_twice_that_it_goes_is_in_no_hurry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The shell and the system both say it; a second Ctrl-C still ends the process at once."""
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    interruption = main._Interruption()

    with pytest.raises(KeyboardInterrupt):
        interruption._handle(signal.SIGHUP, None)
    interruption._handle(signal.SIGHUP, None)
    assert ended == []
    with pytest.raises(KeyboardInterrupt):
        interruption._handle(signal.SIGINT, None)
    assert ended == [130]
