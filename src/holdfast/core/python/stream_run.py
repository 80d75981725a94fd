"""Store a stream as the only file of a tree (vault-format.md 8.4)."""

import os
import select
from collections.abc import Iterator
from typing import Final

from holdfast.base.sizes import MIB
from holdfast.core.face import (
    Written,
)
from holdfast.core.python.chunk_store import ChunkStore
from holdfast.core.python.entries import (
    FILE,
    FOLDER,
    Entry,
)
from holdfast.core.python.run import Work
from holdfast.core.python.storing_run import StoringRun
from holdfast.core.run_errors import StreamError

_STREAM_READ_BYTES: Final = 1 * MIB
_PATIENCE_MILLISECONDS: Final = 500
"""A source that is silent for longer lets the caller go on with other things."""


class StreamRun(StoringRun):
    """Store a stream as the only file of a tree (8.4)."""

    def __init__(self, store: ChunkStore, pipe_fd: int, name: bytes, started_ns: int) -> None:
        super().__init__(store, started_ns)
        self._fd = pipe_fd
        self._name = name

    def _work(self) -> Work[Written]:
        size, count, ids, lengths = yield from self._content(self._parts())
        now = self._started_ns
        owner = (os.geteuid(), os.getegid())
        root = Entry(b"", b"", FOLDER, 0o700, *owner, now, now, 0, 0)
        file = Entry(b"", self._name, FILE, 0o600, *owner, now, now, 0, size, count, ids, lengths)
        self._builder.add(root)
        self._builder.add(file)
        self._items = 2
        self._counts = {FILE: 1, FOLDER: 1}
        return (yield from self._finish())

    def _parts(self) -> Iterator[bytes]:
        waiter = select.poll()
        waiter.register(self._fd, select.POLLIN)
        while True:
            try:
                if not waiter.poll(_PATIENCE_MILLISECONDS):
                    yield b""
                    continue
                data = os.read(self._fd, _STREAM_READ_BYTES)
            except OSError as error:
                raise StreamError(f"the stream cannot be read: {error.strerror}") from error
            if not data:
                return
            yield data
