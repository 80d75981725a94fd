"""An index object as it lies opened on this machine: three files that are mapped as they are.

``<hash>.presence`` and ``<hash>.positions`` are the opened parts of vault-format.md section 7.
``<hash>.packs`` holds what the object's body says, and a table of where the locators of each prefix
begin, so that a look-up reads a few rows at most. It is written last: without it there is nothing.
These files are a cache of this machine (byte order included): a damaged one is dropped and fetched
again.
"""

import mmap
import os
import struct
import sys
from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import lt
from pathlib import Path
from typing import Final

from holdfast.base.ids import IndexId
from holdfast.core.errors import IndexCacheError, IndexContentError
from holdfast.core.face import Bytes

LOCATOR: Final = 20
ROW: Final = 28
POSITION: Final = 8
HASH: Final = 32
PACKS_LIMIT: Final = 65_536
_SEGMENT_RAW_LIMIT: Final = 8 << 20
_PACK_LIMIT: Final = 256 << 20
_RAW_MASK: Final = (1 << 31) - 1
_COMPRESSION_SHIFT: Final = 31
_PAIR: Final = struct.Struct(">II")
_OWNER: Final = struct.Struct("=16s16sI")
_DROP: Final = struct.Struct("=32s16s")
_HEADER: Final = struct.Struct("=8sIIIIIIII16sI")
_MAGIC: Final = b"HFINDEX1"
_BYTE_ORDER: Final = 0x01020304
_BATCH: Final = 1 << 15
_MOST_PREFIX_BITS: Final = 22
_PACKS_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Description:
    """What an index object's body says, as far as look-ups need it."""

    epoch: int
    session_id: bytes
    """Empty for a merged object."""
    packs: bytes
    """Pack ids, joined."""
    owners: Sequence[tuple[bytes, bytes, int]]
    """(session id, writer id, number of packs), covering the packs in order."""
    row_count: int
    replaces: bytes
    drops: Sequence[tuple[bytes, bytes]]
    """(pack id, session id), ascending."""


