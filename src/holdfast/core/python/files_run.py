"""Store a tree of files: what is unchanged is taken over, the rest is read (8.3 to 8.5)."""

import errno
import os
import stat
import struct
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from holdfast.base.progress import Finding
from holdfast.core.face import (
    Written,
)
from holdfast.core.python import linux, scan
from holdfast.core.python.branches import Extents
from holdfast.core.python.chunk_store import ChunkStore
from holdfast.core.python.content import OpenFile
from holdfast.core.python.entries import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    EXTENT_MAP,
    FIFO,
    FILE,
    FOLDER,
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
from holdfast.core.python.leaf_places import LeafPlaces, ids_in, split_ids
from holdfast.core.python.leaves import Columns, LeafSection
from holdfast.core.python.nodes import decode_node
from holdfast.core.python.run import Work
from holdfast.core.python.state import RecordedSection, RecordedTree
from holdfast.core.python.storing_run import PAUSE_BYTES, StoringRun
from holdfast.core.python.tree_builder import hard_link_key
from holdfast.core.scan_rules import ScanRules

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
_EARLIEST, _LATEST = -(1 << 63), (1 << 63) - 1
"""Times in ns that a tree can hold: from 1677 to 2262. File systems go beyond (8.3)."""
_REMEMBERED_LINKS: Final = 100_000
_SEVERAL: Final = 2
_MODES, _UIDS, _GIDS, _MTIMES, _CTIMES, _INODES, _SIZES = range(5, 12)
"""Items of a section (8.3)."""

_Content = tuple[int, int, bytes, tuple[int, ...], "LongValue | None"]
"""Of a file: (size, number of extents, ids, lengths, holes)."""


