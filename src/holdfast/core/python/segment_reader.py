"""From ids to bytes: locate, fetch, open, cut out, and recompute every id (vault-format.md 6).

Segments are fetched in batches: merged ranges, pack by pack, and opened on a few threads.
"""

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

from blake3 import blake3

from holdfast.base.errors import IntegrityError
from holdfast.base.ids import PackId, SessionId
from holdfast.base.secrets import Secret
from holdfast.base.sizes import KIB
from holdfast.core.face import Bytes, ReadKeys
from holdfast.core.python.index import Location
from holdfast.core.python.segments import PackCipher, SessionKeys
from holdfast.core.reader_errors import (
    ChunkMismatchError,
    ChunkMissingError,
    PackHeaderError,
    SessionKeyMissingError,
)
from holdfast.crypto import hkdf
from holdfast.crypto.suites import suite_named
from holdfast.format.packs import KIND_DATA, PackHeader, header_bytes

LOCATOR_SIZE: Final = 20
_NEAR: Final = 64 * KIB
"""Ranges of one pack that are nearer to each other than this are read as one."""
_CIPHERS_KEPT: Final = 4096

Segment = tuple[PackId, int]
"""A pack and the number of a segment in it."""


class ChunkPlaces(Protocol):
    """What a reader wants of an index."""

    def locate(self, locators: bytes) -> Sequence[Location | None]:
        """Return where each of the joined 20-byte locators is, None for those that are absent."""
        ...


class Fetcher(Protocol):
    """What a reader wants of the run that it works for; see `GeneratorRun`."""

    def request(self, pack_id: PackId, ranges: tuple[tuple[int, int], ...]) -> int:
        """Ask for byte ranges and return a ticket."""
        ...

    def wait_for(self, ticket: int) -> Generator[bool, None, Sequence[Bytes]]:
        """Wait for the answer to a ticket."""
        ...


@dataclass(slots=True)
class SegmentPlan:
    """What is wanted of some segments: for each, the (offset, length, id) of chunks in it."""

    kind: int
    locations: dict[Segment, Location] = field(default_factory=dict)
    wanted: dict[Segment, list[tuple[int, int, bytes]]] = field(default_factory=dict)
    raw_bytes: int = 0
    """What all segments take when they are open."""

    def add(self, chunk_id: bytes, location: Location) -> None:
        """Want one more chunk."""
        segment = (location.pack_id, location.segment)
        if segment not in self.locations:
            self.locations[segment] = location
            self.wanted[segment] = []
            self.raw_bytes += location.raw_length
        self.wanted[segment].append((location.offset, location.length, chunk_id))


class OpenedChunks:
    """Chunks of segments that were fetched; each segment is opened in the background."""

    def __init__(self) -> None:
        self._futures: dict[bytes, Future[dict[bytes, memoryview]]] = {}
        self._failed: dict[bytes, IntegrityError] = {}
        # Of the segment that was asked for last: nearly always that of the next chunk, too.
        self._last: dict[bytes, memoryview] = {}

    def expect(self, ids: Iterable[bytes], future: "Future[dict[bytes, memoryview]]") -> None:
        """Take the chunks of one segment, once they are ready."""
        for chunk_id in ids:
            self._futures[chunk_id] = future

    def fail(self, ids: Iterable[bytes], error: IntegrityError) -> None:
        """Take note that chunks cannot be had."""
        for chunk_id in ids:
            self._failed[chunk_id] = error

    def has(self, chunk_id: bytes) -> bool:
        """Say whether a chunk was asked for and located."""
        return chunk_id in self._futures or chunk_id in self._failed

    def get(self, chunk_id: bytes) -> memoryview:
        """Return the bytes of a chunk, whose id has been recomputed.

        Raises:
            IntegrityError: it cannot be had, or is not what its id says.
        """
        found = self._last.get(chunk_id)
        if found is not None:
            return found
        future = self._futures.get(chunk_id)
        if future is None:
            error = self._failed.get(chunk_id)
            if error is not None:
                # A new one each time: a traceback that grows would hold on to all who asked.
                raise type(error)(error.message, hint=error.hint)
            raise ChunkMissingError(
                f"the chunk {chunk_id.hex()} is in no pack that the index knows"
            )
        self._last = future.result()
        found = self._last.get(chunk_id)
        if found is None:
            raise ChunkMismatchError(f"the chunk {chunk_id.hex()} is not where the index says")
        return found


