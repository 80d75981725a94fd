"""Make a restore point: of files and folders, of standard input, or of what a command prints."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from holdfast import __version__
from holdfast.base.errors import IntegrityError
from holdfast.base.places import place_below
from holdfast.base.progress import Listener
from holdfast.core import Bytes, Event, Run, ScanRules, Writer, Written
from holdfast.core.named_paths import NamedPaths, outermost
from holdfast.format.point import LEFT_OUT_COUNT, LeftOut, PointKind
from holdfast.operations.context import Context
from holdfast.operations.engine import limits, this_engine
from holdfast.operations.opening import local_writer, opened, unlocked
from holdfast.operations.pace import paced
from holdfast.operations.writers import add_writer
from holdfast.sources.errors import (
    CommandFailedError,
    EmptySourceError,
    ExclusionError,
    SourceInRepositoryError,
    SourceUnreadableError,
)
from holdfast.sources.files import (
    FileSource,
    check_patterns,
    read_paths_file,
    read_patterns_file,
)
from holdfast.sources.stream import CommandSource, StdinSource
from holdfast.storage.address import parse_address
from holdfast.vault.errors import WriterKeyFileError
from holdfast.vault.local import WriterKey
from holdfast.vault.sessions import BackupResult, BackupSession, SourceDescription, StartRun
from holdfast.vault.states import ClosedVault, WritableVault

_SLASH: Final = ord("/")
_PROGRAM: Final = f"holdfast {__version__}"


@dataclass(frozen=True, slots=True)
class BackupRequest:
    """What to back up, and how.

    Attributes:
        paths: files and folders; empty for a stream.
        source: the name of the source; without one the first path is it.
        host: the machine that the series belongs to; this one if None.
        stream_name: the name of the only file of a stream.
        command: what prints the stream; standard input if empty.
        environment: of that command; this process's own if None.
        exclude: patterns, in the dialect of gitignore.
        taken_at: the time that the point stands for; now if None.
    """

    address: str
    paths: tuple[bytes, ...] = ()
    files_from: tuple[Path, ...] = ()
    source: str | None = None
    host: str | None = None
    stream_name: str | None = None
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = field(default=None, repr=False)
    exclude: tuple[bytes, ...] = ()
    exclude_from: tuple[Path, ...] = ()
    exclude_caches: bool = False
    exclude_if_present: tuple[bytes, ...] = ()
    exclude_larger_bytes: int | None = None
    one_file_system: bool = False
    tags: tuple[str, ...] = ()
    taken_at: datetime | None = None
    reread: bool = False
    allow_empty: bool = False
    bytes_per_second: int | None = None


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A restore point that was made.

    Attributes:
        findings: how many parts of the source could not be read.
        is_new_writer: this machine was made a writer first.
    """

    point_id: str
    series: str
    counter: int
    files: int
    folders: int
    others: int
    source_bytes: int
    new_chunks: int
    new_raw_bytes: int
    new_stored_bytes: int
    findings: int
    is_new_writer: bool


@dataclass(frozen=True, slots=True)
class BackupPlan:
    """What a backup would read; made without the repository."""

    series: str
    root: bytes
    selection: tuple[bytes, ...]
    patterns: int


def plan(request: BackupRequest, context: Context) -> BackupPlan:
    """Say what would be read.

    Raises:
        SourceError, RequestError: the source is not there, or holds nothing.
    """
    if request.stream_name is not None:
        described = _describe_stream(request, request.stream_name, context)
        return BackupPlan(described.series, described.root, (), 0)
    source, _, patterns = _file_source(request, context)
    described = _describe_files(request, source, patterns, context)
    return BackupPlan(described.series, source.root, source.selection, len(patterns))


