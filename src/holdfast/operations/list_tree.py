"""List what a restore point holds: one folder, or everything below it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, cast

from holdfast.base.progress import Silence
from holdfast.core import Entry, EntryKind
from holdfast.core.reader_errors import NotAFolderError, PathNotFoundError
from holdfast.format.point import LeftOut
from holdfast.operations.context import Context
from holdfast.operations.opening import opened, unlocked
from holdfast.operations.point_reader import PointReader, open_point
from holdfast.recovery.errors import PathNotInPointError
from holdfast.recovery.files import path_below
from holdfast.vault.seen_points import see_points

PAGE: int = 1000


class DetailedEntry(Entry, Protocol):
    """An entry with all that a long listing shows; what engines hand out has it."""

    @property
    def folder(self) -> bytes:
        """Its folder: every component followed by 00."""
        ...

    @property
    def mode(self) -> int:
        """Permission bits."""
        ...

    @property
    def uid(self) -> int:
        """Owner."""
        ...

    @property
    def gid(self) -> int:
        """Group."""
        ...


@dataclass(frozen=True, slots=True)
class ListRequest:
    """What to list.

    Attributes:
        point: an id, a unique prefix, or ``latest``.
        path: a folder or file of the point; empty for its root.
    """

    address: str
    point: str
    path: bytes = b""
    is_recursive: bool = False
    source: str | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class ListedEntry:
    """One name. *path* is the original, absolute one."""

    path: bytes
    kind: EntryKind
    size_bytes: int
    mtime_ns: int
    mode: int
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Listing:
    """Entries of a restore point, read while they are taken; and what its backup left out."""

    point_id: str
    left_out: LeftOut | None
    entries: Iterator[ListedEntry]


FoundKind = Literal["folder", "other"]


@contextmanager
def run(request: ListRequest, context: Context) -> Iterator[Listing]:
    """Find the point and yield its listing.

    Raises:
        KeysError: nothing that was given opens the vault.
        NoSuchPointError, AmbiguousPointError: no point, or several, are meant.
        PointsInDoubtError: ``latest`` may be a point that is damaged or missing.
        PathNotInPointError: the point does not hold the path.
    """
    with opened(request.address, context) as closed:
        vault = unlocked(closed, context)
        points = see_points(vault)
        point = points.select(request.point, source=request.source, host=request.host)
        record = point.opened()
        relative, above = path_below(request.path, record.root)
        if above and request.path:
            relative = b""
        with open_point(vault, point, context, Silence()) as reader:
            yield Listing(
                point.id.hex(), record.left_out, _entries(reader, record.root, relative, request)
            )


def kind_of(reader: PointReader, path: bytes) -> FoundKind:
    """Return whether *path*, below the root of the point, is a folder.

    Raises:
        PathNotInPointError: it is not there.
    """
    return "folder" if not path or find(reader, path).kind == "folder" else "other"


def find(reader: PointReader, path: bytes) -> DetailedEntry:
    """Return the entry at *path*, below the root of the point.

    Raises:
        PathNotInPointError: it is not there.
    """
    folder, _, name = path.rpartition(b"/")
    after = folder_key(folder) + b"\0" + name[:-1] if name else None
    try:
        for entry in _folder_entries(reader, folder, after):
            if entry.name == name:
                return entry
            if entry.name > name:
                break
    except (PathNotFoundError, NotAFolderError):
        pass
    raise _not_there(path)


def folder_key(folder: bytes) -> bytes:
    """Return *folder* as keys have it: every component followed by 00."""
    return b"".join(part + b"\0" for part in folder.split(b"/")) if folder else b""


def _entries(
    reader: PointReader, root: bytes, path: bytes, request: ListRequest
) -> Iterator[ListedEntry]:
    if kind_of(reader, path) != "folder":
        yield _listed(find(reader, path), root)
        return
    found = (
        _walked(reader, folder_key(path))
        if request.is_recursive
        else _folder_entries(reader, path, None)
    )
    for entry in found:
        if entry.name:
            yield _listed(entry, root)


def _folder_entries(
    reader: PointReader, folder: bytes, after: bytes | None
) -> Iterator[DetailedEntry]:
    while True:
        page = reader.pumped(reader.engine.list(reader.root, folder, after, PAGE))
        yield from (cast("DetailedEntry", entry) for entry in page)
        after = page.next_key
        if after is None:
            return


def _walked(reader: PointReader, prefix: bytes) -> Iterator[DetailedEntry]:
    after: bytes | None = prefix or None
    while True:
        page = reader.pumped(reader.engine.walk(reader.root, after, PAGE))
        for found in page:
            entry = cast("DetailedEntry", found)
            if not entry.folder.startswith(prefix):
                return
            yield entry
        after = page.next_key
        if after is None:
            return


def _listed(entry: DetailedEntry, root: bytes) -> ListedEntry:
    relative = entry.folder.replace(b"\0", b"/") + entry.name
    return ListedEntry(
        path=os.path.join(root, relative),  # noqa: PTH118 - paths are bytes here
        kind=entry.kind,
        size_bytes=entry.size,
        mtime_ns=entry.mtime_ns,
        mode=entry.mode,
        uid=entry.uid,
        gid=entry.gid,
    )


def _not_there(path: bytes) -> PathNotInPointError:
    shown = path.decode("utf-8", "backslashreplace")
    return PathNotInPointError(
        f"'{shown}' is not in this restore point.", hint="'holdfast ls POINT' shows what is in it."
    )