class SegmentReader:
    """Reads segments of any pack whose session key is at hand. Lives as long as its reader."""

    def __init__(self, keys: ReadKeys, suite: str, places: ChunkPlaces, threads: int) -> None:
        self._vault_id: Final = keys.vault_id
        self.suite: Final = suite_named(suite)
        self._session_keys: Final = keys.session_keys
        self._chunk_id_key: Final = keys.chunk_id_key.reveal()
        self._node_id_key: Final = keys.node_id_key.reveal()
        self._locator_key: Final = keys.locator_key.reveal()
        self._places: Final = places
        self._derived: dict[bytes, dict[bytes, SessionKeys]] = {}
        """For each session, what its key may be, by commitment."""
        self._ciphers: OrderedDict[PackId, tuple[PackCipher, bytes]] = OrderedDict()
        self._threads: Final = max(1, threads)
        self._pool: ThreadPoolExecutor | None = None
        self.header_bytes: Final = header_bytes(suite_is_none=not self.suite.key_bytes)

    def close(self) -> None:
        """Stop the threads; they start again when they are needed."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def chunk_id(self, data: Bytes) -> bytes:
        """Return the id of a data chunk."""
        return blake3(data, key=self._chunk_id_key).digest()

    def node_id(self, data: Bytes) -> bytes:
        """Return the id of a tree node."""
        return blake3(data, key=self._node_id_key).digest()

    def locators(self, ids: Iterable[bytes]) -> bytes:
        """Return the locators of chunks or nodes, joined (6.3)."""
        key = self._locator_key
        return b"".join([blake3(one, key=key).digest(length=LOCATOR_SIZE) for one in ids])

    def locate(self, ids: Iterable[bytes]) -> Sequence[Location | None]:
        """Return where chunks or nodes are, None for those that are absent."""
        return self._places.locate(self.locators(ids))

    def plan(
        self, ids: Sequence[bytes], kind: int, missing: Callable[[bytes], None]
    ) -> SegmentPlan:
        """Return which segments have *ids*; *missing* is told those that are nowhere."""
        plan = SegmentPlan(kind)
        for chunk_id, location in zip(ids, self.locate(ids), strict=True):
            if location is None:
                missing(chunk_id)
            else:
                plan.add(chunk_id, location)
        return plan

    def open_plan(self, run: Fetcher, plan: SegmentPlan) -> Generator[bool, None, OpenedChunks]:
        """Fetch the segments of a plan; their chunks are verified as they are taken out.

        A pack that is lost costs the chunks that were wanted of it.

        Raises:
            AnswerFailedError: the storage gave up.
            SessionKeyMissingError: the key of a session is not at hand.
        """
        by_pack: dict[PackId, list[Segment]] = {}
        for segment in plan.locations:
            by_pack.setdefault(segment[0], []).append(segment)
        tickets = []
        for pack_id, segments in by_pack.items():
            segments.sort(key=lambda segment: plan.locations[segment].segment_offset)
            # Kept: by the time of the answer, others may have driven it out of the cache.
            cipher = self._ciphers.get(pack_id)
            ranges = merge_ranges(
                [
                    *(() if cipher is not None else ((0, self.header_bytes),)),
                    *(
                        (plan.locations[one].segment_offset, plan.locations[one].stored_length)
                        for one in segments
                    ),
                ]
            )
            tickets.append((pack_id, segments, ranges, cipher, run.request(pack_id, ranges)))
        chunks = OpenedChunks()
        for pack_id, segments, ranges, cipher, ticket in tickets:
            try:
                parts = yield from run.wait_for(ticket)
            except IntegrityError as error:
                for segment in segments:
                    chunks.fail((chunk_id for _, _, chunk_id in plan.wanted[segment]), error)
                continue
            self._open_pack(plan, pack_id, segments, _Ranges(ranges, parts), cipher, chunks)
        return chunks

    def _open_pack(
        self,
        plan: SegmentPlan,
        pack_id: PackId,
        segments: list[Segment],
        ranges: "_Ranges",
        known: tuple[PackCipher, bytes] | None,
        chunks: OpenedChunks,
    ) -> None:
        pool = self._started_pool()
        for segment in segments:
            location = plan.locations[segment]
            wanted = plan.wanted[segment]
            ids = [chunk_id for _, _, chunk_id in wanted]
            try:
                if known is None:
                    header = ranges.cut(0, self.header_bytes)
                    cipher = self.take_header(pack_id, header, location.session_id)
                    known = cipher, location.session_id
                cipher, session_id = known
                if session_id != location.session_id:
                    raise _of_another_session(pack_id)
                stored = ranges.cut(location.segment_offset, location.stored_length)
            except IntegrityError as error:
                chunks.fail(ids, error)
                continue
            chunks.expect(
                ids, pool.submit(self._open_segment, cipher, plan.kind, location, stored, wanted)
            )

    def _open_segment(
        self,
        cipher: PackCipher,
        kind: int,
        location: Location,
        stored: Bytes,
        wanted: list[tuple[int, int, bytes]],
    ) -> dict[bytes, memoryview]:
        where = f"pack {location.pack_id.hex()}, segment {location.segment}"
        try:
            raw = memoryview(
                cipher.open(
                    kind,
                    location.segment,
                    stored,
                    raw_length=location.raw_length,
                    compression=location.compression,
                )
            )
        except IntegrityError as error:
            raise type(error)(f"{where}: {error.message}") from error
        key = self._chunk_id_key if kind == KIND_DATA else self._node_id_key
        found = {}
        for offset, length, chunk_id in wanted:
            chunk = raw[offset : offset + length]
            if blake3(chunk, key=key).digest() != chunk_id:
                word = "chunk" if kind == KIND_DATA else "tree node"
                raise ChunkMismatchError(f"{where}: the {word} {chunk_id.hex()} has another id")
            found[chunk_id] = chunk
        return found

    def _started_pool(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="holdfast-open")
        return self._pool

    # --- pack headers ---------------------------------------------------------------------------

    def take_header(
        self, pack_id: PackId, data: Bytes, session_id: bytes | None = None
    ) -> PackCipher:
        """Read the header of a pack, check it, and return what opens the pack's segments.

        *session_id* is what the index says, if it was asked.

        Raises:
            IntegrityError: it is damaged, of another suite or session, or sealed with another
                session key.
            SessionKeyMissingError: the key of its session is not at hand.
        """
        try:
            header = PackHeader.decode(data)
        except IntegrityError as error:
            raise type(error)(f"pack {pack_id.hex()}: {error.message}", hint=error.hint) from error
        if header.suite != self.suite.number:
            raise PackHeaderError(f"pack {pack_id.hex()} has another suite than its vault")
        # Before its key is asked for: a flipped bit is damage, not a key that is missing.
        if session_id is not None and session_id != header.session_id:
            raise _of_another_session(pack_id)
        keys = self._session(header.session_id).get(header.commitment)
        if keys is None:
            raise PackHeaderError(f"pack {pack_id.hex()} commits to another session key")
        cipher = PackCipher(
            self.suite,
            keys,
            vault_id=self._vault_id,
            session_id=header.session_id,
            salt=header.salt,
        )
        self._ciphers[pack_id] = (cipher, bytes(header.session_id))
        if len(self._ciphers) > _CIPHERS_KEPT:
            self._ciphers.popitem(last=False)
        return cipher

    def _session(self, session_id: SessionId) -> dict[bytes, SessionKeys]:
        known = self._derived.get(session_id)
        if known is None:
            secrets = self._session_keys.get(session_id)
            if not secrets:
                raise SessionKeyMissingError(
                    f"the key of session {session_id.hex()} is not at hand"
                )
            known = self._derived[session_id] = {
                self._commitment(session_id, secret): SessionKeys.derive(
                    secret, self._vault_id, session_id
                )
                for secret in secrets
            }
        return known

    def _commitment(self, session_id: SessionId, secret: Secret) -> bytes:
        if not self.suite.key_bytes:
            return bytes(32)
        prk = hkdf.extract(session_id, secret.reveal())
        return hkdf.expand(prk, b"holdfast/0 commitment", 32)


def _of_another_session(pack_id: PackId) -> PackHeaderError:
    return PackHeaderError(f"pack {pack_id.hex()} is of another session than the index says")


def merge_ranges(ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Join ascending ranges (offset, length) that overlap or lie near each other."""
    merged: list[tuple[int, int]] = []
    for offset, length in ranges:
        if merged and offset - (merged[-1][0] + merged[-1][1]) < _NEAR:
            start = merged[-1][0]
            merged[-1] = (start, max(merged[-1][1], offset + length - start))
        else:
            merged.append((offset, length))
    return tuple(merged)


class _Ranges:
    """The answer to a `Fetch`: parts of a pack."""

    def __init__(self, ranges: Sequence[tuple[int, int]], parts: Sequence[Bytes]) -> None:
        self._parts = [
            (offset, memoryview(part)) for (offset, _), part in zip(ranges, parts, strict=True)
        ]

    def cut(self, offset: int, length: int) -> memoryview:
        """Return some bytes of the pack; fewer where the storage gave fewer."""
        for start, part in reversed(self._parts):
            if start <= offset:
                return part[offset - start : offset - start + length]
        return memoryview(b"")
