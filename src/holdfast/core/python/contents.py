"""What an entry holds: holes, extents, long values. vault-format.md 8.2 to 8.4."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from holdfast.base.errors import IntegrityError
from holdfast.core.python.branches import Extents
from holdfast.core.python.entries import EXTENT_MAP, Entry, LongValue, decode_holes, decode_xattrs
from holdfast.core.python.node_reader import NodeReader, Work
from holdfast.core.python.segment_reader import Fetcher, OpenedChunks, SegmentReader
from holdfast.core.reader_errors import (
    ChunkMismatchError,
    ChunkMissingError,
    TreeShapeError,
    ValueTooLargeError,
)
from holdfast.format.packs import KIND_DATA

Extent = tuple[bytes, int]
"""A chunk id and the length of the chunk."""


def data_runs(size: int, holes: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return where in a file its stored data belong: (offset, length), ascending."""
    runs = []
    position = 0
    for offset, length in (*holes, (size, 0)):
        if offset > position:
            runs.append((position, offset - position))
        position = offset + length
    return runs


def chunk_of(opened: OpenedChunks, extent: Extent, path: str) -> memoryview:
    """Return the chunk of an extent, as soon as it is open.

    Raises:
        IntegrityError: it is missing, damaged or of another length.
    """
    chunk_id, length = extent
    try:
        chunk = opened.get(chunk_id)
    except IntegrityError as error:
        raise type(error)(f"'{path}': {error.message}") from error
    if len(chunk) != length:
        raise ChunkMismatchError(
            f"the chunk {chunk_id.hex()} of '{path}' has {len(chunk)} bytes, not {length}"
        )
    return chunk


class ContentReader:
    """Reads the parts of entries that do not stand in the leaf."""

    def __init__(self, nodes: NodeReader, value_limit: int) -> None:
        self._nodes: Final = nodes
        self._segments: Final[SegmentReader] = nodes.segments
        self._value_limit: Final = value_limit

    def chunks(self, run: Fetcher, extents: Sequence[Extent], path: str) -> Work[list[memoryview]]:
        """Return the chunks of some extents, all at once.

        Raises:
            IntegrityError: one is missing, damaged or of another length.
        """
        opened = yield from self.begin(run, extents, path)
        return [chunk_of(opened, extent, path) for extent in extents]

    def begin(self, run: Fetcher, extents: Sequence[Extent], path: str) -> Work[OpenedChunks]:
        """Fetch the chunks of some extents; they are opened in the background.

        Raises:
            IntegrityError: one is missing.
        """

        def missing(chunk_id: bytes) -> None:
            raise ChunkMissingError(
                f"the chunk {chunk_id.hex()} of '{path}' is in no pack that the index knows"
            )

        plan = self._segments.plan([one for one, _ in extents], KIND_DATA, missing)
        return (yield from self._segments.open_plan(run, plan))

    def long_value(self, run: Fetcher, value: LongValue, path: str) -> Work[bytes]:
        """Return a value, wherever it is stored.

        Raises:
            ValueTooLargeError: it is larger than this run may hold.
            IntegrityError: it cannot be had.
        """
        if value.inline is not None:
            return value.inline
        if value.length > self._value_limit:
            raise ValueTooLargeError(f"a value of '{path}' has {value.length} bytes")
        parts = yield from self.chunks(run, value_extents(value), path)
        return b"".join(parts)

    def holes(self, run: Fetcher, entry: Entry, path: str) -> Work[list[tuple[int, int]]]:
        """Return the holes of a file."""
        value = entry.holes
        if value is None:
            return []
        return decode_holes((yield from self.long_value(run, value, path)), entry.size)

    def xattrs(self, run: Fetcher, entry: Entry, path: str) -> Work[list[tuple[bytes, bytes]]]:
        """Return the extended attributes of an entry."""
        value = entry.xattrs
        if value is None:
            return []
        return decode_xattrs((yield from self.long_value(run, value, path)))

    def link_target(self, run: Fetcher, entry: Entry, path: str) -> Work[bytes]:
        """Return where a symlink points."""
        value = entry.link_target
        if value is None:
            return b""
        return (yield from self.long_value(run, value, path))


def value_extents(value: LongValue) -> list[Extent]:
    """Return the chunks of a long value with their lengths."""
    whole = 512 * 1024
    return [
        (chunk_id, min(whole, value.length - whole * number))
        for number, chunk_id in enumerate(value.ids)
    ]


class ExtentCursor:
    """The extents of one file in order, from the one that holds a stored byte on.

    Raises:
        TreeShapeError: the extents do not add up to the stored size.
    """

    def __init__(self, nodes: NodeReader, entry: Entry, stored_size: int, path: str) -> None:
        self._nodes: Final = nodes
        self._entry: Final = entry
        self._size: Final = stored_size
        self._path: Final = path
        self._stack: list[tuple[Extents, int]] = []
        self._is_started = False
        if entry.extent_count != EXTENT_MAP:
            lengths = entry.lengths or ((stored_size,) if entry.extent_count else ())
            if sum(lengths) != stored_size:
                raise self._wrong()

    def _wrong(self) -> TreeShapeError:
        return TreeShapeError(f"the extents of '{self._path}' do not add up to its stored data")

    def next(self, run: Fetcher, start: int = 0) -> Work[tuple[int, list[Extent]] | None]:
        """Return (stored offset of the first, neighbouring extents), or None at the end.

        *start* counts in the first call only: a stored offset that the first extents hold.
        """
        if self._entry.extent_count != EXTENT_MAP:
            if self._is_started:
                return None
            self._is_started = True
            ids = self._entry.ids
            lengths = self._entry.lengths or ((self._size,) if ids else ())
            return 0, [
                (ids[32 * number : 32 * number + 32], length)
                for number, length in enumerate(lengths)
            ]
        if not self._is_started:
            self._is_started = True
            root = yield from self._load(run, self._entry.ids, self._size)
            self._offset = self._enter(root, start)
            while (node := self._stack[-1][0]).level:
                number = self._stack[-1][1]
                self._stack[-1] = (node, number + 1)
                child = yield from self._load(
                    run, node.ids[number], node.lengths[number], node.level
                )
                self._offset += self._enter(child, start - self._offset)
        while self._stack:
            node, number = self._stack[-1]
            if number >= len(node.ids):
                self._stack.pop()
            elif node.level:
                self._stack[-1] = (node, number + 1)
                child = yield from self._load(
                    run, node.ids[number], node.lengths[number], node.level
                )
                self._stack.append((child, 0))
            else:
                self._stack.pop()
                extents = list(zip(node.ids[number:], node.lengths[number:], strict=True))
                offset = self._offset
                self._offset += sum(node.lengths[number:])
                return offset, extents
        return None

    def _enter(self, node: Extents, start: int) -> int:
        begins = [0, *accumulate(node.lengths)]
        number = min(bisect_right(begins, start) - 1, len(node.ids) - 1)
        self._stack.append((node, max(number, 0)))
        return begins[max(number, 0)]

    def _load(
        self, run: Fetcher, node_id: bytes, length: int, above: int | None = None
    ) -> Work[Extents]:
        node = yield from self._nodes.load_one(run, node_id, self._path)
        if not isinstance(node, Extents) or (above is not None and node.level != above - 1):
            raise TreeShapeError(f"the extent map of '{self._path}' is not one")
        if sum(node.lengths) != length:
            raise self._wrong()
        return node
