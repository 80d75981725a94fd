"""The Linux calls of the engine's reading side: extended attributes and holes.

Nothing else that reads sources uses a call that only Linux has (ADR 0003). Attributes of things
that cannot be opened are reached through ``/proc/self/fd``, so that no path gets longer than one
name.
"""

import errno
import os
from typing import Final

FILE_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
FOLDER_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
NO_ATIME: Final = os.O_NOATIME
"""Allowed to the owner and to root only; reading then leaves the access time alone."""

_NO_ATTRIBUTES: Final = frozenset({errno.ENOTSUP, errno.ENODATA, errno.ENOENT, errno.EPERM})


def attribute_names(folder_fd: int, name: bytes) -> list[str]:
    """Return the names of the extended attributes of *name*, not following a symlink.

    File systems without attributes have none. An empty *name* is the folder itself.
    """
    try:
        return os.listxattr(_path(folder_fd, name), follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_ATTRIBUTES:
            return []
        raise


def attributes(folder_fd: int, name: bytes, names: list[str]) -> list[tuple[bytes, bytes]]:
    """Return (name, value) of the attributes *names*, ascending by name.

    One that vanishes meanwhile is left out.
    """
    path = _path(folder_fd, name)
    found = []
    for attribute in names:
        try:
            value = os.getxattr(path, attribute, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NO_ATTRIBUTES:
                continue
            raise
        found.append((os.fsencode(attribute), value))
    return sorted(found)


def holes_of(fd: int, size_bytes: int) -> list[tuple[int, int]]:
    """Return (offset, length) of the holes of an open file, ascending, within *size_bytes*.

    A file system that cannot tell has none.
    """
    holes = []
    position = 0
    while position < size_bytes:
        try:
            data = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                data = size_bytes
            elif error.errno == errno.EINVAL:
                return []
            else:
                raise
        data = min(data, size_bytes)
        if data > position:
            holes.append((position, data - position))
        if data >= size_bytes:
            break
        position = os.lseek(fd, data, os.SEEK_HOLE)
    return holes


def _path(folder_fd: int, name: bytes) -> bytes:
    # A trailing name is never resolved through a symlink: the callers say follow_symlinks=False,
    # and /proc/self/fd/N itself is a magic link to the open folder.
    if name:
        return b"/proc/self/fd/%d/%s" % (folder_fd, name)
    return b"/proc/self/fd/%d/." % folder_fd


_NO_STABLE_INODES: Final = frozenset(
    {"9p", "cifs", "exfat", "fuseblk", "msdos", "ntfs3", "smb3", "vfat"}
)


def devices_without_stable_inodes() -> frozenset[int]:
    """Return the device numbers of mounted file systems whose inodes and ctimes mean nothing."""
    devices = set()
    try:
        with open("/proc/self/mountinfo", "rb") as mounts:  # noqa: PTH123 - not a path of a source
            lines = mounts.read().splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        fields = line.split(b" ")
        kind = fields[fields.index(b"-") + 1].decode("ascii", "replace")
        if kind in _NO_STABLE_INODES or kind.startswith("fuse."):
            major, minor = fields[2].split(b":")
            devices.add(os.makedev(int(major), int(minor)))
    return frozenset(devices)
