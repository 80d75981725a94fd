"""Making the two parts of index objects: vault-format.md section 7."""

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from holdfast.core.face import MergedIndex
from holdfast.core.python.index_parts import HASH, LOCATOR, POSITION, ROW, Part

_ROW_AND_POSITION: Final = struct.Struct(">20sIHHII")
_PAIR: Final = struct.Struct(">II")
_WHOLE: Final = ROW + POSITION
_COMPRESSION_SHIFT: Final = 31


class _SortedRows:
    """Rows with their positions, sorted when they are taken out.

    They lie in 256 buckets by their first byte, 36 bytes a row; only one bucket at a time is
    taken apart.
    """

    def __init__(self) -> None:
        self._buckets: Final = [bytearray() for _ in range(256)]

    def add(self, row: bytes) -> None:
        self._buckets[row[0]] += row

    def take(self) -> tuple[int, bytes, bytes]:
        """Return (number of rows, presence part, rows of the positions part)."""
        presence, positions, count = bytearray(), bytearray(), 0
        for bucket in self._buckets:
            rows = [row for (row,) in struct.iter_unpack(f"{_WHOLE}s", bucket)]
            rows.sort()
            # A row that stands in two of several merged objects is one row.
            rows = rows[:1] + [row for before, row in pairwise(rows) if before[:ROW] != row[:ROW]]
            count += len(rows)
            presence += b"".join([row[:ROW] for row in rows])
            positions += b"".join([row[ROW:] for row in rows])
        return count, bytes(presence), bytes(positions)


class IndexTableBuilder:
    """Collects the rows of a session's packs; 36 bytes a chunk and 8 a segment until it is done."""

    def __init__(self) -> None:
        self._rows: Final = _SortedRows()
        self._packs = bytearray()
        self._heads = bytearray()
        self._segments = bytearray()
        self.row_count = 0
        """Rows so far; some may turn out to be the same."""

    @property
    def pack_count(self) -> int:
        """Packs so far: the position of the next one."""
        return len(self._packs) // HASH

    @property
    def size_bytes(self) -> int:
        """What both parts take, before padding."""
        return _WHOLE * self.row_count + len(self._heads) + len(self._segments)

    def add_pack(
        self, pack_id: bytes, first_offset: int, segments: Sequence[tuple[int, int, int]]
    ) -> int:
        """Add a pack with its segments (stored length, raw length, compression).

        Returns the position by which rows name it.
        """
        self._packs += pack_id
        self._heads += _PAIR.pack(first_offset, len(segments))
        self._segments += b"".join(
            _PAIR.pack(stored, compression << _COMPRESSION_SHIFT | raw)
            for stored, raw, compression in segments
        )
        return self.pack_count - 1

    def add(self, pack: int, segment: int, locator: bytes, offset: int, length: int) -> None:
        """Add a chunk or node: where it stands in the raw segment, in bytes."""
        self._rows.add(_ROW_AND_POSITION.pack(locator, pack, segment, 0, offset, length))
        self.row_count += 1

    def finish(self) -> tuple[bytes, int, bytes, bytes]:
        """Return (pack ids joined, row count, presence part, positions part), in plain."""
        count, presence, positions = self._rows.take()
        return bytes(self._packs), count, presence, bytes(self._heads + self._segments) + positions


def merge_parts(
    parts: Sequence[Part], replaces: Sequence[bytes], dead: frozenset[bytes] | set[bytes]
) -> MergedIndex:
    """Return what one object says that replaces *parts*; rows of *dead* packs are left out.

    Drops of the parts are carried on.
    """
    found: dict[bytes, tuple[bytes, bytes]] = {}
    tables: dict[bytes, tuple[int, bytes]] = {}
    for part in parts:
        for pack in range(part.pack_count):
            pack_id = part.pack_id(pack)
            if pack_id not in dead and pack_id not in found:
                found[pack_id] = part.owner(pack)
                tables[pack_id] = part.pack_table(pack)
    packs = sorted(found, key=lambda pack_id: (found[pack_id], pack_id))
    numbers = {pack_id: struct.pack(">I", number) for number, pack_id in enumerate(packs)}
    rows = _SortedRows()
    for part in parts:
        renumbered = [numbers.get(part.pack_id(pack)) for pack in range(part.pack_count)]
        for row, position in _rows_of(part):
            number = renumbered[int.from_bytes(row[LOCATOR : LOCATOR + 4], "big")]
            if number is not None:
                rows.add(row[:LOCATOR] + number + row[LOCATOR + 4 :] + position)
    owners: list[tuple[bytes, bytes, int]] = []
    for pack_id in packs:
        owner = found[pack_id]
        if owners and owners[-1][:2] == owner:
            owners[-1] = (*owner, owners[-1][2] + 1)
        else:
            owners.append((*owner, 1))
    count, presence, positions = rows.take()
    heads = b"".join(
        _PAIR.pack(tables[pack_id][0], len(tables[pack_id][1]) // _PAIR.size) for pack_id in packs
    )
    return MergedIndex(
        packs=b"".join(packs),
        owners=tuple(owners),
        row_count=count,
        presence=presence,
        positions=heads + b"".join(tables[pack_id][1] for pack_id in packs) + positions,
        replaces=b"".join(sorted(replaces)),
        drops=tuple(sorted({drop for part in parts for drop in part.counting_drops})),
    )


def _rows_of(part: Part) -> Iterator[tuple[bytes, bytes]]:
    positions = memoryview(part.positions)[part.segments_bytes :]
    for (row,), (position,) in zip(
        struct.iter_unpack(f"{ROW}s", part.rows),
        struct.iter_unpack(f"{POSITION}s", positions),
        strict=True,
    ):
        yield row, position
