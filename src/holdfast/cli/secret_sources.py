"""Where passwords and key files come from: options, the environment, a prompt. Never an argument.

The order is that of the command line: what is said there comes first, then the environment, then
the question on the terminal. Nothing here ever prints, logs or repeats a secret.
"""

import getpass
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from holdfast.base.secrets import Secret
from holdfast.cli.errors import (
    InterruptedByUserError,
    NoSecretError,
    PasswordCommandError,
    PasswordLinesError,
    PasswordMismatchError,
    SecretFileError,
    SecretFileWritableError,
)
from holdfast.cli.output import Output, printable
from holdfast.crypto.errors import PasswordError
from holdfast.keys.unlockers import KeyFileUnlocker, PasswordUnlocker, Unlocker

_ATTEMPTS: Final = 3
_LIMIT_BYTES: Final = 1024 * 1024
_DASH: Final = Path("-")
_FILE_HINT: Final = "Make it yours alone: chmod 600 FILE."


@dataclass(frozen=True, slots=True)
class SecretOptions:
    """Where one secret may come from."""

    password_file: Path | None = None
    password_command: str | None = field(default=None, repr=False)
    key_file: Path | None = None
    password: Secret | None = None

    def __bool__(self) -> bool:
        """Tell whether any source is named."""
        # An empty word names one too: it is refused, and never taken for silence.
        sources = (self.password_file, self.password_command, self.key_file, self.password)
        return any(source is not None for source in sources)


class SecretSources:
    """Answers the questions of the operations for ways in."""

    def __init__(
        self, output: Output, given: Sequence[SecretOptions], new: Sequence[SecretOptions] = ()
    ) -> None:
        """*given* and *new* are tried in order; the first that names a source counts."""
        self._output = output
        self._given = next((options for options in given if options), SecretOptions())
        self._typed: Unlocker | None = None
        self._new = next((options for options in new if options), SecretOptions())

    @property
    def is_given(self) -> bool:
        """Whether a way in is named by options or the environment."""
        return bool(self._given)

    @property
    def can_ask(self) -> bool:
        """Whether there is a terminal with a person at it."""
        return bool(sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty())

    def given(self) -> Sequence[Unlocker]:
        """Return what options or the environment name, for a new vault; empty if that is nothing.

        Raises:
            PasswordLinesError: a password file has several lines.
        """
        return self._from(self._given, is_new=True) if self.is_given else ()

    def attempts(
        self, hints: Sequence[str], *, may_skip: bool = False
    ) -> Iterator[Sequence[Unlocker]]:
        """Yield unlockers to try, once where they are given, three times where they are typed.

        With *may_skip* typing nothing ends it.

        Raises:
            NoSecretError: nothing is given and nobody can be asked.
        """
        if self.is_given:
            yield self._from(self._given)
            return
        if not self.can_ask:
            raise NoSecretError(
                "A password is needed, none was given, and there is no terminal to ask on.",
                hint="Use --password-file or --password-command, or HOLDFAST_PASSWORD_FILE.",
            )
        if self._typed is not None:
            # A plan and its application are one question to a person.
            yield (self._typed,)
            self._typed = None
        shown = f" (hint: {'; '.join(printable(hint) for hint in hints)})" if any(hints) else ""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._output.warn("that password opens nothing here; try again")
            ending = ", or nothing to see only the outside" if may_skip else ""
            typed = _typed(f"Password{shown}{ending}: ")
            if may_skip and not typed:
                return
            # Whoever asked comes back for another one only if this one opened nothing.
            self._typed = PasswordUnlocker(typed)
            yield (self._typed,)
            self._typed = None

    def new_unlocker(self, what: str) -> Unlocker:
        """Return a new way in, asked for twice where it is typed.

        Raises:
            NoSecretError, PasswordMismatchError: there is none, or it was not the same twice.
            PasswordLinesError: a password file has several lines.
        """
        if self._new:
            return self._from(self._new, is_new=True)[0]
        if not self.can_ask:
            raise NoSecretError(
                f"The {what} is needed, none was given, and there is no terminal to ask on.",
                hint="Name a file that holds it: with --password-file FILE for 'init', and with "
                "--new-password-file FILE for 'key'.",
            )
        first = _typed(f"{what.capitalize()}: ")
        unlocker = PasswordUnlocker(first)
        if _typed(f"{what.capitalize()}, once more: ") != first:
            raise PasswordMismatchError(
                "The two passwords differ; nothing was changed.",
                hint="Run the command again and type the same password twice.",
            )
        return unlocker

    def _from(self, options: SecretOptions, *, is_new: bool = False) -> Sequence[Unlocker]:
        def password(data: bytes) -> Unlocker:
            unlocker = PasswordUnlocker.from_file_bytes(data)
            if is_new and set(b"\r\n") & set(unlocker.secret_input()):
                raise PasswordLinesError(
                    "The new password would have several lines, which nobody can type.",
                    hint="Leave one line in the file; use a key file for anything longer.",
                )
            return unlocker

        found: list[Unlocker] = []
        if options.password_file is not None:
            content = self._read(options.password_file, "password file")
            if len(content) > _LIMIT_BYTES:
                raise SecretFileError(
                    f"The password file '{printable(str(options.password_file))}' has more than "
                    "1 MiB, so it holds no password.",
                    hint="Name the file whose only line is the password; a file of arbitrary bytes "
                    "goes with --key-file.",
                )
            found.append(password(content))
        elif options.password_command is not None:
            found.append(password(_printed_by(options.password_command)))
        elif options.password is not None:
            found.append(password(options.password.reveal()))
        if options.key_file is not None:
            found.append(KeyFileUnlocker(self._read(options.key_file, "key file")))
        return found

    def _read(self, path: Path, what: str) -> bytes:
        """Read a file that must be safe from others, as ssh treats its keys."""
        shown = printable(str(path))
        if path == _DASH:
            raise SecretFileError(
                f"'-' is no {what}.",
                hint="Name /dev/stdin to take it from there; a password may also be what the "
                "program of HOLDFAST_PASSWORD_COMMAND prints.",
            )
        try:
            with path.open("rb") as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    # A pipe, as of `<(command)` in a shell: nobody else can change it.
                    return file.read(_LIMIT_BYTES + 1)
                if status.st_uid not in {0, os.geteuid()} or status.st_mode & 0o022:
                    raise SecretFileWritableError(
                        f"The {what} '{shown}' can be changed by others, so it is not used.",
                        hint=_FILE_HINT,
                    )
                if status.st_mode & 0o044:
                    self._output.warn(f"the {what} '{shown}' can be read by others; {_FILE_HINT}")
                return file.read(_LIMIT_BYTES + 1)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise SecretFileError(
                f"The {what} '{shown}' cannot be read: {reason}.", hint=_way_to(error, what)
            ) from error


