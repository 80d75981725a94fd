"""The opened parts of an index object (section 7): used as they are, nothing is converted.

Row n of the presence part says that a chunk or node, by its locator, is in a segment of a pack; row
n of the positions part says where in that segment.
"""

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

from holdfast.format.cbor import Bytes
from holdfast.format.errors import IndexPartError, UnencodableError
from holdfast.format.packs import PACK_LIMIT, SEGMENT_RAW_LIMIT, SEGMENTS_LIMIT

LOCATOR_BYTES: Final = 20
PRESENCE_ROW: Final = 28
POSITIONS_ROW: Final = 8
PACKS_LIMIT: Final = 65_536

_PRESENCE: Final = struct.Struct(">20sIHH")
_PAIR: Final = struct.Struct(">II")
_COMPRESSION_SHIFT: Final = 31
_RAW_MASK: Final = 2**31 - 1


class IndexRow(NamedTuple):
    """One row of both parts: *pack* is a position in key 5, *offset* in the raw segment."""

    locator: bytes
    pack: int
    segment: int
    offset: int
    length: int


class SegmentPlace(NamedTuple):
    """Where a segment is in its pack, in bytes, and how it is packed."""

    offset: int
    stored_length: int
    raw_length: int
    compression: int


@dataclass(frozen=True, slots=True)
class PackSegments:
    """The segments of one pack: offset of the first; (stored, raw, compression) of each."""

    first_offset: int
    segments: Sequence[tuple[int, int, int]]


def build_parts(packs: Sequence[PackSegments], rows: Iterable[IndexRow]) -> tuple[bytes, bytes]:
    """Return the plaintext of the presence part and the content of the positions part.

    *rows* may come in any order.

    Raises:
        UnencodableError: a row occurs twice or names what is not there, or a number is too large.
    """
    try:
        sealed = sorted(
            (_PRESENCE.pack(row.locator, row.pack, row.segment, 0), row) for row in rows
        )
        pieces = [_PAIR.pack(pack.first_offset, len(pack.segments)) for pack in packs]
        pieces += (
            _PAIR.pack(stored, compression << _COMPRESSION_SHIFT | raw)
            for pack in packs
            for stored, raw, compression in pack.segments
        )
        pieces += (_PAIR.pack(row.offset, row.length) for _, row in sealed)
    except struct.error as error:
        raise UnencodableError("A number of an index part is too large.") from error
    presence, positions = b"".join(row for row, _ in sealed), b"".join(pieces)
    try:
        PresencePart(presence, pack_count=len(packs), row_count=len(sealed)).check_rows()
        PositionsPart(positions, pack_count=len(packs), row_count=len(sealed)).check_rows(
            (row.pack, row.segment) for _, row in sealed
        )
    except IndexPartError as error:
        raise UnencodableError(f"An index part cannot be written: {error}") from error
    return presence, positions


class PresencePart:
    """The rows of an opened presence part. Reads the bytes where they lie (a mapping will do)."""

    __slots__ = ("_data", "_pack_count", "row_count")

    def __init__(self, data: Bytes, *, pack_count: int, row_count: int) -> None:
        """Take *data* after checking its length against the counts in the object's body.

        Raises:
            IndexPartError: the length is another.
        """
        if len(data) != row_count * PRESENCE_ROW:
            raise IndexPartError("The presence part has not the length that its row count demands.")
        self._data = data
        self._pack_count = pack_count
        self.row_count = row_count

    def row(self, number: int) -> tuple[bytes, int, int]:
        """Return locator, pack and segment of row *number*.

        Raises:
            IndexPartError: the row is none that could have been written.
        """
        locator, pack, segment, zero = _PRESENCE.unpack_from(self._data, number * PRESENCE_ROW)
        if pack >= self._pack_count or segment >= SEGMENTS_LIMIT or zero:
            raise IndexPartError(f"Row {number} of the presence part names what is not there.")
        return locator, pack, segment

    def find(self, locator: bytes) -> Iterator[int]:
        """Return the numbers of the rows with *locator*, ascending; none if it is absent.

        Rows are trusted to be sorted (:meth:`check_rows`); otherwise some are missed.
        """
        at = bisect_left(range(self.row_count), locator, key=self._locator)
        while at < self.row_count and self._locator(at) == locator:
            yield at
            at += 1

    def check_rows(self) -> None:
        """Check every row and their order; reads the whole part.

        Raises:
            IndexPartError: a row is wrong, out of order or there twice.
        """
        for number in range(self.row_count):
            self.row(number)
        starts = range(0, len(self._data), PRESENCE_ROW)
        rows = (bytes(self._data[start : start + PRESENCE_ROW]) for start in starts)
        if not all(one < other for one, other in pairwise(rows)):
            raise IndexPartError("The rows of the presence part are not sorted.")

    def _locator(self, number: int) -> bytes:
        start = number * PRESENCE_ROW
        return bytes(self._data[start : start + LOCATOR_BYTES])


