"""Read a source, store what is not stored yet, and make its tree (vault-format.md 6 to 8)."""

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from blake3 import blake3

from holdfast.base.ids import PackId
from holdfast.base.progress import Finding
from holdfast.base.randomness import Random
from holdfast.base.sizes import MIB
from holdfast.core.face import (
    Bytes,
    Limits,
    Parameters,
    Progress,
    ScanRules,
    Statistics,
    Store,
    WriteKeys,
    Written,
    WrittenPack,
)
from holdfast.core.python import linux, scan
from holdfast.core.python.branches import Extents
from holdfast.core.python.chunker import Chunker, StreamCutter
from holdfast.core.python.content import OpenFile
from holdfast.core.python.entries import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    EXTENT_MAP,
    EXTENTS_INLINE,
    FIFO,
    FILE,
    FOLDER,
    ID_SIZE,
    INLINE_SIZE,
    LONG_VALUE_CHUNK,
    SOCKET,
    SYMLINK,
    Entry,
    LongValue,
    Rare,
    encode_holes,
    encode_xattrs,
    hard_link_group,
    rare_values,
)
from holdfast.core.python.index import PythonIndex
from holdfast.core.python.leaves import Columns, LeafSection
from holdfast.core.python.nodes import decode_node
from holdfast.core.python.owners import group_names, user_names
from holdfast.core.python.packing import (
    CompletedPack,
    PackAssembler,
    Pipeline,
    PlannedChunk,
    SegmentPlanner,
)
from holdfast.core.python.run import GeneratorRun, Work
from holdfast.core.python.segments import SessionKeys
from holdfast.core.python.state import RecordedFolder, RecordedTree, StateWriter
from holdfast.core.python.tree_builder import ExtentMapBuilder, TreeBuilder, hard_link_key
from holdfast.core.run_errors import SpoolError, StreamError
from holdfast.format.packs import KIND_DATA, KIND_TREE

_TYPES: Final = {
    stat.S_IFREG: FILE,
    stat.S_IFDIR: FOLDER,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFIFO: FIFO,
    stat.S_IFSOCK: SOCKET,
    stat.S_IFCHR: CHARACTER_DEVICE,
    stat.S_IFBLK: BLOCK_DEVICE,
}
_RACY_NS: Final = 2_000_000_000
"""A file changed this shortly before a scan may change again without a trace (8.5)."""
_PENDING_BYTES: Final = 8 * MIB
_PENDING_CHUNKS: Final = 2048
_PENDING_NODES: Final = 64
_UNSTORED_PACKS: Final = 4
"""Packs that may wait to be stored; reading stops until one is acknowledged."""
_REMEMBERED_LINKS: Final = 100_000
_ABSENT: Final = b"\xff" * 8
_LOCATOR_SIZE: Final = 20
_PLACE: Final = struct.Struct(">HI")
"""How the index's answers begin: number of the object, number of the pack in it."""
_STREAM_READ_BYTES: Final = 1 * MIB

_Content = tuple[int, int, bytes, tuple[int, ...], "LongValue | None"]
"""Of a file: (size, number of extents, ids, lengths, holes)."""


class PythonWriter:
    """Makes the runs that store something; see `holdfast.core.face.Writer`."""

    def __init__(
        self,
        keys: WriteKeys,
        parameters: Parameters,
        index: PythonIndex,
        spool: Path,
        limits: Limits,
        random: Random,
    ) -> None:
        self._keys = keys
        self._parameters = parameters
        self._index = index
        self._spool = spool
        self._limits = limits
        self._random = random

    def files(
        self, root_fd: int, rules: ScanRules, state: Path | None, *, started_ns: int
    ) -> "FilesRun":
        """Store the tree below *root_fd*; *state* is the local state of the point before."""
        return FilesRun(self._store(), root_fd, rules, state, started_ns)

    def stream(self, pipe_fd: int, name: bytes, *, started_ns: int) -> "StreamRun":
        """Store what comes out of a pipe as one file."""
        return StreamRun(self._store(), pipe_fd, name, started_ns)

    def _store(self) -> "ChunkStore":
        return ChunkStore(
            self._keys, self._parameters, self._index, self._spool, self._limits, self._random
        )


