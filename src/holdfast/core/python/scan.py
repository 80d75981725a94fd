"""Walk a source in the order of tree keys, a slice of one folder at a time.

Order (vault-format.md 8.1): the entries of a folder, ascending by name, then the same for each of
its sub-folders, ascending. Everything is reached through open folders and never through a path, so
that neither a path beyond PATH_MAX nor a symlink put in the way can lead elsewhere.

Each named path is a start: the rules say what is left out below it, seen from it, and never leave
out the path itself. A folder that is only on the way to one is *passed*: nothing else in it is
looked at, so that it need not be readable.
"""

import errno
import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from holdfast.base.progress import Finding
from holdfast.core.named_paths import ROOTS
from holdfast.core.python import linux
from holdfast.core.scan_rules import ScanRules
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

_NO_NAMES: Final[frozenset[bytes]] = frozenset()


@dataclass(slots=True)
class _Wanted:
    """A path that somebody named, or one that leads to such paths."""

    is_named: bool = False
    below: dict[bytes, "_Wanted"] = field(default_factory=dict)


_NOTHING: Final = _Wanted()


@dataclass(slots=True)
class Slice:
    """Neighbouring entries of one folder with their status. `fd` is open until the next slice."""

    fd: int
    prefix: bytes
    names: list[bytes]
    status: list[os.stat_result]
    passed: AbstractSet[bytes] = _NO_NAMES
    """Folders among them that are there only as the way to what was named."""

    def path(self, name: bytes) -> bytes:
        """Return the path of an entry relative to the root, for people."""
        return _path(self.prefix, name)


