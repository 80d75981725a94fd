"""Reading leaves: packed columns, a section for each folder. vault-format.md 8.2 and 8.3."""

import struct
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property, partial
from itertools import accumulate, chain, compress, pairwise, repeat
from operator import lt
from typing import Any, Final

from holdfast.core.errors import NodeError
from holdfast.core.face import Bytes
from holdfast.core.python.entries import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    DEVICE,
    ENTRY_SIZE,
    EXTENT_MAP,
    EXTENTS_INLINE,
    FILE,
    FOLDER,
    GROUP_SIZE,
    HOLES,
    ID_SIZE,
    LINK_TARGET,
    SYMLINK,
    XATTRS,
    Entry,
    LongValue,
    Rare,
    RawValue,
    decode_holes,
)
from holdfast.core.python.leaf_columns import (
    LEAF,
    Columns,
    check_folder,
    check_names,
    encode_leaf,
    rare_cost,
)
from holdfast.format import cbor

__all__ = ["LEAF", "Columns", "Leaf", "LeafSection", "decode_leaf", "encode_leaf", "leaf_from"]

NODE_SIZE: Final = 8 << 20
"""No node is longer than this (section 10)."""
_ITEMS: Final = 16
_WIDTHS: Final = (1, 2, 4, 4, 8, 8, 8, 8, 1, 2)
"""Of items 4 to 12, and of the lengths of names."""
_ALL_TYPES: Final = bytes(range(FILE, BLOCK_DEVICE + 1))
_EXTENT_COUNTS: Final = bytes(range(EXTENTS_INLINE + 1)) + bytes([EXTENT_MAP])
_LARGEST_MODE: Final = 0o7777
_LARGEST_ID: Final = 0xFFFF_FFFF
# A name's file-ness as a selector for `compress`: 1 for everything that is no regular file.
_NOT_FILE: Final = bytes(0 if value == FILE else 1 for value in range(256))
_IS_FILE: Final = bytes(1 if value == FILE else 0 for value in range(256))
_IS_ZERO: Final = bytes([1]) + bytes(255)
_make_entry: Final = partial(tuple.__new__, Entry)
"""`Entry._make` without a frame of Python for each entry."""
_FIXED_SIZE: Final = 64
"""At least what the fixed columns of an entry take: 47 bytes."""


