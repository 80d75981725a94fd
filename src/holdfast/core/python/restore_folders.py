"""The folders of a restore: made, entered, swept and finished, the deepest first."""

import os
import re
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from holdfast.base.errors import IntegrityError
from holdfast.base.ids import NodeId
from holdfast.base.progress import Finding
from holdfast.core.python import linux_restore as linux
from holdfast.core.python.contents import ContentReader
from holdfast.core.python.entries import FOLDER, Entry
from holdfast.core.python.left_out import LeftOut
from holdfast.core.python.metadata import Metadata
from holdfast.core.python.node_reader import NodeReader, Work, split_path
from holdfast.core.python.restored_owners import LocalOwners
from holdfast.core.python.segment_reader import Fetcher
from holdfast.core.python.selection import Selection
from holdfast.core.python.target_folders import (
    PlainLevel,
    close_level,
    components,
    is_mount,
    limit_open,
    open_above,
    remove_everything,
)
from holdfast.core.reader_errors import TreeShapeError
from holdfast.core.restore_rules import RestoreRules

TEMPORARY: Final = b".holdfast-"
_IS_TEMPORARY: Final = re.compile(re.escape(TEMPORARY) + rb"[0-9a-f]{16}").fullmatch
_LISTED: Final = 4096
"""Sub-folders whose entries are remembered; others are looked up when they are entered."""
_OWNERS_RIGHTS: Final = stat.S_IRWXU

IN_THE_WAY: Final = "in-the-way"
NOT_RESTORED: Final = "not-restored"
NOT_REMOVED: Final = "not-removed"

Owner = tuple[int, int]
_Placed = tuple[Entry, Owner, dict[bytes, bytes]]
"""What becomes of a folder: its entry, its owner here, its attributes."""
Found = Callable[[Finding], None]


class Level(PlainLevel):
    """A folder of the target on the way down."""

    __slots__ = (
        "entry",
        "existing",
        "extra",
        "folder",
        "inherits_acl",
        "is_hollow",
        "is_new",
        "learned",
        "lent",
        "listed",
        "owner",
        "xattrs",
    )

    def __init__(
        self,
        fd: int,
        name: bytes,
        folder: bytes,
        placed: _Placed | None,
        *,
        is_new: bool,
    ) -> None:
        super().__init__(fd, name)
        self.folder: Final = folder
        self.entry: Final = None if placed is None else placed[0]
        self.owner: Final = (0, 0) if placed is None else placed[1]
        self.xattrs: Final = {} if placed is None else placed[2]
        self.is_new: Final = is_new
        self.existing: set[bytes] = set()
        """Sub-folders that were there before, and have not been entered yet."""
        self.extra: set[bytes] = set()
        """What was there before and the tree has not, as far as it is known."""
        self.is_hollow = True
        """What the tree was seen to have here leaves it open whether more was left out."""
        self.learned: Owner | None = None
        """Whose a new file in this folder is."""
        self.inherits_acl = False
        self.lent: int | None = None
        """The mode that it had, where its owner got more rights to let us work in it."""
        self.listed: dict[bytes, tuple[Entry, Owner] | None] = {}
        """Sub-folders that were placed and have not been entered yet."""

    def path(self, name: bytes) -> bytes:
        """Return the path of something in this folder, below the root of the tree."""
        return self.folder.replace(b"\0", b"/") + name


