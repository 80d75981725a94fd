"""From chunks to packs: plan segments, compress in parallel, number, seal and spool in order.

The plan (which chunks share a segment, and in which order) depends on ids and lengths only; which
pack a segment lands in depends on stored sizes, and so on the compressor (vault-format.md 6).
"""

import hashlib
import os
import struct
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from holdfast.base.ids import PackId, SessionId
from holdfast.base.randomness import Random
from holdfast.base.sizes import KIB, padme
from holdfast.core.face import Bytes, PackKind, Parameters, WriteKeys, WrittenPack
from holdfast.core.python.segments import Compressor, PackCipher, SessionKeys
from holdfast.core.run_errors import SpoolError
from holdfast.crypto.suites import suite_named
from holdfast.format.packs import (
    COMPRESSION_RAW,
    DIRECTORY_NUMBER,
    KIND_DATA,
    KIND_DIRECTORY,
    KIND_TRAILER,
    KIND_TREE,
    TRAILER_NUMBER,
    Directory,
    PackHeader,
    SegmentRow,
    Trailer,
)

_MAXIMUM_SEGMENTS: Final = 65_535
_MAXIMUM_CHUNKS: Final = 1 << 20
_MAXIMUM_SEGMENT_CHUNKS: Final = 65_535
_TRAILER_BYTES: Final = 16
_INDEX_ROW: Final = struct.Struct(">20sIHHII")
_PADDING_STEP: Final = 1024 * KIB


@dataclass(frozen=True, slots=True)
class PlannedChunk:
    """A chunk or node that is to be stored."""

    id: bytes
    locator: bytes
    data: Bytes


class SegmentPlanner:
    """Joins neighbouring chunks into segments (vault-format.md 6.2)."""

    def __init__(self, target_bytes: int) -> None:
        self._target = target_bytes
        self._chunks: list[PlannedChunk] = []
        self._bytes = 0

    def add(self, chunk: PlannedChunk) -> list[PlannedChunk] | None:
        """Take a chunk; return the segment that it closes, if any."""
        closed = None
        length = len(chunk.data)
        if self._chunks and (
            self._bytes + length > self._target or len(self._chunks) >= _MAXIMUM_SEGMENT_CHUNKS
        ):
            closed = self.close()
        self._chunks.append(chunk)
        self._bytes += length
        return closed

    def close(self) -> list[PlannedChunk] | None:
        """Return what is left as a segment, if anything."""
        chunks, self._chunks, self._bytes = self._chunks, [], 0
        return chunks or None


@dataclass(frozen=True, slots=True)
class CompressedSegment:
    """A segment ready to be sealed."""

    kind: int
    compression: int
    raw_length: int
    body: Bytes
    chunks: Sequence[tuple[bytes, bytes, int]]
    """(id, locator, length), in order."""


@dataclass(frozen=True, slots=True)
class CompletedPack:
    """A pack in the spool folder."""

    path: Path
    written: WrittenPack


