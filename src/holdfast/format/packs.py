"""Packs: header, directory, trailer, and what binds a segment to its place (section 6)."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Self

from holdfast.base.ids import SessionId, VaultId
from holdfast.base.sizes import MIB
from holdfast.format.cbor import Bytes
from holdfast.format.errors import PackError, UnencodableError, UnsupportedFormatError
from holdfast.format.frames import KIND_PACK, MAGIC, VERSION

KIND_DATA: Final = 1
KIND_TREE: Final = 2
KIND_DIRECTORY: Final = 3
KIND_TRAILER: Final = 4
DIRECTORY_NUMBER: Final = 2**32 - 2
TRAILER_NUMBER: Final = 2**32 - 1

SUITE_NONE: Final = 0
SUITES_LIMIT: Final = 7
"""Suites 0 to 6 exist; 7 is reserved."""
COMPRESSION_RAW: Final = 0
COMPRESSION_ZSTD: Final = 1

PACK_LIMIT: Final = 256 * MIB
SEGMENTS_LIMIT: Final = 65_535
CHUNKS_LIMIT: Final = 2**20
SEGMENT_CHUNKS_LIMIT: Final = 65_535
SEGMENT_RAW_LIMIT: Final = 8 * MIB
DIRECTORY_RAW_LIMIT: Final = 64 * MIB
EPOCHS_LIMIT: Final = 4_096
TRAILER_RAW_BYTES: Final = 16
SEALED_SESSION_KEY_BYTES: Final = 1_168

_HEADER: Final = struct.Struct(">8sBBBBI16s32s32sHH")
_SEGMENT: Final = struct.Struct(">BBHIII")
_CHUNK: Final = struct.Struct(">32sI")
_TRAILER: Final = struct.Struct(">IIII")
_PLACE: Final = struct.Struct(">BI")
_LABEL: Final = b"holdfast/0 segment\0"
_NO_COMMITMENT: Final = bytes(32)
_ID_BYTES: Final = 16
_HASH_BYTES: Final = 32


def header_bytes(*, suite_is_none: bool) -> int:
    """Return the length of a pack's header: where its first segment begins."""
    return _HEADER.size + (0 if suite_is_none else SEALED_SESSION_KEY_BYTES)


def segment_info(suite: int, kind: int, number: int) -> bytes:
    """Return the HKDF info of a segment's key material (section 6.2)."""
    return _LABEL + bytes((suite,)) + _PLACE.pack(kind, number)


def segment_associated(
    suite: int,
    vault_id: VaultId,
    session_id: SessionId,
    kind: int,
    salt: bytes,
    number: int,
    raw_length: int,
    compression: int,
) -> bytes:
    """Return the associated data that a segment is sealed with (section 6.2)."""
    place = struct.pack(">IIB", number, raw_length, compression)
    return b"".join((_LABEL, bytes((suite,)), vault_id, session_id, bytes((kind,)), salt, place))


