"""``holdfast points`` and ``holdfast ls``."""

import stat
from typing import Annotated

import typer

from holdfast.base.sizes import format_size
from holdfast.cli.invocation import Invocation
from holdfast.cli.options import GlobalCommand, family
from holdfast.cli.output import JsonValue, json_name, printable, show_time, show_time_ns, table
from holdfast.cli.words import HostOption, SourceOption, parse_tags, split_point
from holdfast.format.point import LeftOut
from holdfast.operations import list_tree, points
from holdfast.operations.list_tree import ListedEntry, ListRequest
from holdfast.operations.points import PointInfo, PointsListing, PointsRequest
from holdfast.vault.errors import PointsInDoubtError

app = family("Look.")

_TYPES = {
    "file": stat.S_IFREG,
    "folder": stat.S_IFDIR,
    "link": stat.S_IFLNK,
    "fifo": stat.S_IFIFO,
    "socket": stat.S_IFSOCK,
    "char": stat.S_IFCHR,
    "block": stat.S_IFBLK,
}
_SHORT = 8
_MISSING_HINT = (
    " Points are missing, too, when an older copy of the repository took its place or a copy was"
    " used beside it: use the newer copy, or accept the loss of each that is named with"
    " 'holdfast forget ID'."
)
_NO_LOCK = "–"  # noqa: RUF001 - the dash that people read as "none"


@app.command("points", cls=GlobalCommand)
def points_(
    ctx: typer.Context,
    *,
    source: SourceOption = None,
    host: HostOption = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Only points with this tag; repeatable.")
    ] = None,
) -> None:
    """List the restore points of a repository, the oldest first.

    Points of one series stand in the order in which they were made, whatever times they have: a
    clock may have been wrong once, and 'backup --time' names any time.
    Without a password only what stands outside is shown; names need one. -v also shows what each
    backup left out.
    """
    _points(ctx, source, host, tag)


@app.command("list", cls=GlobalCommand)
def list_(
    ctx: typer.Context,
    *,
    point: Annotated[str | None, typer.Argument(metavar="[POINT[:PATH]]")] = None,
) -> None:
    """List restore points; with a point, its files."""
    if point is None:
        _points(ctx, None, None, None)
    else:
        _ls(ctx, point, None, None, is_long=False, is_recursive=True)


@app.command("ls", cls=GlobalCommand)
def ls(
    ctx: typer.Context,
    *,
    point: Annotated[
        str, typer.Argument(metavar="POINT[:PATH]", help="An id, or 'latest'; and a folder in it.")
    ],
    long: Annotated[
        bool, typer.Option("-l", "--long", help="Show mode, owner, size and time.")
    ] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive", "-R", help="Everything below, too.")
    ] = False,
    source: SourceOption = None,
    host: HostOption = None,
) -> None:
    """List the files of a restore point.

    Bytes that are no text, and characters that could steer a terminal, are shown as escapes.
    """
    _ls(ctx, point, source, host, is_long=long, is_recursive=recursive)


def _points(
    ctx: typer.Context, source: str | None, host: str | None, tag: list[str] | None
) -> None:
    invocation = Invocation.of(ctx)
    request = PointsRequest(
        invocation.repository,
        source,
        host,
        parse_tags(tag or ()),
        ask=not invocation.output.is_json,
    )
    listing = points.run(request, invocation.context)
    output = invocation.output
    output.result(_table(listing))
    if output.verbosity:
        for point in listing.points:
            if point.left_out is not None:
                output.result(f"{point.id[:_SHORT]} left out: {_left_out_words(point.left_out)}")
    for note in (*listing.notes, *listing.damage):
        output.warn(printable(note))
    if not listing.is_open:
        output.note(
            "holdfast: note: without a password only the outside is shown; names and sizes need one"
        )
    output.document(
        "points",
        {
            "is_open": listing.is_open,
            "points": [_fields(point) for point in listing.points],
            "notes": [*listing.notes, *listing.damage],
        },
    )
    if listing.damage:
        raise PointsInDoubtError(
            f"The list may lack restore points: {listing.damage[0]}.",
            hint="'holdfast check' names all damage; what is listed restores by its id."
            + (_MISSING_HINT if listing.lacks_points else ""),
        )