class RestoreFolders:
    """The stack of folders between the target and the place where things are put now."""

    def __init__(
        self,
        nodes: NodeReader,
        contents: ContentReader,
        root: NodeId,
        selection: Selection,
        rules: RestoreRules,
        metadata: Metadata,
        found: Found,
    ) -> None:
        self._nodes: Final = nodes
        self._contents: Final = contents
        self._root: Final = root
        self._selection: Final = selection
        self._rules: Final = rules
        self._metadata: Final = metadata
        self._found: Final = found
        self._left_out: Final = LeftOut(rules.left_out)
        self._owners: Final = LocalOwners(numeric_ids=rules.numeric_ids)
        self._levels: list[Level] = []
        self._blocked: set[bytes] = set()
        self._without: set[bytes] = set()
        """Paths of folders whose attributes are damaged, which has been reported."""
        self._deletes = rules.delete
        self.removed = 0

    def stop_removing(self) -> None:
        """Remove nothing from here on: what the tree has is not known in full any more."""
        self._deletes = False

    def has(self, level: Level, names: Sequence[bytes]) -> None:
        """Take note of what the tree has in a folder."""
        level.extra.difference_update(names)
        level.is_hollow = level.is_hollow and self._left_out.is_hollow(level.folder, names)

    def close(self) -> None:
        """Close all folders as they are; rights that were lent are taken back."""
        for level in self._levels:
            _take_back(level)
            close_level(level)
        self._levels.clear()

    def start(self, run: Fetcher, target_fd: int) -> Work[None]:
        """Enter the target."""
        fd = os.open(b".", linux.FOLDER_FLAGS, dir_fd=target_fd)
        is_new = self._rules.onto_target and self._rules.target_is_new
        placed = None
        if self._rules.onto_target:
            try:
                entry, owner = yield from self._look_up(run, *split_path(self._rules.strip_prefix))
                placed = yield from self._placed(run, entry, owner, b"", is_new=is_new)
                if is_new:
                    # What it inherits from the folder above would go on to what is made in it.
                    linux.remove_attribute(fd, linux.DEFAULT_ACL)
            except BaseException:
                os.close(fd)
                raise
        self._levels.append(Level(fd, b"", self._selection.prefix, placed, is_new=is_new))
        self._prepare(self._levels[-1])

    def finish(self, run: Fetcher) -> Work[None]:
        """Leave all folders."""
        while self._levels:
            yield from self._pop(run)

    def enter(self, run: Fetcher, folder: bytes) -> Work[Level | None]:
        """Return the open folder where entries of *folder* belong; None after a finding."""
        levels = self._levels
        if levels[-1].folder == folder:
            return levels[-1] if levels[-1].fd is not None else None
        names = components(folder[len(self._selection.prefix) :])
        common = 0
        while (
            common < len(names)
            and common + 1 < len(levels)
            and levels[common + 1].name == names[common]
        ):
            common += 1
        while len(levels) - 1 > common:
            yield from self._pop(run)
        for name in names[common:]:
            level = yield from self._push(run, levels[-1], name)
            if level is None:
                return None
            levels.append(level)
            limit_open(levels)
        return levels[-1] if levels[-1].fd is not None else None

    def xattrs(self, run: Fetcher, entry: Entry) -> Work[dict[bytes, bytes]]:
        """Return the extended attributes of an entry."""
        if not entry.rare:
            return {}
        path = (entry.folder.replace(b"\0", b"/") + entry.name).decode("utf-8", "backslashreplace")
        return dict((yield from self._contents.xattrs(run, entry, path)))

    def place(self, run: Fetcher, level: Level, entry: Entry, owner: Owner) -> Work[None]:
        """Make a folder, or take the one that is there."""
        if level.fd is None:
            return
        name = entry.name
        is_new = self._make(level, name)
        if is_new is None:
            self.block(level, name)
            return
        if not is_new:
            level.existing.add(name)
        level.listed[name] = (entry, owner) if len(level.listed) < _LISTED else None
        placed = yield from self._placed(run, entry, owner, level.path(name), is_new=is_new)
        if placed is not None and (is_new or self._changes_metadata(level.folder + name + b"\0")):
            fd = linux.open_folder(level.fd, name)
            try:
                self._metadata.open_thing(fd, *placed, level.path(name))
            finally:
                os.close(fd)

    def _placed(
        self, run: Fetcher, entry: Entry, owner: Owner, path: bytes, *, is_new: bool
    ) -> Work[_Placed | None]:
        """Return the metadata that a folder gets; None if it keeps those that it has.

        Attributes that are damaged cost themselves, not all that is in the folder. What they
        allowed to whom is not known then: a new folder is its owner's only.
        """
        try:
            return entry, owner, (yield from self.xattrs(run, entry))
        except IntegrityError as error:
            if path not in self._without:
                self._without.add(path)
                detail = f"its attributes are damaged: {error.message}"
                self._found(Finding(error.code, path, detail))
            if not is_new:
                return None
            return entry._replace(mode=entry.mode & _OWNERS_RIGHTS), owner, {}

    def block(self, level: Level, name: bytes) -> None:
        """Leave out a folder with all in it, for a reason that has been reported."""
        self._blocked.add(level.folder + name + b"\0")

    def clear_way(self, level: Level, name: bytes, status: os.stat_result) -> bool:
        """Remove something of the wrong type, if the rules allow; else report it."""
        fd = level.fd
        path = level.path(name)
        if fd is None or self._rules.overwrite != "always":
            self._found(Finding(IN_THE_WAY, path, "something of another type is there"))
            return False
        if not stat.S_ISDIR(status.st_mode):
            os.unlink(name, dir_fd=fd)
            return True
        try:
            os.rmdir(name, dir_fd=fd)
        except OSError:
            if (
                not self._deletes
                or self._selection.is_left_out(path, is_folder=True)
                or self._left_out.spares(fd, name, path)
            ):
                self._found(Finding(IN_THE_WAY, path, "a folder that is not empty is there"))
                return False
            remove_everything(fd, name)
            self.removed += 1
        return True

    # --- one level ----------------------------------------------------------------------------

    def _make(self, level: Level, name: bytes) -> bool | None:
        """Make a folder; False if there is one, None after a finding."""
        fd = level.fd
        if fd is None:
            return None
        try:
            os.mkdir(name, 0o700, dir_fd=fd)
        except FileExistsError:
            status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                return False
            if not self.clear_way(level, name, status):
                return None
            os.mkdir(name, 0o700, dir_fd=fd)
        return True

    def _look_up(self, run: Fetcher, folder: bytes, name: bytes) -> Work[tuple[Entry, Owner]]:
        leaf = yield from self._nodes.find_leaf(run, self._root, folder + b"\0" + name)
        entry = leaf.find(folder, name)
        if entry is None or entry.type != FOLDER:
            path = (folder.replace(b"\0", b"/") + name).decode("utf-8", "backslashreplace")
            raise TreeShapeError(f"'{path}' holds entries and is no folder")
        users, groups = self._owners.users(leaf), self._owners.groups(leaf)
        return entry, (users.get(entry.uid, entry.uid), groups.get(entry.gid, entry.gid))

    def _push(self, run: Fetcher, above: Level, name: bytes) -> Work[Level | None]:
        folder = above.folder + name + b"\0"
        path = above.path(name)
        if folder in self._blocked or above.fd is None:
            return None
        try:
            is_listed, is_made = name in above.listed, False
            # Nobody comes back to a folder that was left.
            entry, owner = above.listed.pop(name, None) or (
                yield from self._look_up(run, above.folder, name)
            )
            if entry.type != FOLDER:
                raise TreeShapeError("it holds entries and is no folder")
            is_new = is_listed and name not in above.existing
            if not is_listed:
                made = self._make(above, name)
                if made is None:
                    self.block(above, name)
                    return None
                is_new = is_made = made
            placed = yield from self._placed(run, entry, owner, path, is_new=is_new)
            above.existing.discard(name)
            mode = None if is_new else _mode_of(above.fd, name)
            fd = linux.open_folder(above.fd, name)
        except IntegrityError as error:
            self._found(Finding(error.code, path, error.message))
            self.block(above, name)
            return None
        except OSError as error:
            self._found(Finding(NOT_RESTORED, path, error.strerror or "it cannot be opened"))
            self.block(above, name)
            return None
        level = Level(fd, name, folder, placed, is_new=is_new)
        if mode is not None and mode & _OWNERS_RIGHTS != _OWNERS_RIGHTS:
            level.lent = mode
        return self._entered(level, above, is_made=is_made)

    def _entered(self, level: Level, above: Level, *, is_made: bool) -> Level | None:
        """Make a folder ready for work in it; None after a finding."""
        try:
            if is_made and level.fd is not None:
                # It was not among the entries that are restored: what it inherits from a folder
                # that was there would go on to what is made in it.
                linux.remove_attribute(level.fd, linux.DEFAULT_ACL)
            self._prepare(level)
        except BaseException as error:
            _take_back(level)
            close_level(level)
            if not isinstance(error, OSError):
                raise
            self._found(Finding(NOT_RESTORED, above.path(level.name), refusal(error)))
            self.block(above, level.name)
            return None
        return level

    def _prepare(self, level: Level) -> None:
        """Make a folder ready for work in it, and look what is there."""
        fd = level.fd
        if fd is None:
            return
        mode = stat.S_IMODE(os.fstat(fd).st_mode)
        if level.name and mode & _OWNERS_RIGHTS != _OWNERS_RIGHTS:
            # Not ours, or nothing can be written there: then what follows says so. It gets its own
            # mode, or this one again, when it is left.
            with suppress(OSError):
                os.fchmod(fd, mode | _OWNERS_RIGHTS)
                level.lent = mode if level.lent is None else level.lent
        if level.is_new:
            if linux.DEFAULT_ACL in level.xattrs:
                # New things would inherit from it; it comes back when the folder is left.
                linux.remove_attribute(fd, linux.DEFAULT_ACL)
            return
        level.inherits_acl = linux.has_attribute(fd, linux.DEFAULT_ACL)
        names = linux.names_of(fd)
        for name in names:
            if is_temporary(name):
                with suppress(OSError):
                    if stat.S_ISREG(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                        os.unlink(name, dir_fd=fd)
        if self._rules.delete and self._selection.is_whole(level.folder):
            level.extra = set(names)

    def _pop(self, run: Fetcher) -> Work[None]:
        level = self._levels[-1]
        if self._deletes:
            for name in sorted(level.existing):
                if is_mount(level.fd, name):
                    continue
                # In the tree it is empty: entering and leaving it removes what it holds.
                below = yield from self._push(run, level, name)
                if below is not None:
                    self._levels.append(below)
                    yield from self._pop(run)
            self._remove_extra(level)
        self._levels.pop()
        if self._levels and self._levels[-1].fd is None:
            self._levels[-1].fd = open_above(self._levels[-1], level)
            if self._levels[-1].fd is None:
                detail = "it was moved away while it was restored"
                self._found(Finding(NOT_RESTORED, self._levels[-1].path(b"")[:-1], detail))
        if level.entry is not None and (level.is_new or self._changes_metadata(level.folder)):
            self._finish_level(level, level.entry)
        else:
            _take_back(level)
        close_level(level)

    def _changes_metadata(self, folder: bytes) -> bool:
        return self._rules.overwrite != "never" and not self._selection.keeps_metadata(folder)

    def _finish_level(self, level: Level, entry: Entry) -> None:
        path = level.path(b"")[:-1]
        if level.fd is None:
            self._metadata.note("folder", path)
            return
        try:
            self._metadata.open_thing(level.fd, entry, level.owner, level.xattrs, path)
        except linux.REFUSED as error:
            self._found(Finding(NOT_RESTORED, path, refusal(error)))

    def _remove_extra(self, level: Level) -> None:
        fd = level.fd
        if fd is None or (level.is_hollow and self._left_out.is_hollow(level.folder, ())):
            return
        for name in sorted(level.extra):
            path = level.path(name)
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                is_folder = stat.S_ISDIR(status.st_mode)
                if self._selection.is_left_out(path, is_folder=is_folder):
                    continue
                if self._left_out.spares(fd, name, path):
                    continue
                if is_folder:
                    remove_everything(fd, name)
                else:
                    os.unlink(name, dir_fd=fd)
                self.removed += 1
            except FileNotFoundError:
                continue
            except OSError as error:
                self._found(Finding(NOT_REMOVED, path, refusal(error)))


def _mode_of(folder_fd: int, name: bytes) -> int:
    return stat.S_IMODE(os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mode)


def _take_back(level: Level) -> None:
    """Give a folder the mode that it had before somebody had to work in it."""
    if level.lent is not None and level.fd is not None:
        with suppress(OSError):
            os.fchmod(level.fd, level.lent)


def is_temporary(name: bytes) -> bool:
    """Say whether a file of this name is what a restore that was cut short left behind."""
    return _IS_TEMPORARY(name) is not None


def refusal(error: Exception) -> str:
    """Say why the system did not take something."""
    if isinstance(error, OSError):
        return error.strerror or "the system refused"
    return "the system has no such value"
