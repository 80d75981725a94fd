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
PASSED_FLAGS: Final = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
"""For folders that are not listed: the right to search them suffices."""
_NO_ATIME: Final = os.O_NOATIME
"""Allowed to the owner and to root only."""

ATTRIBUTES_BYTES: Final = 4 << 20
"""Attributes of one item beyond this are refused: they are held in memory together, by readers too,
which take values of a sixteenth of their memory at most."""
_NO_ATTRIBUTE: Final = frozenset({errno.ENOTSUP, errno.ENODATA, errno.EPERM})
"""EPERM: the name spaces ``trusted`` and ``security`` are not for everybody."""


def open_at(name: bytes, flags: int, folder_fd: int) -> int:
    """Open *name* for reading in an open folder, leaving its access time alone if that is allowed.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        return os.open(name, flags | _NO_ATIME, dir_fd=folder_fd)
    except PermissionError:
        return os.open(name, flags, dir_fd=folder_fd)


def attributes(place: int | bytes) -> list[tuple[bytes, bytes]]:
    """Return (name, value) of the extended attributes of an open file or of a `place_of`, by name.

    A file system without attributes has none; one that vanishes meanwhile is left out.

    Raises:
        OSError: they cannot be read, or are more than `ATTRIBUTES_BYTES`.
    """
    follow = not isinstance(place, bytes)
    try:
        names = os.listxattr(place, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise
    found = []
    total = 0
    for name in names:
        try:
            value = os.getxattr(place, name, follow_symlinks=follow)
        except OSError as error:
            if error.errno in _NO_ATTRIBUTE:
                continue
            raise
        total += len(value)
        if total > ATTRIBUTES_BYTES:
            raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
        found.append((os.fsencode(name), value))
    return sorted(found)


def place_of(folder_fd: int, name: bytes) -> bytes:
    """Return a path to *name* in an open folder; with an empty name, to the folder itself.

    The last name is not resolved where the caller follows no symlinks, and ``/proc/self/fd/N`` is
    a magic link to the open folder, wherever that is.
    """
    return b"/proc/self/fd/%d/%s" % (folder_fd, name or b".")


def holes_of(fd: int, size_bytes: int, most: int) -> list[tuple[int, int]]:
    """Return (offset, length) of the holes of an open file, ascending, within *size_bytes*.

    None for a file system that cannot tell, and for a file with more than *most*.
    """
    holes: list[tuple[int, int]] = []
    position = 0
    while position < size_bytes:
        data = min(_seek(fd, position, os.SEEK_DATA, size_bytes), size_bytes)
        if data > position:
            if len(holes) == most:
                return []
            holes.append((position, data - position))
        # Where a hole is punched meanwhile, data may end where it begins: one byte of it counts as
        # data, so that no two holes touch.
        position = max(_seek(fd, data, os.SEEK_HOLE, size_bytes), data + 1)
    return holes


def _seek(fd: int, position: int, whence: int, size_bytes: int) -> int:
    try:
        return os.lseek(fd, position, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole up to the end, or the file has shrunk
            return size_bytes
        if error.errno == errno.EINVAL:
            return position if whence == os.SEEK_DATA else size_bytes
        raise