class FilesRun(StoringRun):
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
            else RecordedTree.open(state, vault_id=store.vault_id, node_id_key=store.node_id_key)
        )
        self._unchanged_before = (
            0 if self._recorded is None else self._recorded.started_ns - _RACY_NS
        )
        self._places = LeafPlaces(store)
        self._link_key = hard_link_key(store.node_id_key)
        self._links: dict[tuple[int, int], tuple[tuple[int, int, int], _Content]] = {}

    def _release(self) -> None:
        super()._release()
        if self._recorded is not None:
            self._recorded.close()

    def _work(self) -> Work[Written]:
        self._start_state()
        reported = 0
        for piece in self._scanner.slices():
            yield from self._take(piece)
            if self._items - reported >= scan.SLICE_ENTRIES:
                reported = self._items
                self._progress()
            yield from self._pause()
        return (yield from self._finish())

    def _take(self, piece: scan.Slice) -> Work[None]:
        names, recorded = piece.names, self._recorded
        sections = [] if recorded is None else recorded.sections(piece.prefix, names)
        done = 0
        for one in sections:
            section = one.section
            start = bisect_left(names, section.names[0])
            stop = start + len(section)
            if names[start:stop] == section.names and self._come_again(
                one, piece.status[start:stop]
            ):
                yield from self._one_by_one(piece, done, start, sections)
                self._entries.again(one)
                self._count(section.types)
                self._bytes_read += section.size_bytes
                done = stop
        yield from self._one_by_one(piece, done, len(names), sections)

    def _one_by_one(
        self, piece: scan.Slice, start: int, stop: int, sections: list[RecordedSection]
    ) -> Work[None]:
        """Take some of a slice entry by entry: take its content over, or read it."""
        if start == stop:
            return
        names, found = piece.names[start:stop], piece.status[start:stop]
        part = scan.Slice(piece.fd, piece.prefix, names, found, piece.passed)
        unchanged = self._unchanged(part, sections)
        columns = Columns(piece.prefix)
        unseen = 0
        for name, status in zip(part.names, part.status, strict=True):
            known = unchanged.get(name)
            if known is not None:
                self._take_over(columns, name, status, *known)
                continue
            entry = self._read(part, name, status)
            if isinstance(entry, OpenFile):
                entry = yield from self._read_large(part, name, entry)
            if entry is None:
                continue
            if entry.mtime_ns in {_EARLIEST, _LATEST}:
                detail = "its time is beyond the years 1678 to 2261, the nearest one is stored"
                self._found(Finding(scan.UNSUPPORTED, part.path(name), detail))
            columns.append(entry)
            unseen += entry.size
            if unseen >= PAUSE_BYTES:
                unseen = 0
                yield from self._pause()
        if len(columns):
            self._entries.add(columns)
            self._count(columns.types)

    def _count(self, types: bytes | bytearray) -> None:
        self._items += len(types)
        for kind in self._counts:
            self._counts[kind] += types.count(kind)

    # --- unchanged ----------------------------------------------------------------------------

    def _come_again(self, recorded: RecordedSection, status: Sequence[os.stat_result]) -> bool:
        """Say whether all entries of a section are as they are recorded, and all that they need."""
        try:
            is_recorded = self._is_recorded(recorded.section, status)
        except struct.error:  # a time beyond what a tree can hold
            return False
        return is_recorded and self._store.rely_on_all(self._places.of(recorded))

    def _is_recorded(self, section: LeafSection, status: Sequence[os.stat_result]) -> bool:
        """Say whether all entries of a section are as they are recorded.

        This is what nearly every folder comes to. Packed columns are compared as a whole, which
        takes a fifth of the time that it takes entry by entry.
        """
        count = section.count
        modes = [one.st_mode for one in status]
        ctimes = [one.st_ctime_ns for one in status]
        return not (
            section.packed(_CTIMES) != struct.pack(f"<{count}q", *ctimes)
            or section.packed(_MTIMES)
            != struct.pack(f"<{count}q", *[one.st_mtime_ns for one in status])
            or section.packed(_INODES) != struct.pack(f"<{count}Q", *[one.st_ino for one in status])
            or max(ctimes) > self._unchanged_before
            or section.packed(_SIZES)
            != struct.pack(
                f"<{count}Q", *[one.st_size if stat.S_ISREG(one.st_mode) else 0 for one in status]
            )
            or list(section.types) != [_TYPES.get(stat.S_IFMT(mode)) for mode in modes]
            or section.packed(_MODES)
            != struct.pack(f"<{count}H", *[mode & 0o7777 for mode in modes])
            or section.packed(_UIDS) != struct.pack(f"<{count}I", *[one.st_uid for one in status])
            or section.packed(_GIDS) != struct.pack(f"<{count}I", *[one.st_gid for one in status])
            or EXTENT_MAP in section.extent_counts
        )

    def _unchanged(
        self, piece: scan.Slice, sections: list[RecordedSection]
    ) -> dict[bytes, tuple[LeafSection, int]]:
        """Return the entries whose content need not be read, with where they are recorded."""
        places = {
            name: (one.section, position)
            for one in sections
            for position, name in enumerate(one.section.names)
        }
        candidates: list[tuple[bytes, tuple[LeafSection, int]]] = []
        needs: list[list[bytes]] = []
        for name, status in zip(piece.names, piece.status, strict=True):
            place = places.get(name)
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
        return (
            status.st_mtime_ns == section.mtimes[position]
            and status.st_ctime_ns == section.ctimes[position]
            and status.st_ctime_ns <= self._unchanged_before
            and status.st_ino == section.inodes[position]
            and kind == section.types[position]
            and (kind != FILE or status.st_size == section.sizes[position])
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
            ids = split_ids(joined)
        return ids + ids_in(section.rare.get(position, ()))

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

    def _read(
        self, piece: scan.Slice, name: bytes, status: os.stat_result
    ) -> Entry | OpenFile | None:
        """Make the entry of something; None, with a finding, if it cannot be read.

        A file that is not small comes back open, for `_read_large`.
        """
        kind = _TYPES.get(stat.S_IFMT(status.st_mode))
        try:
            if kind == FILE:
                return self._read_file(piece, name)
            if kind is None:
                self._found(Finding(scan.UNSUPPORTED, piece.path(name), "unknown type of file"))
                return None
            target = device = None
            if kind == SYMLINK:
                target = self._long_value(os.readlink(name, dir_fd=piece.fd))
            elif kind in {CHARACTER_DEVICE, BLOCK_DEVICE}:
                device = (os.major(status.st_rdev), os.minor(status.st_rdev))
            place = linux.place_of(piece.fd, name)
            rare = self._rare(piece, name, status, place, target=target, device=device)
        except OSError as error:
            self._found(scan.finding_for(piece.path(name), error))
            return None
        return _entry(piece.prefix, name, kind, status, (0, 0, b"", (), None), rare)

    def _read_file(self, piece: scan.Slice, name: bytes) -> Entry | OpenFile:
        file = OpenFile.open(piece.fd, name)
        is_large = False
        try:
            status = file.status
            if not stat.S_ISREG(status.st_mode):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            content = self._linked_content(status)
            if content is None:
                is_large = file.is_sparse or status.st_size > self._store.parameters.chunk_min
                if is_large:
                    return file
                content = self._small_content(piece.path(name), file)
                self._remember(status, content)
            rare = self._rare(piece, name, status, file.fd, holes=content[4])
        finally:
            if not is_large:
                file.close()
        return _entry(piece.prefix, name, FILE, status, content, rare)

    def _read_large(self, piece: scan.Slice, name: bytes, file: OpenFile) -> Work[Entry | None]:
        try:
            content = yield from self._large_content(piece.path(name), file)
            self._remember(file.status, content)
            rare = self._rare(piece, name, file.status, file.fd, holes=content[4])
        except OSError as error:
            self._found(scan.finding_for(piece.path(name), error))
            return None
        finally:
            file.close()
        return _entry(piece.prefix, name, FILE, file.status, content, rare)

    def _small_content(self, path: bytes, file: OpenFile) -> _Content:
        data = file.read_small() if file.status.st_size else b""
        if not file.status.st_size and file.hides_content():
            detail = "says that it is empty and is not: it is stored as empty"
            self._found(Finding(scan.UNSUPPORTED, path, detail))
        if file.has_changed(len(data), 0):
            self._found(Finding(scan.CHANGED, path, "changed while it was read"))
        self._bytes_read += len(data)
        if not data:
            return 0, 0, b"", (), None
        return len(data), 1, self._store.chunk(data), (), None

    def _large_content(self, path: bytes, file: OpenFile) -> Work[_Content]:
        holes = file.holes()
        hole_bytes = sum(length for _, length in holes)
        total, count, ids, lengths = yield from self._content(file.read(holes))
        # As where such a file is taken over: the size that it shows.
        self._bytes_read += hole_bytes
        if file.has_changed(total, hole_bytes):
            self._found(Finding(scan.CHANGED, path, "changed while it was read"))
        if total + hole_bytes != file.status.st_size:
            # It shrank: what was read is stored as one run of data, so that size and data agree.
            return total, count, ids, lengths, None
        value = self._long_value(encode_holes(holes)) if holes else None
        return file.status.st_size, count, ids, lengths, value

    def _linked_content(self, status: os.stat_result) -> _Content | None:
        """Return the content of a file that was read under another of its names."""
        if status.st_nlink < _SEVERAL:
            return None
        known = self._links.get((status.st_dev, status.st_ino))
        if known is None or known[0] != _version(status):
            return None
        self._bytes_read += known[1][0]
        return known[1]

    def _remember(self, status: os.stat_result, content: _Content) -> None:
        if status.st_nlink >= _SEVERAL and len(self._links) < _REMEMBERED_LINKS:
            self._links[status.st_dev, status.st_ino] = (_version(status), content)

    def _rare(
        self,
        piece: scan.Slice,
        name: bytes,
        status: os.stat_result,
        place: int | bytes,
        *,
        target: LongValue | None = None,
        device: tuple[int, int] | None = None,
        holes: LongValue | None = None,
    ) -> Rare:
        xattrs = group = None
        if self._rules.xattrs:
            try:
                if found := linux.attributes(place):
                    xattrs = self._long_value(encode_xattrs(found))
            except OSError as error:
                # Stored without them: what is below a folder needs its entry (8.1). Nobody asked
                # for those of a folder that is only passed.
                if name not in piece.passed:
                    detail = f"extended attributes: {error.strerror}"
                    self._found(Finding(scan.UNREADABLE, piece.path(name), detail))
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            group = hard_link_group(self._link_key, status.st_dev, status.st_ino)
        return rare_values(
            link_target=target,
            device=device,
            hard_link_group=group,
            holes=holes,
            xattrs=xattrs,
        )


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _storable(time_ns: int) -> int:
    return min(max(time_ns, _EARLIEST), _LATEST)


def _entry(
    prefix: bytes,
    name: bytes,
    kind: int,
    status: os.stat_result,
    content: _Content,
    rare: Rare,
) -> Entry:
    return Entry(
        prefix,
        name,
        kind,
        status.st_mode & 0o7777,
        status.st_uid,
        status.st_gid,
        _storable(status.st_mtime_ns),
        _storable(status.st_ctime_ns),
        status.st_ino,
        *content[:4],
        rare,
    )
