"""Walk a source in the order of tree keys, a slice of one folder at a time.

Order (vault-format.md 8.1): the entries of a folder, ascending by name, then the same for each of
its sub-folders, ascending. Everything is reached through open folders and never through a path, so
that neither a path beyond PATH_MAX nor a symlink put in the way can lead elsewhere.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.base.progress import Finding
from holdfast.core.face import ScanRules
from holdfast.core.python import linux
from holdfast.policy.patterns import Patterns, compile_patterns

SLICE_ENTRIES: Final = 2048
"""Entries that are examined at once: bounds memory in folders with millions of names."""
_OPEN_FOLDERS: Final = 64
"""Folders held open on the way down; deeper trees open their upper folders again."""

_CACHE_TAG: Final = b"CACHEDIR.TAG"
_CACHE_SIGNATURE: Final = b"Signature: 8a477f597d28d172789f06886806bc55"
"""https://bford.info/cachedir/"""

UNREADABLE: Final = "unreadable"
VANISHED: Final = "vanished"
CHANGED: Final = "changed"
UNSUPPORTED: Final = "unsupported"


@dataclass(slots=True)
class Slice:
    """Neighbouring entries of one folder with their status. `fd` is open until the next slice."""

    fd: int
    prefix: bytes
    names: list[bytes]
    status: list[os.stat_result]

    def path(self, name: bytes) -> bytes:
        """Return the path of an entry relative to the root, for people."""
        return self.prefix.replace(b"\0", b"/") + name


class _Level:
    """A folder on the way down."""

    __slots__ = ("device", "fd", "inode", "name", "prefix", "selected", "waiting")

    def __init__(
        self, fd: int, name: bytes, prefix: bytes, status: os.stat_result, *, selected: bool
    ) -> None:
        self.fd: int | None = fd
        self.name = name
        self.prefix = prefix
        self.device = status.st_dev
        self.inode = status.st_ino
        self.selected = selected
        # Sub-folders still to be walked, descending, so that the next one is popped off the end.
        self.waiting: list[bytes] = []


