"""Global options stand before or after the command."""

import pytest
import typer

from holdfast.cli.options import GlobalCommand, GlobalGroup, GlobalOptions, family


def parsed(*words: str) -> GlobalOptions:
    """Return what a command with a sub-command of its own hears."""
    heard: list[GlobalOptions] = []
    app = family("Anything.")
    inner = family("Inner.")
    app.add_typer(inner, name="inner", cls=GlobalGroup)

    @inner.command("act", cls=GlobalCommand)
    def act(ctx: typer.Context) -> None:
        """Act."""
        heard.append(ctx.obj)

    @app.command("other", cls=GlobalCommand)
    def other(ctx: typer.Context) -> None:
        """Act too."""
        heard.append(ctx.obj)

    group = typer.main.get_group(app)
    with group.make_context("any", list(words)) as context:
        group.invoke(context)
    return heard[0]


@pytest.mark.parametrize(
    "words",
    [
        ("-r", "/a", "--json", "inner", "act"),
        ("inner", "-r", "/a", "--json", "act"),
        ("inner", "act", "-r", "/a", "--json"),
        ("--json", "inner", "act", "--repo", "/a"),
    ],
)
def test_the_place_of_an_option_does_not_matter(words: tuple[str, ...]) -> None:
    """Habits differ."""
    options = parsed(*words)

    assert options.repo == "/a"
    assert options.json


def test_what_stands_later_wins() -> None:
    """As in a shell script that appends."""
    assert parsed("-r", "/a", "other", "-r", "/b").repo == "/b"


def test_being_verbose_adds_up() -> None:
    """``-v other -v`` is ``-vv``."""
    assert parsed("-v", "other", "-v").verbose == 2
    assert parsed("other", "-vv").verbose == 2
    assert parsed("other").verbose == 0
