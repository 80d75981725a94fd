"""Opening everything that packs hold: the thorough look at stored bytes."""

from collections.abc import Sequence

from holdfast.base.errors import IntegrityError
from holdfast.base.ids import PackId
from holdfast.core.face import Progress, Verified
from holdfast.core.python.node_reader import Work
from holdfast.core.python.reading_run import ReadingRun
from holdfast.core.python.segment_reader import SegmentReader, merge_ranges
from holdfast.core.python.segments import PackCipher
from holdfast.core.reader_errors import ChunkMismatchError, PackHeaderError
from holdfast.format.packs import (
    DIRECTORY_NUMBER,
    KIND_DATA,
    KIND_DIRECTORY,
    KIND_TRAILER,
    TRAILER_NUMBER,
    TRAILER_RAW_BYTES,
    Directory,
    SegmentRow,
    Trailer,
)


class VerifyRun(ReadingRun[Verified]):
    """Open every segment of some packs (id, size in bytes) and recompute every id.

    What is damaged is in the result: a segment by its number, the directory and the trailer by
    theirs (vault-format.md 6.2). A pack whose directory cannot be read counts as damaged there.
    """

    def __init__(
        self, segments: SegmentReader, packs: Sequence[tuple[PackId, int]], batch_bytes: int
    ) -> None:
        super().__init__(segments)
        self._packs = packs
        self._batch_bytes = batch_bytes
        self._damaged: list[tuple[PackId, int, str]] = []
        self._bytes_read = 0

    def _work(self) -> Work[Verified]:
        for number, (pack_id, size) in enumerate(self._packs, 1):
            where = TRAILER_NUMBER
            try:
                cipher, trailer = yield from self._ends(pack_id, size)
                where = DIRECTORY_NUMBER
                directory = yield from self._directory(pack_id, cipher, trailer)
            except IntegrityError as error:
                self._damaged.append((pack_id, where, error.code))
                continue
            yield from self._segments(pack_id, cipher, trailer, directory)
            self.emit(Progress(number, len(self._packs), self._bytes_read, 0))
        return Verified(tuple(self._damaged))

    def _ends(self, pack_id: PackId, size: int) -> Work[tuple[PackCipher, Trailer]]:
        header = self.segments.header_bytes
        sealed = self.segments.suite.stored_length(TRAILER_RAW_BYTES)
        if size < header + sealed:
            raise PackHeaderError(f"pack {pack_id.hex()} is shorter than header and trailer")
        ticket = self.request(pack_id, ((0, header), (size - sealed, sealed)))
        parts = yield from self.wait_for(ticket)
        self._bytes_read += header + sealed
        cipher = self.segments.take_header(pack_id, parts[0])
        plain = cipher.open(
            KIND_TRAILER,
            TRAILER_NUMBER,
            parts[1],
            raw_length=TRAILER_RAW_BYTES,
            compression=0,
        )
        trailer = Trailer.decode(plain)
        trailer.check_place(pack_bytes=size, sealed_trailer_bytes=sealed, header_end=header)
        return cipher, trailer

    def _directory(self, pack_id: PackId, cipher: PackCipher, trailer: Trailer) -> Work[Directory]:
        place = (trailer.directory_offset, trailer.directory_stored)
        parts = yield from self.wait_for(self.request(pack_id, (place,)))
        self._bytes_read += place[1]
        plain = cipher.open(
            KIND_DIRECTORY,
            DIRECTORY_NUMBER,
            parts[0],
            raw_length=trailer.directory_raw,
            compression=0,
        )
        directory = Directory.decode(plain)
        end = directory.segment_offsets(self.segments.header_bytes)[-1]
        if len(directory.segments) != trailer.segment_count or end > trailer.directory_offset:
            raise PackHeaderError(f"the directory of pack {pack_id.hex()} contradicts its trailer")
        return directory

    def _segments(
        self, pack_id: PackId, cipher: PackCipher, trailer: Trailer, directory: Directory
    ) -> Work[None]:
        offsets = directory.segment_offsets(self.segments.header_bytes)
        chunks = list(directory.chunks_by_segment())
        start = 0
        while start < trailer.segment_count:
            stop = start + 1
            while (
                stop < trailer.segment_count
                and offsets[stop + 1] - offsets[start] <= self._batch_bytes
            ):
                stop += 1
            ranges = merge_ranges([(offsets[start], offsets[stop] - offsets[start])])
            parts = yield from self.wait_for(self.request(pack_id, ranges))
            data = memoryview(parts[0])
            self._bytes_read += len(data)
            for number in range(start, stop):
                first = offsets[number] - offsets[start]
                row = directory.segments[number]
                stored = data[first : first + row.stored_length]
                try:
                    self._check(cipher, number, row, stored, chunks[number])
                except IntegrityError as error:
                    self._damaged.append((pack_id, number, error.code))
                yield True
            start = stop

    def _check(
        self,
        cipher: PackCipher,
        number: int,
        row: SegmentRow,
        stored: memoryview,
        chunks: Sequence[tuple[bytes, int]],
    ) -> None:
        raw = memoryview(
            cipher.open(
                row.kind,
                number,
                stored,
                raw_length=row.raw_length,
                compression=row.compression,
            )
        )
        id_of = self.segments.chunk_id if row.kind == KIND_DATA else self.segments.node_id
        offset = 0
        for chunk_id, length in chunks:
            if id_of(raw[offset : offset + length]) != chunk_id:
                raise ChunkMismatchError(f"the chunk {chunk_id.hex()} has another id")
            offset += length