def _table(listing: PointsListing) -> str:
    if not listing.points:
        return "No restore point can be shown." if listing.damage else "No restore points."
    rows = []
    for point in listing.points:
        series = printable(point.series) if listing.is_open else point.series[:_SHORT]
        rows.append(
            (
                point.id[:_SHORT],
                show_time(point.time),
                series if point.problem is None else f"{series} ({point.problem})",
                "?" if point.size_bytes is None else format_size(point.size_bytes),
                "?" if point.new_bytes is None else format_size(point.new_bytes),
                point.encryption,
                point.openers,
                _NO_LOCK,
            )
        )
    head = ("id", "time", "series", "size", "new", "encryption", "who can open", "locked until")
    return table(head, rows, right=(3, 4))


def _fields(point: PointInfo) -> dict[str, JsonValue]:
    root = {} if point.root is None else json_name(point.root)
    return {
        "id": point.id,
        "time": point.time.isoformat(),
        "series": point.series,
        "host": point.host,
        "source": point.source,
        "kind": point.kind,
        "size_bytes": point.size_bytes,
        "new_bytes": point.new_bytes,
        "files": point.files,
        "findings": point.findings,
        "tags": list(point.tags),
        "encryption": point.encryption,
        "who_can_open": point.openers,
        "locked_until": None,
        "problem": point.problem,
        "left_out": _left_out_fields(point.left_out),
        **root,
    }


def _left_out_words(rules: LeftOut) -> str:
    words = [printable(pattern) for pattern in rules.patterns]
    words += ["contents of caches"] if rules.caches else []
    words += [f"contents of folders with {printable(name)}" for name in rules.if_present]
    words += [f"files larger than {format_size(size)}" for size in rules.larger_than]
    words += ["other file systems"] if rules.one_file_system else []
    return ", ".join(words) or "nothing"


def _left_out_fields(rules: LeftOut | None) -> dict[str, JsonValue] | None:
    if rules is None:
        return None
    return {
        "patterns": [printable(pattern) for pattern in rules.patterns],
        "caches": rules.caches,
        "if_present": [printable(name) for name in rules.if_present],
        "larger_than_bytes": rules.larger_than[0] if rules.larger_than else None,
        "one_file_system": rules.one_file_system,
    }


def _ls(
    ctx: typer.Context,
    point: str,
    source: str | None,
    host: str | None,
    *,
    is_long: bool,
    is_recursive: bool,
) -> None:
    invocation = Invocation.of(ctx)
    name, path = split_point(point)
    request = ListRequest(invocation.repository, name, path, is_recursive, source, host)
    output = invocation.output
    with list_tree.run(request, invocation.context) as listing:
        if output.is_json:
            entries = [_entry_fields(entry) for entry in listing.entries]
            left_out = _left_out_fields(listing.left_out)
            fields: dict[str, JsonValue] = {"point": listing.point_id, "left_out": left_out}
            output.document("ls", {**fields, "entries": entries})
            return
        for entry in listing.entries:
            output.result(_long(entry) if is_long else _shown(entry))


def _shown(entry: ListedEntry) -> str:
    return printable(entry.path) + ("/" if entry.kind == "folder" else "")


def _long(entry: ListedEntry) -> str:
    mode = stat.filemode(_TYPES[entry.kind] | entry.mode)
    time = show_time_ns(entry.mtime_ns)
    return f"{mode} {entry.uid:>6} {entry.gid:>6} {entry.size_bytes:>14,} {time}  {_shown(entry)}"


def _entry_fields(entry: ListedEntry) -> dict[str, JsonValue]:
    return {
        **json_name(entry.path),
        "kind": entry.kind,
        "size_bytes": entry.size_bytes,
        "mtime_ns": entry.mtime_ns,
        "mode": entry.mode,
        "uid": entry.uid,
        "gid": entry.gid,
    }
