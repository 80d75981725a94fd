"""Byte ranges of one file."""

from bisect import bisect_right
from collections.abc import Sequence

from holdfast.base.ids import NodeId
from holdfast.base.sizes import MIB
from holdfast.core.python.contents import ContentReader, Extent, ExtentCursor, data_runs
from holdfast.core.python.entries import FILE, Entry
from holdfast.core.python.node_reader import NodeReader, Work
from holdfast.core.python.reading_run import ReadingRun
from holdfast.core.reader_errors import NotAFileError, TooMuchAtOnceError

_BATCH_BYTES = 16 * MIB


class ReadAtRun(ReadingRun[Sequence[bytes]]):
    """Return byte ranges (offset, length) of one file; holes read as zeros."""

    def __init__(
        self,
        nodes: NodeReader,
        contents: ContentReader,
        root: NodeId,
        path: bytes,
        spans: Sequence[tuple[int, int]],
        limit_bytes: int,
    ) -> None:
        super().__init__(nodes.segments)
        self._nodes = nodes
        self._contents = contents
        self._root = root
        self._path = path
        self._spans = spans
        self._limit = limit_bytes

    def _work(self) -> Work[Sequence[bytes]]:
        shown = self._path.decode("utf-8", "backslashreplace")
        entry = yield from self._nodes.find_path(self, self._root, self._path)
        if entry.type != FILE:
            raise NotAFileError(f"'{shown}' is not a regular file")
        spans = [
            (min(offset, entry.size), max(0, min(length, entry.size - offset)))
            for offset, length in self._spans
        ]
        if sum(length for _, length in spans) > self._limit:
            raise TooMuchAtOnceError(f"more than {self._limit} bytes of '{shown}' at once")
        holes = yield from self._contents.holes(self, entry, shown)
        runs = data_runs(entry.size, holes)
        starts = [offset for offset, _ in runs]
        stored = [0]
        for _, length in runs:
            stored.append(stored[-1] + length)
        answers = []
        for offset, length in spans:
            answer = bytearray(length)
            number = max(bisect_right(starts, offset) - 1, 0)
            while number < len(runs) and runs[number][0] < offset + length:
                run_start, run_length = runs[number]
                start = max(offset, run_start)
                stop = min(offset + length, run_start + run_length)
                if start < stop:
                    place = stored[number] + start - run_start
                    data = memoryview(answer)[start - offset : stop - offset]
                    yield from self._fill(entry, stored[-1], shown, place, data)
                number += 1
            answers.append(bytes(answer))
        return answers

    def _fill(
        self, entry: Entry, stored_size: int, shown: str, start: int, target: memoryview
    ) -> Work[None]:
        """Read stored bytes from *start* on into *target*."""
        stop = start + len(target)
        cursor = ExtentCursor(self._nodes, entry, stored_size, shown)
        while (piece := (yield from cursor.next(self, start))) is not None:
            offset, extents = piece
            batch: list[tuple[int, Extent]] = []
            size = 0
            for extent in extents:
                end = offset + extent[1]
                if end > start and offset < stop:
                    batch.append((offset, extent))
                    size += extent[1]
                    if size >= _BATCH_BYTES:
                        yield from self._copy(batch, shown, start, target)
                        batch, size = [], 0
                offset = end
            yield from self._copy(batch, shown, start, target)
            if offset >= stop:
                return

    def _copy(
        self, batch: list[tuple[int, Extent]], shown: str, start: int, target: memoryview
    ) -> Work[None]:
        chunks = yield from self._contents.chunks(self, [one for _, one in batch], shown)
        for (offset, _), chunk in zip(batch, chunks, strict=True):
            first = max(start - offset, 0)
            place = offset + first - start
            data = chunk[first : first + len(target) - place]
            target[place : place + len(data)] = data
