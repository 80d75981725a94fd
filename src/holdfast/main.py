"""The command ``holdfast``: runs the command line and turns whatever comes out into an exit code.

Errors become sentences here and nowhere else: ``holdfast: error: ... [code]``, then a hint. With
``--json`` the last line on stderr is an object with code, message and hint. No traceback reaches a
person who has not asked for it (``HOLDFAST_DEBUG``, ``-vv``).
"""

import gc
import json
import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final, TextIO

import typer
from typer.exceptions import TyperException

from holdfast.base.errors import HoldfastError
from holdfast.cli._click import NoArgsIsHelpError
from holdfast.cli.app import run
from holdfast.cli.errors import (
    DefectError,
    InterruptedByUserError,
    LocalFolderError,
    OutputError,
    UsageError,
)
from holdfast.cli.output import harmless
from holdfast.cli.settings import Settings

_INTERRUPTED: Final = 130


def main() -> None:
    """Run the command of this process's arguments and end the process."""
    # Loading what a command needs makes a hundred thousand objects and hardly any garbage: looking
    # for it each 700 objects takes a tenth of the start.
    gc.set_threshold(50_000)
    arguments = sys.argv[1:]
    _fill_closed_descriptors()
    _Interruption().install()
    code = execute(arguments)
    if _let_go_if_broken(sys.stdout) and code == 0:
        code = _report(OutputError("Standard output cannot be written."), arguments)
    _let_go_if_broken(sys.stderr)
    if code == _INTERRUPTED:
        # A thread that waits for a slow disk must not keep an interrupted process here.
        os._exit(code)
    sys.exit(code)


def execute(arguments: list[str]) -> int:
    """Run *arguments* and return the exit code; what went wrong is on stderr."""
    error: BaseException
    try:
        run(arguments)
    except typer.Exit as stop:
        return stop.exit_code
    except NoArgsIsHelpError as question:
        # `holdfast` and `holdfast key` alone ask what there is.
        print(question.format_message())  # noqa: T201 - help is the answer here
        return 0
    except KeyboardInterrupt as interruption:
        error = interruption
    except BrokenPipeError:
        # Whoever read our output has gone: `holdfast ls ... | head`.
        _let_go_if_broken(sys.stdout)
        return 1
    except Exception as problem:  # noqa: BLE001 - the one door out; a person gets a sentence, whatever happened
        error = problem
    else:
        return 0
    return _report(error, arguments)


def _report(error: BaseException, arguments: list[str]) -> int:
    """Say what went wrong and return the exit code."""
    shown = _as_ours(error)
    if _wants_trace(arguments) and not isinstance(error, TyperException):
        traceback.print_exception(error, file=sys.stderr)
    if "--json" in _before_separator(arguments):
        line = json.dumps(
            {
                "type": "error",
                "code": shown.code,
                "message": shown.message,
                "hint": shown.hint,
                "exit_code": shown.exit_code,
                "retryable": shown.retryable,
            }
        )
        _tell(line)
    else:
        _tell(_line(f"holdfast: error: {_sentence(shown.message)} [{shown.code}]"))
        if shown.hint:
            _tell(_line(f"holdfast: hint: {shown.hint}"))
    return shown.exit_code


def _as_ours(error: BaseException) -> HoldfastError:
    """Return *error* as one that has a code, a sentence and an exit code."""
    if isinstance(error, HoldfastError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return InterruptedByUserError.during(None)
    if isinstance(error, TyperException):
        return UsageError(
            error.format_message() or "This command needs more words.",
            hint="'holdfast --help' and 'holdfast COMMAND --help' show what there is.",
        )
    ours = _of_the_system(error) if isinstance(error, OSError) else None
    return ours or DefectError(
        f"Holdfast made a mistake ({type(error).__name__}); this is a defect.",
        hint="Run the same command with HOLDFAST_DEBUG=1 and report what it prints.",
    )


def _of_the_system(error: OSError) -> HoldfastError | None:
    """Return what the system's *error* means where no command has said it; None for a defect."""
    if _let_go_if_broken(sys.stdout):
        return OutputError(f"Standard output cannot be written: {error.strerror or error}")
    local = _local_folder(error)
    if local is not None:
        return local
    try:
        Path.cwd()
    except FileNotFoundError:
        return UsageError(
            "The current folder has been removed.", hint="Change into one that is there."
        )
    return None


def _local_folder(error: OSError) -> LocalFolderError | None:
    """Return what *error* means if it befell a file in one of this machine's own folders."""
    if not isinstance(error.filename, str | bytes | os.PathLike):
        return None
    path = Path(os.fsdecode(error.filename))
    settings = Settings.from_environment()
    for what, folder, variable in (
        ("writer keys", settings.config_folder, "HOLDFAST_CONFIG_DIR"),
        ("state", settings.state_folder, "HOLDFAST_STATE_DIR"),
        ("cache", settings.cache_folder, "HOLDFAST_CACHE_DIR"),
    ):
        # What is above may be what cannot be made.
        if path.is_relative_to(folder) or folder.is_relative_to(path):
            return LocalFolderError(
                f"The folder for this machine's {what}, '{folder}', cannot be used: "
                f"{error.strerror or error}",
                hint=f"Make room there or check its owner and mode, or let {variable} name "
                "another folder.",
            )
    return None


def _sentence(message: str) -> str:
    """Return *message* beginning with a capital and ending with a full stop."""
    text = message.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else text + "."


def _line(text: str) -> str:
    """Return *text* on one line: a name in it that holds a line end must not look like a line."""
    return harmless(text).replace("\n", "\\n")


def _before_separator(arguments: list[str]) -> list[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _wants_trace(arguments: list[str]) -> bool:
    words = _before_separator(arguments)
    verbose = sum(word == "--verbose" for word in words)
    verbose += sum(
        word.count("v") for word in words if word.startswith("-") and set(word[1:]) == {"v"}
    )
    return Settings.from_environment().is_debugging or verbose > 1


def _tell(line: str) -> None:
    if sys.stderr is None:
        return
    encoding = sys.stderr.encoding or "utf-8"
    with suppress(OSError):
        sys.stderr.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        sys.stderr.flush()


def _fill_closed_descriptors() -> None:
    """Give 0, 1 and 2 to the null device where they are closed.

    The next file that is opened would get the number otherwise, and what a child process says
    would end up in it. They are opened the wrong way round, so that a use of 0 and 1 still fails.
    """
    for descriptor, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, flags), True)  # noqa: FBT003 - takes no keyword


def _let_go_if_broken(stream: TextIO | None) -> bool:
    """Tell whether *stream* does not take what is left in it, and see that nobody tries again.

    The interpreter flushes at its end, and would end with a code of its own.
    """
    if stream is None:
        return False
    try:
        stream.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        return True
    except ValueError:  # closed in this process
        return False
    return False


class _Interruption:
    """The first Ctrl-C ends the work in order, the second one the process at once.

    A terminal that is closed says so once or twice, as the shell is, and is never in that hurry.
    """

    def __init__(self) -> None:
        self._count = 0

    def install(self) -> None:
        """Handle Ctrl-C, and SIGTERM and the end of the terminal like it."""
        signal.signal(signal.SIGINT, self._handle)
        signal.signal(signal.SIGTERM, self._handle)
        # `nohup` has it ignored: the work is to outlive the terminal.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGHUP and self._count:
            return
        self._count += 1
        if self._count > 1:
            os._exit(_INTERRUPTED)
        raise KeyboardInterrupt
