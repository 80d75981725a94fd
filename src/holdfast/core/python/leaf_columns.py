"""Entries of one folder field by field, and how leaves are written. vault-format.md 8.2 and 8.3."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import lt
from typing import Any, Final

from holdfast.core.errors import EntryOrderError, NodeError
from holdfast.core.python.entries import FOLDER_SIZE, NAME_SIZE, Entry, Rare, RawValue
from holdfast.format import cbor

LEAF: Final = 1
"""The kind of a leaf."""


@dataclass(slots=True)
class Columns:
    """Entries of one folder in ascending order of names, field by field.

    What is handed to a builder must not be changed afterwards.
    """

    folder: bytes
    names: list[bytes] = field(default_factory=list)
    types: bytearray = field(default_factory=bytearray)
    modes: list[int] = field(default_factory=list)
    uids: list[int] = field(default_factory=list)
    gids: list[int] = field(default_factory=list)
    mtimes: list[int] = field(default_factory=list)
    ctimes: list[int] = field(default_factory=list)
    inodes: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    extent_counts: bytearray = field(default_factory=bytearray)
    ids: list[bytes] = field(default_factory=list)
    """For each entry its ids joined."""
    lengths: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """By position, for entries with 2 … 16 extents."""
    rare: dict[int, Rare] = field(default_factory=dict)
    """By position, for entries that have rare values."""

    def __len__(self) -> int:
        return len(self.names)

    def append(self, entry: Entry) -> None:
        """Add an entry of this folder; its name is above those that are there."""
        position = len(self.names)
        self.names.append(entry.name)
        self.types.append(entry.type)
        self.modes.append(entry.mode)
        self.uids.append(entry.uid)
        self.gids.append(entry.gid)
        self.mtimes.append(entry.mtime_ns)
        self.ctimes.append(entry.ctime_ns)
        self.inodes.append(entry.inode)
        self.sizes.append(entry.size)
        self.extent_counts.append(entry.extent_count)
        self.ids.append(entry.ids)
        if entry.lengths:
            self.lengths[position] = entry.lengths
        if entry.rare:
            self.rare[position] = entry.rare

    def extend(self, other: "Columns", start: int, stop: int) -> None:
        """Add the entries *start* … *stop* of *other*, which has the same folder."""
        shift = len(self.names) - start
        for mine, theirs in (
            (self.names, other.names),
            (self.modes, other.modes),
            (self.uids, other.uids),
            (self.gids, other.gids),
            (self.mtimes, other.mtimes),
            (self.ctimes, other.ctimes),
            (self.inodes, other.inodes),
            (self.sizes, other.sizes),
            (self.ids, other.ids),
        ):
            mine.extend(theirs[start:stop])  # type: ignore[arg-type]  # the same column of both
        self.types += other.types[start:stop]
        self.extent_counts += other.extent_counts[start:stop]
        for mine_rare, theirs_rare in ((self.lengths, other.lengths), (self.rare, other.rare)):
            for position, value in theirs_rare.items():
                if start <= position < stop:
                    mine_rare[position + shift] = value  # type: ignore[assignment]  # as above


def rare_cost(values: Rare) -> int:
    """Return what rare values add to the cost of an entry (8.2)."""
    return sum(16 + encoded_length(value) for _, value in values)


def encoded_length(value: RawValue) -> int:
    """Return the length of the encoding of a rare value."""
    if isinstance(value, bytes):
        length = len(value)
        return length + (1 if length < 24 else 2 if length < 256 else 3)  # noqa: PLR2004 - heads of 1.1
    return len(cbor.encode(value))


# --- encoding ---------------------------------------------------------------------------------


def encode_leaf(
    sections: Sequence[Columns], users: Mapping[int, bytes], groups: Mapping[int, bytes]
) -> bytes:
    """Return the leaf with *sections*, ascending by folder; names of owners by their ids.

    Raises:
        EntryOrderError: the entries are not such as a leaf may hold.
    """
    uids = {uid for section in sections for uid in section.uids}
    gids = {gid for section in sections for gid in section.gids}
    return cbor.encode(
        (
            LEAF,
            [(uid, users[uid]) for uid in sorted(uids & users.keys())],
            [(gid, groups[gid]) for gid in sorted(gids & groups.keys())],
            [_encode_section(section) for section in sections],
        )
    )


def _encode_section(columns: Columns) -> tuple[Any, ...]:
    count = len(columns.names)
    names = columns.names
    joined = b"".join(names)
    try:
        check_folder(columns.folder)
        check_names(columns.folder, names, joined)
        return (
            columns.folder,
            count,
            struct.pack(f"<{count}H", *map(len, names)),
            joined,
            columns.types,
            struct.pack(f"<{count}H", *columns.modes),
            struct.pack(f"<{count}I", *columns.uids),
            struct.pack(f"<{count}I", *columns.gids),
            struct.pack(f"<{count}q", *columns.mtimes),
            struct.pack(f"<{count}q", *columns.ctimes),
            struct.pack(f"<{count}Q", *columns.inodes),
            struct.pack(f"<{count}Q", *columns.sizes),
            columns.extent_counts,
            b"".join(columns.ids),
            b"".join(
                struct.pack(f"<{len(lengths)}I", *lengths)
                for _, lengths in sorted(columns.lengths.items())
            ),
            [
                (position, rare_field, value)
                for position, values in sorted(columns.rare.items())
                for rare_field, value in values
            ],
        )
    except (NodeError, struct.error) as error:
        raise EntryOrderError(f"no leaf can hold these entries: {error}") from error


# --- checks that both directions make ---------------------------------------------------------


@lru_cache(maxsize=64)
def check_folder(folder: bytes) -> None:
    """Refuse what is not the folder of a section (8.1).

    Raises:
        NodeError: it is not.
    """
    if not folder:
        return
    if len(folder) > FOLDER_SIZE or folder[-1] or b"/" in folder:
        raise NodeError("the folder of a section is not one")
    components = folder[:-1].split(b"\0")
    if (
        b"" in components
        or b"." in components
        or b".." in components
        or max(map(len, components)) > NAME_SIZE
    ):
        raise NodeError("a component of a folder is not a name")


def check_names(folder: bytes, names: Sequence[bytes], joined: bytes) -> None:
    """Refuse what are not the names of a section in order; *joined* are the same names.

    Raises:
        NodeError: they are not.
    """
    if not names:
        raise NodeError("a section has no entries")
    if (
        (not names[0] and folder)
        or b"/" in joined
        or b"\0" in joined
        or b"." in names
        or b".." in names
        or max(map(len, names)) > NAME_SIZE
    ):
        raise NodeError("a name is empty, '.' or '..', too long, or holds '/' or 00")
    if not all(map(lt, names, names[1:])):
        raise NodeError("the names of a section do not ascend")
