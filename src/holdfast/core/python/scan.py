"""Walk a source in the order of tree keys, a slice of one folder at a time.

Order (vault-format.md 8.1): the entries of a folder, ascending by name, then the same for each of
its sub-folders, ascending. Everything is reached through open folders and never through a path, so
that neither a path beyond PATH_MAX nor a symlink put in the way can lead elsewhere.
"""

import errno
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from holdfast.base.progress import Finding
from holdfast.core.face import ScanRules
from holdfast.core.python import linux
from holdfast.policy.patterns import Patterns, compile_patterns

SLICE_ENTRIES: Final = 2048
"""Entries that are examined at once: bounds memory in folders with millions of names."""
_OPEN_FOLDERS: Final = 64
"""Folders held open on the way down; deeper trees open their upper folders again."""

_NAMES: Final = sys.getfilesystemencoding()
_DEEPEST_BYTES: Final = 64 << 10
"""Folders with a longer path are not entered; PATH_MAX is 4 KiB. Every level of a chain holds its
whole path, here and in the tree: all of them together cost the square of it."""
_LONG_BYTES: Final = 15 << 10
_LONG_ENTRIES: Final = 4096
"""What is taken from folders with a path longer than that, all together. Inner nodes over such keys
have two or three children, and a tree has 16 levels at most (vault-format.md 8.2): folders that
were made for it could end every backup."""

_CACHE_TAG: Final = b"CACHEDIR.TAG"
_CACHE_SIGNATURE: Final = b"Signature: 8a477f597d28d172789f06886806bc55"
"""https://bford.info/cachedir/"""

_TOO_DEEP: Final = "too deep: nothing below it is taken"

UNREADABLE: Final = "unreadable"
VANISHED: Final = "vanished"
CHANGED: Final = "changed"
UNSUPPORTED: Final = "unsupported"

_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ELOOP})
"""ELOOP: a symlink has taken the place of what was there."""

_Selection = dict[bytes, "_Selection"]
"""What is selected, by name; an empty one below a name means all that is there."""


@dataclass(slots=True)
class Slice:
    """Neighbouring entries of one folder with their status. `fd` is open until the next slice."""

    fd: int
    prefix: bytes
    names: list[bytes]
    status: list[os.stat_result]

    def path(self, name: bytes) -> bytes:
        """Return the path of an entry relative to the root, for people."""
        return _path(self.prefix, name)


@dataclass(slots=True, eq=False)
class _Level:
    """A folder on the way down."""

    name: bytes
    prefix: bytes
    wanted: _Selection
    status: os.stat_result
    fd: int | None
    waiting: list[bytes] = field(default_factory=list)
    """Sub-folders still to be walked, descending, so that the next one is popped off the end."""


