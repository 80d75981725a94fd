"""Options that stand before or after any command, and the kinds of command that take them."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Final

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.models import TyperPath

from holdfast.cli._click import Context
from holdfast.cli.errors import InterruptedByUserError, UsageError

ADVANCED: Final = "advanced"
"""Help panel of options that only ``--help-all`` shows; they are declared hidden."""

CONTEXT_SETTINGS: Final = {"help_option_names": ["-h", "--help"]}


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """What stood before and after the command; None and False where nothing was said."""

    repo: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: int = 0
    dry_run: bool = False
    yes: bool = False
    password_file: Path | None = None
    password_command: str | None = field(default=None, repr=False)
    key_file: Path | None = None
    vault: str | None = None

    def joined(self, later: "GlobalOptions") -> "GlobalOptions":
        """Return both together; what stands later on the line wins."""
        said = {
            item.name: getattr(later, item.name)
            for item in fields(later)
            if getattr(later, item.name)
        }
        # An empty address or command was said too: it is refused, and not taken for silence.
        if later.repo is not None:
            said["repo"] = later.repo
        if later.password_command is not None:
            said["password_command"] = later.password_command
        if self.verbose and later.verbose:
            said["verbose"] = self.verbose + later.verbose
        return replace(self, **said)


def _declaration(
    *,
    repo: Annotated[
        str | None,
        typer.Option("-r", "--repo", metavar="URL", help="The repository: a folder."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Say only what matters.")] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "-v", "--verbose", count=True, show_default=False, help="Say more; twice: much more."
        ),
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("-n", "--dry-run", help="Show what would be done and stop.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", metavar="FILE", help="Take the password from FILE."),
    ] = None,
    password_command: Annotated[
        str | None,
        typer.Option(
            "--password-command", metavar="CMD", help="Take the password from what CMD prints."
        ),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option("--key-file", metavar="FILE", help="Open the repository with a key file."),
    ] = None,
    vault: Annotated[
        str | None,
        typer.Option(
            "--vault",
            metavar="ID",
            help="Look only into this vault of the repository.",
            hidden=True,
            rich_help_panel=ADVANCED,
        ),
    ] = None,
) -> None:
    """Declare the options once; Typer turns the signature into parameters."""


def _show_all(ctx: typer.Context, value: bool) -> None:  # noqa: FBT001 - Typer's signature of callbacks
    """Print help with the advanced options too, and stop."""
    if not value:
        return
    for option in ctx.command.params:
        if isinstance(option, TyperOption) and option.rich_help_panel == ADVANCED:
            option.hidden = False
    typer.echo(ctx.get_help())
    raise typer.Exit


def _help_all(
    *,
    help_all: Annotated[
        bool,
        typer.Option(
            "--help-all",
            is_eager=True,
            callback=_show_all,
            help="Show all options, with those that few people need.",
        ),
    ] = False,
) -> None:
    """Declare ``--help-all``."""


def _parameters(declaration: object) -> list[TyperOption]:
    """Return fresh parameters from the signature of *declaration*."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(declaration)  # type: ignore[type-var]
    return [p for p in typer.main.get_command(app).params if isinstance(p, TyperOption)]


_NAMES: Final = tuple(item.name for item in fields(GlobalOptions))


_PATHS: Final = ("password_file", "key_file")


def _refuse_empty(ctx: Context) -> None:
    """Refuse options that take a file, a folder or an id and got an empty word.

    An empty path would mean the current folder, which is not what a script means whose variable is
    not set.

    Raises:
        UsageError: there is one.
    """
    for option in ctx.command.params:
        if not isinstance(option, TyperOption):
            continue
        value = ctx.params.get(option.name or "")
        is_empty = value == "" or (isinstance(value, list | tuple) and "" in value)
        if is_empty and (isinstance(option.type, TyperPath) or option.name == "vault"):
            raise UsageError(
                f"What {option.opts[-1]} names is empty.",
                hint="Is a variable of a script not set? The current folder is written as a dot.",
            )


def _absorb(ctx: Context) -> None:
    """Move the global options from the parsed parameters into the context's object."""
    _refuse_empty(ctx)
    values = {name: ctx.params.pop(name) for name in _NAMES}
    # Typer makes paths of text only for the parameters that a command itself receives.
    paths = {name: Path(values[name]) for name in _PATHS if values[name] is not None}
    said = GlobalOptions(**{**values, **paths})
    ctx.params.pop("help_all", None)
    before = ctx.obj if isinstance(ctx.obj, GlobalOptions) else GlobalOptions()
    ctx.obj = before.joined(said)


def add_global_options(command: TyperCommand | TyperGroup) -> None:
    """Let *command* take the options of this module after its own."""
    command.params += _parameters(_declaration) + _parameters(_help_all)


class GlobalCommand(TyperCommand):
    """A command that takes the global options after its name."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        add_global_options(self)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse, then set the global options aside."""
        rest = super().parse_args(ctx, args)
        _absorb(ctx)
        return rest

    def invoke(self, ctx: Context) -> object:
        """Run the command; whoever interrupts it is told what that leaves behind."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interruption:
            raise InterruptedByUserError.during(self.name) from interruption


class GlobalGroup(TyperGroup):
    """A group of commands that takes the global options before the command's name."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        add_global_options(self)

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Parse, then set the global options aside."""
        rest = super().parse_args(ctx, args)
        _absorb(ctx)
        return rest


def family(summary: str) -> typer.Typer:
    """Return an empty Typer application whose commands take the global options."""
    return typer.Typer(
        cls=GlobalGroup,
        help=summary,
        add_completion=False,
        rich_markup_mode=None,
        no_args_is_help=True,
        context_settings=CONTEXT_SETTINGS,
    )