def run(request: BackupRequest, context: Context, listener: Listener) -> BackedUp:
    """Back up, with this machine's own key; a password is needed only where there is no such key.

    Raises:
        SourceError: the source is not there, or a command failed. No point was made.
        WriterKeyFileError: this machine has no key, and no password was given to make one.
        BusyError: the same source is backed up right now.
        HoldfastError: no point was made; earlier ones are as they were.
    """
    with ExitStack() as stack:
        start: StartRun
        if request.stream_name is not None:
            stream = _stream(request)
            stack.enter_context(stream)
            description = _describe_stream(request, request.stream_name, context)
            start = _StreamStart(
                stream,
                os.fsencode(request.stream_name),
                stack,
                allow_empty=request.allow_empty,
            )
        else:
            source, rules, patterns = _file_source(request, context)
            root = source.open_root()
            stack.callback(os.close, root)
            start = _FilesStart(root, rules, source, allow_empty=request.allow_empty)
            description = _describe_files(request, source, patterns, context)
        if request.bytes_per_second is not None:
            start = paced(start, request.bytes_per_second, context.clock)
        closed = stack.enter_context(opened(request.address, context))
        vault, is_new = _writable(closed, context)
        session = BackupSession(
            vault,
            this_engine(),
            description,
            limits=limits(),
            listener=listener,
        )
        return _result(session.run(start), description, is_new_writer=is_new)


# --- what is read -------------------------------------------------------------------------------


def _file_source(
    request: BackupRequest, context: Context
) -> tuple[FileSource, ScanRules, list[bytes]]:
    """Return what is read, by which rules, and as which patterns the restore point says them."""
    paths = list(request.paths)
    for listing in request.files_from:
        paths += read_paths_file(listing)
    asked = FileSource.named(paths, allow_empty=request.allow_empty)
    source = _outside_repository(request.address, asked)
    is_repository_named = source is not asked
    patterns = list(request.exclude)
    for listing in request.exclude_from:
        patterns += read_patterns_file(listing)
    for remark in check_patterns(patterns, source):
        context.warn(remark)
    _warn_of_empty(source, context)
    # What the program itself writes would be new in each backup.
    own_files = [os.path.realpath(os.fsencode(folder)) for folder in context.folders.only_own()]
    own_files = [folder for folder in own_files if not _is_named(folder, source)]
    rules = _rules(request, source, patterns)
    if rules == ScanRules(selection=source.selection, reread=request.reread):
        # What lies below another path is taken with it: without rules nothing is seen from it.
        source = replace(source, selection=outermost(source.selection))
        rules = replace(rules, selection=source.selection)
    never = []
    own = _below(_repository(request.address), source)
    if own is not None:
        never.append(own)
    if own is not None or is_repository_named:
        context.warn("the repository itself lies in the source; it is left out")
    never += [place for folder in own_files if (place := _below(folder, source)) is not None]
    # A pattern cannot say where it is seen from: elsewhere it only keeps more in a restore.
    named = NamedPaths(source.selection)
    seen = [named.seen(path) or path for path in never]
    patterns += [b"/" + re.sub(rb"([\\*?\[ ])", rb"\\\1", path) for path in seen]
    return source, replace(rules, never=tuple(never)), patterns


def _warn_of_empty(source: FileSource, context: Context) -> None:
    """Name folders that are empty beside others: of one alone that is refused."""
    for one in source.selection:
        path = os.path.join(source.root, one)  # noqa: PTH118 - paths are bytes here
        with suppress(OSError), os.scandir(path) as entries:
            if next(entries, None) is None:
                shown = path.decode("utf-8", "backslashreplace")
                context.warn(f"'{shown}' is empty; is its disk mounted?")


def _repository(address: str) -> bytes:
    return os.path.realpath(os.fsencode(parse_address(address).path))


def _outside_repository(address: str, source: FileSource) -> FileSource:
    """Return the source without what was named of the repository.

    Each backup would store what the one before has stored, sealed anew.

    Raises:
        SourceInRepositoryError: nothing else was named.
    """
    repository, above = _repository(address), source.root.rstrip(b"/") + b"/"
    named = source.selection or (b"",)
    kept = tuple(one for one in named if place_below(repository, above + one) is None)
    if not kept:
        raise SourceInRepositoryError(
            f"'{source.name}' is the repository itself, or lies in it, so there is nothing to back "
            "up.",
            hint="Name what is to be protected. A second copy of a repository is made with the "
            "tools for files, while nothing is written to it.",
        )
    return source if kept == named else replace(source, selection=kept)


def _is_named(path: bytes, source: FileSource) -> bool:
    """Tell whether somebody asked for *path* itself or for something in it."""
    above = source.root.rstrip(b"/") + b"/"
    return any((above + one + b"/").startswith(path + b"/") for one in source.selection)


def _below(path: bytes, source: FileSource) -> bytes | None:
    """Return where the folder at *path* lies below the root, if it lies in what was named."""
    inside = place_below(source.root, path)
    if not inside:
        return None
    named = NamedPaths(source.selection)
    is_read = not source.selection or (named.above(inside) is not None and named.seen(inside))
    return inside if is_read else None