class ChunkStore:
    """Takes chunks and nodes; what the index does not have goes into packs.

    Remembers which packs of others are relied on: the refs of the point.
    """

    def __init__(
        self,
        keys: WriteKeys,
        parameters: Parameters,
        index: PythonIndex,
        spool: Path,
        limits: Limits,
        random: Random,
    ) -> None:
        self.parameters = parameters
        self.vault_id = keys.vault_id
        self.node_id_key = keys.node_id_key
        self.spool = spool
        self.random = random
        self.chunker = Chunker(keys.chunker_key, parameters)
        self.new_chunks = 0
        self.new_raw_bytes = 0
        self._chunk_id_key = keys.chunk_id_key.reveal()
        self._locator_key = keys.locator_key.reveal()
        self._index = index
        self._planner = SegmentPlanner(parameters.segment_target)
        self._pipeline = Pipeline(
            PackAssembler(
                keys,
                parameters,
                spool,
                random,
                SessionKeys.derive(keys.session_key, keys.vault_id, keys.session_id),
            ),
            parameters,
            threads=limits.threads,
            pending_bytes=max(limits.memory_bytes // 4, 2 * parameters.segment_target),
        )
        self._pending: list[PlannedChunk] = []
        self._pending_bytes = 0
        self._nodes: list[PlannedChunk] = []
        self._own: set[bytes] = set()
        self._seen: set[bytes] = set()
        self._generation = index.generation
        self.needed: set[PackId] = set()

    @property
    def stored_bytes(self) -> int:
        """Bytes of new segments so far, as stored."""
        return self._pipeline.stored_bytes

    def chunk(self, data: Bytes) -> bytes:
        """Take a data chunk and return its id."""
        chunk_id = blake3(data, key=self._chunk_id_key).digest()
        self._pending.append(PlannedChunk(chunk_id, self._locator(chunk_id), data))
        self._pending_bytes += len(data)
        if self._pending_bytes > _PENDING_BYTES or len(self._pending) >= _PENDING_CHUNKS:
            self._store_pending()
        return chunk_id

    def node(self, node: bytes, node_id: bytes) -> None:
        """Take a tree node."""
        self._nodes.append(PlannedChunk(node_id, self._locator(node_id), node))
        if len(self._nodes) >= _PENDING_NODES:
            self._store_nodes()

    def has_all(self, groups: list[list[bytes]]) -> list[bool]:
        """Say for each group of ids whether the index has all of them; those are relied on."""
        answers = self._look_up([self._locator(one) for group in groups for one in group])
        present = []
        start = 0
        for group in groups:
            end = start + 8 * len(group)
            found = [answers[place : place + 8] for place in range(start, end, 8)]
            is_there = _ABSENT not in found
            if is_there:
                self._rely_on(found)
            present.append(is_there)
            start = end
        return present

    def take_completed(self) -> list[CompletedPack]:
        """Return the packs that are complete."""
        return self._pipeline.take_completed()

    def finish(self) -> list[CompletedPack]:
        """Pack what is left and return the last packs."""
        self._store_pending()
        segment = self._planner.close()
        if segment is not None:
            self._pipeline.submit(KIND_DATA, segment)
        self._store_nodes()
        return self._pipeline.finish()

    def close(self) -> None:
        """Stop the threads and remove what is not complete."""
        self._pipeline.close()

    def _locator(self, one: bytes) -> bytes:
        return blake3(one, key=self._locator_key).digest(length=_LOCATOR_SIZE)

    def _look_up(self, locators: list[bytes]) -> bytes:
        # Answers number the objects of the index as it is now; the caller may have added a
        # checkpoint since the last look.
        if self._generation != self._index.generation:
            self._generation = self._index.generation
            self._seen.clear()
        return self._index.look_up(b"".join(locators))

    def _rely_on(self, answers: list[bytes]) -> None:
        for answer in answers:
            # The first six bytes name the pack, the last two the segment.
            place = answer[:6]
            if place not in self._seen:
                self._seen.add(place)
                number, pack = _PLACE.unpack(place)
                self.needed.add(self._index.pack_at(number, pack)[0])

    def _store_pending(self) -> None:
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        for chunk in self._absent(pending):
            self.new_chunks += 1
            self.new_raw_bytes += len(chunk.data)
            segment = self._planner.add(chunk)
            if segment is not None:
                self._pipeline.submit(KIND_DATA, segment)

    def _store_nodes(self) -> None:
        nodes, self._nodes = self._nodes, []
        for node in self._absent(nodes):
            self._pipeline.submit(KIND_TREE, [node])

    def _absent(self, chunks: list[PlannedChunk]) -> Iterator[PlannedChunk]:
        answers = self._look_up([chunk.locator for chunk in chunks])
        own = self._own
        for number, chunk in enumerate(chunks):
            if chunk.id in own:
                continue
            answer = answers[8 * number : 8 * number + 8]
            if answer == _ABSENT:
                own.add(chunk.id)
                yield chunk
            else:
                self._rely_on([answer])


class _StoringRun(GeneratorRun[Written]):
    """What files and streams have in common: the tree, the packs, the end."""

    def __init__(self, store: ChunkStore, started_ns: int) -> None:
        super().__init__()
        self._store = store
        self._started_ns = started_ns
        self._packs: list[WrittenPack] = []
        self._unstored: list[int] = []
        self._state: StateWriter | None = None
        self._items = 0
        self._bytes_read = 0
        self._counts = {FILE: 0, FOLDER: 0}
        self._findings = 0
        self._builder = TreeBuilder(
            store.node_id_key,
            store.parameters.node_rule,
            self._leaf_or_inner,
            users=user_names(),
            groups=group_names(),
        )

    def _release(self) -> None:
        self._store.close()
        if self._state is not None:
            self._state.abandon()

    def _start_state(self) -> None:
        path = self._store.spool / f"state-{self._store.random.take(8).hex()}"
        try:
            self._state = StateWriter(
                path, started_ns=self._started_ns, vault_id=self._store.vault_id
            )
        except OSError as error:
            raise SpoolError(f"'{path}' cannot be written: {error.strerror}") from error

    def _leaf_or_inner(self, level: int, node: bytes, node_id: bytes) -> None:
        self._store.node(node, node_id)
        if level == 0 and self._state is not None:
            self._state.leaf(node_id, node)

    def _extent_node(self, _level: int, node: bytes, node_id: bytes) -> None:
        self._store.node(node, node_id)
        if self._state is not None:
            self._state.extents(node_id, node)

    def _content(self, parts: Iterator[bytes]) -> tuple[int, int, bytes, tuple[int, ...]]:
        """Cut and store data; return (its bytes, number of extents, ids, lengths)."""
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
            self._store_completed(self._store.take_completed())
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
            self._unstored.append(ticket)
            self._packs.append(pack.written)
            self.emit(
                Store(ticket, pack.written.pack_id, pack.written.kind, pack.path, pack.written)
            )

    def _settle(self, limit: int) -> Work[None]:
        """Wait until at most *limit* packs are not acknowledged."""
        while True:
            self._unstored = [one for one in self._unstored if self.take_answer(one) is None]
            if len(self._unstored) <= limit:
                return
            yield False

    def _progress(self) -> None:
        self.emit(Progress(self._items, None, self._bytes_read, self._store.stored_bytes))

    def _finish(self) -> Work[Written]:
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


class FilesRun(_StoringRun):
    """Store a tree of files."""

    def __init__(
        self,
        store: ChunkStore,
        root_fd: int,
        rules: ScanRules,
        state: Path | None,
        started_ns: int,
    ) -> None:
        super().__init__(store, started_ns)
        self._rules = rules
        self._scanner = scan.Scanner(root_fd, rules, self._found)
        self._recorded = (
            None
            if state is None or rules.reread
            else RecordedTree.open(state, vault_id=store.vault_id)
        )
        self._unchanged_before = (
            0 if self._recorded is None else self._recorded.started_ns - _RACY_NS
        )
        self._folder: bytes | None = None
        self._recorded_folder: RecordedFolder | None = None
        self._unstable = linux.devices_without_stable_inodes()
        self._link_key = hard_link_key(store.node_id_key)
        self._links: dict[tuple[int, int], tuple[os.stat_result, _Content]] = {}

    def _work(self) -> Work[Written]:
        self._start_state()
        reported = 0
        for piece in self._scanner.slices():
            yield from self._take(piece)
            self._store_completed(self._store.take_completed())
            yield from self._settle(_UNSTORED_PACKS)
            if self._items - reported >= scan.SLICE_ENTRIES:
                reported = self._items
                self._progress()
            yield True
        return (yield from self._finish())

    def _take(self, piece: scan.Slice) -> Work[None]:
        if piece.prefix != self._folder:
            self._folder = piece.prefix
            self._recorded_folder = (
                None if self._recorded is None else self._recorded.folder(piece.prefix)
            )
        unchanged = self._unchanged(piece)
        columns = Columns(piece.prefix)
        for name, status in zip(piece.names, piece.status, strict=True):
            known = unchanged.get(name)
            if known is not None:
                self._take_over(columns, name, status, *known)
            else:
                entry = self._read(piece, name, status)
                if entry is None:
                    continue
                columns.append(entry)
                if status.st_size > _PENDING_BYTES:
                    self._progress()
                    yield True
                    yield from self._settle(_UNSTORED_PACKS)
            self._items += 1
        for kind in self._counts:
            self._counts[kind] += columns.types.count(kind)
        if len(columns):
            self._builder.add_many(columns)

    # --- unchanged ----------------------------------------------------------------------------

    def _unchanged(self, piece: scan.Slice) -> dict[bytes, tuple[LeafSection, int]]:
        """Return the entries whose content need not be read, with where they are recorded."""
        folder = self._recorded_folder
        if folder is None:
            return {}
        candidates: list[tuple[bytes, tuple[LeafSection, int]]] = []
        needs: list[list[bytes]] = []
        for name, status in zip(piece.names, piece.status, strict=True):
            place = folder.find(name)
            if place is not None and self._is_unchanged(status, *place):
                ids = self._needs(*place)
                if ids is not None:
                    candidates.append((name, place))
                    needs.append(ids)
        present = self._store.has_all(needs)
        return {
            name: place
            for (name, place), is_there in zip(candidates, present, strict=True)
            if is_there
        }

    def _is_unchanged(self, status: os.stat_result, section: LeafSection, position: int) -> bool:
        kind = _TYPES.get(stat.S_IFMT(status.st_mode))
        if (
            kind != section.types[position]
            or status.st_mtime_ns != section.mtimes[position]
            or (kind == FILE and status.st_size != section.sizes[position])
        ):
            return False
        if status.st_dev in self._unstable:
            return kind == FILE and status.st_mtime_ns < self._unchanged_before
        return (
            status.st_ctime_ns == section.ctimes[position]
            and status.st_ino == section.inodes[position]
            and status.st_ctime_ns < self._unchanged_before
        )

    def _needs(self, section: LeafSection, position: int) -> list[bytes] | None:
        """Return all ids that an entry reaches; None if they are not recorded here."""
        count = section.extent_counts[position]
        joined = section.ids[position]
        if count == EXTENT_MAP:
            ids = self._map_needs(joined)
            if ids is None:
                return None
        else:
            ids = [joined[start : start + ID_SIZE] for start in range(0, len(joined), ID_SIZE)]
        for _, value in section.rare.get(position, ()):
            if isinstance(value, tuple):
                ids.extend(one for one in value if isinstance(one, bytes))
        return ids

    def _map_needs(self, root: bytes) -> list[bytes] | None:
        ids: list[bytes] = []
        waiting = [root]
        while waiting:
            node_id = waiting.pop()
            node = None if self._recorded is None else self._recorded.extent_node(node_id)
            extents = None if node is None else decode_node(node)
            if not isinstance(extents, Extents):
                return None
            ids.append(node_id)
            (ids if extents.level == 0 else waiting).extend(extents.ids)
        return ids

    def _take_over(
        self,
        columns: Columns,
        name: bytes,
        status: os.stat_result,
        section: LeafSection,
        position: int,
    ) -> None:
        number = len(columns)
        size = section.sizes[position]
        columns.names.append(name)
        columns.types.append(section.types[position])
        columns.modes.append(status.st_mode & 0o7777)
        columns.uids.append(status.st_uid)
        columns.gids.append(status.st_gid)
        columns.mtimes.append(status.st_mtime_ns)
        columns.ctimes.append(status.st_ctime_ns)
        columns.inodes.append(status.st_ino)
        columns.sizes.append(size)
        count = section.extent_counts[position]
        columns.extent_counts.append(count)
        columns.ids.append(section.ids[position])
        if 1 < count < EXTENT_MAP:
            columns.lengths[number] = section.lengths[position]
        if section.rare and position in section.rare:
            columns.rare[number] = section.rare[position]
        if count == EXTENT_MAP:
            self._keep_map(section.ids[position])
        self._bytes_read += size

    def _keep_map(self, root: bytes) -> None:
        """Carry the nodes of an extent map over into the new state."""
        recorded, state = self._recorded, self._state
        if recorded is None or state is None:
            return
        waiting = [root]
        while waiting:
            node_id = waiting.pop()
            node = recorded.extent_node(node_id)
            if node is None:
                return
            state.extents(node_id, node)
            extents = decode_node(node)
            if isinstance(extents, Extents) and extents.level:
                waiting.extend(extents.ids)

    # --- new and changed ----------------------------------------------------------------------

    def _read(self, piece: scan.Slice, name: bytes, status: os.stat_result) -> Entry | None:
        """Make the entry of something; None, with a finding, if it cannot be read."""
        kind = _TYPES.get(stat.S_IFMT(status.st_mode))
        try:
            if kind == FILE:
                return self._read_file(piece, name, status)
            if kind is None:
                self._found(Finding(scan.UNSUPPORTED, piece.path(name), "unknown type of file"))
                return None
            target = device = None
            if kind == SYMLINK:
                target = self._long_value(os.readlink(name, dir_fd=piece.fd))
            elif kind in {CHARACTER_DEVICE, BLOCK_DEVICE}:
                device = (os.major(status.st_rdev), os.minor(status.st_rdev))
            rare = self._rare(piece, name, status, target=target, device=device)
        except OSError as error:
            self._found(scan.finding_for(piece.path(name), error))
            return None
        return _entry(piece.prefix, name, kind, status, 0, (0, b"", ()), rare)

    def _read_file(self, piece: scan.Slice, name: bytes, status: os.stat_result) -> Entry:
        file = OpenFile.open(piece.fd, name)
        try:
            status = file.status
            if not stat.S_ISREG(status.st_mode):
                raise FileNotFoundError(2, "not there any more")
            link = (status.st_dev, status.st_ino) if status.st_nlink > 1 else None
            known = self._links.get(link) if link is not None else None
            if known is not None and _same_content(known[0], status):
                content = known[1]
                self._bytes_read += content[0]
            else:
                content = self._file_content(piece.path(name), file)
                if link is not None and len(self._links) < _REMEMBERED_LINKS:
                    self._links[link] = (status, content)
        finally:
            file.close()
        size, count, ids, lengths, holes = content
        rare = self._rare(piece, name, status, holes=holes)
        return _entry(piece.prefix, name, FILE, status, size, (count, ids, lengths), rare)

    def _file_content(self, path: bytes, file: OpenFile) -> _Content:
        size = file.status.st_size
        if size == 0:
            return 0, 0, b"", (), None
        holes = file.holes()
        if not holes and size <= self._store.parameters.chunk_min:
            data = file.read_small()
            if file.has_changed(len(data), 0):
                self._found(Finding(scan.CHANGED, path, "changed while it was read"))
            self._bytes_read += len(data)
            if not data:
                return 0, 0, b"", (), None
            return len(data), 1, self._store.chunk(data), (), None
        hole_bytes = sum(length for _, length in holes)
        total, count, ids, lengths = self._content(file.read(holes))
        if file.has_changed(total, hole_bytes):
            self._found(Finding(scan.CHANGED, path, "changed while it was read"))
        if total + hole_bytes != size:
            # It shrank: what was read is stored as one run of data, so that size and data agree.
            return total, count, ids, lengths, None
        value = self._long_value(encode_holes(holes)) if holes else None
        return size, count, ids, lengths, value

    def _rare(
        self,
        piece: scan.Slice,
        name: bytes,
        status: os.stat_result,
        *,
        target: LongValue | None = None,
        device: tuple[int, int] | None = None,
        holes: LongValue | None = None,
    ) -> Rare:
        xattrs = group = None
        if self._rules.xattrs:
            names = linux.attribute_names(piece.fd, name)
            if names and (found := linux.attributes(piece.fd, name, names)):
                xattrs = self._long_value(encode_xattrs(found))
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            group = hard_link_group(self._link_key, status.st_dev, status.st_ino)
        return rare_values(
            link_target=target,
            device=device,
            hard_link_group=group,
            holes=holes,
            xattrs=xattrs,
        )


class StreamRun(_StoringRun):
    """Store a stream as the only file of a tree (8.4)."""

    def __init__(self, store: ChunkStore, pipe_fd: int, name: bytes, started_ns: int) -> None:
        super().__init__(store, started_ns)
        self._fd = pipe_fd
        self._name = name

    def _work(self) -> Work[Written]:
        size, count, ids, lengths = yield from self._read_all()
        now = self._started_ns
        owner = (os.geteuid(), os.getegid())
        root = Entry(b"", b"", FOLDER, 0o700, *owner, now, now, 0, 0)
        file = Entry(b"", self._name, FILE, 0o600, *owner, now, now, 0, size, count, ids, lengths)
        self._builder.add(root)
        self._builder.add(file)
        self._items = 2
        self._counts = {FILE: 1, FOLDER: 1}
        return (yield from self._finish())

    def _read_all(self) -> Work[tuple[int, int, bytes, tuple[int, ...]]]:
        # A thread of control of its own is not needed: reading blocks, and so does the source.
        yield True
        return self._content(self._parts())

    def _parts(self) -> Iterator[bytes]:
        while True:
            try:
                data = os.read(self._fd, _STREAM_READ_BYTES)
            except OSError as error:
                raise StreamError(f"the stream cannot be read: {error.strerror}") from error
            if not data:
                return
            yield data


def _same_content(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_size, one.st_mtime_ns, one.st_ctime_ns) == (
        other.st_size,
        other.st_mtime_ns,
        other.st_ctime_ns,
    )


def _entry(
    prefix: bytes,
    name: bytes,
    kind: int,
    status: os.stat_result,
    size: int,
    extents: tuple[int, bytes, tuple[int, ...]],
    rare: Rare,
) -> Entry:
    return Entry(
        prefix,
        name,
        kind,
        status.st_mode & 0o7777,
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        size,
        *extents,
        rare,
    )
