"""Does help show what there is, and only that?"""

import io
from contextlib import redirect_stdout

import pytest

from holdfast.cli.app import load, run
from holdfast.cli.table import COMMANDS, CommandEntry
from holdfast.main import execute


def said(*words: str) -> str:
    """Return what a command prints on stdout."""
    out = io.StringIO()
    with redirect_stdout(out):
        execute(list(words))
    return out.getvalue()


@pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)
def test_every_command_of_the_table_can_be_loaded(entry: CommandEntry) -> None:
    """The light table and the modules agree."""
    command = load(entry)

    assert command.help
    assert said(entry.name, "--help").startswith(f"Usage: holdfast {entry.name}")


def test_help_shows_every_command_but_the_aliases() -> None:
    """People of other programs can type theirs; nobody is taught them here."""
    text = said("--help")

    shown = {line.split()[0] for line in text.splitlines() if line.startswith("  ")}
    assert {entry.name for entry in COMMANDS if not entry.is_hidden} <= shown
    assert not {entry.name for entry in COMMANDS if entry.is_hidden} & shown


@pytest.mark.parametrize("words", [(), ("points",), ("backup",), ("restore",), ("key", "list")])
def test_everyday_help_speaks_of_repository_and_restore_point_only(words: tuple[str, ...]) -> None:
    """Vaults and epochs are for --help-all."""
    assert "--vault" not in said(*words, "--help")
    assert "epoch" not in said(*words, "--help").lower()
    assert "--vault" in said(*words, "--help-all")


@pytest.mark.parametrize("words", [("mount",), ("copy",), ("export",), ("run",), ("escrow",)])
def test_what_is_not_built_yet_does_not_exist(words: tuple[str, ...]) -> None:
    """A stub would be a promise."""
    assert words[0] not in {entry.name for entry in COMMANDS}
    assert execute(list(words)) == 2


def test_no_words_at_all_show_help() -> None:
    """``holdfast`` alone is a question."""
    assert said().startswith("Usage: holdfast")
    assert said("key").startswith("Usage: holdfast key")


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """One word and a number."""
    assert execute(["--version"]) == 0
    assert capsys.readouterr().out.startswith("holdfast 0.")


def test_run_leaves_errors_to_main() -> None:
    """There is one place that turns errors into sentences."""
    with pytest.raises(Exception, match="no command"):
        run(["no-such-command"])