class _OpenPack:
    """A pack that grows in the spool folder."""

    def __init__(
        self,
        keys: WriteKeys,
        session: SessionKeys,
        parameters: Parameters,
        spool: Path,
        random: Random,
    ) -> None:
        self._random = random
        self._pack_bytes = parameters.pack_bytes
        self._suite = suite_named(parameters.suite)
        salt = random.take(32)
        self._cipher = PackCipher(
            self._suite, session, vault_id=keys.vault_id, session_id=keys.session_id, salt=salt
        )
        header = PackHeader(
            suite=self._suite.number,
            epoch=keys.epoch,
            session_id=SessionId(keys.session_id),
            commitment=keys.commitment,
            salt=salt,
            sealed_session_key=keys.sealed_session_key,
        ).encode()
        self._first_offset = len(header)
        self._hash = hashlib.sha256()
        self._path = spool / f"pack-{random.take(8).hex()}"
        self._size = 0
        self._segments: list[SegmentRow] = []
        self._chunks: list[tuple[bytes, int]] = []
        self._rows: list[bytes] = []
        try:
            self._fd = os.open(
                self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise SpoolError.of(self._path, error) from error
        try:
            self._write(header)
        except SpoolError:
            self.abandon()
            raise

    def needs(self, segment: CompressedSegment | None = None) -> int:
        """Return the bytes of the finished pack without padding, with *segment* if given."""
        segments, chunks, size = len(self._segments), len(self._chunks), self._size
        if segment is not None:
            segments += 1
            chunks += len(segment.chunks)
            size += self._suite.stored_length(len(segment.body))
        directory = 4 + 16 * segments + 36 * chunks
        return (
            size + self._suite.stored_length(directory) + self._suite.stored_length(_TRAILER_BYTES)
        )

    def takes(self, segment: CompressedSegment) -> bool:
        """Say whether there is room for *segment*. The first one always has room."""
        return not self._segments or (
            len(self._segments) < _MAXIMUM_SEGMENTS
            and len(self._chunks) + len(segment.chunks) <= _MAXIMUM_CHUNKS
            and self.needs(segment) <= self._pack_bytes
        )

    def add(self, segment: CompressedSegment) -> None:
        """Seal a segment under the next number and write it."""
        number = len(self._segments)
        sealed = self._cipher.seal(
            segment.kind,
            number,
            segment.body,
            raw_length=segment.raw_length,
            compression=segment.compression,
        )
        self._write(sealed)
        self._segments.append(
            SegmentRow(
                kind=segment.kind,
                compression=segment.compression,
                stored_length=len(sealed),
                raw_length=segment.raw_length,
                chunk_count=len(segment.chunks),
            )
        )
        self._chunks.extend((chunk_id, length) for chunk_id, _, length in segment.chunks)
        offset = 0
        for _, locator, length in segment.chunks:
            self._rows.append(_INDEX_ROW.pack(locator, 0, number, 0, offset, length))
            offset += length

    def close(self, *, is_full: bool) -> CompletedPack:
        """Pad, write directory and trailer, and name the pack by its hash.

        Raises:
            SpoolError: it cannot be written; `abandon` it.
        """
        needed = self.needs()
        size = self._pack_bytes if is_full else padme(needed)
        # A pack whose only segment is larger than the vault's pack size cannot be cut down.
        size = max(needed, min(size, self._pack_bytes))
        padding = size - needed
        while padding > 0:
            step = min(padding, _PADDING_STEP)
            self._write(self._random.take(step))
            padding -= step
        directory = Directory(segments=tuple(self._segments), chunks=tuple(self._chunks)).encode()
        offset = self._size
        sealed = self._cipher.seal(
            KIND_DIRECTORY,
            DIRECTORY_NUMBER,
            directory,
            raw_length=len(directory),
            compression=COMPRESSION_RAW,
        )
        self._write(sealed)
        trailer = Trailer(
            directory_offset=offset,
            directory_stored=len(sealed),
            directory_raw=len(directory),
            segment_count=len(self._segments),
        ).encode()
        self._write(
            self._cipher.seal(
                KIND_TRAILER,
                TRAILER_NUMBER,
                trailer,
                raw_length=len(trailer),
                compression=COMPRESSION_RAW,
            )
        )
        self._close_file()
        pack_id = PackId(self._hash.digest())
        written = WrittenPack(
            pack_id=pack_id,
            kind=self._contents(),
            stored_bytes=self._size,
            first_offset=self._first_offset,
            segments=tuple(
                (segment.stored_length, segment.raw_length, segment.compression)
                for segment in self._segments
            ),
            index_table=b"".join(sorted(self._rows)),
        )
        return CompletedPack(self._path, written)

    def abandon(self) -> None:
        """Remove what was spooled."""
        with suppress(SpoolError):
            self._close_file()
        # What the disk under the spool no longer takes must not hide the error that was first.
        with suppress(OSError):
            self._path.unlink()

    def _contents(self) -> PackKind:
        kinds = {segment.kind for segment in self._segments}
        if kinds == {KIND_DATA}:
            return "data"
        return "tree" if kinds == {KIND_TREE} else "both"

    def _write(self, data: Bytes) -> None:
        view = memoryview(data)
        self._hash.update(view)
        self._size += len(view)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise SpoolError.of(self._path, error) from error

    def _close_file(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            try:
                os.close(fd)
            except OSError as error:
                raise SpoolError.of(self._path, error) from error


@dataclass(slots=True)
class PackAssembler:
    """Puts compressed segments into packs, in the order in which they come.

    Tree segments are held back until it is known that data and tree do not fit into one small
    pack; from then on each kind has packs of its own.
    """

    keys: WriteKeys
    parameters: Parameters
    spool: Path
    random: Random
    session: SessionKeys
    stored_bytes: int = 0
    """Of all segments so far, as they are stored."""
    _open: dict[int, _OpenPack] = field(default_factory=dict)
    _held: list[CompressedSegment] = field(default_factory=list)
    _completed: deque[CompletedPack] = field(default_factory=deque)
    _is_small: bool = True

    def add(self, segment: CompressedSegment) -> None:
        """Take a segment."""
        self.stored_bytes += suite_named(self.parameters.suite).stored_length(len(segment.body))
        if self._is_small and self.stored_bytes > self.parameters.small_session_bytes:
            self._is_small = False
            self._place_held(KIND_TREE)
        if self._is_small and segment.kind == KIND_TREE:
            self._held.append(segment)
        else:
            self._place(segment, segment.kind)

    def finish(self) -> None:
        """Close the last packs."""
        self._place_held(KIND_DATA)
        for kind in sorted(self._open):
            self._complete(kind, is_full=False)

    def take_completed(self) -> list[CompletedPack]:
        """Return the packs that were completed since the last call; from any thread."""
        return [self._completed.popleft() for _ in range(len(self._completed))]

    def abandon(self) -> None:
        """Remove from the spool folder what nobody has taken."""
        for pack in self._open.values():
            pack.abandon()
        self._open.clear()
        for completed in self.take_completed():
            with suppress(OSError):
                completed.path.unlink()

    def _place_held(self, slot: int) -> None:
        held, self._held = self._held, []
        for segment in held:
            self._place(segment, slot)

    def _place(self, segment: CompressedSegment, slot: int) -> None:
        pack = self._open.get(slot)
        if pack is not None and not pack.takes(segment):
            self._complete(slot, is_full=True)
            pack = None
        if pack is None:
            pack = self._open[slot] = self._new()
        pack.add(segment)

    def _complete(self, slot: int, *, is_full: bool) -> None:
        # A pack that cannot be closed stays among the open ones, for `abandon`.
        self._completed.append(self._open[slot].close(is_full=is_full))
        del self._open[slot]

    def _new(self) -> _OpenPack:
        return _OpenPack(self.keys, self.session, self.parameters, self.spool, self.random)


class Pipeline:
    """Compresses segments on several threads and assembles them, in order, on one more.

    Order in is order out, whatever the threads do. What is under way is bounded in raw bytes.
    """

    def __init__(
        self, assembler: PackAssembler, parameters: Parameters, *, threads: int, pending_bytes: int
    ) -> None:
        self._assembler = assembler
        self._level = parameters.compression_level if parameters.compression == "zstd" else 0
        self._local = threading.local()
        self._pending_limit = pending_bytes
        self._pending: deque[tuple[Future[None], int]] = deque()
        self._pending_bytes = 0
        self._has_failed = False
        self._compressors = ThreadPoolExecutor(threads, thread_name_prefix="holdfast-compress")
        self._packer = ThreadPoolExecutor(1, thread_name_prefix="holdfast-pack")

    @property
    def stored_bytes(self) -> int:
        """Bytes of all segments so far, as stored."""
        return self._assembler.stored_bytes

    def submit(self, kind: int, chunks: Sequence[PlannedChunk]) -> None:
        """Hand a segment over; waits while too much is under way."""
        raw_length = sum(len(chunk.data) for chunk in chunks)
        while self._pending and self._pending_bytes + raw_length > self._pending_limit:
            self._wait_for_first()
        compressed = self._compressors.submit(self._compress, kind, chunks)
        self._pending.append((self._packer.submit(self._pack, compressed), raw_length))
        self._pending_bytes += raw_length

    def take_completed(self) -> list[CompletedPack]:
        """Return the packs that were completed since the last call."""
        while self._pending and self._pending[0][0].done():
            self._wait_for_first()
        return self._assembler.take_completed()

    def finish(self) -> list[CompletedPack]:
        """Wait for everything, close the last packs and return what was completed."""
        while self._pending:
            self._wait_for_first()
        self._assembler.finish()
        return self._assembler.take_completed()

    def close(self) -> None:
        """Stop the threads; packs that are not complete are removed from the spool folder."""
        self._compressors.shutdown(cancel_futures=True)
        self._packer.shutdown(cancel_futures=True)
        self._assembler.abandon()

    def _wait_for_first(self) -> None:
        future, raw_length = self._pending.popleft()
        self._pending_bytes -= raw_length
        future.result()

    def _pack(self, compressed: "Future[CompressedSegment]") -> None:
        if self._has_failed:
            # A pack that took half of a segment takes no more: not under the same number again.
            raise CancelledError
        try:
            self._assembler.add(compressed.result())
        except BaseException:
            self._has_failed = True
            raise

    def _compress(self, kind: int, chunks: Sequence[PlannedChunk]) -> CompressedSegment:
        compressor = getattr(self._local, "compressor", None)
        if compressor is None:
            compressor = self._local.compressor = Compressor(self._level)
        raw = chunks[0].data if len(chunks) == 1 else b"".join([chunk.data for chunk in chunks])
        compression, body = compressor.compress(raw)
        return CompressedSegment(
            kind=kind,
            compression=compression,
            raw_length=len(raw),
            body=body,
            chunks=[(chunk.id, chunk.locator, len(chunk.data)) for chunk in chunks],
        )