class Scanner:
    """Walks the tree below an open folder by the rules; what goes wrong becomes a finding."""

    def __init__(self, root_fd: int, rules: ScanRules, found: Callable[[Finding], None]) -> None:
        self._rules = rules
        self._found = found
        self._patterns: Patterns | None = (
            compile_patterns(tuple(rules.exclude)) if rules.exclude else None
        )
        self._selection = _selection_tree(rules.selection)
        self._takes_all = not rules.exclude and rules.exclude_larger_bytes is None
        self._levels: list[_Level] = []
        # Those of the levels that are open, but the root: upper ones first.
        self._open: deque[_Level] = deque()
        self._long_left = _LONG_ENTRIES
        self._root_fd = root_fd
        self._root_status = os.fstat(root_fd)

    def slices(self) -> Iterator[Slice]:
        """Yield everything, in key order. The first entry is the root with an empty name."""
        root_fd = os.open(b".", linux.FOLDER_FLAGS, dir_fd=self._root_fd)
        root = _Level(b"", b"", self._selection, self._root_status, root_fd)
        self._levels.append(root)
        try:
            yield Slice(root_fd, b"", [b""], [self._root_status])
            yield from self._list(root, root_fd)
            while self._levels:
                level = self._levels[-1]
                if not level.waiting:
                    self._levels.pop()
                    self._close(level)
                    continue
                child = self._descend(level, level.waiting.pop())
                if child is not None and child.fd is not None:
                    yield from self._list(child, child.fd)
        finally:
            for level in self._levels:
                self._close(level)
            self._levels.clear()

    # --- one folder ---------------------------------------------------------------------------

    def _list(self, level: _Level, fd: int) -> Iterator[Slice]:
        try:
            # A name that is replaced while the folder is listed may come twice (tmpfs, btrfs).
            # `os.fsencode` without its frame of Python for each name.
            names = sorted({name.encode(_NAMES, "surrogateescape") for name in os.listdir(fd)})
        except OSError as error:
            self._report(_path(level.prefix)[:-1], error)
            return
        names = self._chosen(level, fd, names)
        if len(level.prefix) > _LONG_BYTES:
            self._long_left -= len(names)
            if self._long_left < 0:
                self._found(Finding(UNSUPPORTED, _path(level.prefix)[:-1], _TOO_DEEP))
                return
        for start in range(0, len(names), SLICE_ENTRIES):
            piece = self._examine(level, fd, names[start : start + SLICE_ENTRIES])
            if piece.names:
                yield piece
        level.waiting.reverse()

    def _chosen(self, level: _Level, fd: int, names: list[bytes]) -> list[bytes]:
        if (
            not self._rules.exclude_if_present
            and not self._rules.exclude_caches
            and not level.wanted
        ):
            return names
        there = frozenset(names)
        if not there.isdisjoint(self._rules.exclude_if_present):
            return []
        if self._rules.exclude_caches and _CACHE_TAG in there and _is_cache(fd):
            # The folder and its tag stay, so that the restored folder is a cache again.
            return [_CACHE_TAG]
        if not level.wanted:
            return names
        for missing in sorted(level.wanted.keys() - there):
            self._found(Finding(VANISHED, _path(level.prefix, missing), "not there any more"))
        return [name for name in names if name in level.wanted]

    def _examine(self, level: _Level, fd: int, names: list[bytes]) -> Slice:
        if self._takes_all and not level.wanted:
            with suppress(OSError):  # then one by one, to say which
                return self._examine_all(level, fd, names)
        piece = Slice(fd, level.prefix, [], [])
        path = _path(level.prefix)
        patterns = self._patterns
        larger = self._rules.exclude_larger_bytes
        for name in names:
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError as error:
                self._report(path + name, error)
                continue
            is_folder = stat.S_ISDIR(status.st_mode)
            if patterns is not None and patterns.excludes(path + name, is_folder):
                continue
            if larger is not None and status.st_size > larger and stat.S_ISREG(status.st_mode):
                continue
            if is_folder:
                if self._may_enter(path + name, status):
                    level.waiting.append(name)
            elif level.wanted.get(name):
                self._found(Finding(VANISHED, path + name, "not a folder any more"))
            piece.names.append(name)
            piece.status.append(status)
        return piece

    def _examine_all(self, level: _Level, fd: int, names: list[bytes]) -> Slice:
        """Examine what nothing is left out of: half the time of one by one.

        Raises:
            OSError: one of them cannot be examined.
        """
        found = [os.stat(name, dir_fd=fd, follow_symlinks=False) for name in names]
        folders = [
            (name, status)
            for name, status in zip(names, found, strict=True)
            if stat.S_ISDIR(status.st_mode)
        ]
        if folders:
            path = _path(level.prefix)
            level.waiting += [
                name for name, status in folders if self._may_enter(path + name, status)
            ]
        return Slice(fd, level.prefix, names, found)

    def _may_enter(self, path: bytes, status: os.stat_result) -> bool:
        if len(path) >= _DEEPEST_BYTES:
            self._found(Finding(UNSUPPORTED, path, _TOO_DEEP))
            return False
        return not self._rules.one_file_system or status.st_dev == self._root_status.st_dev

    # --- down and up again --------------------------------------------------------------------

    def _descend(self, level: _Level, name: bytes) -> _Level | None:
        path = _path(level.prefix, name)
        parent_fd = self._reopened()
        if parent_fd is None:
            self._found(Finding(VANISHED, path, "its folder was moved while it was read"))
            return None
        try:
            fd = linux.open_at(name, linux.FOLDER_FLAGS, parent_fd)
        except OSError as error:
            self._report(path, error)
            return None
        if not level.waiting:
            # The last child: nobody comes back here, so chains of any depth hold few folders.
            self._close(level)
        child = _Level(
            name, level.prefix + name + b"\0", level.wanted.get(name, {}), os.fstat(fd), fd
        )
        self._levels.append(child)
        self._hold(child)
        return child

    def _reopened(self) -> int | None:
        """Return the lowest level's folder, opened again if need be; None if it is gone."""
        depth = len(self._levels)
        while depth > 1 and self._levels[depth - 1].fd is None:
            depth -= 1
        fd = self._levels[depth - 1].fd
        for level in self._levels[depth:]:
            if fd is None:
                break
            fd = _open_same(level, fd)
            if fd is not None:
                level.fd = fd
                self._hold(level)
        return fd

    def _hold(self, level: _Level) -> None:
        self._open.append(level)
        if len(self._open) > _OPEN_FOLDERS:
            self._close(self._open[0])

    def _close(self, level: _Level) -> None:
        fd, level.fd = level.fd, None
        if fd is not None:
            os.close(fd)
            if level.prefix:
                self._open.remove(level)

    def _report(self, path: bytes, error: OSError) -> None:
        self._found(finding_for(path, error))


def finding_for(path: bytes, error: OSError) -> Finding:
    """Say what an error of the operating system means for one item of the source."""
    gone = error.errno in _GONE
    detail = "not there any more" if gone else (error.strerror or "error")
    return Finding(VANISHED if gone else UNREADABLE, path, detail)


def _path(prefix: bytes, name: bytes = b"") -> bytes:
    return prefix.replace(b"\0", b"/") + name


def _open_same(level: _Level, parent_fd: int) -> int | None:
    """Open the folder of *level* below its parent; None if something else is there now."""
    try:
        fd = linux.open_at(level.name, linux.FOLDER_FLAGS, parent_fd)
    except OSError:
        return None
    now, was = os.fstat(fd), level.status
    if (now.st_dev, now.st_ino) != (was.st_dev, was.st_ino):
        os.close(fd)
        return None
    return fd


def _selection_tree(paths: Sequence[bytes]) -> _Selection:
    root: _Selection = {}
    if b"" in paths:
        return root
    # Shorter ones first: a folder that is selected as a whole hides what is selected below it.
    for path in sorted(paths, key=lambda path: path.count(b"/")):
        node = root
        *folders, name = path.split(b"/")
        for folder in folders:
            if folder in node and not node[folder]:
                break
            node = node.setdefault(folder, {})
        else:
            node.setdefault(name, {})
    return root


def _is_cache(fd: int) -> bool:
    try:
        tag = linux.open_at(_CACHE_TAG, linux.FILE_FLAGS, fd)
    except OSError:
        return False
    try:
        return os.read(tag, len(_CACHE_SIGNATURE)) == _CACHE_SIGNATURE
    except OSError:
        return False
    finally:
        os.close(tag)