def _way_to(error: OSError, what: str) -> str:
    """Return what to do about *error*, which befell a file that was named."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return f"Is the name of the {what} spelled right, and is its disk mounted?"
    if isinstance(error, IsADirectoryError):
        return f"Name the {what} itself, not the folder that holds it."
    return f"Run Holdfast as a user who may read it, or name another {what}."


def _typed(prompt: str) -> str:
    """Return what is typed, which is not shown.

    Raises:
        NoSecretError: the input ended instead.
        InterruptedByUserError: so did whoever was asked.
        PasswordError: it is no text in the terminal's encoding.
    """
    try:
        return getpass.getpass(prompt)
    except EOFError:
        raise NoSecretError(
            "A password is needed, and none was typed.",
            hint="Where nobody types, use --password-file or --password-command.",
        ) from None
    except KeyboardInterrupt as interruption:
        raise InterruptedByUserError.at_a_question() from interruption
    except UnicodeDecodeError:
        # The error would repeat what was typed.
        raise PasswordError(
            "what was typed is no text",
            hint="Does the terminal send the encoding that LANG or LC_ALL names?",
        ) from None


def _printed_by(command: str) -> bytes:
    """Run *command* without a shell and return what it prints."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words:
        raise PasswordCommandError(
            "The password command is empty or its quotes do not match.",
            hint="Write the program and its arguments in one word: --password-command 'pass show "
            "backup'.",
        )
    name = printable(words[0])
    try:
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:  # noqa: S603 - the person's own command, split without a shell
            printed = _bounded(process)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PasswordCommandError(
            f"The password command '{name}' cannot be run: {reason}.",
            hint="It is run without a shell: its first word names a program, by its path or in "
            "PATH.",
        ) from error
    if len(printed) > _LIMIT_BYTES:
        raise PasswordCommandError(
            f"The password command '{name}' prints more than 1 MiB, so it prints no password.",
            hint="Name a command that prints the password and nothing else.",
        )
    if process.returncode != 0:
        raise PasswordCommandError(
            f"The password command '{name}' failed with status {process.returncode}.",
            hint="It is run without a shell; put a pipeline into a script.",
        )
    return printed


def _bounded(process: subprocess.Popen[bytes]) -> bytes:
    """Return what *process* prints; one that prints more than a password has is ended."""
    if process.stdout is None:
        raise AssertionError("a process without a pipe")
    try:
        printed = process.stdout.read(_LIMIT_BYTES + 1)
        if len(printed) > _LIMIT_BYTES:
            process.kill()
        process.wait()
    except BaseException:
        # An interruption must not wait for a command that never ends.
        process.kill()
        raise
    return printed
