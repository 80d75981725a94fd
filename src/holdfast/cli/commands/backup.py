"""``holdfast backup``."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from holdfast.base.sizes import format_size, parse_size
from holdfast.cli.errors import SourcePartlyReadError, UsageError
from holdfast.cli.invocation import Invocation
from holdfast.cli.options import ADVANCED, GlobalCommand, family
from holdfast.cli.output import printable, show_seconds
from holdfast.cli.progress import ProgressPrinter
from holdfast.cli.settings import environment_without_secrets
from holdfast.cli.words import counted, parse_rate, parse_tags, parse_time, plain_text
from holdfast.operations import backup as operation
from holdfast.operations.backup import BackedUp, BackupRequest

app = family("Back up.")

_DASH: Final = Path("-")
_STANDARD_INPUT: Final = Path("/dev/stdin")


@app.command("backup", cls=GlobalCommand)
def backup(
    ctx: typer.Context,
    *,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]...", help="Files and folders; or, behind --, a command."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source", metavar="NAME", help="Name of the series, instead of the first path."
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "-e", "--exclude", metavar="PATTERN", help="Leave out, as in .gitignore; repeatable."
        ),
    ] = None,
    exclude_from: Annotated[
        list[Path] | None,
        typer.Option("--exclude-from", metavar="FILE", help="Take patterns from FILE."),
    ] = None,
    exclude_caches: Annotated[
        bool, typer.Option("--exclude-caches", help="Leave out folders with a CACHEDIR.TAG.")
    ] = False,
    exclude_if_present: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude-if-present", metavar="NAME", help="Leave out folders that hold this file."
        ),
    ] = None,
    exclude_larger_than: Annotated[
        str | None,
        typer.Option("--exclude-larger-than", metavar="SIZE", help="Leave out larger files."),
    ] = None,
    files_from: Annotated[
        list[Path] | None,
        typer.Option(
            "--files-from",
            metavar="FILE",
            help="Take paths from FILE too, one a line, or from standard input (-); repeatable.",
        ),
    ] = None,
    one_file_system: Annotated[
        bool,
        typer.Option("-x", "--one-file-system", help="Do not enter other file systems."),
    ] = False,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG[,TAG]", help="Mark the restore point; repeatable."),
    ] = None,
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Back up standard input as one file; needs --name.")
    ] = False,
    from_command: Annotated[
        bool,
        typer.Option(
            "--from-command", help="Back up what a command prints; needs --name, then -- CMD ARG..."
        ),
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", metavar="X", help="How that one file is called.")
    ] = None,
    reread: Annotated[
        bool, typer.Option("--reread", help="Read every file, also those that look unchanged.")
    ] = False,
    time: Annotated[
        str | None,
        typer.Option("--time", metavar="TIME", help="The time that the restore point stands for."),
    ] = None,
    limit_upload: Annotated[
        str | None,
        typer.Option("--limit-upload", metavar="RATE", help="Send at most this much a second."),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option("--host", help="Another machine name.", hidden=True, rich_help_panel=ADVANCED),
    ] = None,
    allow_empty: Annotated[
        bool,
        typer.Option(
            "--allow-empty",
            help="Back up a folder or a stream in which nothing is.",
            hidden=True,
            rich_help_panel=ADVANCED,
        ),
    ] = False,
    stdin_filename: Annotated[str | None, typer.Option("--stdin-filename", hidden=True)] = None,
    stdin_from_command: Annotated[bool, typer.Option("--stdin-from-command", hidden=True)] = False,
) -> None:
    """Back up files and folders into a new restore point.

    Needs no password on a machine that writes into the repository: 'init' has made its key. Parts
    of the source that cannot be read are named, and the exit code is then 3.
    Restore points of one source form a series. It is called after the first path, unless --source
    names it: do that where there are several paths, so that another first path begins no other one.
    Every path that is named is taken; what leaves things out holds below each, and is seen from it.
    A symbolic link to a folder that is named means the folder; any other link means the link.
    With --from-command, a restore point is made only if the command succeeds.
    A file for --files-from has one path a line, taken as it is, without wildcards. Empty lines do
    not count, nor do those that begin with #: write ./#name for such a name. If there is a NUL byte
    in the file, NULs part the paths, as of 'find -print0', and every one of them counts.
    """
    invocation = Invocation.of(ctx)
    if stdin_filename is not None:
        raise UsageError(
            "restic's --stdin-filename is --name here.", hint="Write --stdin --name dump.sql"
        )
    if stdin_from_command:
        raise UsageError(
            "restic's --stdin-from-command is --from-command here.",
            hint="Write --from-command --name dump.sql -- mysqldump shop",
        )
    words = list(paths or ())
    is_stream = stdin or from_command
    if stdin and from_command:
        raise UsageError(
            "Give --stdin or --from-command, not both.",
            hint="With --stdin somebody else starts the command: mysqldump shop | holdfast backup "
            "--stdin --name dump.sql",
        )
    if is_stream and name is None:
        raise UsageError("A stream needs a name.", hint="Write --name dump.sql")
    if name is not None and not is_stream:
        raise UsageError(
            "--name goes with --stdin or --from-command.",
            hint="The series of files and folders is named with --source NAME.",
        )
    if stdin and words:
        raise UsageError(
            "--stdin takes no paths.",
            hint="Leave the paths away, or back them up with a command of their own.",
        )
    if from_command and not words:
        raise UsageError(
            "No command was named.", hint="Write it behind two dashes: -- mysqldump shop"
        )
    _refuse_unused(
        is_stream=is_stream,
        given={
            "--exclude": exclude,
            "--exclude-from": exclude_from,
            "--exclude-caches": exclude_caches,
            "--exclude-if-present": exclude_if_present,
            "--exclude-larger-than": exclude_larger_than is not None,
            "--files-from": files_from,
            "--one-file-system": one_file_system,
        },
    )
    path_files, pattern_files = _inputs(files_from, exclude_from)
    largest = None if exclude_larger_than is None else parse_size(exclude_larger_than)
    request = BackupRequest(
        address=invocation.repository,
        paths=() if is_stream else tuple(os.fsencode(word) for word in words),
        files_from=path_files,
        source=None if source is None else plain_text(source, "name of the source"),
        host=None if host is None else plain_text(host, "machine name"),
        stream_name=name,
        command=tuple(words) if from_command else (),
        environment=environment_without_secrets() if from_command else None,
        exclude=tuple(os.fsencode(pattern) for pattern in exclude or ()),
        exclude_from=pattern_files,
        exclude_caches=exclude_caches,
        exclude_if_present=tuple(os.fsencode(item) for item in exclude_if_present or ()),
        exclude_larger_bytes=largest,
        one_file_system=one_file_system,
        tags=parse_tags(tag or ()),
        taken_at=None if time is None else parse_time(time),
        reread=reread,
        allow_empty=allow_empty,
        bytes_per_second=None if limit_upload is None else parse_rate(limit_upload),
    )
    if invocation.options.dry_run:
        _show_plan(invocation, request)
        return
    with invocation.listen() as listener:
        made = operation.run(request, invocation.context, listener)
    with invocation.output.after(
        "The restore point was made", hint="'holdfast points' lists it; look where the output goes."
    ):
        _show(invocation, made, listener)
        _show_naming(invocation, request)
    if made.findings:
        raise SourcePartlyReadError(
            f"The restore point was made, but {counted(made.findings, 'part')} of the source could "
            f"not be read as {'it' if made.findings == 1 else 'they'} should.",
            hint=listener.where_named,
        )


def _inputs(*options: Sequence[Path] | None) -> list[tuple[Path, ...]]:
    """Return the files of each option as they can be opened: a dash is standard input.

    Raises:
        UsageError: it is named twice, and could be read only once.
    """
    named = [tuple(files or ()) for files in options]
    if [path for files in named for path in files].count(_DASH) > 1:
        raise UsageError(
            "Standard input can be read only once.",
            hint="Put one of the lists into a file and name that instead of the dash.",
        )
    return [tuple(_STANDARD_INPUT if path == _DASH else path for path in files) for files in named]


def _refuse_unused(*, is_stream: bool, given: Mapping[str, object]) -> None:
    """Refuse options that a stream would leave unused without a word.

    Raises:
        UsageError: there is one.
    """
    said = [option for option, value in given.items() if value]
    if is_stream and said:
        raise UsageError(
            f"A stream is one file, and all of it is stored: {said[0]} does not go with it.",
            hint="Leave it away.",
        )


def _show_plan(invocation: Invocation, request: BackupRequest) -> None:
    plan = operation.plan(request, invocation.context)
    selection = [printable(path) for path in plan.selection]
    what = (
        f"{', '.join(selection)} in {printable(plan.root)}" if selection else printable(plan.root)
    )
    invocation.output.result(
        f"A restore point of series {printable(plan.series)} would be made, of {what}."
    )
    invocation.output.document(
        "backup",
        {"dry_run": True, "series": plan.series, "root": printable(plan.root)},
    )
    _show_naming(invocation, request)


def _show_naming(invocation: Invocation, request: BackupRequest) -> None:
    """Say what several paths are called: a backup of the first one alone continues their series."""
    if request.source is None and len(request.paths) > 1:
        invocation.output.say(
            "The series is called after the first path alone; --source NAME gives it a name."
        )


def _show(invocation: Invocation, made: BackedUp, listener: ProgressPrinter) -> None:
    output, seconds = invocation.output, listener.seconds
    rate = int(made.source_bytes / seconds) if seconds > 0 else 0
    output.say(
        f"Restore point {made.point_id[:8]} of {printable(made.series)} is made: "
        f"{counted(made.files, 'file')}, {counted(made.folders, 'folder')}, "
        f"{format_size(made.source_bytes)}."
    )
    output.say(
        f"New: {format_size(made.new_raw_bytes)}, stored as {format_size(made.new_stored_bytes)}. "
        f"It took {show_seconds(seconds)} ({format_size(rate)}/s)."
    )
    output.summary(
        "backup",
        {
            "point": made.point_id,
            "series": made.series,
            "counter": made.counter,
            "files": made.files,
            "folders": made.folders,
            "others": made.others,
            "source_bytes": made.source_bytes,
            "new_chunks": made.new_chunks,
            "new_raw_bytes": made.new_raw_bytes,
            "new_stored_bytes": made.new_stored_bytes,
            "findings": made.findings,
            "new_writer": made.is_new_writer,
            "seconds": round(seconds, 3),
        },
    )