class LeafSection:
    """The entries of one folder in a leaf; columns are unpacked when they are asked for."""

    def __init__(self, items: list[Any]) -> None:
        folder, count, name_lengths, joined = items[:4]
        if not (
            type(folder) is bytes
            and type(count) is int
            and count > 0
            and all(type(item) is bytes for item in items[2:15])
            and type(items[15]) is list
        ):
            raise NodeError("a section of a leaf has an item of the wrong type")
        self.folder: Final[bytes] = folder
        self.count: Final[int] = count
        self.types: Final[bytes] = items[4]
        self.extent_counts: Final[bytes] = items[12]
        self._items: Final = items
        if [len(item) for item in items[4:13]] + [len(name_lengths)] != [
            width * count for width in _WIDTHS
        ]:
            raise NodeError("a column of a leaf has not the length that its count demands")
        ends = (0, *accumulate(struct.unpack(f"<{count}H", name_lengths)))
        if ends[-1] != len(joined):
            raise NodeError("the names of a section have not the length that is stated")
        self.names: Final[list[bytes]] = [joined[start:end] for start, end in pairwise(ends)]
        check_folder(folder)
        check_names(folder, self.names, joined)
        self.modes: Final = self._numbers(5, "H")
        """Permission bits."""
        self.sizes: Final = self._numbers(11, "Q")
        """Sizes of regular files, else 0."""
        self._check_values()
        self.rare: Final = _read_rare(items[15], self.types) if items[15] else {}
        self._check_rare()

    def _check_values(self) -> None:
        types, counts = self.types, self.extent_counts
        if types.translate(None, _ALL_TYPES) or counts.translate(None, _EXTENT_COUNTS):
            raise NodeError("a type or number of extents of a leaf has a value that there is not")
        if max(self.modes) > _LARGEST_MODE:
            raise NodeError("a mode of a leaf is above 07777")
        others = types.translate(_NOT_FILE)
        if any(compress(self.sizes, others)) or any(compress(counts, others)):
            raise NodeError("something that is no regular file has a size or extents")
        maps, singles = counts.count(EXTENT_MAP), counts.count(1)
        total = sum(counts) - EXTENT_MAP * maps
        if len(self._items[13]) != ID_SIZE * (total + maps):
            raise NodeError("the ids of a section have not the length that its counts demand")
        if len(self._items[14]) != 4 * (total - singles):
            raise NodeError("the extents of a section have not the length that its counts demand")

    def _check_rare(self) -> None:
        types, rare = self.types, self.rare
        wanted = types.count(SYMLINK) + types.count(CHARACTER_DEVICE) + types.count(BLOCK_DEVICE)
        special = sum(values[0][0] in {LINK_TARGET, DEVICE} for values in rare.values())
        if special != wanted:
            raise NodeError("a symlink has no target or a device no number")
        for position, values in rare.items():
            if _FIXED_SIZE + rare_cost(values) + 36 * EXTENTS_INLINE > ENTRY_SIZE:
                raise NodeError("an entry of a leaf is longer than 8 KiB")
            for rare_field, value in values:
                if rare_field == HOLES:
                    holes = LongValue.from_raw(value)
                    if holes.inline is not None:
                        decode_holes(holes.inline, self.sizes[position])
        self._check_extents()

    def _check_extents(self) -> None:
        types = self.types
        # A file without extents is empty or all hole; several extents add up to what is stored.
        bare = types.translate(_IS_FILE), self.extent_counts.translate(_IS_ZERO)
        if any(compress(compress(self.sizes, bare[0]), compress(bare[1], bare[0]))) or self.lengths:
            for position, count in enumerate(self.extent_counts):
                if count not in {1, EXTENT_MAP}:
                    stored = self.entry(position).stored_size
                    if stored is not None and stored != sum(self.lengths.get(position, ())):
                        raise NodeError("the extents of a file do not add up to its size")

    def __len__(self) -> int:
        return self.count

    def _numbers(self, item: int, code: str) -> tuple[int, ...]:
        return struct.unpack(f"<{self.count}{code}", self._items[item])

    @cached_property
    def uids(self) -> tuple[int, ...]:
        """User ids."""
        return self._numbers(6, "I")

    @cached_property
    def gids(self) -> tuple[int, ...]:
        """Group ids."""
        return self._numbers(7, "I")

    @cached_property
    def mtimes(self) -> tuple[int, ...]:
        """Times of change of the content, in ns."""
        return self._numbers(8, "q")

    @cached_property
    def ctimes(self) -> tuple[int, ...]:
        """Times of change of anything, in ns."""
        return self._numbers(9, "q")

    @cached_property
    def inodes(self) -> tuple[int, ...]:
        """Inode numbers."""
        return self._numbers(10, "Q")

    def packed(self, item: int) -> bytes:
        """Return a column as the leaf has it: item 5 … 14 of the section (8.3)."""
        column: bytes = self._items[item]
        return column

    @cached_property
    def ids(self) -> list[bytes]:
        """For each entry its ids, joined."""
        joined = self._items[13]
        if max(self.extent_counts) <= 1:
            chunks = [joined[at : at + ID_SIZE] for at in range(0, len(joined), ID_SIZE)]
            if len(chunks) == self.count:
                return chunks
            chunk = iter(chunks)
            return [next(chunk) if count else b"" for count in self.extent_counts]
        ends = [
            0,
            *accumulate(
                ID_SIZE if count == EXTENT_MAP else ID_SIZE * count for count in self.extent_counts
            ),
        ]
        return [joined[start:end] for start, end in pairwise(ends)]

    @cached_property
    def lengths(self) -> dict[int, tuple[int, ...]]:
        """By position, for entries with 2 … 16 extents: the lengths of these."""
        if not self._items[14]:
            return {}
        found: dict[int, tuple[int, ...]] = {}
        start = 0
        for position, count in enumerate(self.extent_counts):
            if 1 < count < EXTENT_MAP:
                found[position] = struct.unpack_from(f"<{count}I", self._items[14], start)
                start += 4 * count
        return found

    @cached_property
    def size_bytes(self) -> int:
        """Sum of the sizes of regular files."""
        return sum(self.sizes)

    def columns(self) -> Columns:
        """Return the section as a builder takes it."""
        return Columns(
            self.folder,
            self.names,
            bytearray(self.types),
            list(self.modes),
            list(self.uids),
            list(self.gids),
            list(self.mtimes),
            list(self.ctimes),
            list(self.inodes),
            list(self.sizes),
            bytearray(self.extent_counts),
            self.ids,
            self.lengths,
            self.rare,
        )

    def entry(self, position: int) -> Entry:
        """Return one entry."""
        return Entry(
            self.folder,
            self.names[position],
            self.types[position],
            self.modes[position],
            self.uids[position],
            self.gids[position],
            self.mtimes[position],
            self.ctimes[position],
            self.inodes[position],
            self.sizes[position],
            self.extent_counts[position],
            self.ids[position],
            self.lengths.get(position, ()),
            self.rare.get(position, ()),
        )

    def __iter__(self) -> Iterator[Entry]:
        positions = range(self.count)
        lengths, rare = self.lengths, self.rare
        return map(
            _make_entry,
            zip(
                repeat(self.folder),
                self.names,
                self.types,
                self.modes,
                # Straight from the packed columns: the cache of a property costs more.
                self._numbers(6, "I"),
                self._numbers(7, "I"),
                self._numbers(8, "q"),
                self._numbers(9, "q"),
                self._numbers(10, "Q"),
                self.sizes,
                self.extent_counts,
                self.ids,
                [lengths.get(at, ()) for at in positions] if lengths else repeat(()),
                [rare.get(at, ()) for at in positions] if rare else repeat(()),
                strict=False,
            ),
        )


