"""Files and folders as people name them: one root that is opened, and a selection below it."""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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
        selection: paths below the root, ascending; empty for all.
        name: how the series is called where nobody says otherwise.
    """

    root: bytes
    selection: tuple[bytes, ...]
    name: str

    @classmethod
    def named(cls, paths: Sequence[bytes], *, allow_empty: bool = False) -> "FileSource":
        """Find root and selection for the paths that people typed.

        One folder is the root itself. One file, or several paths: the root is their deepest common
        folder. A symbolic link to a folder means that folder; any other link means the link.

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
        if any(path == root for path, _ in found):
            return cls(root, (), name)
        relative = sorted(path[len(root.rstrip(b"/")) + 1 :] for path, _ in found)
        return cls(root, tuple(_outermost(relative)), name)

    def open_root(self) -> int:
        """Open the root and return its descriptor, which the caller closes.

        Raises:
            SourceUnreadableError: it cannot be opened.
        """
        try:
            return os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
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


def check_patterns(lines: Sequence[bytes], root: bytes) -> list[str]:
    """Return sentences on patterns that probably do not do what was meant.

    Raises:
        InvalidPatternError: a line holds a NUL byte.
    """
    remarks = [
        f"the pattern '{_shown(line)}' can never match anything"
        for line in compile_patterns(lines).unmatchable
    ]
    for line in lines:
        meant = anchored_spelling(line, root)
        if meant is not None:
            remarks.append(
                f"the pattern '{_shown(line)}' is seen from the source's root, where it leaves out "
                f"nothing; '{_shown(meant)}' was probably meant"
            )
    return remarks


def _located(path: bytes) -> tuple[bytes, bool]:
    """Return the absolute path without links in its folders, and whether it is a folder."""
    if not path:
        raise SourceMissingError("An empty path was named.")
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
                f"'{_shown(path)}' does not exist.", hint=_MISSING_HINT
            ) from error
        raise _unreadable(path, error) from error
    return _link_itself(path), False


def _link_itself(path: bytes) -> bytes:
    folder, name = os.path.split(path)
    try:
        return os.path.join(os.path.realpath(folder or b".", strict=True), name)  # noqa: PTH118 - paths are bytes here
    except OSError as error:
        raise _unreadable(path, error) from error


def _outermost(ascending: Sequence[bytes]) -> list[bytes]:
    """Drop paths that lie below another one."""
    kept: list[bytes] = []
    chosen = set(ascending)
    for path in ascending:
        parts = path.split(b"/")
        if not any(b"/".join(parts[:count]) in chosen for count in range(1, len(parts))):
            kept.append(path)
    return kept


def _refuse_empty(folder: bytes) -> None:
    try:
        with os.scandir(folder) as entries:
            is_empty = next(entries, None) is None
    except OSError as error:
        raise _unreadable(folder, error) from error
    if is_empty:
        raise EmptySourceError(
            f"'{_shown(folder)}' holds nothing, so there is nothing to back up.",
            hint="Is its disk mounted? To back up the empty folder, say --allow-empty.",
        )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PatternFileError(
            f"'{_shown(os.fsencode(path))}' cannot be read: {_reason(error)}."
        ) from error


def _unreadable(path: bytes, error: OSError) -> SourceUnreadableError:
    return SourceUnreadableError(f"'{_shown(path)}' cannot be opened: {_reason(error)}.")


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
