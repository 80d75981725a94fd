"""Holding a tree against what is in a folder.

Reads only, and fetches no file contents: what is in the folder is cut as the tree says and must
have the same chunk ids.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from holdfast.base.errors import IntegrityError
from holdfast.base.ids import NodeId
from holdfast.base.progress import Finding
from holdfast.base.sizes import MIB
from holdfast.core.face import Compared, Progress
from holdfast.core.python import linux_restore as linux
from holdfast.core.python.contents import ContentReader, ExtentCursor, data_runs
from holdfast.core.python.entries import FILE, FOLDER, SYMLINK, Entry
from holdfast.core.python.leaves import Leaf
from holdfast.core.python.left_out import LeftOut
from holdfast.core.python.node_reader import LeafCursor, NodeReader, Work, split_path
from holdfast.core.python.reading_run import ReadingRun
from holdfast.core.python.restore_folders import refusal
from holdfast.core.python.restored_owners import LocalOwners
from holdfast.core.python.selection import KeyRange, Selection
from holdfast.core.python.target_folders import LookingStack, components
from holdfast.core.reader_errors import TargetError
from holdfast.core.restore_rules import RestoreRules

MISSING: Final = "missing"
ADDITIONAL: Final = "additional"
UNREADABLE: Final = "unreadable"
_PIECE: Final = 1 * MIB
_FORMATS: Final = {
    1: stat.S_IFREG,
    2: stat.S_IFDIR,
    3: stat.S_IFLNK,
    4: stat.S_IFIFO,
    5: stat.S_IFSOCK,
    6: stat.S_IFCHR,
    7: stat.S_IFBLK,
}


class CompareRun(ReadingRun[Compared]):
    """Find every difference between a tree and what is below *target_fd*.

    Each is a finding whose code is the field: ``type``, ``mode``, ``owner``, ``size``, ``content``,
    ``mtime``, ``target``, ``device``, ``xattrs``, ``missing``, ``additional``.

    Raises:
        PathNotFoundError, InvalidPathError, NotAFolderError: a path is not there.
        IntegrityError: a node of the tree cannot be had.
    """

    def __init__(
        self,
        nodes: NodeReader,
        contents: ContentReader,
        root: NodeId,
        below: Sequence[bytes],
        target_fd: int,
        rules: RestoreRules,
    ) -> None:
        super().__init__(nodes.segments)
        self._nodes = nodes
        self._contents = contents
        self._root = root
        self._rules = rules
        self._target_fd = target_fd
        self._selection = Selection(below, rules)
        self._owners = LocalOwners(numeric_ids=rules.numeric_ids)
        self._looking: LookingStack | None = None
        self._items = 0
        self._differences = 0
        self._folder: bytes | None = None
        self._additional: set[bytes] = set()
        self._left_out = LeftOut(rules.left_out)
        self._is_hollow = False

    def _release(self) -> None:
        if self._looking is not None:
            self._looking.close()

    def _work(self) -> Work[Compared]:
        for path in self._selection.paths:
            yield from self._nodes.find_path(self, self._root, path)
        yield from self._nodes.require_folder(self, self._root, self._rules.strip_prefix)
        try:
            self._looking = LookingStack(self._target_fd)
        except OSError as error:
            raise TargetError(f"the target cannot be used: {refusal(error)}") from error
        if self._rules.onto_target:
            yield from self._compare_target()
        for wanted in self._selection.ranges:
            cursor = LeafCursor(self._nodes, self._root, wanted[0])
            while (leaf := (yield from cursor.next(self, wanted[1]))) is not None:
                yield from self._take(self._looking, leaf, wanted)
                self.emit(Progress(self._items, None, 0, 0))
                yield True
        self._report_additional(self._looking)
        return Compared(self._items, self._differences)

    def _differs(self, field: str, path: bytes, detail: str) -> None:
        self._differences += 1
        self.emit(Finding(field, path, detail))

    def _compare_target(self) -> Work[None]:
        folder, name = split_path(self._rules.strip_prefix)
        leaf = yield from self._nodes.find_leaf(self, self._root, folder + b"\0" + name)
        entry = leaf.find(folder, name)
        if entry is not None:
            owner = self._owner(leaf, entry)
            status = os.fstat(self._target_fd)
            yield from self._metadata(self._target_fd, b"", entry, owner, status, b"")

    def _owner(self, leaf: Leaf, entry: Entry) -> tuple[int, int]:
        users, groups = self._owners.users(leaf), self._owners.groups(leaf)
        return users.get(entry.uid, entry.uid), groups.get(entry.gid, entry.gid)

    def _take(self, looking: LookingStack, leaf: Leaf, wanted: KeyRange) -> Work[None]:
        for folder, entries in self._selection.entries(leaf, wanted):
            if folder != self._folder:
                self._report_additional(looking)
            fd = self._open(looking, folder)
            if fd is None:
                continue  # its folder is reported as missing
            if folder != self._folder:
                self._folder = folder
                self._is_hollow = self._left_out.is_hollow(folder, ())
                if self._selection.is_whole(folder):
                    self._additional = set(linux.names_of(fd))
            names = [entry.name for entry in entries]
            self._additional.difference_update(names)
            self._is_hollow &= self._left_out.is_hollow(folder, names)
            prefix = folder.replace(b"\0", b"/")
            for entry in self._selection.chosen(folder, entries):
                self._items += 1
                try:
                    yield from self._compare(
                        fd, entry, self._owner(leaf, entry), prefix + entry.name
                    )
                except OSError as error:
                    self._differs(UNREADABLE, prefix + entry.name, refusal(error))
                except IntegrityError as error:
                    self._differs(error.code, prefix + entry.name, error.message)

    def _open(self, looking: LookingStack, folder: bytes) -> int | None:
        return looking.open(components(folder[len(self._selection.prefix) :]))

    def _report_additional(self, looking: LookingStack) -> None:
        if self._folder is not None and self._additional and not self._is_hollow:
            prefix = self._folder.replace(b"\0", b"/")
            fd = self._open(looking, self._folder)
            for name in sorted(self._additional):
                self._additional_name(fd, name, prefix + name)
        self._additional = set()

    def _additional_name(self, fd: int | None, name: bytes, path: bytes) -> None:
        """Report what the tree does not have, unless the backup left it out."""
        if self._selection.is_left_out(path, is_folder=False):
            return
        with suppress(OSError):
            if fd is not None and self._left_out.spares(fd, name, path):
                return
        self._differs(ADDITIONAL, path, "the tree does not have it")

    def _compare(self, fd: int, entry: Entry, owner: tuple[int, int], path: bytes) -> Work[None]:
        try:
            status = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            self._differs(MISSING, path, "it is not there")
            return
        if stat.S_IFMT(status.st_mode) != _FORMATS[entry.type]:
            self._differs("type", path, f"it should be a {entry.kind}")
            return
        if not self._selection.keeps_metadata(entry.folder + entry.name + b"\0"):
            yield from self._metadata(fd, entry.name, entry, owner, status, path)
        yield from self._content(fd, entry, status, path)

    def _content(self, fd: int, entry: Entry, status: os.stat_result, path: bytes) -> Work[None]:
        shown = path.decode("utf-8", "backslashreplace")
        if entry.type == FILE:
            if status.st_size != entry.size:
                detail = f"{status.st_size} bytes instead of {entry.size}"
                self._differs("size", path, detail)
            elif not (yield from self._is_same_content(fd, entry, shown)):
                self._differs("content", path, "the bytes are others")
        elif entry.type == SYMLINK:
            target = yield from self._contents.link_target(self, entry, shown)
            if os.readlink(entry.name, dir_fd=fd) != target:
                self._differs("target", path, "the symlink points elsewhere")
        elif entry.type == FOLDER:
            yield from self._empty_folder(fd, entry, path)
        elif entry.device is not None:
            there = (os.major(status.st_rdev), os.minor(status.st_rdev))
            if there != entry.device:
                self._differs("device", path, f"device {there} instead of {entry.device}")

    def _metadata(
        self,
        fd: int,
        name: bytes,
        entry: Entry,
        owner: tuple[int, int],
        status: os.stat_result,
        path: bytes,
    ) -> Work[None]:
        mode = stat.S_IMODE(status.st_mode)
        if entry.type != SYMLINK and mode != entry.mode:
            self._differs("mode", path, f"{mode:04o} instead of {entry.mode:04o}")
        if (status.st_uid, status.st_gid) != owner:
            there = f"{status.st_uid}:{status.st_gid}"
            self._differs("owner", path, f"{there} instead of {owner[0]}:{owner[1]}")
        if status.st_mtime_ns != entry.mtime_ns:
            self._differs("mtime", path, f"{status.st_mtime_ns} ns instead of {entry.mtime_ns} ns")
        shown = path.decode("utf-8", "backslashreplace")
        wanted = dict((yield from self._contents.xattrs(self, entry, shown)))
        if linux.attributes_of(linux.attribute_path(fd, name)) != wanted:
            self._differs("xattrs", path, "the extended attributes are others")

    def _empty_folder(self, fd: int, entry: Entry, path: bytes) -> Work[None]:
        """A folder that is empty in the tree has no section there: nobody else looks into it."""
        folder = entry.folder + entry.name + b"\0"
        if not linux.names_in(fd, entry.name) or not self._selection.is_whole(folder):
            return
        leaf = yield from self._nodes.find_leaf(self, self._root, folder + b"\1")
        if leaf.section(folder) is None and not self._left_out.is_hollow(folder, ()):
            below = os.open(entry.name, linux.FOLDER_FLAGS, dir_fd=fd)
            try:
                for name in sorted(linux.names_of(below)):
                    self._additional_name(below, name, path + b"/" + name)
            finally:
                os.close(below)

    # --- contents -------------------------------------------------------------------------------

    def _is_same_content(self, folder_fd: int, entry: Entry, shown: str) -> Work[bool]:
        holes = yield from self._contents.holes(self, entry, shown)
        runs = data_runs(entry.size, holes)
        cursor = ExtentCursor(self._nodes, entry, sum(length for _, length in runs), shown)
        fd = os.open(entry.name, linux.READ_FLAGS, dir_fd=folder_fd)
        try:
            if not all(_is_zero(fd, offset, length) for offset, length in holes):
                return False
            data = _DataReader(fd, runs)
            while (piece := (yield from cursor.next(self))) is not None:
                for chunk_id, length in piece[1]:
                    if self.segments.chunk_id(data.take(length)) != chunk_id:
                        return False
                yield True
        finally:
            os.close(fd)
        return True


class _DataReader:
    """Reads what lies between the holes of a file as one run of bytes."""

    def __init__(self, fd: int, runs: list[tuple[int, int]]) -> None:
        self._fd = fd
        self._runs = iter(runs)
        self._offset = self._left = 0

    def take(self, count: int) -> bytes:
        """Return the next bytes; fewer if the file has shrunk."""
        parts = []
        while count:
            if not self._left:
                run = next(self._runs, None)
                if run is None:
                    break
                self._offset, self._left = run
            data = os.pread(self._fd, min(count, self._left, 8 * _PIECE), self._offset)
            if not data:
                break
            parts.append(data)
            count -= len(data)
            self._offset += len(data)
            self._left -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def _is_zero(fd: int, offset: int, length: int) -> bool:
    return all(not data.strip(b"\0") for data in _data_in(fd, offset, offset + length))


def _data_in(fd: int, start: int, stop: int) -> Iterator[bytes]:
    while start < stop:
        try:
            start = os.lseek(fd, start, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            if error.errno != errno.EINVAL:
                raise
        if start >= stop:
            return
        data = os.pread(fd, min(_PIECE, stop - start), start)
        if not data:
            return
        yield data
        start += len(data)