@dataclass(frozen=True, slots=True)
class PackHeader:
    """What stands in clear at the start of a pack.

    For suite `none` the commitment is 32 zero bytes and the sealed session key empty.
    """

    suite: int
    epoch: int
    session_id: SessionId
    commitment: bytes
    salt: bytes
    sealed_session_key: bytes

    def encode(self) -> bytes:
        """Return the header's bytes.

        Raises:
            UnencodableError: a field has a length or value that section 6 does not allow.
        """
        lengths = (len(self.session_id), len(self.commitment), len(self.salt))
        if lengths != (_ID_BYTES, _HASH_BYTES, _HASH_BYTES):
            raise UnencodableError("A pack header's id, commitment or salt has a wrong length.")
        fault = self._fault()
        if fault:
            raise UnencodableError(f"A pack's header is wrong: {fault}.")
        fields = _HEADER.pack(
            MAGIC,
            KIND_PACK,
            VERSION,
            self.suite,
            0,
            self.epoch,
            self.session_id,
            self.commitment,
            self.salt,
            len(self.sealed_session_key),
            0,
        )
        return fields + self.sealed_session_key

    @classmethod
    def decode(cls, data: Bytes) -> Self:
        """Read the header that *data* (a pack, or at least the start of one) begins with.

        Raises:
            UnsupportedFormatError: the pack has a version or suite that this release lacks.
            PackError: it is not the header of a pack.
        """
        if len(data) < _HEADER.size:
            raise PackError("The pack is shorter than its header.")
        (magic, kind, version, suite, zero, epoch, session, commitment, salt, length, more_zero) = (
            _HEADER.unpack_from(data)
        )
        if magic != MAGIC or kind != KIND_PACK:
            raise PackError("The pack does not begin like a pack of Holdfast.")
        if version != VERSION or suite >= SUITES_LIMIT:
            raise UnsupportedFormatError(
                f"The pack has format version {version} and suite {suite}.",
                hint="A newer Holdfast may have written it.",
            )
        if zero or more_zero:
            raise PackError("The reserved bytes of the pack's header are not zero.")
        sealed = bytes(data[_HEADER.size : _HEADER.size + length])
        if len(sealed) != length:
            raise PackError("The pack ends inside its sealed session key.")
        header = cls(suite, epoch, SessionId(session), commitment, salt, sealed)
        fault = header._fault()
        if fault:
            raise PackError(f"The pack's header is wrong: {fault}.")
        return header

    def _fault(self) -> str:
        """Return what section 6 has against the values of the fields, or nothing."""
        if not 0 <= self.suite < SUITES_LIMIT:
            return "there is no such suite"
        if not 0 <= self.epoch < EPOCHS_LIMIT:
            return "there is no such epoch"
        is_none = self.suite == SUITE_NONE
        if len(self.sealed_session_key) != (0 if is_none else SEALED_SESSION_KEY_BYTES):
            return "the sealed session key has not the length of the suite"
        if is_none and self.commitment != _NO_COMMITMENT:
            return "a commitment is stated where there is no session key"
        return ""


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """What the directory says about one segment; lengths in bytes."""

    kind: int
    compression: int
    stored_length: int
    raw_length: int
    chunk_count: int


@dataclass(frozen=True, slots=True)
class Directory:
    """The segments of a pack in order, and (id, length) of all their chunks in order."""

    segments: Sequence[SegmentRow]
    chunks: Sequence[tuple[bytes, int]]

    def encode(self) -> bytes:
        """Return the plaintext of the directory.

        Raises:
            UnencodableError: segments and chunks break a rule of section 6.
        """
        fault = self._fault()
        if fault:
            raise UnencodableError(f"A pack's directory is wrong: {fault}.")
        rows = (
            _SEGMENT.pack(
                row.kind, row.compression, 0, row.stored_length, row.raw_length, row.chunk_count
            )
            for row in self.segments
        )
        chunks = (_CHUNK.pack(chunk_id, length) for chunk_id, length in self.chunks)
        return b"".join((len(self.segments).to_bytes(4, "big"), *rows, *chunks))

    @classmethod
    def decode(cls, data: Bytes) -> Self:
        """Read the plaintext of a directory.

        Raises:
            PackError: it is not one that :meth:`encode` writes.
        """
        if not 4 <= len(data) <= DIRECTORY_RAW_LIMIT:  # noqa: PLR2004 - the u32 at its start
            raise PackError("The pack's directory is too short or too long.")
        count = int.from_bytes(data[:4], "big")
        end = 4 + count * _SEGMENT.size
        rest = len(data) - end
        if rest < 0 or rest % _CHUNK.size:
            raise PackError("The pack's directory has not the length that its counts demand.")
        view = memoryview(data)
        rows = list(_SEGMENT.iter_unpack(view[4:end]))
        if any(row[2] for row in rows):
            raise PackError("Reserved bytes in the pack's directory are not zero.")
        directory = cls(
            [SegmentRow(kind, packed, *lengths) for kind, packed, _, *lengths in rows],
            list(_CHUNK.iter_unpack(view[end:])),
        )
        fault = directory._fault()
        if fault:
            raise PackError(f"The pack's directory is wrong: {fault}.")
        return directory

    def segment_offsets(self, first_offset: int) -> list[int]:
        """Return where each segment begins, and behind them where the last one ends.

        *first_offset* is the length of the pack's header.
        """
        return list(accumulate((row.stored_length for row in self.segments), initial=first_offset))

    def chunks_by_segment(self) -> Iterator[Sequence[tuple[bytes, int]]]:
        """Return, segment by segment, (id, length) of the chunks in it."""
        start = 0
        for row in self.segments:
            yield self.chunks[start : start + row.chunk_count]
            start += row.chunk_count

    def _fault(self) -> str:
        """Return what section 6 has against this directory, or nothing."""
        if not 1 <= len(self.segments) <= SEGMENTS_LIMIT:
            return "it has no segment, or too many"
        if len(self.chunks) > CHUNKS_LIMIT:
            return "it has too many chunks"
        if sum(row.chunk_count for row in self.segments) != len(self.chunks):
            return "the segments' chunk counts do not add up to the chunks"
        if any(len(chunk_id) != _HASH_BYTES or length < 1 for chunk_id, length in self.chunks):
            return "a chunk is empty or has no id"
        for number, (row, chunks) in enumerate(
            zip(self.segments, self.chunks_by_segment(), strict=True)
        ):
            if fault := _segment_fault(row, chunks):
                return f"segment {number} {fault}"
        return ""


