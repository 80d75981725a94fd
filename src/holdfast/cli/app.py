"""The command ``holdfast``: finds commands in the light table and imports them when they are run.

This is the one place where modules are imported late, for the sake of a quick ``--help``; the
floors stay visible to the linter, because only modules of this room are named.
"""

from difflib import get_close_matches
from importlib import import_module

import typer
from typer.core import TyperCommand

from holdfast import __version__
from holdfast.cli._click import Command, Context, HelpFormatter
from holdfast.cli.errors import UsageError
from holdfast.cli.options import CONTEXT_SETTINGS, GlobalGroup
from holdfast.cli.table import COMMANDS, CommandEntry, entry_named

_SUMMARY = (
    "Back up folders into encrypted, deduplicated repositories that only you can open, and restore "
    "them exactly as they were."
)
_EPILOG = (
    "A restore point is named by its id, the beginning of it, or 'latest'. Everything that destroys"
    " shows its plan first. What an error code means: docs/reference/errors.md"
)


def load(entry: CommandEntry) -> Command:
    """Import the module of a command and return the command."""
    module = import_module(f"holdfast.cli.commands.{entry.module}")
    application = typer.main.get_group(module.app)
    command = application.commands[entry.attribute]
    if isinstance(command, TyperCommand):
        command.name = entry.name
    return command


class LazyGroup(GlobalGroup):
    """All commands by their names; help is written from the table alone."""

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:  # noqa: ARG002 - Click's signature
        """Return the command of this name, importing its module now."""
        entry = entry_named(cmd_name)
        return None if entry is None else load(entry)

    def list_commands(self, ctx: Context) -> list[str]:  # noqa: ARG002 - Click's signature
        """Return the names that help shows."""
        return [entry.name for entry in COMMANDS if not entry.is_hidden]

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        """Find the command that the first word names.

        Raises:
            UsageError: there is none.
        """
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None:
            near = get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f"Did you mean '{near[0]}'? " if near else ""
            raise UsageError(
                f"There is no command '{name}' in this release.",
                hint=hint + "'holdfast --help' lists the commands.",
            )
        return name, command, args[1:]

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:  # noqa: ARG002 - Click's signature
        """Write the table of commands, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for entry in COMMANDS:
            if not entry.is_hidden:
                sections.setdefault(entry.section, []).append((entry.name, entry.summary))
        width = max(len(name) for rows in sections.values() for name, _ in rows)
        for title, rows in sections.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), summary) for name, summary in rows])


def _show_version(value: bool) -> None:  # noqa: FBT001 - Typer's signature of callbacks
    if value:
        typer.echo(f"holdfast {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=LazyGroup,
    help=_SUMMARY,
    epilog=_EPILOG,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings=CONTEXT_SETTINGS,
    subcommand_metavar="COMMAND ...",
)


@app.callback()
def holdfast(
    *,
    version: bool = typer.Option(
        False,  # noqa: FBT003 - Typer takes the default as its first argument
        "--version",
        is_eager=True,
        callback=_show_version,
        help="Print the version.",
    ),
) -> None:
    """Take the options before the command; the groups above do the rest."""
    del version


def run(arguments: list[str]) -> None:
    """Run the command that *arguments* spell.

    Nothing is caught here: ``holdfast.main`` turns what comes out into sentences and exit codes.

    Raises:
        HoldfastError: the command refused or failed.
        typer.Exit: the command is over with this exit code.
        TyperException: the words do not fit the command.
    """
    group = typer.main.get_group(app)
    # Click takes words off the list that it is given.
    with group.make_context("holdfast", list(arguments)) as context:
        group.invoke(context)