def _rules(request: BackupRequest, source: FileSource, patterns: Sequence[bytes]) -> ScanRules:
    return ScanRules(
        exclude=tuple(patterns),
        exclude_caches=request.exclude_caches,
        exclude_if_present=request.exclude_if_present,
        exclude_larger_bytes=request.exclude_larger_bytes,
        one_file_system=request.one_file_system,
        selection=source.selection,
        reread=request.reread,
    )


def _left_out(request: BackupRequest, patterns: Sequence[bytes]) -> LeftOut:
    """Return the rules as the restore point says them.

    Raises:
        ExclusionError: it cannot.
    """
    larger = request.exclude_larger_bytes
    rules = LeftOut(
        patterns=tuple(line for line in patterns if line and not line.startswith(b"#")),
        caches=request.exclude_caches,
        if_present=request.exclude_if_present,
        larger_than=() if larger is None else (larger,),
        one_file_system=request.one_file_system,
    )
    fault = rules.fault()
    if not all(request.exclude_if_present):
        fault = "a name is empty"
    if max(len(rules.patterns), len(rules.if_present)) > LEFT_OUT_COUNT:
        fault = "there are too many patterns"
    if fault:
        raise ExclusionError(
            f"What is to be left out cannot be said like this: {fault}.",
            hint="A restore point says its rules, in at most 65,536 patterns and 2 MiB; "
            "--exclude-if-present takes the name of a file, not a path.",
        )
    return rules


def _describe_files(
    request: BackupRequest, source: FileSource, patterns: Sequence[bytes], context: Context
) -> SourceDescription:
    return SourceDescription(
        host=request.host or context.host,
        name=request.source or source.name,
        root=source.root,
        selection=source.selection,
        left_out=_left_out(request, patterns),
        tags=request.tags,
        stands_for_ns=_nanoseconds(request.taken_at),
        program=_PROGRAM,
    )


def _describe_stream(request: BackupRequest, name: str, context: Context) -> SourceDescription:
    if not name or "/" in name or "\0" in name or name in {".", ".."}:
        raise EmptySourceError(
            f"'{name}' cannot be the name of a file.", hint="Write a plain name: --name dump.sql"
        )
    return SourceDescription(
        host=request.host or context.host,
        # As a series that is called after a path: bytes that are no text as escapes.
        name=request.source or os.fsencode(name).decode("utf-8", "backslashreplace"),
        root=b"/",
        kind=PointKind.STREAM,
        tags=request.tags,
        stands_for_ns=_nanoseconds(request.taken_at),
        program=_PROGRAM,
    )


def _nanoseconds(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp()) * 10**9


def _stream(request: BackupRequest) -> CommandSource | StdinSource:
    if request.command:
        return CommandSource(request.command, request.environment)
    return StdinSource()


class _FilesStart:
    """Begins to read a tree, as often as it is asked to."""

    def __init__(
        self, root: int, rules: ScanRules, source: FileSource, *, allow_empty: bool
    ) -> None:
        self._root = root
        self._allow_empty = allow_empty
        self._rules = rules
        self._source = source

    def __call__(self, writer: Writer, state: Path | None, started_ns: int) -> Run[Written]:
        run = writer.files(self._root, self._rules, state, started_ns=started_ns)
        return _JudgedRun(
            run,
            lambda written: _refuse_nothing_read(
                written, self._source, self._rules, allow_empty=self._allow_empty
            ),
        )


class _StreamStart:
    """Begins to read a pipe, once."""

    def __init__(
        self,
        stream: CommandSource | StdinSource,
        name: bytes,
        stack: ExitStack,
        *,
        allow_empty: bool,
    ) -> None:
        self._stream = stream
        self._allow_empty = allow_empty
        self._name = name
        self._stack = stack
        self._is_used = False

    def __call__(self, writer: Writer, state: Path | None, started_ns: int) -> Run[Written]:
        del state
        if self._is_used:
            raise CommandFailedError(
                "Upkeep took away what this backup had stored, and a stream cannot be read twice.",
                hint="Run the same command again.",
            )
        self._is_used = True
        pipe = self._stream.open_pipe()
        self._stack.callback(os.close, pipe)
        run = writer.stream(pipe, self._name, started_ns=started_ns)
        # Stopped first, or the run would wait for a reader that waits for the command.
        return _JudgedRun(run, self._judge, self._stream.stop)

    def _judge(self, written: Written) -> None:
        """Let the command's exit status decide first; then there has to be something.

        Raises:
            CommandFailedError: it failed.
            EmptySourceError: not one byte came: mostly whatever fed the pipe has failed.
        """
        self._stream.finish()
        if not (self._allow_empty or written.statistics.source_bytes):
            raise EmptySourceError(
                "The stream was empty, so no restore point was made.",
                hint="Look at what feeds it; --allow-empty makes a restore point all the same.",
            )