def _prefix_bits(row_count: int) -> int:
    # About two rows a prefix: a look-up compares 56 bytes, and the table takes 2 bytes a row.
    return max(1, min(_MOST_PREFIX_BITS, (row_count // 2).bit_length()))


def check_presence(rows: Bytes, row_count: int, pack_count: int) -> "array[int]":
    """Check all rows of a presence part and return its table of prefixes.

    Raises:
        IndexContentError: a row is not one, or they do not ascend.
    """
    if len(rows) != row_count * ROW or pack_count > PACKS_LIMIT:
        raise IndexContentError("the presence part has not the length that its rows demand")
    view = memoryview(rows)
    bits = _prefix_bits(row_count)
    shift = 32 - bits
    table = array("I", bytes(4 * ((1 << bits) + 1)))
    last = b""
    for start in range(0, len(view), _BATCH * ROW):
        part = view[start : start + _BATCH * ROW]
        batch = [row for (row,) in struct.iter_unpack("28s", part)]
        if last >= batch[0] or not all(map(lt, batch, batch[1:])):
            raise IndexContentError("the rows of a presence part do not ascend")
        last = batch[-1]
        for pack, segment, zero in struct.iter_unpack(">20xIHH", part):
            if pack >= pack_count or segment == 0xFFFF or zero:  # noqa: PLR2004 - 65,535 segments
                raise IndexContentError("a row of a presence part names what is not there")
        for (prefix,) in struct.iter_unpack(">I24x", part):
            table[(prefix >> shift) + 1] += 1
    return array("I", accumulate(table))


def check_positions(positions: Bytes, presence: Bytes, pack_count: int) -> None:
    """Check a positions part against the rows of its presence part.

    Raises:
        IndexContentError: a length is not what the counts demand, or a row leaves its segment.
    """
    wrong = "the positions part has not the length that its counts demand"
    view = memoryview(positions)
    if len(view) < _PAIR.size * pack_count:
        raise IndexContentError(wrong)
    counts = [count for _, count in _PAIR.iter_unpack(view[: _PAIR.size * pack_count])]
    firsts = array("Q", accumulate(counts, initial=0))
    segments_start = _PAIR.size * pack_count
    rows_start = segments_start + _PAIR.size * firsts[-1]
    if len(view) != rows_start + len(presence) // ROW * POSITION:
        raise IndexContentError(wrong)
    raws = array(
        "I",
        (packed & _RAW_MASK for _, packed in _PAIR.iter_unpack(view[segments_start:rows_start])),
    )
    if raws and max(raws) > _SEGMENT_RAW_LIMIT:
        raise IndexContentError("a segment in a positions part is longer than 8 MiB")
    stored = accumulate(
        (length for length, _ in _PAIR.iter_unpack(view[segments_start:rows_start])), initial=0
    )
    ends = array("Q", stored)
    for pack, (first, _) in enumerate(_PAIR.iter_unpack(view[:segments_start])):
        if first + ends[firsts[pack + 1]] - ends[firsts[pack]] > _PACK_LIMIT:
            raise IndexContentError("the segments in a positions part reach beyond their pack")
    for (pack, segment), (offset, length) in zip(
        struct.iter_unpack(">20xIH2x", presence), _PAIR.iter_unpack(view[rows_start:]), strict=True
    ):
        if segment >= counts[pack] or not length or offset + length > raws[firsts[pack] + segment]:
            raise IndexContentError("a row of a positions part leaves its segment")


def write_part(
    folder: Path, name: IndexId, description: Description, presence: Bytes, table: "array[int]"
) -> None:
    """Keep an opened object. Whatever happens, the part is there whole or not at all."""
    packs = b"".join(
        (
            _HEADER.pack(
                _MAGIC,
                _BYTE_ORDER,
                description.epoch,
                description.row_count,
                len(description.packs) // HASH,
                len(description.owners),
                len(description.replaces) // HASH,
                len(description.drops),
                len(table),
                description.session_id,
                len(description.session_id),
            ),
            description.packs,
            *(_OWNER.pack(*owner) for owner in description.owners),
            description.replaces,
            *(_DROP.pack(*drop) for drop in description.drops),
            table.tobytes(),
        )
    )
    replace_file(folder / f"{name.hex()}.presence", presence)
    replace_file(folder / f"{name.hex()}.packs", packs)


def replace_file(path: Path, content: Bytes) -> None:
    """Write a file of this machine's cache, readable for its owner only, in one step."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - the mode is given when it is made
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


class Part:
    """One opened object, mapped. Opening reads its header only."""

    epoch: int
    row_count: int
    pack_count: int
    session_id: bytes
    """Empty for a merged object."""

    def __init__(self, folder: Path, name: IndexId) -> None:
        """Map the files.

        Raises:
            IndexCacheError: they are not whole.
        """
        self.name: Final = name
        self._folder: Final = folder
        self._packs: Final = self._map("packs")
        if len(self._packs) < _HEADER.size:
            raise self._damaged()
        (
            magic,
            order,
            self.epoch,
            self.row_count,
            self.pack_count,
            owners,
            replaces,
            drops,
            prefixes,
            session_id,
            session_id_bytes,
        ) = _HEADER.unpack_from(self._packs)
        # Padded with zeros, which some session may have for an id.
        self.session_id = session_id[:session_id_bytes]
        ends = list(
            accumulate(
                (
                    HASH * self.pack_count,
                    _OWNER.size * owners,
                    HASH * replaces,
                    _DROP.size * drops,
                    4 * prefixes,
                ),
                initial=_HEADER.size,
            )
        )
        self.rows: Final = self._map("presence")
        if (
            magic != _MAGIC
            or order != _BYTE_ORDER
            or len(self._packs) != ends[-1]
            or len(self.rows) != ROW * self.row_count
            or prefixes != (1 << _prefix_bits(self.row_count)) + 1
        ):
            raise self._damaged()
        self.replaces: Final = {
            replaced for (replaced,) in struct.iter_unpack("32s", self._packs[ends[2] : ends[3]])
        }
        self.drops: Final[list[tuple[bytes, bytes]]] = list(
            _DROP.iter_unpack(self._packs[ends[3] : ends[4]])
        )
        """(pack id, session id)."""
        self.owners: Final[list[tuple[bytes, bytes, int]]] = list(
            _OWNER.iter_unpack(self._packs[ends[1] : ends[2]])
        )
        self._owner_ends: Final = list(accumulate(count for _, _, count in self.owners))
        self.prefixes: Final = memoryview(self._packs)[ends[4] : ends[5]].cast("I")
        self.shift: Final = 32 - _prefix_bits(self.row_count)
        self._positions: Bytes | mmap.mmap | None = None
        self._firsts: array[int] = array("I")
        self._rows_start = 0
        self._recent: OrderedDict[int, array[int]] = OrderedDict()

    def _map(self, suffix: str) -> mmap.mmap | bytes:
        try:
            with (self._folder / f"{self.name.hex()}.{suffix}").open("rb") as file:
                if not os.fstat(file.fileno()).st_size:
                    return b""  # nothing cannot be mapped
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise self._damaged() from error

    def _damaged(self) -> IndexCacheError:
        return IndexCacheError(
            f"the opened part of index object {self.name.hex()} on this machine is damaged",
            hint="It is dropped and fetched again by itself the next time.",
        )

    @property
    def counting_drops(self) -> Iterator[tuple[bytes, bytes]]:
        """The drops that count: of a session's object, those of its own packs."""
        own = self.session_id
        return (drop for drop in self.drops if not own or drop[1] == own)

    # --- packs --------------------------------------------------------------------------------

    def pack_id(self, pack: int) -> bytes:
        """Return the id of the pack at this position."""
        start = _HEADER.size + HASH * pack
        return self._packs[start : start + HASH]

    def owner(self, pack: int) -> tuple[bytes, bytes]:
        """Return (session id, writer id) of the pack at this position."""
        session_id, writer_id, _ = self.owners[bisect_right(self._owner_ends, pack)]
        return session_id, writer_id

    # --- rows ---------------------------------------------------------------------------------

    def matches(self, locator: bytes) -> Iterator[int]:
        """Return the numbers of the rows of *locator*."""
        (prefix,) = struct.unpack_from(">I", locator)
        place = prefix >> self.shift
        start, stop = self.prefixes[place], self.prefixes[place + 1]
        for row in range(start, stop):
            if self.rows[ROW * row : ROW * row + LOCATOR] == locator:
                yield row

    def place(self, row: int) -> tuple[int, int]:
        """Return (pack, segment) of a row."""
        pack, segment = struct.unpack_from(">IH", self.rows, ROW * row + LOCATOR)
        return pack, segment

    # --- positions ----------------------------------------------------------------------------

    @property
    def has_positions(self) -> bool:
        """Whether the positions part has been opened."""
        return (self._folder / f"{self.name.hex()}.positions").exists()

    @property
    def positions(self) -> Bytes | mmap.mmap:
        """The positions part.

        Raises:
            IndexCacheError: it has not been opened, or is damaged.
        """
        if self._positions is None:
            content = self._map("positions")
            table = _PAIR.iter_unpack(content[: _PAIR.size * self.pack_count])
            firsts = array("I", accumulate((count for _, count in table), initial=0))
            if len(content) != _PAIR.size * (self.pack_count + firsts[-1]) + (
                POSITION * self.row_count
            ):
                # Without it the object counts as one whose positions have not been opened.
                (self._folder / f"{self.name.hex()}.positions").unlink(missing_ok=True)
                raise self._damaged()
            self._firsts, self._positions = firsts, content
            self._rows_start = _PAIR.size * (self.pack_count + firsts[-1])
        return self._positions

    @property
    def segments_bytes(self) -> int:
        """Where in the positions part the rows begin."""
        _ = self.positions
        return self._rows_start

    def segment(self, pack: int, segment: int) -> tuple[int, int, int, int]:
        """Return (offset in the pack, stored length, raw length, compression)."""
        positions = self.positions
        start = _PAIR.size * (self.pack_count + self._firsts[pack])
        offsets = self._recent.get(pack)
        if offsets is None:
            first, count = _PAIR.unpack_from(positions, _PAIR.size * pack)
            content = positions[start : start + _PAIR.size * count]
            lengths = (stored for stored, _ in _PAIR.iter_unpack(content))
            offsets = self._recent[pack] = array("Q", accumulate(lengths, initial=first))
            if len(self._recent) > _PACKS_KEPT:
                self._recent.popitem(last=False)
        stored, packed = _PAIR.unpack_from(positions, start + _PAIR.size * segment)
        return offsets[segment], stored, packed & _RAW_MASK, packed >> _COMPRESSION_SHIFT

    def pack_table(self, pack: int) -> tuple[int, bytes]:
        """Return the offset of a pack's first segment and the packed lengths of all of them."""
        positions = self.positions
        first, count = _PAIR.unpack_from(positions, _PAIR.size * pack)
        start = _PAIR.size * (self.pack_count + self._firsts[pack])
        return first, bytes(positions[start : start + _PAIR.size * count])

    def position(self, row: int) -> tuple[int, int]:
        """Return (offset in the raw segment, length) of a row."""
        offset, length = _PAIR.unpack_from(self.positions, self._rows_start + POSITION * row)
        return offset, length


assert array("I").itemsize == 4, sys.platform  # noqa: S101, PLR2004 - the table of prefixes rests on it