def _read_rare(items: list[Any], types: bytes) -> dict[int, Rare]:
    found: dict[int, Rare] = {}
    last = (-1, 0)
    for item in items:
        match item:
            case [position, rare_field, value] if type(position) is type(rare_field) is int:
                pass
            case _:
                raise NodeError("a rare value is not a position, a field and a value")
        if not last < (position, rare_field) or position >= len(types):
            raise NodeError("rare values do not ascend, or one belongs to no entry")
        last = position, rare_field
        raw: RawValue = tuple(value) if isinstance(value, list) else value
        _check_rare_value(types[position], rare_field, raw)
        found[position] = (*found.get(position, ()), (rare_field, raw))
    return found


def _check_rare_value(entry_type: int, rare_field: int, raw: Any) -> None:  # noqa: ANN401 - from outside
    match rare_field, raw:
        case ((1 | 4 | 5), (bytes() | tuple())):
            LongValue.from_raw(raw)
            allowed = {
                LINK_TARGET: bytes([SYMLINK]),
                HOLES: bytes([FILE]),
                XATTRS: _ALL_TYPES,
            }[rare_field]
        case 2, (major, minor) if (
            type(major) is type(minor) is int
            and 0 <= major <= _LARGEST_ID
            and 0 <= minor <= _LARGEST_ID
        ):
            allowed = bytes([CHARACTER_DEVICE, BLOCK_DEVICE])
        case 3, bytes() if len(raw) == GROUP_SIZE:
            allowed = _ALL_TYPES.replace(bytes([FOLDER]), b"")
        case _:
            raise NodeError(f"rare value {rare_field} is not what it must be")
    if entry_type not in allowed:
        raise NodeError(f"rare value {rare_field} belongs to something that cannot have it")


class Leaf:
    """A decoded leaf. Its columns stay packed until they are asked for."""

    def __init__(
        self, users: dict[int, bytes], groups: dict[int, bytes], sections: list[LeafSection]
    ) -> None:
        self.users: Final = users
        self.groups: Final = groups
        self.sections: Final = sections

    next_key: bytes | None = None

    def __len__(self) -> int:
        return sum(section.count for section in self.sections)

    def __iter__(self) -> Iterator[Entry]:
        return chain.from_iterable(self.sections)

    def names(self) -> list[bytes]:
        """Return the names of all entries in order."""
        return [name for section in self.sections for name in section.names]

    @property
    def first_key(self) -> bytes:
        """The key of the first entry."""
        section = self.sections[0]
        return section.folder + b"\0" + section.names[0]

    @property
    def last_key(self) -> bytes:
        """The key of the last entry."""
        section = self.sections[-1]
        return section.folder + b"\0" + section.names[-1]

    @property
    def size_bytes(self) -> int:
        """Sum of the sizes of regular files."""
        return sum(section.size_bytes for section in self.sections)

    def section(self, folder: bytes) -> LeafSection | None:
        """Return the section of *folder*, if any of its entries are in this leaf."""
        place = bisect_left(self.sections, folder, key=lambda section: section.folder)
        if place < len(self.sections) and self.sections[place].folder == folder:
            return self.sections[place]
        return None

    def find(self, folder: bytes, name: bytes) -> Entry | None:
        """Return one entry, if it is in this leaf."""
        section = self.section(folder)
        if section is not None:
            position = bisect_left(section.names, name)
            if position < section.count and section.names[position] == name:
                return section.entry(position)
        return None


def decode_leaf(node: Bytes) -> Leaf:
    """Read a leaf.

    Raises:
        IntegrityError: *node* is not what `encode_leaf` writes.
    """
    if len(node) > NODE_SIZE:
        raise NodeError("a node is longer than 8 MiB")
    return leaf_from(cbor.decode(node))


def leaf_from(content: Any) -> Leaf:  # noqa: ANN401 - decoded, of any shape
    """Read a leaf from the item that its node encodes."""
    match content:
        case [1, list() as users, list() as groups, list() as items] if items and all(
            type(item) is list and len(item) == _ITEMS for item in items
        ):
            sections = [LeafSection(item) for item in items]
        case _:
            raise NodeError("a leaf is not an array of owners and sections")
    folders = [section.folder for section in sections]
    if not all(map(lt, folders, folders[1:])):
        raise NodeError("the sections of a leaf do not ascend by folder")
    return Leaf(
        _read_owners(users, [section.uids for section in sections] if users else []),
        _read_owners(groups, [section.gids for section in sections] if groups else []),
        sections,
    )


def _read_owners(items: list[Any], used: list[tuple[int, ...]]) -> dict[int, bytes]:
    owners: dict[int, bytes] = {}
    last = -1
    for item in items:
        match item:
            case [number, bytes() as name] if type(number) is int and number > last and name:
                owners[number] = name
                last = number
            case _:
                raise NodeError("owners of a leaf do not ascend, or one has no name")
    if owners and not owners.keys() <= set().union(*used):
        raise NodeError("a leaf names an owner that owns nothing in it")
    return owners
