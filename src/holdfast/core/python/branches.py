"""Inner nodes and the nodes of extent maps: vault-format.md 8.2."""

import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from operator import lt
from typing import Any, Final

from holdfast.core.errors import NodeError
from holdfast.core.python.entries import ID_SIZE
from holdfast.format import cbor

INNER: Final = 2
EXTENT_LEAF: Final = 3
EXTENT_INNER: Final = 4
HIGHEST_LEVEL: Final = 15
"""A tree has at most 16 levels (section 10)."""


@dataclass(frozen=True, slots=True)
class Inner:
    """A node over other nodes of a tree."""

    level: int
    keys: Sequence[bytes]
    """The first key of each child, ascending."""
    ids: Sequence[bytes]
    entries: Sequence[int]
    """Entries below each child."""
    sizes: Sequence[int]
    """Bytes of the regular files below each child."""

    @property
    def first_key(self) -> bytes:
        """The first key below this node."""
        return self.keys[0]

    def child_for(self, key: bytes) -> int:
        """Return the number of the child that would hold *key*; 0 for one before all keys."""
        return max(bisect_right(self.keys, key) - 1, 0)


@dataclass(frozen=True, slots=True)
class Extents:
    """A node of an extent map: chunks (level 0) or nodes with the length of what they hold."""

    level: int
    ids: Sequence[bytes]
    lengths: Sequence[int]


def encode_inner(inner: Inner) -> bytes:
    """Return the bytes of an inner node."""
    count = len(inner.keys)
    return cbor.encode(
        (
            INNER,
            inner.level,
            struct.pack(f"<{count}I", *map(len, inner.keys)),
            b"".join(inner.keys),
            b"".join(inner.ids),
            struct.pack(f"<{count}Q", *inner.entries),
            struct.pack(f"<{count}Q", *inner.sizes),
        )
    )


def inner_from(content: Any) -> Inner:  # noqa: ANN401 - decoded, of any shape
    """Read an inner node from the item that its node encodes.

    Raises:
        NodeError: it is not one.
    """
    match content:
        case [
            2,
            level,
            bytes() as key_lengths,
            bytes() as joined,
            bytes() as ids,
            bytes() as entries,
            bytes() as sizes,
        ] if type(level) is int and 1 <= level <= HIGHEST_LEVEL:
            pass
        case _:
            raise NodeError("an inner node is not an array of its columns")
    count = len(ids) // ID_SIZE
    if not count or (len(ids), len(key_lengths), len(entries), len(sizes)) != (
        ID_SIZE * count,
        4 * count,
        8 * count,
        8 * count,
    ):
        raise NodeError("a column of an inner node has not the length that its count demands")
    ends = (0, *accumulate(struct.unpack(f"<{count}I", key_lengths)))
    if ends[-1] != len(joined):
        raise NodeError("the keys of an inner node have not the length that is stated")
    keys = [joined[start:end] for start, end in pairwise(ends)]
    if not all(map(lt, keys, keys[1:])):
        raise NodeError("the keys of an inner node do not ascend")
    return Inner(
        level,
        keys,
        _split_ids(ids),
        struct.unpack(f"<{count}Q", entries),
        struct.unpack(f"<{count}Q", sizes),
    )


def encode_extents(extents: Extents) -> bytes:
    """Return the bytes of a node of an extent map."""
    count = len(extents.ids)
    ids = b"".join(extents.ids)
    if extents.level == 0:
        return cbor.encode((EXTENT_LEAF, ids, struct.pack(f"<{count}I", *extents.lengths)))
    lengths = struct.pack(f"<{count}Q", *extents.lengths)
    return cbor.encode((EXTENT_INNER, extents.level, ids, lengths))


def extents_from(content: Any) -> Extents:  # noqa: ANN401 - decoded, of any shape
    """Read a node of an extent map from the item that its node encodes.

    Raises:
        NodeError: it is not one.
    """
    level: Any
    match content:
        case [3, bytes() as ids, bytes() as packed]:
            level, width, code = 0, 4, "I"
        case [4, level, bytes() as ids, bytes() as packed] if (
            type(level) is int and 1 <= level <= HIGHEST_LEVEL
        ):
            width, code = 8, "Q"
        case _:
            raise NodeError("a node of an extent map is not an array of its columns")
    count = len(ids) // ID_SIZE
    if not count or (len(ids), len(packed)) != (ID_SIZE * count, width * count):
        raise NodeError("a column of an extent map has not the length that its count demands")
    lengths = struct.unpack(f"<{count}{code}", packed)
    if not all(lengths):
        raise NodeError("an extent is empty")
    return Extents(level, _split_ids(ids), lengths)


def _split_ids(joined: bytes) -> list[bytes]:
    return [joined[start : start + ID_SIZE] for start in range(0, len(joined), ID_SIZE)]
