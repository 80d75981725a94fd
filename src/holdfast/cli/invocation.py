"""One run of one command: options and environment joined, and what every command needs of them."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import typer

from holdfast.base.clock import Clock, SystemClock
from holdfast.cli.errors import (
    InterruptedByUserError,
    NoRepositoryNamedError,
    NotConfirmedError,
    UsageError,
)
from holdfast.cli.options import GlobalOptions
from holdfast.cli.output import JsonValue, Output
from holdfast.cli.progress import ProgressPrinter
from holdfast.cli.secret_sources import SecretOptions, SecretSources
from holdfast.cli.settings import Settings
from holdfast.crypto.randomness import SystemRandom
from holdfast.operations.context import Context
from holdfast.vault.local import LocalFolders


@dataclass(frozen=True)
class Invocation:
    """What a command function works with."""

    options: GlobalOptions
    settings: Settings
    output: Output
    new_secret: SecretOptions = field(default_factory=SecretOptions)

    @classmethod
    def of(cls, ctx: typer.Context, *, new_secret: SecretOptions | None = None) -> Self:
        """Join what stood on the line with the environment, and say the format's note.

        *new_secret* says where a new password or key file comes from, for commands that make one.

        Raises:
            UsageError: one secret is said to come from several places.
        """
        options = ctx.obj if isinstance(ctx.obj, GlobalOptions) else GlobalOptions()
        _refuse_several(options.password_file, options.password_command)
        if new_secret is not None:
            _refuse_several(
                new_secret.password_file, new_secret.password_command, new_secret.key_file
            )
        output = Output(is_json=options.json, is_quiet=options.quiet, verbosity=options.verbose)
        output.format_note()
        settings = Settings.from_environment()
        return cls(options, settings, output, new_secret or SecretOptions())

    @cached_property
    def clock(self) -> Clock:
        """The machine's clock."""
        return SystemClock()

    @property
    def repository(self) -> str:
        """The repository's address.

        Raises:
            NoRepositoryNamedError: nobody said which.
        """
        # An empty word on the line is a mistake, and not the repository of the environment.
        given = self.options.repo
        address = self.settings.repository if given is None else given
        if address is None:
            raise NoRepositoryNamedError(
                "No repository was named.",
                hint="Write -r FOLDER, or set HOLDFAST_REPOSITORY.",
            )
        return address

    @cached_property
    def given(self) -> tuple[SecretOptions, SecretOptions]:
        """Where the present way in may come from: the line, then the environment."""
        return (
            SecretOptions(
                password_file=self.options.password_file,
                password_command=self.options.password_command,
                key_file=self.options.key_file,
            ),
            SecretOptions(
                password_file=self.settings.password_file,
                password_command=self.settings.password_command,
                key_file=self.settings.key_file,
                password=self.settings.password,
            ),
        )

    @cached_property
    def secrets(self) -> SecretSources:
        """What answers questions for passwords."""
        return SecretSources(self.output, self.given, (self.new_secret,))

    @cached_property
    def context(self) -> Context:
        """What every use case gets."""
        return Context(
            clock=self.clock,
            random=SystemRandom(),
            folders=LocalFolders(
                config=self.settings.config_folder,
                state=self.settings.state_folder,
                cache=self.settings.cache_folder,
                warn=self.output.warn,
            ),
            host=os.uname().nodename,
            secrets=self.secrets,
            warn=self.output.warn,
            vault=self.options.vault,
        )

    def listen(self) -> ProgressPrinter:
        """Return what shows progress; use it in a ``with`` block."""
        return ProgressPrinter(
            self.output, self.clock, is_terminal=bool(sys.stderr and sys.stderr.isatty())
        )

    def would(self, command: str, text: str, fields: Mapping[str, JsonValue]) -> None:
        """Say what a command that shows no plan otherwise would do without ``--dry-run``."""
        self.output.result(text)
        self.output.event("plan", {"command": command, **fields})

    def confirm(self, question: str, *, show: Callable[[], None]) -> bool:
        """Show a plan and return whether to go on; False after ``--dry-run``.

        Raises:
            NotConfirmedError: the answer was no, or there is nobody to ask and no ``--yes``.
            InterruptedByUserError: so did whoever was asked.
        """
        show()
        if self.options.dry_run:
            self.output.say("Nothing was done (--dry-run).")
            return False
        if self.options.yes:
            return True
        if not self.secrets.can_ask or self.output.is_json:
            raise NotConfirmedError(
                "The plan was shown and nothing was done.",
                hint="Say --yes to do it, or run it on a terminal to be asked.",
            )
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        try:
            answer = sys.stdin.readline().strip().lower()
        except UnicodeDecodeError:
            answer = ""
        except KeyboardInterrupt as interruption:
            raise InterruptedByUserError.at_a_question() from interruption
        if answer not in {"y", "yes"}:
            raise NotConfirmedError("Nothing was done.")
        return True


def _refuse_several(*sources: Path | str | None) -> None:
    """Refuse a secret that is named twice: one of them would be left out without a word."""
    if sum(source is not None for source in sources) > 1:
        raise UsageError(
            "Several sources of one secret are named, and only one can count.",
            hint="Name one file or one command. A second way in is added by 'holdfast key add'.",
        )


def resolved(path: Path) -> Path:
    """Return *path* as it may be shown: absolute, links left as they are."""
    return path.absolute()
