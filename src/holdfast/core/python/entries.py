"""One name of a tree and the values that few names have: vault-format.md 8.1, 8.3 and 8.4."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from blake3 import blake3

from holdfast.core.errors import NodeError
from holdfast.core.face import Bytes, EntryKind
from holdfast.format import cbor

FILE: Final = 1
FOLDER: Final = 2
SYMLINK: Final = 3
FIFO: Final = 4
SOCKET: Final = 5
CHARACTER_DEVICE: Final = 6
BLOCK_DEVICE: Final = 7

_KIND_NAMES: Final[dict[int, EntryKind]] = {
    FILE: "file",
    FOLDER: "folder",
    SYMLINK: "link",
    FIFO: "fifo",
    SOCKET: "socket",
    CHARACTER_DEVICE: "char",
    BLOCK_DEVICE: "block",
}

LINK_TARGET: Final = 1
DEVICE: Final = 2
HARD_LINK_GROUP: Final = 3
HOLES: Final = 4
XATTRS: Final = 5

ID_SIZE: Final = 32
GROUP_SIZE: Final = 8
EXTENTS_INLINE: Final = 16
"""A file of more chunks than this has an extent map."""
EXTENT_MAP: Final = 255
"""The number of extents that stands for an extent map."""
INLINE_SIZE: Final = 1024
"""A value longer than this is stored as chunks."""
LONG_VALUE_CHUNK: Final = 512 * 1024
NAME_SIZE: Final = 4096
FOLDER_SIZE: Final = 1 << 20
ENTRY_SIZE: Final = 8 * 1024
"""What an entry may take in a leaf besides its name."""
_HOLE_SIZE: Final = 16

RawValue = bytes | tuple[int | bytes, ...]
"""A rare value as its encoding has it, arrays as tuples."""
Rare = tuple[tuple[int, RawValue], ...]
"""(field, value), ascending by field."""


@dataclass(frozen=True, slots=True)
class LongValue:
    """A value that stands in the leaf or, above 1,024 bytes, in data chunks."""

    length: int
    inline: bytes | None
    """The value itself, or None when it is stored in chunks."""
    ids: tuple[bytes, ...] = ()
    """Its chunks: 512 KiB each, the last one shorter."""

    @classmethod
    def of(cls, value: bytes) -> "LongValue":
        """Return a value that fits in the leaf."""
        return cls(len(value), value)

    @classmethod
    def from_raw(cls, raw: RawValue) -> "LongValue":
        """Read a value as its encoding has it.

        Raises:
            NodeError: it is not the encoding of a long value.
        """
        if isinstance(raw, bytes):
            if len(raw) > INLINE_SIZE:
                raise NodeError("a value above 1,024 bytes stands in a leaf itself")
            return cls(len(raw), raw)
        match raw:
            case (int() as length, *ids) if length > INLINE_SIZE and len(ids) == -(
                -length // LONG_VALUE_CHUNK
            ):
                chunks = tuple(chunk for chunk in ids if isinstance(chunk, bytes))
                if len(chunks) == len(ids) and all(len(chunk) == ID_SIZE for chunk in chunks):
                    return cls(length, None, chunks)
        raise NodeError("a long value is not a length and the ids of its chunks")

    def to_raw(self) -> RawValue:
        """Return the value as its encoding has it."""
        return (self.length, *self.ids) if self.inline is None else self.inline


class Entry(NamedTuple):
    """One name with all that is stored about it; a tuple, since they are made by the million."""

    folder: bytes
    """Its folder: every component followed by 00; empty in the root."""
    name: bytes
    type: int
    """One of `FILE` … `BLOCK_DEVICE`."""
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    size: int
    extent_count: int = 0
    """0 … 16, or `EXTENT_MAP`."""
    ids: bytes = b""
    """Chunk ids joined, or the root of the extent map."""
    lengths: tuple[int, ...] = ()
    """Lengths of the extents if there are 2 … 16 of them."""
    rare: Rare = ()

    @property
    def key(self) -> bytes:
        """What entries are ordered by."""
        return self.folder + b"\0" + self.name

    @property
    def kind(self) -> EntryKind:
        """Return the type as a word."""
        return _KIND_NAMES[self.type]

    @property
    def extents(self) -> tuple[tuple[bytes, int | None], ...]:
        """The extents (chunk id, length) of a file without an extent map.

        The length is None where a single chunk belongs to a file whose list of holes is itself
        stored in chunks: it is the size without the holes.
        """
        if self.extent_count == EXTENT_MAP:
            return ()
        if self.extent_count == 1:
            return ((self.ids, self.stored_size),)
        return tuple(
            (self.ids[ID_SIZE * number : ID_SIZE * (number + 1)], length)
            for number, length in enumerate(self.lengths)
        )

    @property
    def extent_map(self) -> bytes | None:
        """The root of the extent map, if there is one."""
        return self.ids if self.extent_count == EXTENT_MAP else None

    @property
    def stored_size(self) -> int | None:
        """Size without holes; None where the list of holes is itself stored in chunks."""
        holes = self.holes
        if holes is None:
            return self.size
        if holes.inline is None:
            return None
        return self.size - sum(length for _, length in decode_holes(holes.inline, self.size))

    @property
    def link_target(self) -> LongValue | None:
        """Where a symlink points."""
        return self._long(LINK_TARGET)

    @property
    def device(self) -> tuple[int, int] | None:
        """Major and minor number of a device."""
        for field, value in self.rare:
            if field == DEVICE:
                major, minor = value
                return int(major), int(minor)
        return None

    @property
    def hard_link_group(self) -> bytes | None:
        """What all names of one file with several names have in common."""
        for field, value in self.rare:
            if field == HARD_LINK_GROUP and isinstance(value, bytes):
                return value
        return None

    @property
    def holes(self) -> LongValue | None:
        """The list of holes; see `decode_holes`."""
        return self._long(HOLES)

    @property
    def xattrs(self) -> LongValue | None:
        """The extended attributes; see `decode_xattrs`."""
        return self._long(XATTRS)

    def _long(self, wanted: int) -> LongValue | None:
        for field, value in self.rare:
            if field == wanted:
                return LongValue.from_raw(value)
        return None


def rare_values(
    *,
    link_target: LongValue | None = None,
    device: tuple[int, int] | None = None,
    hard_link_group: bytes | None = None,
    holes: LongValue | None = None,
    xattrs: LongValue | None = None,
) -> Rare:
    """Return the rare values of an entry in their order."""
    values: list[tuple[int, RawValue]] = []
    if link_target is not None:
        values.append((LINK_TARGET, link_target.to_raw()))
    if device is not None:
        values.append((DEVICE, device))
    if hard_link_group is not None:
        values.append((HARD_LINK_GROUP, hard_link_group))
    if holes is not None:
        values.append((HOLES, holes.to_raw()))
    if xattrs is not None:
        values.append((XATTRS, xattrs.to_raw()))
    return tuple(values)


def hard_link_group(link_key: bytes, device: int, inode: int) -> bytes:
    """Return what all names of the file (device, inode) have in common (8.4)."""
    number = device.to_bytes(8, "big") + inode.to_bytes(8, "big")
    return blake3(number, key=link_key).digest(length=GROUP_SIZE)


def encode_holes(holes: list[tuple[int, int]]) -> bytes:
    """Return the list of holes (offset, length), ascending and not touching."""
    return b"".join(
        offset.to_bytes(8, "little") + length.to_bytes(8, "little") for offset, length in holes
    )


def decode_holes(data: Bytes, size: int) -> list[tuple[int, int]]:
    """Read a list of holes of a file of *size* bytes.

    Raises:
        NodeError: they do not ascend, touch each other or reach beyond the file.
    """
    numbers = memoryview(data)
    if not data or len(numbers) % _HOLE_SIZE:
        raise NodeError("a list of holes has a length that no list of holes has")
    words = [
        int.from_bytes(numbers[start : start + 8], "little") for start in range(0, len(numbers), 8)
    ]
    holes = list(zip(words[::2], words[1::2], strict=True))
    if (
        any(length == 0 for _, length in holes)
        or any(one[0] + one[1] >= other[0] for one, other in pairwise(holes))
        or holes[-1][0] + holes[-1][1] > size
    ):
        raise NodeError("the holes of a file overlap, touch or reach beyond it")
    return holes


def encode_xattrs(attributes: list[tuple[bytes, bytes]]) -> bytes:
    """Return the encoding of extended attributes (name, value), in any order."""
    return cbor.encode([list(attribute) for attribute in sorted(attributes)])


def decode_xattrs(data: Bytes) -> list[tuple[bytes, bytes]]:
    """Read extended attributes.

    Raises:
        IntegrityError: *data* is not what `encode_xattrs` writes.
    """
    attributes: list[tuple[bytes, bytes]] = []
    content = cbor.decode(data)
    if not isinstance(content, list) or not content:
        raise NodeError("a set of extended attributes is not an array")
    for item in content:
        match item:
            case [bytes() as name, bytes() as value] if name:
                attributes.append((name, value))
            case _:
                raise NodeError("an extended attribute is not a name and a value")
    if any(one[0] >= other[0] for one, other in pairwise(attributes)):
        raise NodeError("extended attributes do not ascend by name")
    return attributes
