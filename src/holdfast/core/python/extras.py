"""What a restore that removes would remove: a comparison of names, before anything is touched."""

import os
import stat
from collections.abc import Sequence
from typing import Final

from holdfast.base.ids import NodeId
from holdfast.base.progress import Finding
from holdfast.core.face import Compared
from holdfast.core.python import linux_restore as linux
from holdfast.core.python.entries import FOLDER, Entry
from holdfast.core.python.leaves import Leaf
from holdfast.core.python.left_out import LeftOut
from holdfast.core.python.node_reader import LeafCursor, NodeReader, Work
from holdfast.core.python.reading_run import ReadingRun
from holdfast.core.python.restore_folders import is_temporary, refusal
from holdfast.core.python.selection import KeyRange, Selection
from holdfast.core.python.target_folders import LookingStack, components, is_mount
from holdfast.core.reader_errors import TargetError
from holdfast.core.restore_rules import RestoreRules

ADDITIONAL: Final = "additional"
SPARED: Final = "spared"


class ExtrasRun(ReadingRun[Compared]):
    """Find the names that a restore by the same rules would remove.

    Each is a finding ``additional``; a folder that goes with all in it is one, and its path ends
    with a slash. What stays because the backup left it out is a finding ``spared``. Reads the
    tree, and names in the target.

    Raises:
        PathNotFoundError, InvalidPathError, NotAFolderError: a path is not there.
        IntegrityError: a node of the tree cannot be had.
    """

    def __init__(
        self,
        nodes: NodeReader,
        root: NodeId,
        below: Sequence[bytes],
        target_fd: int,
        rules: RestoreRules,
    ) -> None:
        super().__init__(nodes.segments)
        self._nodes = nodes
        self._root = root
        self._rules = rules
        self._target_fd = target_fd
        self._selection = Selection(below, rules)
        self._left_out = LeftOut(rules.left_out)
        self._looking: LookingStack | None = None
        self._items = 0
        self._found = 0
        self._folder = b""
        self._left: dict[bytes, bool] = {}
        """Names in the present folder that the tree was not seen to have: is it a folder?"""
        self._is_hollow = False

    def _release(self) -> None:
        if self._looking is not None:
            self._looking.close()

    def _work(self) -> Work[Compared]:
        for path in self._selection.paths:
            yield from self._nodes.find_path(self, self._root, path)
        yield from self._nodes.require_folder(self, self._root, self._rules.strip_prefix)
        try:
            looking = self._looking = LookingStack(self._target_fd)
            # A root that is empty in the tree has no section that would be met.
            self._start(self._selection.prefix, self._target_fd)
        except OSError as error:
            raise TargetError(f"the target cannot be used: {refusal(error)}") from error
        for wanted in self._selection.ranges:
            cursor = LeafCursor(self._nodes, self._root, wanted[0])
            while (leaf := (yield from cursor.next(self, wanted[1]))) is not None:
                yield from self._take(looking, leaf, wanted)
                yield True
        self._report(looking)
        return Compared(self._items, self._found)

    def _take(self, looking: LookingStack, leaf: Leaf, wanted: KeyRange) -> Work[None]:
        for folder, entries in self._selection.entries(leaf, wanted):
            if folder != self._folder:
                self._report(looking)
            fd = self._open(looking, folder)
            if fd is None:
                continue
            if folder != self._folder:
                self._start(folder, fd)
            for entry in entries:
                self._left.pop(entry.name, None)
            names = [entry.name for entry in entries]
            self._is_hollow &= self._left_out.is_hollow(folder, names)
            for entry in self._selection.chosen(folder, entries):
                self._items += 1
                yield from self._meet(fd, entry)

    def _start(self, folder: bytes, fd: int) -> None:
        self._folder = folder
        self._left = _names(fd) if self._selection.is_whole(folder) else {}
        self._is_hollow = self._left_out.is_hollow(folder, ())

    def _open(self, looking: LookingStack, folder: bytes) -> int | None:
        return looking.open(components(folder[len(self._selection.prefix) :]))

    def _report(self, looking: LookingStack) -> None:
        fd = self._open(looking, self._folder) if self._left else None
        if fd is not None:
            self._tell(fd, self._folder, self._left, is_hollow=self._is_hollow)
        self._left = {}

    def _tell(self, fd: int, folder: bytes, names: dict[bytes, bool], *, is_hollow: bool) -> None:
        above = folder.replace(b"\0", b"/")
        for name, is_folder in sorted(names.items()):
            path = above + name
            if self._selection.is_left_out(path, is_folder=is_folder):
                continue
            shown = path + b"/" if is_folder else path
            try:
                is_spared = is_hollow or self._left_out.spares(fd, name, path)
            except OSError:
                continue  # It has gone meanwhile.
            if is_spared:
                self.emit(Finding(SPARED, shown, "the backup may have left it out"))
                continue
            self._found += 1
            self.emit(Finding(ADDITIONAL, shown, "the tree does not have it"))

    def _meet(self, fd: int, entry: Entry) -> Work[None]:
        """Look at what stands where an entry belongs."""
        try:
            status = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode):
                return
            below = linux.open_folder(fd, entry.name)
        except OSError:
            return  # nothing is there, or the restore will say what is wrong with it
        try:
            yield from self._look_into(fd, below, entry)
        finally:
            os.close(below)

    def _look_into(self, fd: int, below: int, entry: Entry) -> Work[None]:
        names = _names(below)
        if entry.type != FOLDER:
            # Only `always` makes room for something of another type.
            if names and self._rules.overwrite == "always":
                self._tell(fd, entry.folder, {entry.name: True}, is_hollow=False)
            return
        folder = entry.folder + entry.name + b"\0"
        if not names or is_mount(fd, entry.name) or not self._selection.is_whole(folder):
            return
        # A folder that is empty in the tree has no section there: nobody else looks into it.
        leaf = yield from self._nodes.find_leaf(self, self._root, folder + b"\1")
        if leaf.section(folder) is None:
            self._tell(below, folder, names, is_hollow=self._left_out.is_hollow(folder, ()))


def _names(fd: int) -> dict[bytes, bool]:
    """Return the names in an open folder, and of each whether it is a folder."""
    with os.scandir(fd) as entries:
        return {
            os.fsencode(entry.name): entry.is_dir(follow_symlinks=False)
            for entry in entries
            if not (is_temporary(os.fsencode(entry.name)) and entry.is_file(follow_symlinks=False))
        }
