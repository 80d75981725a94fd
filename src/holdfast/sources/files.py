"""Files and folders as people name them: one root that is opened, and a selection below it."""

import errno
import os
import stat
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.base.messages import in_message
from holdfast.core.named_paths import ROOT
from holdfast.policy.patterns import anchored_spelling, compile_patterns, split_pattern_file
from holdfast.sources.errors import (
    EmptySourceError,
    PatternFileError,
    SourceMissingError,
    SourceUnreadableError,
)

_MISSING_HINT: Final = "Is it spelled right, and is its disk mounted?"


@dataclass(frozen=True, slots=True)
class FileSource:
    """What a backup of files reads.

    Attributes:
        root: absolute path of the folder that is opened; no part of it is a symbolic link.
        selection: the paths that were named, below the root, ascending; ``.`` is the root. Empty
            for the root alone.
        name: how the series is called where nobody says otherwise.
    """

    root: bytes
    selection: tuple[bytes, ...]
    name: str

    @classmethod
    def named(cls, paths: Sequence[bytes], *, allow_empty: bool = False) -> "FileSource":
        """Find root and selection for the paths that people typed.

        One folder is the root itself. One file, or several paths: the root is their deepest common
        folder. A path below another one is kept: rules of what is left out are seen from it. A
        symbolic link to a folder means that folder; any other link means the link.

        Raises:
            EmptySourceError: there is no path, or the only folder holds nothing.
            SourceMissingError: a path is not there.
            SourceUnreadableError: a path cannot be looked at.
        """
        if not paths:
            raise EmptySourceError(
                "No path to back up was named.",
                hint="Name files or folders: holdfast backup ~/Documents.",
            )
        found = list(dict.fromkeys(_located(path) for path in paths))
        first, is_folder = found[0]
        name = _shown(first)
        if len(found) == 1 and is_folder:
            if not allow_empty:
                _refuse_empty(first)
            return cls(first, (), name)
        folders = [path if is_dir else os.path.dirname(path) for path, is_dir in found]  # noqa: PTH120 - paths are bytes here
        root = os.path.commonpath(folders)
        relative = sorted(path[len(root.rstrip(b"/")) + 1 :] or ROOT for path, _ in found)
        return cls(root, tuple(relative), name)

    def open_root(self) -> int:
        """Open the root and return its descriptor, which the caller closes.

        A root that was not named itself need not be readable: nobody lists it.

        Raises:
            SourceUnreadableError: it cannot be opened.
        """
        try:
            how = os.O_PATH if self.selection and ROOT not in self.selection else os.O_RDONLY
            return os.open(self.root, how | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _unreadable(self.root, error) from error


def read_paths_file(path: Path) -> list[bytes]:
    """Return the paths in a file, one a line, or separated by NUL if it holds any.

    Among lines, those that begin with # are remarks. What NULs part was written by a program, and
    every name counts.

    Raises:
        PatternFileError: it cannot be read.
    """
    data = _content(path)
    if b"\0" in data:
        return [path for path in data.split(b"\0") if path]
    return [line for line in data.split(b"\n") if line and not line.startswith(b"#")]


def read_patterns_file(path: Path) -> list[bytes]:
    """Return the patterns in a file, one a line.

    Raises:
        PatternFileError: it cannot be read.
    """
    return split_pattern_file(_content(path))


def check_patterns(lines: Sequence[bytes], source: FileSource) -> list[str]:
    """Return sentences on patterns that probably do not do what was meant.

    Such are those that spell a named path, or begin where several of them lie.

    Raises:
        InvalidPatternError: a line holds a NUL byte.
    """
    remarks = [
        f"the pattern '{in_message(line)}' can never match anything"
        for line in compile_patterns(lines).unmatchable
    ]
    above = source.root.rstrip(b"/") + b"/"
    inside = [path for path in source.selection if path != ROOT]
    starts = {source.root, *(before + path for path in inside for before in (b"/", above))}
    place = "each path that was named" if inside else "the source's root"
    for line in lines:
        meant = _meant(line, starts)
        if meant is not None:
            does = "brings back" if line.startswith(b"!") else "leaves out"
            remarks.append(
                f"the pattern '{in_message(line)}' is seen from {place}, where it {does} "
                f"nothing; '{in_message(meant)}' was probably meant"
            )
    return remarks


def _meant(line: bytes, starts: Collection[bytes]) -> bytes | None:
    """Return the pattern that a line means, which begins with the longest possible of *starts*."""
    glob = line.removeprefix(b"!")
    end = glob.rfind(b"/")
    while end > 0:
        if glob[:end] in starts and (meant := anchored_spelling(line, glob[:end])) is not None:
            return meant
        end = glob.rfind(b"/", 0, end)
    return None


def _located(path: bytes) -> tuple[bytes, bool]:
    """Return the absolute path without links in its folders, and whether it is a folder."""
    if not path:
        raise SourceMissingError(
            "An empty path was named.",
            hint="In a script, is the variable set? The current folder is written as a dot.",
        )
    try:
        status = os.stat(path)  # noqa: PTH116 - paths are bytes here
        if stat.S_ISDIR(status.st_mode):
            return os.path.realpath(path, strict=True), True
    except OSError as error:
        with suppress(OSError):
            # A link that leads nowhere is there, and worth keeping.
            if stat.S_ISLNK(os.lstat(path).st_mode):
                return _link_itself(path), False
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            raise SourceMissingError(
                f"'{in_message(path)}' does not exist.", hint=_MISSING_HINT
            ) from error
        raise _unreadable(path, error) from error
    return _link_itself(path), False


def _link_itself(path: bytes) -> bytes:
    folder, name = os.path.split(path)
    try:
        return os.path.join(os.path.realpath(folder or b".", strict=True), name)  # noqa: PTH118 - paths are bytes here
    except OSError as error:
        raise _unreadable(path, error) from error


def _refuse_empty(folder: bytes) -> None:
    try:
        with os.scandir(folder) as entries:
            is_empty = next(entries, None) is None
    except OSError as error:
        raise _unreadable(folder, error) from error
    if is_empty:
        raise EmptySourceError(
            f"'{in_message(folder)}' holds nothing, so there is nothing to back up.",
            hint="Is its disk mounted? To back up the empty folder, say --allow-empty.",
        )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PatternFileError(
            f"'{in_message(os.fsencode(path))}' cannot be read: {_reason(error)}.",
            hint=_way_to(error) or _MISSING_HINT,
        ) from error


def _unreadable(path: bytes, error: OSError) -> SourceUnreadableError:
    return SourceUnreadableError(
        f"'{in_message(path)}' cannot be opened: {_reason(error)}.",
        hint=_way_to(error) or "Look at it with 'ls -ld'; of failing disks the system's log tells.",
    )


def _way_to(error: OSError) -> str | None:
    """Return what to do about *error*, which befell a path that was named; None: nobody knows."""
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return "Run Holdfast as a user who may read it, or change who may."
        case errno.ENAMETOOLONG:
            return "Is it one path? A file of --files-from has one path a line, and no other text."
        case errno.EISDIR:
            return "Name a file with one path or pattern a line, not a folder."
        case errno.ELOOP:
            return "Symbolic links there lead to each other: name the folder itself."
    return None


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