class PositionsPart:
    """An opened positions part. Reads the bytes where they lie."""

    __slots__ = ("_data", "_first_rows", "_pack_count", "_rows_start", "row_count")

    def __init__(self, data: Bytes, *, pack_count: int, row_count: int) -> None:
        """Take *data* after checking its length against the counts in it and in the object's body.

        Raises:
            IndexPartError: the length is another, or a pack has too many segments.
        """
        packs_end = pack_count * _PAIR.size
        if len(data) < packs_end:
            raise IndexPartError("The positions part ends inside its packs.")
        counts = [count for _, count in _PAIR.iter_unpack(memoryview(data)[:packs_end])]
        if any(count > SEGMENTS_LIMIT for count in counts):
            raise IndexPartError("A pack in the positions part has too many segments.")
        self._data = data
        self._pack_count = pack_count
        self._first_rows = list(accumulate(counts, initial=0))
        self._rows_start = packs_end + self._first_rows[-1] * _PAIR.size
        self.row_count = row_count
        if len(data) != self._rows_start + row_count * POSITIONS_ROW:
            raise IndexPartError("The positions part has not the length that its counts demand.")

    def pack(self, pack: int) -> tuple[int, int]:
        """Return the offset of the first segment of a pack and how many segments it has."""
        first_offset, count = _PAIR.unpack_from(self._data, pack * _PAIR.size)
        return first_offset, count

    def segment(self, pack: int, segment: int) -> SegmentPlace:
        """Return where *segment* of *pack* is.

        Raises:
            IndexPartError: there is no such segment, or it cannot be where it is said to be.
        """
        if not 0 <= pack < self._pack_count or not 0 <= segment < self.pack(pack)[1]:
            raise IndexPartError(f"The positions part has no segment {segment} of pack {pack}.")
        first_offset, _ = self.pack(pack)
        start = self._pack_count * _PAIR.size + self._first_rows[pack] * _PAIR.size
        before = struct.unpack_from(f">{2 * segment}I", self._data, start)[::2]
        stored, packed = _PAIR.unpack_from(self._data, start + segment * _PAIR.size)
        raw = packed & _RAW_MASK
        offset = first_offset + sum(before)
        if offset + stored > PACK_LIMIT or not 1 <= raw <= SEGMENT_RAW_LIMIT or not stored:
            raise IndexPartError(f"Segment {segment} of pack {pack} has an impossible place.")
        return SegmentPlace(offset, stored, raw, packed >> _COMPRESSION_SHIFT)

    def row(self, number: int) -> tuple[int, int]:
        """Return offset in the raw segment and length of the chunk or node of row *number*."""
        offset, length = _PAIR.unpack_from(self._data, self._rows_start + number * POSITIONS_ROW)
        return offset, length

    def check_rows(self, places: Iterable[tuple[int, int]]) -> None:
        """Hold every row against its segment; *places* are (pack, segment) of the presence rows.

        Raises:
            IndexPartError: a row reaches out of its segment, or its segment is not there.
        """
        known: dict[tuple[int, int], int] = {}
        for number, place in enumerate(places):
            if place not in known:
                known[place] = self.segment(*place).raw_length
            offset, length = self.row(number)
            if not length or offset + length > known[place]:
                raise IndexPartError(f"Row {number} of the positions part leaves its segment.")
