"""Streams: standard input, or what a command prints. The command's exit status decides."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import IO, Final, Self

from holdfast.sources.errors import (
    CommandFailedError,
    CommandNotFoundError,
    EmptySourceError,
    SourceUnreadableError,
)

_PATIENCE_SECONDS: Final = 5.0


class StdinSource:
    """The standard input of this process."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def open_pipe(self) -> int:
        """Return a descriptor to read from, which the caller closes.

        Raises:
            SourceUnreadableError: there is no standard input.
        """
        try:
            return os.dup(0)
        except OSError as error:
            raise SourceUnreadableError(
                "There is no standard input to back up.",
                hint="Write what makes the data before it: mysqldump shop | holdfast backup "
                "--stdin --name dump.sql",
            ) from error

    def stop(self) -> None:
        """Do nothing: whoever writes into this process is not ours to end."""

    def finish(self) -> None:
        """Return: what was read to its end is whole, as far as anybody can know."""


class CommandSource:
    """What a command prints; run without a shell, ended with the ``with`` block."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """*words* are the command and its arguments; without *environment* it gets our own.

        Raises:
            EmptySourceError: there is no command.
        """
        if not words:
            raise EmptySourceError(
                "No command was named.",
                hint="Write it behind two dashes: --from-command -- mysqldump shop",
            )
        self._words = list(words)
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the command and what it has started, so that nobody waits for its output."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        _signal(process, signal.SIGTERM)
        try:
            process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            _signal(process, signal.SIGKILL)
            process.wait()

    def open_pipe(self) -> int:
        """Start the command and return a descriptor of its output, which the caller closes.

        Raises:
            CommandNotFoundError: it cannot be started.
        """
        # Started by a thread: an interrupt reaches the main thread only, so that whenever it comes
        # the process is known here and is ended with the block.
        with ThreadPoolExecutor(1) as starter:
            output = starter.submit(self._start).result()
        with output:
            return os.dup(output.fileno())

    def _start(self) -> IO[bytes]:
        try:
            # In a group of its own, so that what the command starts can be ended with it.
            self._process = subprocess.Popen(  # noqa: S603 - the person's own command, without a shell
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                env=self._environment,
                process_group=0,
            )
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise CommandNotFoundError(
                f"The command '{self._words[0]}' cannot be started: {reason}.",
                hint="It is run without a shell: its first word names a program, by its path or "
                "in PATH.",
            ) from error
        if self._process.stdout is None:
            raise CommandNotFoundError(f"The command '{self._words[0]}' has no output.")
        return self._process.stdout

    def finish(self) -> None:
        """Wait for the command; call it when its output has ended, before a point is made.

        Raises:
            CommandFailedError: it ended with another status than 0.
        """
        if self._process is None:
            return
        status = self._process.wait()
        if status:
            how = f"was ended by signal {-status}" if status < 0 else f"failed with status {status}"
            raise CommandFailedError(
                f"The command '{self._words[0]}' {how}; no restore point was made.",
                hint="What it printed may be incomplete. Run it alone to see why it fails.",
            )


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