class Scanner:
    """Walks the tree below an open folder by the rules; what goes wrong becomes a finding."""

    def __init__(self, root_fd: int, rules: ScanRules, found: Callable[[Finding], None]) -> None:
        self._rules = rules
        self._found = found
        self._patterns: Patterns | None = (
            compile_patterns(tuple(rules.exclude)) if rules.exclude else None
        )
        self._selection = _selection_tree(rules.selection)
        self._levels: list[_Level] = []
        self._root_fd = root_fd
        self._root_status = os.fstat(root_fd)

    def slices(self) -> Iterator[Slice]:
        """Yield everything, in key order. The first entry is the root with an empty name."""
        root_fd = os.open(b".", linux.FOLDER_FLAGS, dir_fd=self._root_fd)
        root = _Level(root_fd, b"", b"", self._root_status, selected=not self._selection)
        self._levels.append(root)
        try:
            yield Slice(root_fd, b"", [b""], [self._root_status])
            yield from self._list(root)
            while self._levels:
                level = self._levels[-1]
                if not level.waiting:
                    self._levels.pop()
                    _close(level)
                    continue
                child = self._descend(level, level.waiting.pop())
                if child is not None:
                    self._levels.append(child)
                    self._limit_open()
                    yield from self._list(child)
        finally:
            for level in self._levels:
                _close(level)
            self._levels.clear()

    def _list(self, level: _Level) -> Iterator[Slice]:
        fd = level.fd
        if fd is None:  # pragma: no cover - a level is listed right after it was opened
            return
        try:
            names = sorted(map(os.fsencode, os.listdir(fd)))  # noqa: PTH208 - a folder that is open, not a path
        except OSError as error:
            self._report(level.prefix, error)
            return
        names = self._chosen(level, fd, names)
        folders: list[bytes] = []
        for start in range(0, len(names), SLICE_ENTRIES):
            yield from self._examine(level, fd, names[start : start + SLICE_ENTRIES], folders)
        folders.reverse()
        level.waiting = folders

    def _examine(
        self, level: _Level, fd: int, names: list[bytes], folders: list[bytes]
    ) -> Iterator[Slice]:
        kept: list[bytes] = []
        status: list[os.stat_result] = []
        prefix = level.prefix
        path = prefix.replace(b"\0", b"/")
        patterns = self._patterns
        larger = self._rules.exclude_larger_bytes
        for name in names:
            try:
                result = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError as error:
                self._report(path + name, error)
                continue
            is_folder = stat.S_ISDIR(result.st_mode)
            if patterns is not None and patterns.excludes(path + name, is_folder):
                continue
            if larger is not None and result.st_size > larger and stat.S_ISREG(result.st_mode):
                continue
            if is_folder and self._may_enter(fd, name, result):
                folders.append(name)
            kept.append(name)
            status.append(result)
        if kept:
            yield Slice(fd, prefix, kept, status)

    def _may_enter(self, fd: int, name: bytes, status: os.stat_result) -> bool:
        if self._rules.one_file_system and status.st_dev != self._root_status.st_dev:
            return False
        for marker in self._rules.exclude_if_present:
            try:
                os.stat(name + b"/" + marker, dir_fd=fd, follow_symlinks=False)
            except OSError:
                continue
            return False
        return True

    def _chosen(self, level: _Level, fd: int, names: list[bytes]) -> list[bytes]:
        if self._rules.exclude_caches and _CACHE_TAG in names and _is_cache(fd):
            # The folder and its tag stay, so that the restored folder is a cache again.
            return [_CACHE_TAG]
        if level.selected:
            return names
        wanted = self._below(level.prefix)
        for missing in sorted(wanted.keys() - set(names)):
            path = level.prefix.replace(b"\0", b"/") + missing
            self._found(Finding(VANISHED, path, "not there any more"))
        return [name for name in names if name in wanted]

    def _below(self, prefix: bytes) -> "dict[bytes, _Selection]":
        node = self._selection
        for component in prefix.split(b"\0")[:-1]:
            node = node[component].below
        return node

    def _descend(self, level: _Level, name: bytes) -> _Level | None:
        path = level.prefix.replace(b"\0", b"/") + name
        parent_fd = self._open_again(len(self._levels) - 1)
        if parent_fd is None:
            self._found(Finding(VANISHED, path, "its folder was moved while it was read"))
            return None
        try:
            fd = os.open(name, linux.FOLDER_FLAGS | linux.NO_ATIME, dir_fd=parent_fd)
        except PermissionError:
            try:
                fd = os.open(name, linux.FOLDER_FLAGS, dir_fd=parent_fd)
            except OSError as error:
                self._report(path, error)
                return None
        except OSError as error:
            self._report(path, error)
            return None
        if not level.waiting and level is not self._levels[0]:
            # The last child: nobody comes back here, so chains of any depth hold few folders.
            _close(level)
        selected = level.selected or not self._below(level.prefix)[name].below
        return _Level(fd, name, level.prefix + name + b"\0", os.fstat(fd), selected=selected)

    def _open_again(self, depth: int) -> int | None:
        """Return the open folder of a level, walking down from the nearest one still open."""
        start = depth
        while self._levels[start].fd is None:
            start -= 1
        for level in self._levels[start + 1 : depth + 1]:
            above = self._levels[start].fd
            start += 1
            if above is None:  # pragma: no cover - the loop opens one after the other
                return None
            try:
                fd = os.open(level.name, linux.FOLDER_FLAGS, dir_fd=above)
            except OSError:
                return None
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != (level.device, level.inode):
                os.close(fd)
                return None
            level.fd = fd
        return self._levels[depth].fd

    def _limit_open(self) -> None:
        opened = [level for level in self._levels[1:] if level.fd is not None]
        for level in opened[:-_OPEN_FOLDERS]:
            _close(level)

    def _report(self, path: bytes, error: OSError) -> None:
        self._found(finding_for(path, error))


def finding_for(path: bytes, error: OSError) -> Finding:
    """Say what an error of the operating system means for one item of the source."""
    gone = error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}
    detail = "not there any more" if gone else (error.strerror or "error")
    return Finding(VANISHED if gone else UNREADABLE, path, detail)


@dataclass(slots=True)
class _Selection:
    """What is selected below one component; nothing below means everything."""

    below: "dict[bytes, _Selection]"


def _selection_tree(paths: Sequence[bytes]) -> dict[bytes, _Selection]:
    root: dict[bytes, _Selection] = {}
    # Shorter ones first: a folder that is selected as a whole hides what is selected below it.
    for path in sorted(paths, key=lambda path: path.count(b"/")):
        node = root
        components = path.split(b"/")
        for depth, component in enumerate(components):
            known = node.get(component)
            if known is not None and not known.below and depth < len(components):
                break
            if known is None:
                known = node[component] = _Selection({})
            node = known.below
    return root


def _is_cache(fd: int) -> bool:
    try:
        tag = os.open(_CACHE_TAG, linux.FILE_FLAGS, dir_fd=fd)
    except OSError:
        return False
    try:
        return os.read(tag, len(_CACHE_SIGNATURE)) == _CACHE_SIGNATURE
    except OSError:
        return False
    finally:
        os.close(tag)


def _close(level: _Level) -> None:
    if level.fd is not None:
        os.close(level.fd)
        level.fd = None
