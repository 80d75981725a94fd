"""Local state: the opened nodes of a source's last restore point, in key order, in one file.

It is a cache of what this machine itself holds: losing it costs reading the source again, never
storing anything twice. A file that is not complete, or not what this module writes, is no state.

The file: header (magic, start of the session, vault id), records (length, kind, id, node) in the
order in which they were made, end (magic, number of records); all numbers little-endian. A node
that does not have its id counts as not recorded.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from holdfast.base.errors import IntegrityError
from holdfast.base.secrets import Secret
from holdfast.core.python.leaves import Leaf, LeafSection, decode_leaf
from holdfast.core.python.tree_builder import node_id as node_id_of
from holdfast.core.run_errors import SpoolError

_MAGIC: Final = b"HFSTATE0"
_HEADER: Final = struct.Struct("<8sq32s")
_RECORD: Final = struct.Struct("<IB32s")
_END: Final = struct.Struct("<8sQ")
_END_MAGIC: Final = b"HFSTEND0"
_LEAF: Final = 1
_EXTENTS: Final = 3


class StateWriter:
    """Writes the nodes of a point under a temporary name; `finish` completes the file.

    Raises:
        SpoolError: the file cannot be written; `abandon` it.
    """

    def __init__(self, path: Path, *, started_ns: int, vault_id: bytes) -> None:
        self.path = path
        self._count = 0
        with self._spooling():
            self._file = open(path, "xb", opener=_private)  # noqa: SIM115 - Path.open takes no opener; closed by finish or abandon
            self._file.write(_HEADER.pack(_MAGIC, started_ns, vault_id))

    def leaf(self, node_id: bytes, node: bytes) -> None:
        """Append a leaf; leaves come in key order."""
        self._append(_LEAF, node_id, node)

    def extents(self, node_id: bytes, node: bytes) -> None:
        """Append a node of an extent map."""
        self._append(_EXTENTS, node_id, node)

    def finish(self) -> None:
        """Complete the file."""
        with self._spooling():
            self._file.write(_END.pack(_END_MAGIC, self._count))
            self._file.close()

    def abandon(self) -> None:
        """Remove the file."""
        with suppress(OSError):  # what cannot be flushed is of no use any more
            self._file.close()
        with suppress(OSError):
            self.path.unlink()

    def _append(self, kind: int, node_id: bytes, node: bytes) -> None:
        with self._spooling():
            self._file.write(_RECORD.pack(len(node), kind, node_id))
            self._file.write(node)
        self._count += 1

    @contextmanager
    def _spooling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolError.of(self.path, error) from error


@dataclass(frozen=True, slots=True, eq=False)
class RecordedLeaf:
    """A leaf of the last point."""

    leaf: Leaf
    node: bytes
    node_id: bytes


@dataclass(frozen=True, slots=True)
class RecordedSection:
    """A section of a recorded leaf, and which of its sections it is."""

    section: LeafSection
    leaf: RecordedLeaf
    number: int


class RecordedTree:
    """The state of the last point, read side by side with the source. `close` it.

    It is read, not mapped: a mapped file that gets shorter, or sits on a failing disk, would kill
    the process.
    """

    def __init__(self, fd: int, node_id_key: Secret) -> None:
        self.started_ns = 0
        self._fd = fd
        self._node_id_key = node_id_key
        self._leaves: list[tuple[bytes, int, int]] = []
        self._extents: dict[bytes, tuple[int, int]] = {}
        self._sections: Iterator[RecordedSection] = iter(())
        self._next: RecordedSection | None = None
        self._held: list[RecordedSection] = []

    @classmethod
    def open(cls, path: Path, *, vault_id: bytes, node_id_key: Secret) -> Self | None:
        """Open the state at *path*; None when there is none that can be used."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        tree = cls(fd, node_id_key)
        if not tree._read_frame(vault_id):
            tree.close()
            return None
        tree._sections = tree._walk()
        tree._next = next(tree._sections, None)
        return tree

    def close(self) -> None:
        """Let go of the file; nothing is asked for afterwards."""
        os.close(self._fd)

    def sections(self, folder: bytes, names: list[bytes]) -> list[RecordedSection]:
        """Return, in order, the recorded sections of *folder* that reach into the range of *names*.

        Folders, and the names of one folder, are asked for in ascending order, so that no more
        than the sections around them are held at once.
        """
        first, last = names[0], names[-1]
        held = [
            one
            for one in self._held
            if one.section.folder == folder and one.section.names[-1] >= first
        ]
        while (one := self._next) is not None:
            section = one.section
            if section.folder > folder or (section.folder == folder and section.names[0] > last):
                break
            if section.folder == folder and section.names[-1] >= first:
                held.append(one)
            self._next = next(self._sections, None)
        self._held = held
        return held

    def extent_node(self, node_id: bytes) -> bytes | None:
        """Return a recorded node of an extent map, unless it is damaged."""
        place = self._extents.get(node_id)
        return None if place is None else self._intact(node_id, *place)

    def _read_frame(self, vault_id: bytes) -> bool:
        end = os.fstat(self._fd).st_size - _END.size
        if end < _HEADER.size:
            return False
        magic, self.started_ns, recorded_vault_id = _HEADER.unpack(self._read(0, _HEADER.size))
        end_magic, count = _END.unpack(self._read(end, _END.size))
        if (magic, recorded_vault_id, end_magic) != (_MAGIC, vault_id, _END_MAGIC):
            return False
        offset = _HEADER.size
        while offset + _RECORD.size <= end:
            length, kind, node_id = _RECORD.unpack(self._read(offset, _RECORD.size))
            offset += _RECORD.size
            if kind == _LEAF:
                self._leaves.append((node_id, offset, length))
            elif kind == _EXTENTS:
                self._extents[node_id] = (offset, length)
            offset += length
            count -= 1
        return offset == end and count == 0

    def _walk(self) -> Iterator[RecordedSection]:
        """Yield all sections in key order; a leaf that is damaged is as if it were not there."""
        for node_id, offset, length in self._leaves:
            node = self._intact(node_id, offset, length)
            if node is not None:
                with suppress(IntegrityError):
                    leaf = RecordedLeaf(decode_leaf(node), node, node_id)
                    for number, section in enumerate(leaf.leaf.sections):
                        yield RecordedSection(section, leaf, number)

    def _intact(self, node_id: bytes, offset: int, length: int) -> bytes | None:
        node = self._read(offset, length)
        return node if node_id_of(self._node_id_key, node) == node_id else None

    def _read(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._fd, length, offset).ljust(length, b"\0")
        except OSError:  # as good as damaged
            return bytes(length)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
