"""Standard output or error closed or full: a coded sentence, or nothing lost but remarks."""

import subprocess

import pytest

from doubles.command_line import PASSWORD, CommandLine


def shell(holdfast: CommandLine, words: str, redirection: str) -> subprocess.CompletedProcess[str]:
    """Run ``holdfast`` with *words* from a shell that redirects it."""
    return subprocess.run(
        ["sh", "-c", f'"$@" {words} {redirection}', "sh", *holdfast.command()],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=holdfast.folder,
        env={**holdfast.environment, "HOLDFAST_PASSWORD": PASSWORD},
        timeout=60,
    )


@pytest.mark.parametrize("words", ["points", "points --json", "ls latest"])
@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
def test_a_stdout_that_takes_nothing_is_h909(
    filled: CommandLine, words: str, redirection: str
) -> None:
    """No traceback, no defect, exit code 1."""
    answer = shell(filled, words, redirection)

    assert answer.returncode == 1
    assert "H909" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "Exception ignored" not in answer.stderr


def test_work_whose_result_cannot_be_printed_is_said_to_be_done(holdfast: CommandLine) -> None:
    """Nobody has to wonder whether to do it again."""
    for words, done in (
        ("init", "The repository is made, but standard output cannot be written"),
        (f"backup {holdfast.source()}", "The restore point was made, but standard output"),
        ("restore latest --to new", "The restore ran to its end, but standard output"),
    ):
        answer = shell(holdfast, words, ">/dev/full")
        assert answer.returncode == 1
        assert done in answer.stderr
        assert "H909" in answer.stderr
    assert len(holdfast.done("points", "--json").document["points"]) == 1
    assert list((holdfast.folder / "new").iterdir())


def test_help_on_a_full_stdout_is_h909(holdfast: CommandLine) -> None:
    """Help and version are printed by others than results."""
    for words in ("--help", "--version", "points --help", ""):
        answer = shell(holdfast, words, ">/dev/full")
        assert (answer.returncode, "H909" in answer.stderr) == (1, True), words


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "2>&- </dev/null"])
def test_a_stderr_that_takes_nothing_stops_no_backup(ready: CommandLine, redirection: str) -> None:
    """Remarks are lost, the point is not."""
    source = ready.source()

    answer = shell(ready, f"backup {source}", redirection)

    assert answer.returncode == 0
    assert len(ready.done("points", "--json").document["points"]) == 1
    ready.done("verify")


def test_an_error_on_a_closed_stderr_keeps_its_exit_code(ready: CommandLine) -> None:
    """Scripts go by the code."""
    assert shell(ready, "ls abcdef12", "2>&-").returncode == 2
    assert shell(ready, "ls abcdef12", "2>/dev/full").returncode == 2


def test_a_closed_stdin_is_no_empty_stream(ready: CommandLine) -> None:
    """A point of nothing would look like a backup."""
    answer = shell(ready, "backup --stdin --name x", "<&-")

    assert answer.returncode == 1
    assert ready.done("points", "--json").document["points"] == []
