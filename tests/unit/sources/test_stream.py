"""Commands whose output is backed up."""

import os

import pytest

from holdfast.sources.errors import CommandFailedError, CommandNotFoundError, EmptySourceError
from holdfast.sources.stream import CommandSource


def output_of(source: CommandSource) -> bytes:
    pipe = source.open_pipe()
    with os.fdopen(pipe, "rb") as file:
        return file.read()


def test_what_a_command_prints_is_read_and_success_is_said() -> None:
    """Its words are taken as they are."""
    with CommandSource(["printf", "%s", "$HOME *"]) as source:
        assert output_of(source) == b"$HOME *"
        source.finish()


@pytest.mark.parametrize(
    ("words", "said"),
    [(["sh", "-c", "exit 7"], "status 7"), (["sh", "-c", "kill -9 $$"], "signal 9")],
)
def test_a_failure_is_said_at_the_end(words: list[str], said: str) -> None:
    """Whatever was printed before."""
    with CommandSource(words) as source:
        output_of(source)
        with pytest.raises(CommandFailedError, match=said):
            source.finish()


def test_a_command_that_is_left_is_ended() -> None:
    """An interrupted backup leaves no program behind."""
    with CommandSource(["sleep", "60"]) as source:
        os.close(source.open_pipe())
        process = source._process

    assert process is not None
    assert process.returncode is not None


def test_no_command_and_an_absent_one_are_refused() -> None:
    """Before anything is stored."""
    with pytest.raises(EmptySourceError):
        CommandSource([])
    with pytest.raises(CommandNotFoundError):
        CommandSource(["/no/such/program"]).open_pipe()
