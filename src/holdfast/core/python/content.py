"""Read the bytes of one file of a source, whatever happens to it meanwhile."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from holdfast.base.sizes import MIB
from holdfast.core.python import linux

_READ_BYTES: Final = 4 * MIB
_BLOCK: Final = 512
_MAXIMUM_HOLES: Final = 1 << 18
"""A file with more holes than this is stored as if it had none: 4 MiB in the tree, 30 in memory."""


@dataclass(slots=True)
class OpenFile:
    """A file that is being read: where it is open and what it looked like then."""

    fd: int
    status: os.stat_result

    @classmethod
    def open(cls, folder_fd: int, name: bytes) -> "OpenFile":
        """Open *name* without following a symlink and without touching its access time.

        Raises:
            OSError: it cannot be opened.
        """
        fd = linux.open_at(name, linux.FILE_FLAGS, folder_fd)
        return cls(fd, os.fstat(fd))

    def close(self) -> None:
        """Close it."""
        os.close(self.fd)

    def has_changed(self, read_bytes: int, holes_bytes: int) -> bool:
        """Say whether the file changed while it was read, or another number of bytes came."""
        now = os.fstat(self.fd)
        was = self.status
        return (
            read_bytes + holes_bytes != was.st_size
            or now.st_size != was.st_size
            or now.st_mtime_ns != was.st_mtime_ns
        )

    @property
    def is_sparse(self) -> bool:
        """Whether it takes less room than it has bytes: there may be holes."""
        return self.status.st_blocks * _BLOCK < self.status.st_size

    def holes(self) -> list[tuple[int, int]]:
        """Return (offset, length) of its holes."""
        if not self.is_sparse:
            return []
        return linux.holes_of(self.fd, self.status.st_size, _MAXIMUM_HOLES)

    def read(self, holes: list[tuple[int, int]]) -> Iterator[bytes]:
        """Yield the data without the holes; less if the file has shrunk, never more."""
        position = 0
        for offset, length in [*holes, (self.status.st_size, 0)]:
            yield from self._read_range(position, offset)
            position = offset + length

    def hides_content(self) -> bool:
        """Say whether a file of size 0 has bytes all the same, as in /proc and on some mounts.

        Not blocking: it was opened so. What cannot be read counts as nothing.
        """
        try:
            return bool(os.read(self.fd, 1)) and os.fstat(self.fd).st_size == 0
        except OSError:
            return False

    def read_small(self) -> bytes:
        """Return all data of a small file without holes; less if it has shrunk, never more."""
        size = self.status.st_size
        data = os.read(self.fd, size)
        while len(data) < size and (more := os.read(self.fd, size - len(data))):
            data += more
        return data

    def _read_range(self, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            data = os.pread(self.fd, min(_READ_BYTES, end - start), start)
            if not data:
                return
            yield data
            start += len(data)