def _segment_fault(row: SegmentRow, chunks: Sequence[tuple[bytes, int]]) -> str:
    if row.kind not in {KIND_DATA, KIND_TREE}:
        return "is neither data nor tree"
    if row.compression not in {COMPRESSION_RAW, COMPRESSION_ZSTD}:
        return "has an unknown compression"
    if not (1 <= row.raw_length <= SEGMENT_RAW_LIMIT and 1 <= row.stored_length <= PACK_LIMIT):
        return "has an impossible length"
    if not 1 <= row.chunk_count <= (1 if row.kind == KIND_TREE else SEGMENT_CHUNKS_LIMIT):
        return "has an impossible number of chunks"
    if sum(length for _, length in chunks) != row.raw_length:
        return "is not filled by its chunks"
    return ""


@dataclass(frozen=True, slots=True)
class Trailer:
    """Where a pack's sealed directory is: offset in the pack, stored length, raw length."""

    directory_offset: int
    directory_stored: int
    directory_raw: int
    segment_count: int

    def encode(self) -> bytes:
        """Return the 16 bytes of plaintext.

        Raises:
            UnencodableError: a value is out of range.
        """
        fault = self._fault()
        if fault:
            raise UnencodableError(f"A pack's trailer is wrong: {fault}.")
        return _TRAILER.pack(
            self.directory_offset, self.directory_stored, self.directory_raw, self.segment_count
        )

    @classmethod
    def decode(cls, data: Bytes) -> Self:
        """Read the plaintext of a trailer.

        Raises:
            PackError: it is not one that :meth:`encode` writes.
        """
        if len(data) != TRAILER_RAW_BYTES:
            raise PackError("The pack's trailer has not 16 bytes.")
        trailer = cls(*_TRAILER.unpack(data))
        fault = trailer._fault()
        if fault:
            raise PackError(f"The pack's trailer is wrong: {fault}.")
        return trailer

    def check_place(self, *, pack_bytes: int, sealed_trailer_bytes: int, header_end: int) -> None:
        """Hold the trailer against the pack that it ends.

        Raises:
            PackError: the directory overlaps the header or does not end where the trailer begins.
        """
        end = self.directory_offset + self.directory_stored
        if self.directory_offset < header_end or end + sealed_trailer_bytes != pack_bytes:
            raise PackError("The pack's trailer does not follow its directory immediately.")

    def _fault(self) -> str:
        numbers = (self.directory_offset, self.directory_stored)
        if not all(0 < number <= PACK_LIMIT for number in numbers):
            return "the directory is outside the pack"
        if not 1 <= self.segment_count <= SEGMENTS_LIMIT:
            return "there is no segment, or too many"
        least = 4 + self.segment_count * _SEGMENT.size
        if not least < self.directory_raw <= DIRECTORY_RAW_LIMIT:
            return "the directory cannot have that length"
        return ""
