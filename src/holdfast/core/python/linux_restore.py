"""The Linux calls of restoring: attributes, devices, modes of what cannot be opened.

What cannot be opened is reached through ``/proc/self/fd``: an ``O_PATH`` descriptor names one
thing for good, whoever puts a symlink in its place meanwhile.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

FOLDER_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
CREATE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
CAPABILITY: Final = b"security.capability"
ACCESS_ACL: Final = b"system.posix_acl_access"
DEFAULT_ACL: Final = b"system.posix_acl_default"

NO_ATTRIBUTES: Final = frozenset({errno.ENOTSUP, errno.ENODATA, errno.ENOENT})
REFUSED: Final = (OSError, ValueError, OverflowError)
"""What the system says to values that it does not take: too long, too large, with 00 in them."""


@contextmanager
def named(folder_fd: int, name: bytes) -> Iterator[bytes]:
    """Give a path for *name* itself that no symlink can lead astray; not for symlinks."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder_fd)
    try:
        if stat.S_ISLNK(os.fstat(fd).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        yield b"/proc/self/fd/%d" % fd
    finally:
        os.close(fd)


def set_mode(folder_fd: int, name: bytes, mode: int) -> None:
    """Set the permission bits of something that may not be openable."""
    with named(folder_fd, name) as path:
        os.chmod(path, mode)  # noqa: PTH101 - a path of /proc


def open_folder(folder_fd: int, name: bytes) -> int:
    """Open a folder that is not a symlink; gives its owner the right to do so, if need be."""
    try:
        return os.open(name, FOLDER_FLAGS, dir_fd=folder_fd)
    except PermissionError:
        with named(folder_fd, name) as path:
            status = os.stat(path)  # noqa: PTH116 - a path of /proc
            if not stat.S_ISDIR(status.st_mode):
                raise
            os.chmod(path, stat.S_IMODE(status.st_mode) | stat.S_IRWXU)  # noqa: PTH101 - a path of /proc
        return os.open(name, FOLDER_FLAGS, dir_fd=folder_fd)


def attribute_path(folder_fd: int, name: bytes) -> bytes:
    """Return a path for calls that do not follow a symlink at its end."""
    return b"/proc/self/fd/%d/%s" % (folder_fd, name or b".")


def set_attribute(place: int | bytes, name: bytes, value: bytes) -> None:
    """Set one extended attribute of an open file, or of a path without following a symlink."""
    if isinstance(place, int):
        os.setxattr(place, name, value)
    else:
        os.setxattr(place, name, value, follow_symlinks=False)


def attributes_of(place: int | bytes) -> dict[bytes, bytes]:
    """Return all extended attributes; none where the file system has none."""
    follow = isinstance(place, int)
    try:
        names = os.listxattr(place, follow_symlinks=follow)
    except OSError as error:
        if error.errno in NO_ATTRIBUTES or error.errno == errno.EPERM:
            return {}
        raise
    found = {}
    for name in names:
        try:
            found[os.fsencode(name)] = os.getxattr(place, name, follow_symlinks=follow)
        except OSError as error:
            if error.errno not in NO_ATTRIBUTES and error.errno != errno.EPERM:
                raise
    return found


def remove_attribute(place: int | bytes, name: bytes) -> None:
    """Remove one extended attribute; not there is fine."""
    try:
        os.removexattr(place, name, follow_symlinks=isinstance(place, int))
    except OSError as error:
        if error.errno not in NO_ATTRIBUTES and error.errno != errno.EPERM:
            raise


def process_umask() -> int:
    """Return the umask of this process without changing it."""
    with open("/proc/self/status", "rb") as status:  # noqa: PTH123 - not a path of a target
        for line in status:
            if line.startswith(b"Umask:"):
                return int(line.split()[1], 8)
    return 0o777


def has_attribute(fd: int, name: bytes) -> bool:
    """Say whether an open file or folder has an extended attribute."""
    try:
        os.getxattr(fd, name)
    except OSError:
        return False
    return True


def names_of(fd: int) -> list[bytes]:
    """Return what is in an open folder."""
    return list(map(os.fsencode, os.listdir(fd)))


def names_in(folder_fd: int, name: bytes) -> list[bytes]:
    """Return what is in a folder that is not a symlink."""
    fd = os.open(name, FOLDER_FLAGS, dir_fd=folder_fd)
    try:
        return names_of(fd)
    finally:
        os.close(fd)
