"""The folders of a restore: made, entered, swept and finished, the deepest first."""

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from holdfast.base.errors import IntegrityError
from holdfast.base.ids import NodeId
from holdfast.base.progress import Finding
from holdfast.core.python import linux_restore as linux
from holdfast.core.python.contents import ContentReader
from holdfast.core.python.entries import FOLDER, Entry
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
_TEMPORARY_SIZE: Final = len(TEMPORARY) + 16
_LISTED: Final = 4096
"""Sub-folders whose entries are remembered; others are looked up when they are entered."""
_OWNERS_RIGHTS: Final = stat.S_IRWXU

IN_THE_WAY: Final = "in-the-way"
NOT_RESTORED: Final = "not-restored"
NOT_REMOVED: Final = "not-removed"

Owner = tuple[int, int]
Found = Callable[[Finding], None]


class Level(PlainLevel):
    """A folder of the target on the way down."""

    __slots__ = (
        "entry",
        "existing",
        "extra",
        "folder",
        "inherits_acl",
        "is_new",
        "learned",
        "listed",
        "owner",
        "xattrs",
    )

    def __init__(
        self,
        fd: int,
        name: bytes,
        folder: bytes,
        placed: tuple[Entry, Owner, dict[bytes, bytes]] | None,
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
        self.learned: Owner | None = None
        """Whose a new file in this folder is."""
        self.inherits_acl = False
        self.listed: dict[bytes, tuple[Entry, Owner]] = {}

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
        self._owners: Final = LocalOwners(numeric_ids=rules.numeric_ids)
        self._levels: list[Level] = []
        self._blocked: set[bytes] = set()
        self._deletes = rules.delete
        self.removed = 0

    def stop_removing(self) -> None:
        """Remove nothing from here on: what the tree has is not known in full any more."""
        self._deletes = False

    def close(self) -> None:
        """Close all folders as they are."""
        for level in self._levels:
            close_level(level)
        self._levels.clear()

    def start(self, run: Fetcher, target_fd: int) -> Work[None]:
        """Enter the target."""
        fd = os.open(b".", linux.FOLDER_FLAGS, dir_fd=target_fd)
        placed = None
        if self._rules.onto_target:
            try:
                entry, owner = yield from self._look_up(run, *split_path(self._rules.strip_prefix))
                placed = (entry, owner, (yield from self.xattrs(run, entry)))
            except BaseException:
                os.close(fd)
                raise
        self._levels.append(Level(fd, b"", self._selection.prefix, placed, is_new=False))
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
        xattrs = yield from self.xattrs(run, entry)
        is_new = self._make(level, name)
        if is_new is None:
            self.block(level, name)
            return
        if not is_new:
            level.existing.add(name)
        if len(level.listed) >= _LISTED:
            level.listed.clear()
        level.listed[name] = (entry, owner)
        if is_new or self._changes_metadata(level.folder + name + b"\0"):
            fd = linux.open_folder(level.fd, name)
            try:
                self._metadata.open_thing(fd, entry, owner, xattrs, level.path(name))
            finally:
                os.close(fd)

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
            if not self._deletes or self._selection.is_left_out(path, is_folder=True):
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
            entry, owner = above.listed.get(name) or (
                yield from self._look_up(run, above.folder, name)
            )
            if entry.type != FOLDER:
                raise TreeShapeError("it holds entries and is no folder")
            xattrs = yield from self.xattrs(run, entry)
            is_new = name in above.listed and name not in above.existing
            if name not in above.listed:
                made = self._make(above, name)
                if made is None:
                    self.block(above, name)
                    return None
                is_new = made
            above.existing.discard(name)
            fd = linux.open_folder(above.fd, name)
        except IntegrityError as error:
            self._found(Finding(error.code, path, error.message))
            self.block(above, name)
            return None
        except OSError as error:
            self._found(Finding(NOT_RESTORED, path, error.strerror or "it cannot be opened"))
            self.block(above, name)
            return None
        level = Level(fd, name, folder, (entry, owner, xattrs), is_new=is_new)
        self._prepare(level)
        return level

    def _prepare(self, level: Level) -> None:
        """Make a folder ready for work in it, and look what is there."""
        fd = level.fd
        if fd is None:
            return
        mode = stat.S_IMODE(os.fstat(fd).st_mode)
        if level.name and mode & _OWNERS_RIGHTS != _OWNERS_RIGHTS:
            # Not ours: then what follows says so. It gets its own mode when it is left.
            with suppress(PermissionError):
                os.fchmod(fd, mode | _OWNERS_RIGHTS)
        if level.is_new:
            if linux.DEFAULT_ACL in level.xattrs:
                # New things would inherit from it; it comes back when the folder is left.
                linux.remove_attribute(fd, linux.DEFAULT_ACL)
            return
        level.inherits_acl = linux.has_attribute(fd, linux.DEFAULT_ACL)
        names = linux.names_of(fd)
        for name in names:
            if name.startswith(TEMPORARY) and len(name) == _TEMPORARY_SIZE:
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
        if fd is None:
            return
        for name in sorted(level.extra):
            path = level.path(name)
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                is_folder = stat.S_ISDIR(status.st_mode)
                if self._selection.is_left_out(path, is_folder=is_folder):
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


def refusal(error: Exception) -> str:
    """Say why the system did not take something."""
    if isinstance(error, OSError):
        return error.strerror or "the system refused"
    return "the system has no such value"