@dataclass(slots=True, eq=False)
class _Level:
    """A folder on the way down."""

    name: bytes
    prefix: bytes
    wanted: _Wanted
    status: os.stat_result
    fd: int | None
    device: int
    """The file system of the named path that it is or lies in."""
    start: int
    """How many bytes of the paths in it lead to that named path: rules see the rest."""
    is_passed: bool
    """Only what is wanted in it is taken."""
    passed: set[bytes] = field(default_factory=set)
    """Its sub-folders that are passed."""
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
        self._wanted = _wanted_tree(rules.selection)
        self._never = _by_folder(rules.never)
        self._has_markers = bool(rules.exclude_if_present) or rules.exclude_caches
        self._takes_all = not rules.exclude and rules.exclude_larger_bytes is None
        self._levels: list[_Level] = []
        # Those of the levels that are open, but the root: upper ones first.
        self._open: deque[_Level] = deque()
        self._long_left = _LONG_ENTRIES
        self._root_fd = root_fd
        self._root_status = os.fstat(root_fd)

    def slices(self) -> Iterator[Slice]:
        """Yield everything, in key order. The first entry is the root with an empty name."""
        wanted, status = self._wanted, self._root_status
        is_passed = not wanted.is_named
        root_fd = os.open(b".", _flags(is_passed=is_passed), dir_fd=self._root_fd)
        root = _Level(b"", b"", wanted, status, root_fd, status.st_dev, 0, is_passed)
        self._levels.append(root)
        passed = frozenset((b"",)) if is_passed else _NO_NAMES
        try:
            yield Slice(root_fd, b"", [b""], [status], passed)
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
            names = self._names(level, fd)
        except OSError as error:
            self._report(_path(level.prefix)[:-1], error)
            return
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

    def _names(self, level: _Level, fd: int) -> list[bytes]:
        """Return the names in a folder that are to be examined, ascending.

        Raises:
            OSError: it cannot be listed.
        """
        wanted = level.wanted.below
        if level.is_passed:
            return sorted(wanted)
        # A name that is replaced while the folder is listed may come twice (tmpfs, btrfs).
        # `os.fsencode` without its frame of Python for each name.
        names = sorted({name.encode(_NAMES, "surrogateescape") for name in os.listdir(fd)})
        if level.prefix in self._never:
            never = self._never[level.prefix]
            names = [name for name in names if name not in never]
        if self._has_markers and not level.wanted.is_named:
            names = self._unmarked(level, fd, names)
        # What is wanted and not there becomes a finding when it is examined.
        return sorted({*names, *wanted}) if wanted else names

    def _unmarked(self, level: _Level, fd: int, names: list[bytes]) -> list[bytes]:
        """Return what markers leave of the names in a folder."""
        there = frozenset(names)
        if not there.isdisjoint(self._rules.exclude_if_present):
            level.is_passed = True
            return []
        if self._rules.exclude_caches and _CACHE_TAG in there and _is_cache(fd):
            level.is_passed = True
            # The folder and its tag stay, so that the restored folder is a cache again.
            return [_CACHE_TAG]
        return names

    def _examine(self, level: _Level, fd: int, names: list[bytes]) -> Slice:
        wanted = level.wanted.below
        if self._takes_all and not wanted:
            with suppress(OSError):  # then one by one, to say which
                return self._examine_all(level, fd, names)
        piece = Slice(fd, level.prefix, [], [])
        path = _path(level.prefix)
        seen = path[level.start :]
        patterns = self._patterns
        larger = self._rules.exclude_larger_bytes
        for name in names:
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError as error:
                self._report(path + name, error)
                continue
            if wanted and name in wanted:
                if self._meet(level, name, status):
                    piece.names.append(name)
                    piece.status.append(status)
                continue
            # As `_is_left_out` says, without a call for each entry.
            is_folder = stat.S_ISDIR(status.st_mode)
            if patterns is not None and patterns.excludes(seen + name, is_folder):
                continue
            if larger is not None and status.st_size > larger and stat.S_ISREG(status.st_mode):
                continue
            if is_folder and self._may_enter(level, path + name, status):
                level.waiting.append(name)
            piece.names.append(name)
            piece.status.append(status)
        piece.passed = level.passed
        return piece

    def _meet(self, level: _Level, name: bytes, status: os.stat_result) -> bool:
        """Say whether something is taken that was named, or leads to what was named.

        A folder that the rules leave out is passed.
        """
        wanted, path = level.wanted.below[name], _path(level.prefix, name)
        is_left_out = level.is_passed or self._is_left_out(path[level.start :], status)
        if not stat.S_ISDIR(status.st_mode):
            if wanted.below:
                self._found(Finding(VANISHED, path, "not a folder any more"))
            return wanted.is_named or not is_left_out
        if not wanted.is_named and (
            is_left_out
            or name in self._never.get(level.prefix, ())
            or self._is_elsewhere(level, status)
        ):
            level.passed.add(name)
        if not self._is_too_deep(path):
            level.waiting.append(name)
        return True

    def _is_left_out(self, seen: bytes, status: os.stat_result) -> bool:
        patterns, larger = self._patterns, self._rules.exclude_larger_bytes
        if patterns is not None and patterns.excludes(seen, stat.S_ISDIR(status.st_mode)):
            return True
        return larger is not None and status.st_size > larger and stat.S_ISREG(status.st_mode)

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
                name for name, status in folders if self._may_enter(level, path + name, status)
            ]
        return Slice(fd, level.prefix, names, found)

    def _may_enter(self, level: _Level, path: bytes, status: os.stat_result) -> bool:
        return not (self._is_too_deep(path) or self._is_elsewhere(level, status))

    def _is_too_deep(self, path: bytes) -> bool:
        if len(path) < _DEEPEST_BYTES:
            return False
        self._found(Finding(UNSUPPORTED, path, _TOO_DEEP))
        return True

    def _is_elsewhere(self, level: _Level, status: os.stat_result) -> bool:
        return self._rules.one_file_system and status.st_dev != level.device

    # --- down and up again --------------------------------------------------------------------

    def _descend(self, level: _Level, name: bytes) -> _Level | None:
        path = _path(level.prefix, name)
        parent_fd = self._reopened()
        if parent_fd is None:
            self._found(Finding(VANISHED, path, "its folder was moved while it was read"))
            return None
        wanted = level.wanted.below.get(name, _NOTHING)
        is_passed = name in level.passed
        try:
            fd = linux.open_at(name, _flags(is_passed=is_passed), parent_fd)
        except OSError as error:
            self._report(path, error)
            return None
        if not level.waiting:
            # The last child: nobody comes back here, so chains of any depth hold few folders.
            self._close(level)
        status = os.fstat(fd)
        device, start = level.device, level.start
        if wanted.is_named:
            device, start = status.st_dev, len(path) + 1
        prefix = level.prefix + name + b"\0"
        child = _Level(name, prefix, wanted, status, fd, device, start, is_passed)
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
        fd = linux.open_at(level.name, _flags(is_passed=level.is_passed), parent_fd)
    except OSError:
        return None
    now, was = os.fstat(fd), level.status
    if (now.st_dev, now.st_ino) != (was.st_dev, was.st_ino):
        os.close(fd)
        return None
    return fd


def _flags(*, is_passed: bool) -> int:
    return linux.PASSED_FLAGS if is_passed else linux.FOLDER_FLAGS


def _wanted_tree(paths: Sequence[bytes]) -> _Wanted:
    """Return the root, with the paths that are named below it; without paths, it is named."""
    root = _Wanted(is_named=not paths)
    for path in paths:
        node = root
        if path not in ROOTS:
            for name in path.split(b"/"):
                node = node.below.setdefault(name, _Wanted())
        node.is_named = True
    return root


def _by_folder(paths: Sequence[bytes]) -> Mapping[bytes, frozenset[bytes]]:
    """Return the last names of paths, by the prefix of the folder that they are in."""
    found: dict[bytes, frozenset[bytes]] = {}
    for path in paths:
        *above, name = path.split(b"/")
        prefix = b"".join(one + b"\0" for one in above)
        found[prefix] = found.get(prefix, _NO_NAMES) | {name}
    return found


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
