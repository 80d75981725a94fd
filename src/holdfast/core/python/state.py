"""Local state: the opened nodes of a source's last restore point, in key order, in one mapped file.

It is a cache of what this machine itself holds: losing it costs reading the source again, never
storing anything twice. A file that is not complete, or not what this module writes, is no state.
docs/design/local-state.md has the form.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from holdfast.base.errors import IntegrityError
from holdfast.core.python.leaves import LeafSection, decode_leaf

_MAGIC: Final = b"HFSTATE0"
_HEADER: Final = struct.Struct("<8sq32s")
_RECORD: Final = struct.Struct("<IB32s")
_END: Final = struct.Struct("<8sQ")
_END_MAGIC: Final = b"HFSTEND0"
_LEAF: Final = 1
_EXTENTS: Final = 3


class StateWriter:
    """Writes the nodes of a point under a temporary name; `finish` completes the file."""

    def __init__(self, path: Path, *, started_ns: int, vault_id: bytes) -> None:
        self.path = path
        self._file = open(path, "wb", opener=_private)  # noqa: SIM115 - Path.open takes no opener; closed by finish or abandon
        self._file.write(_HEADER.pack(_MAGIC, started_ns, vault_id))
        self._count = 0

    def leaf(self, node_id: bytes, node: bytes) -> None:
        """Append a leaf; leaves come in key order."""
        self._append(_LEAF, node_id, node)

    def extents(self, node_id: bytes, node: bytes) -> None:
        """Append a node of an extent map, before the leaf that refers to it."""
        self._append(_EXTENTS, node_id, node)

    def finish(self) -> None:
        """Complete the file."""
        self._file.write(_END.pack(_END_MAGIC, self._count))
        self._file.close()

    def abandon(self) -> None:
        """Remove the file."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _append(self, kind: int, node_id: bytes, node: bytes) -> None:
        self._file.write(_RECORD.pack(len(node), kind, node_id))
        self._file.write(node)
        self._count += 1


class RecordedFolder:
    """What the last point holds directly in one folder."""

    __slots__ = ("_places",)

    def __init__(self, sections: list[LeafSection]) -> None:
        self._places = {
            name: (section, position)
            for section in sections
            for position, name in enumerate(section.names)
        }

    def find(self, name: bytes) -> tuple[LeafSection, int] | None:
        """Return the section and the position in it that hold *name*."""
        return self._places.get(name)


class RecordedTree:
    """The state of the last point, read side by side with the source."""

    def __init__(self, mapped: mmap.mmap, started_ns: int) -> None:
        self.started_ns = started_ns
        self._mapped = mapped
        self._leaves: list[tuple[int, int]] = []
        self._extents: dict[bytes, tuple[int, int]] = {}
        self._sections: Iterator[LeafSection] = iter(())
        self._next: LeafSection | None = None

    @classmethod
    def open(cls, path: Path, *, vault_id: bytes) -> Self | None:
        """Open the state at *path*; None when there is none that can be used."""
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < _HEADER.size + _END.size:
                    return None
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError:
            return None
        magic, started_ns, recorded_vault_id = _HEADER.unpack_from(mapped)
        if magic != _MAGIC or recorded_vault_id != vault_id:
            return None
        tree = cls(mapped, started_ns)
        return tree if tree._find_records() else None

    def folder(self, prefix: bytes) -> RecordedFolder | None:
        """Return what is recorded of a folder. Folders are asked for in ascending order.

        From a leaf on that is damaged nothing more is known.
        """
        sections = []
        try:
            while self._next is not None and self._next.folder < prefix:
                self._next = next(self._sections, None)
            while self._next is not None and self._next.folder == prefix:
                sections.append(self._next)
                self._next = next(self._sections, None)
        except IntegrityError:
            self._next = None
        return RecordedFolder(sections) if sections else None

    def extent_node(self, node_id: bytes) -> bytes | None:
        """Return a recorded node of an extent map."""
        place = self._extents.get(node_id)
        return None if place is None else self._mapped[place[0] : place[0] + place[1]]

    def _find_records(self) -> bool:
        end = len(self._mapped) - _END.size
        magic, count = _END.unpack_from(self._mapped, end)
        if magic != _END_MAGIC:
            return False
        offset = _HEADER.size
        while offset + _RECORD.size <= end:
            length, kind, node_id = _RECORD.unpack_from(self._mapped, offset)
            offset += _RECORD.size
            if kind == _LEAF:
                self._leaves.append((offset, length))
            else:
                self._extents[node_id] = (offset, length)
            offset += length
            count -= 1
        if offset != end or count != 0:
            return False
        self._sections = self._walk()
        try:
            self._next = next(self._sections, None)
        except IntegrityError:
            return False
        return True

    def _walk(self) -> Iterator[LeafSection]:
        for offset, length in self._leaves:
            yield from decode_leaf(self._mapped[offset : offset + length]).sections


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
