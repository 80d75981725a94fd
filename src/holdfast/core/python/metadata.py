"""Putting back owner, mode, attributes and times of one thing (vault-format.md 8.3 and 8.4).

The order is that of what undoes what: writing takes setuid bits and capabilities away, and so does
a change of owner; attributes of users need the right to write; ACLs change the mode; the time of
the last change comes last.
"""

import os
import stat
from collections import Counter
from typing import Final

from holdfast.core.python import linux_restore as linux
from holdfast.core.python.entries import FILE, FOLDER, SYMLINK, Entry

_SETUID_AND_GID: Final = stat.S_ISUID | stat.S_ISGID
_ACLS: Final = (linux.ACCESS_ACL, linux.DEFAULT_ACL)
_SYSTEMS_OWN: Final = frozenset({b"security.selinux", b"security.ima", b"security.evm"})
"""Attributes that the system itself gives and takes."""
_OF_THE_SYSTEM: Final = b"system."
"""But for ACLs, these are views of what file systems keep elsewhere: NFS lists its own access
control so (``system.nfs4_acl``) and refuses to remove it."""

OWNER: Final = "owner"
ATTRIBUTE: Final = "attribute"


class Metadata:
    """Sets metadata and counts what was refused, so that it is said once and not per file."""

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self.first: dict[str, bytes] = {}
        """By kind of refusal: the path where it happened first."""

    def note(self, kind: str, path: bytes) -> None:
        """Count a refusal."""
        self.refused[kind] += 1
        self.first.setdefault(kind, path)

    def open_thing(
        self, fd: int, entry: Entry, owner: tuple[int, int], xattrs: dict[bytes, bytes], path: bytes
    ) -> None:
        """Give an open file or folder everything but what its content is."""
        status = os.fstat(fd)
        mode = entry.mode
        if (status.st_uid, status.st_gid) != owner:
            mode = self._chown(fd, None, entry, owner, path)
        if xattrs or not _is_plain(fd):
            self._attributes(fd, xattrs, path, acls=False)
        if entry.type == FILE or stat.S_IMODE(os.fstat(fd).st_mode) != mode:
            os.fchmod(fd, mode)
        if xattrs:
            self._attributes(fd, xattrs, path, acls=True)
        os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))

    def named_thing(
        self,
        folder_fd: int,
        name: bytes,
        entry: Entry,
        owner: tuple[int, int],
        xattrs: dict[bytes, bytes],
        path: bytes,
    ) -> None:
        """Give something that need not be openable everything; symlinks have no mode."""
        status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        place = linux.attribute_path(folder_fd, name)
        mode = entry.mode
        if (status.st_uid, status.st_gid) != owner:
            mode = self._chown(folder_fd, name, entry, owner, path)
        self._attributes(place, xattrs, path, acls=False)
        if entry.type != SYMLINK:
            linux.set_mode(folder_fd, name, mode)
            self._attributes(place, xattrs, path, acls=True)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=folder_fd, follow_symlinks=False)

    def chown_file(self, fd: int, entry: Entry, owner: tuple[int, int], path: bytes) -> int:
        """Give an open file its owner, as far as allowed; returns the mode it may have then."""
        return self._chown(fd, None, entry, owner, path)

    def _chown(
        self, fd: int, name: bytes | None, entry: Entry, owner: tuple[int, int], path: bytes
    ) -> int:
        for uid, gid in (owner, (-1, owner[1])):
            try:
                if name is None:
                    os.fchown(fd, uid, gid)
                else:
                    os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False)
            except linux.REFUSED:
                continue
            if uid == owner[0]:
                return entry.mode
            break
        self.note(OWNER, path)
        # Set for somebody else they would give rights that nobody meant to give.
        return entry.mode if entry.type == FOLDER else entry.mode & ~_SETUID_AND_GID

    def _attributes(
        self, place: int | bytes, wanted: dict[bytes, bytes], path: bytes, *, acls: bool
    ) -> None:
        there = linux.attributes_of(place)
        for name in there.keys() - wanted.keys() - _SYSTEMS_OWN:
            if name.startswith(_OF_THE_SYSTEM) and name not in _ACLS:
                continue
            if (name in _ACLS) == acls or not wanted:
                try:
                    linux.remove_attribute(place, name)
                except linux.REFUSED:
                    self.note(ATTRIBUTE, path)
        for name, value in wanted.items():
            if (name in _ACLS) != acls or there.get(name) == value:
                continue
            try:
                linux.set_attribute(place, name, value)
            except linux.REFUSED:
                self.note(ATTRIBUTE, path)


def _is_plain(fd: int) -> bool:
    try:
        return not os.listxattr(fd)
    except OSError:
        return True
