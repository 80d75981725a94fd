"""What storing files and storing a stream have in common: content, tree, packs, the end."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from holdfast.base.progress import Finding
from holdfast.base.sizes import MIB
from holdfast.core.face import (
    Progress,
    Statistics,
    Store,
    Written,
    WrittenPack,
)
from holdfast.core.python.chunk_store import ChunkStore
from holdfast.core.python.chunker import StreamCutter
from holdfast.core.python.entries import (
    EXTENT_MAP,
    EXTENTS_INLINE,
    FILE,
    FOLDER,
    INLINE_SIZE,
    LONG_VALUE_CHUNK,
    LongValue,
)
from holdfast.core.python.leaf_reuse import LeafReuse
from holdfast.core.python.owners import group_names, user_names
from holdfast.core.python.packing import (
    CompletedPack,
)
from holdfast.core.python.run import GeneratorRun, Work
from holdfast.core.python.state import StateWriter
from holdfast.core.python.tree_builder import ExtentMapBuilder, TreeBuilder

_UNSTORED_PACKS: Final = 4
"""Packs that may wait to be stored; reading stops until one is acknowledged."""
PAUSE_BYTES: Final = 4 * MIB
"""What is read between two looks at what the caller has to know."""


class StoringRun(GeneratorRun[Written]):
    """What files and streams have in common: the tree, the packs, the end."""

    def __init__(self, store: ChunkStore, started_ns: int) -> None:
        super().__init__()
        self._store = store
        self._started_ns = started_ns
        self._packs: list[WrittenPack] = []
        self._unstored: dict[int, Path] = {}
        self._state: StateWriter | None = None
        self._items = 0
        self._bytes_read = 0
        self._bytes_reported = 0
        self._counts = {FILE: 0, FOLDER: 0}
        self._findings = 0
        users, groups = user_names(), group_names()
        self._builder = TreeBuilder(
            store.node_id_key,
            store.parameters.node_rule,
            self._leaf_or_inner,
            users=users,
            groups=groups,
        )
        self._entries = LeafReuse(self._builder, users, groups)

    def _release(self) -> None:
        self._store.close()
        for path in self._unstored.values():
            with suppress(OSError):
                path.unlink()
        if self._state is not None:
            self._state.abandon()

    def _start_state(self) -> None:
        path = self._store.spool / f"state-{self._store.random.take(8).hex()}"
        self._state = StateWriter(path, started_ns=self._started_ns, vault_id=self._store.vault_id)

    def _leaf_or_inner(self, level: int, node: bytes, node_id: bytes) -> None:
        self._store.node(node, node_id)
        if level == 0 and self._state is not None:
            self._state.leaf(node_id, node)

    def _extent_node(self, _level: int, node: bytes, node_id: bytes) -> None:
        self._store.node(node, node_id)
        if self._state is not None:
            self._state.extents(node_id, node)

    def _content(self, parts: Iterator[bytes]) -> Work[tuple[int, int, bytes, tuple[int, ...]]]:
        """Cut and store data; return (its bytes, number of extents, ids, lengths).

        An empty part says that nothing has come for a while.
        """
        cutter = StreamCutter(self._store.chunker)
        builder: ExtentMapBuilder | None = None
        ids: list[bytes] = []
        lengths: list[int] = []
        total = 0

        def take(chunk: bytes) -> None:
            nonlocal builder
            chunk_id = self._store.chunk(chunk)
            if builder is not None:
                builder.add(chunk_id, len(chunk))
                return
            ids.append(chunk_id)
            lengths.append(len(chunk))
            if len(ids) > EXTENTS_INLINE:
                builder = ExtentMapBuilder(
                    self._store.node_id_key, self._store.parameters.node_rule, self._extent_node
                )
                for known, length in zip(ids, lengths, strict=True):
                    builder.add(known, length)

        for part in parts:
            total += len(part)
            for chunk in cutter.feed(part):
                take(chunk)
            self._bytes_read += len(part)
            yield from self._pause()
        for chunk in cutter.finish():
            take(chunk)
        if builder is not None:
            return total, EXTENT_MAP, builder.finish(), ()
        return total, len(ids), b"".join(ids), tuple(lengths) if len(ids) > 1 else ()

    def _long_value(self, value: bytes) -> LongValue:
        if len(value) <= INLINE_SIZE:
            return LongValue.of(value)
        ids = tuple(
            self._store.chunk(value[start : start + LONG_VALUE_CHUNK])
            for start in range(0, len(value), LONG_VALUE_CHUNK)
        )
        return LongValue(len(value), None, ids)

    def _found(self, finding: Finding) -> None:
        self._findings += 1
        self.emit(finding)

    def _store_completed(self, completed: list[CompletedPack]) -> None:
        for pack in completed:
            ticket = self.new_ticket()
            self._unstored[ticket] = pack.path
            self._packs.append(pack.written)
            self.emit(
                Store(ticket, pack.written.pack_id, pack.written.kind, pack.path, pack.written)
            )

    def _pause(self) -> Work[None]:
        """Hand over what is complete; wait while too much of it is not stored."""
        self._store_completed(self._store.take_completed())
        if self._bytes_read - self._bytes_reported >= PAUSE_BYTES:
            self._bytes_reported = self._bytes_read
            self._progress()
        yield True
        yield from self._settle(_UNSTORED_PACKS)

    def _settle(self, limit: int) -> Work[None]:
        """Wait until at most *limit* packs are not acknowledged."""
        while True:
            for ticket in [one for one in self._unstored if self.take_answer(one) is not None]:
                del self._unstored[ticket]
            if len(self._unstored) <= limit:
                return
            yield False

    def _progress(self) -> None:
        self.emit(Progress(self._items, None, self._bytes_read, self._store.stored_bytes))

    def _finish(self) -> Work[Written]:
        self._entries.flush()
        root = self._builder.finish()
        self._store_completed(self._store.finish())
        self._progress()
        yield from self._settle(0)
        path = None
        if self._state is not None:
            self._state.finish()
            path, self._state = self._state.path, None
        files, folders = self._counts[FILE], self._counts[FOLDER]
        return Written(
            root=root,
            packs=tuple(self._packs),
            needed=tuple(sorted(self._store.needed)),
            state=path,
            statistics=Statistics(
                files=files,
                folders=folders,
                others=self._items - files - folders,
                source_bytes=self._bytes_read,
                new_chunks=self._store.new_chunks,
                new_raw_bytes=self._store.new_raw_bytes,
                new_stored_bytes=self._store.stored_bytes,
                findings=self._findings,
            ),
        )