def _refuse_nothing_read(
    written: Written, source: FileSource, rules: ScanRules, *, allow_empty: bool
) -> None:
    """Refuse a run that met nothing but what it could not read, or was to leave out.

    Raises:
        SourceUnreadableError, EmptySourceError: there is nothing in the tree but folders on the way
            to the source.
    """
    found = written.statistics
    above = {
        one[:place] for one in source.selection for place, byte in enumerate(one) if byte == _SLASH
    }
    if found.files or found.others or found.folders > len(above) + 1:
        return
    if found.findings:
        raise SourceUnreadableError(
            f"Nothing of '{source.name}' could be read, so no restore point was made.",
            hint="What is wrong is named above.",
        )
    if not allow_empty and (rules.exclude or rules.never or rules.exclude_larger_bytes is not None):
        raise EmptySourceError(
            f"All of '{source.name}' is left out, so no restore point was made.",
            hint="Look at the patterns and sizes that leave things out; --allow-empty makes a "
            "restore point all the same.",
        )


class _JudgedRun:
    """A run that has a result only after the verdict on its source was good."""

    def __init__(
        self,
        run: Run[Written],
        judge: Callable[[Written], None],
        stop: Callable[[], None] | None = None,
    ) -> None:
        """*judge* raises if no point is to be made; *stop* comes before the run is cancelled."""
        self._run = run
        self._judge = judge
        self._stop = stop
        self._is_judged = False

    def step(self, timeout_seconds: float) -> Sequence[Event]:
        return self._run.step(timeout_seconds)

    def stored(self, tickets: Sequence[int]) -> None:
        self._run.stored(tickets)

    def fetched(self, ticket: int, parts: Sequence[Bytes]) -> None:
        self._run.fetched(ticket, parts)

    def failed(self, ticket: int, code: str) -> None:
        self._run.failed(ticket, code)

    def lost(self, ticket: int, error: IntegrityError) -> None:
        self._run.lost(ticket, error)

    def cancel(self) -> None:
        if self._stop is not None:
            self._stop()
        self._run.cancel()

    def result(self) -> Written | None:
        """Return the result once the source says that it was whole.

        Raises:
            SourceError: it was not; no restore point is made of it.
        """
        result = self._run.result()
        if result is not None and not self._is_judged:
            self._judge(result)
            self._is_judged = True
        return result


# --- who writes ---------------------------------------------------------------------------------


def _writable(closed: ClosedVault, context: Context) -> tuple[WritableVault, bool]:
    """Return the vault as this machine's writer sees it, making one with a password if need be."""
    vault = local_writer(closed, context)
    if vault is not None:
        return vault, False
    path = context.folders.writer_key(closed.vault_id)
    if closed.is_sealed and not (context.secrets.is_given or context.secrets.can_ask):
        raise WriterKeyFileError(
            "This machine has no key for this repository, and no password was given to make one.",
            hint="Give the password once, with --password-file or on a terminal.",
        )
    made = add_writer(closed, unlocked(closed, context), context.host, path, context)
    context.warn(f"this machine was no writer of this repository; it is now, as '{made.name}'")
    return closed.with_writer(WriterKey.load(path)), True


def _result(
    result: BackupResult, description: SourceDescription, *, is_new_writer: bool
) -> BackedUp:
    statistics = result.written.statistics
    return BackedUp(
        point_id=result.point_id.hex(),
        series=description.series,
        counter=result.counter,
        files=statistics.files,
        folders=statistics.folders,
        others=statistics.others,
        source_bytes=statistics.source_bytes,
        new_chunks=statistics.new_chunks,
        new_raw_bytes=statistics.new_raw_bytes,
        new_stored_bytes=statistics.new_stored_bytes,
        findings=statistics.findings,
        is_new_writer=is_new_writer,
    )
