"""The command ``holdfast`` without a process of its own: on any storage, in milliseconds."""

import io
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from doubles.command_line import Answer
from holdfast import main
from holdfast.cli import app
from holdfast.cli._click import Command, Context
from holdfast.cli.options import GlobalCommand
from holdfast.cli.settings import Settings
from holdfast.core.python import index, index_parts, segment_reader
from holdfast.operations import checks, opening
from holdfast.storage.interface import Bytes, StorageBackend
from holdfast.vault import index_cache, local, objects, opened_index, pack_looks, reading

P = ParamSpec("P")
T = TypeVar("T")


class InProcess:
    """Runs commands that read, each on a machine that has never seen a repository.

    Everything is as in a process but its start and its end: words are parsed, results printed,
    errors become sentences and exit codes; words that come again are not parsed again. One thread
    does all the work. The machine will be gone after the command: nothing is synced or renamed into
    place, and it keeps no copies of small objects, so each is read from the storage every time.
    """

    def __init__(self, folder: Path, password: str) -> None:
        """*folder* is the machine's home; it is emptied before each command."""
        self.folder = folder
        self._backend: StorageBackend | None = None
        self._words: tuple[str, ...] = ()
        self._parsed: dict[tuple[str, ...], Context] = {}
        environment = {"HOME": str(folder), "HOLDFAST_REPOSITORY": "in-memory"}
        self._settings = {
            False: Settings.from_environment(environment),
            True: Settings.from_environment({**environment, "HOLDFAST_PASSWORD": password}),
        }
        self._has_password = False
        self._replacements: tuple[tuple[Any, str, Any], ...] = (
            (Settings, "from_environment", lambda: self._settings[self._has_password]),
            (checks, "open_backend", self._opened),
            (opening, "open_backend", self._opened),
            (pack_looks, "ThreadPoolExecutor", _AtOnce),
            (reading, "ThreadPoolExecutor", _AtOnce),
            (segment_reader, "ThreadPoolExecutor", _AtOnce),
            (GlobalCommand, "invoke", self._noted),
            (main, "run", self._run),
            (index_cache.IndexCache, "_keep", _nothing),
            (objects.ObjectStore, "_kept_path", _nothing),
            *(
                (place, "replace_file", _write)
                for place in (index, index_parts, opened_index, local)
            ),
            (os, "fsync", _nothing),
        )

    def __call__(
        self, backend: StorageBackend, *words: str | Path, password: bool = False
    ) -> Answer:
        """Run ``holdfast`` with *words* on *backend*; *password* gives the right one."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._backend = backend
        self._has_password = password
        before = [(place, name, _get(place, name)) for place, name, _ in self._replacements]
        try:
            _set(self._replacements)
            with redirect_stdout(io.StringIO()) as out, redirect_stderr(io.StringIO()) as err:
                code = main.execute([str(word) for word in words])
        finally:
            _set(before)
        return Answer(code, out.getvalue(), err.getvalue())

    def _run(self, arguments: list[str]) -> None:
        """Do what ``holdfast.cli.app.run`` does; words that have come before are parsed already."""
        self._words = tuple(arguments)
        context = self._parsed.get(self._words)
        if context is None:
            app.run(arguments)
            return
        with context:
            Command.invoke(context.command, context)

    def _noted(self, context: Context) -> object:
        self._parsed[self._words] = context
        return Command.invoke(context.command, context)

    def _opened(self, *_: object, **__: object) -> StorageBackend:
        assert self._backend is not None
        return self._backend


def _get(place: Any, name: str) -> Any:  # noqa: ANN401 - a function, or what holds one in a class
    return place.__dict__[name] if name in place.__dict__ else getattr(place, name)


def _set(values: Iterable[tuple[Any, str, Any]]) -> None:
    # What mock.patch does, which takes longer than some of the commands.
    for place, name, value in values:
        setattr(place, name, value)


class _AtOnce(Executor):
    """Does what it is given at once."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def submit(self, work: Callable[P, T], /, *values: P.args, **named: P.kwargs) -> "Future[T]":
        future: Future[T] = Future()
        try:
            future.set_result(work(*values, **named))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)
        return future


def _write(path: Path, content: Bytes, **_: object) -> None:
    """Write a file of a machine that loses no power."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(content)


def _nothing(*_: object, **__: object) -> None:
    """Do nothing."""
