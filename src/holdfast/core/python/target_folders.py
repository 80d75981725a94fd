"""Folders of a restore target, walked by descriptors only.

No path is handed to the system and no symlink is followed, so that nothing outside of the target
is ever reached, whatever is put in the way meanwhile. Few folders are open at a time, however deep
the tree is: the way back is ``..``, held against what was there on the way down.
"""

import errno
import os
import stat
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from holdfast.core.python.linux_restore import FOLDER_FLAGS, names_of, open_folder

_OPEN_FOLDERS: Final = 64


def components(folder: bytes) -> list[bytes]:
    """Return the names in a folder as keys have it."""
    return folder.split(b"\0")[:-1]


class PlainLevel:
    """A folder on the way down."""

    __slots__ = ("fd", "identity", "name")

    def __init__(self, fd: int, name: bytes) -> None:
        status = os.fstat(fd)
        self.fd: int | None = fd
        self.name: Final = name
        self.identity: Final = (status.st_dev, status.st_ino)


def open_above(level: PlainLevel, below: PlainLevel) -> int | None:
    """Open the folder of *level*, which has *below* in it; None if *below* was moved away."""
    if below.fd is None:
        return None
    try:
        fd = os.open(b"..", FOLDER_FLAGS, dir_fd=below.fd)
    except OSError:
        return None
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) != level.identity:
        os.close(fd)
        return None
    return fd


def close_level(level: PlainLevel) -> None:
    """Close the descriptor of a level, if it is open."""
    if level.fd is not None:
        os.close(level.fd)
        level.fd = None


def limit_open(levels: Sequence[PlainLevel]) -> None:
    """Close the folder that is too far above the last one; the target itself stays open."""
    if len(levels) > _OPEN_FOLDERS + 1:
        close_level(levels[-1 - _OPEN_FOLDERS])


class LookingStack:
    """Finds folders that are there, to look at; changes nothing."""

    def __init__(self, target_fd: int) -> None:
        root = os.open(b".", FOLDER_FLAGS, dir_fd=target_fd)
        self._levels = [PlainLevel(root, b"")]
        self._absent: list[bytes] | None = None

    def close(self) -> None:
        """Close everything."""
        for level in self._levels:
            close_level(level)

    def open(self, names: list[bytes]) -> int | None:
        """Return a descriptor of the folder, valid until the next call, or None if there is none.

        Quick when asked in the order of tree keys.
        """
        absent = self._absent
        if absent is not None and names[: len(absent)] == absent:
            return None
        common = 0
        while (
            common < len(names)
            and common + 1 < len(self._levels)
            and self._levels[common + 1].name == names[common]
        ):
            common += 1
        while len(self._levels) - 1 > common:
            below = self._levels.pop()
            above = self._levels[-1]
            if above.fd is None:
                above.fd = open_above(above, below)
            close_level(below)
        for place, name in enumerate(names[common:], common):
            above = self._levels[-1]
            if above.fd is None:
                return None
            try:
                fd = os.open(name, FOLDER_FLAGS, dir_fd=above.fd)
            except OSError:
                self._absent = names[: place + 1]
                return None
            self._levels.append(PlainLevel(fd, name))
            limit_open(self._levels)
        return self._levels[-1].fd


def open_walking(target_fd: int, names: list[bytes]) -> int:
    """Open a folder from the target down, without following symlinks.

    Raises:
        OSError: it is not there, or something else is.
    """
    fd = os.open(b".", FOLDER_FLAGS, dir_fd=target_fd)
    for name in names:
        try:
            child = os.open(name, FOLDER_FLAGS, dir_fd=fd)
        finally:
            os.close(fd)
        fd = child
    return fd


def is_mount(folder_fd: int | None, name: bytes) -> bool:
    """Say whether something is mounted on *name* in an open folder."""
    if folder_fd is None:
        return False
    try:
        below = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
    except OSError:
        return False
    try:
        return _mount_of(below) != _mount_of(folder_fd)
    finally:
        os.close(below)


def remove_everything(folder_fd: int, name: bytes) -> int:
    """Remove a folder with all in it, however deep; returns how many things were removed.

    What is mounted in it, the same file system from elsewhere included, is not entered.

    Raises:
        OSError: something cannot be removed; what was removed before stays removed.
    """
    removed = 0
    here = open_folder(folder_fd, name)
    names: list[bytes] = [name]
    mount = _mount_of(folder_fd)
    try:
        identities = [_identity(here)]
        _refuse_mount(here, mount)
        pending: list[deque[bytes]] = [deque(names_of(here))]
        while pending:
            if pending[-1]:
                child = pending[-1].popleft()
                status = os.stat(child, dir_fd=here, follow_symlinks=False)
                if not stat.S_ISDIR(status.st_mode):
                    os.unlink(child, dir_fd=here)
                    removed += 1
                    continue
                below = open_folder(here, child)
                os.close(here)
                here = below
                _refuse_mount(here, mount)
                names.append(child)
                identities.append(_identity(here))
                pending.append(deque(names_of(here)))
                continue
            pending.pop()
            done = names.pop()
            if pending:
                above = os.open(b"..", FOLDER_FLAGS, dir_fd=here)
                os.close(here)
                here = above
                identities.pop()
                if _identity(here) != identities[-1]:
                    raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
                os.rmdir(done, dir_fd=here)
            else:
                os.rmdir(name, dir_fd=folder_fd)
            removed += 1
    finally:
        os.close(here)
    return removed


def _refuse_mount(fd: int, mount: tuple[int, bytes]) -> None:
    if _mount_of(fd) != mount:
        raise OSError(errno.EBUSY, "something is mounted there")


def _mount_of(fd: int) -> tuple[int, bytes]:
    """Tell mounts apart: by device, and where Linux says so (proc(5), fdinfo) by the mount itself.

    A folder of the same file system that is mounted here has the same device.
    """
    mount = b""
    with suppress(OSError), Path(f"/proc/self/fdinfo/{fd}").open("rb") as facts:
        mount = next((line for line in facts if line.startswith(b"mnt_id:")), b"")
    return os.fstat(fd).st_dev, mount


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
