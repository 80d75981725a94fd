"""Putting a tree back: vault-format.md section 8, in the order of its keys.

Entries are taken in windows: what they need is located, fetched and opened together, then they are
made in order. A folder gets its final metadata when it is left. Nothing outside of the target is
ever touched (`target_folders`).

In folders that this run made, a file grows under its own name, and gets its time last, so that a
half one is never taken for a whole one by ``if-changed``; it gets its size with its data, so that
this holds after a power cut. In folders that were there before, it grows under a temporary name and
is renamed, so that what was there is replaced at once or not at all. The end of a restore does not
wait for the disk, as ``cp`` does not: the guide names ``sync -f``.
"""

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from holdfast.base.errors import IntegrityError
from holdfast.base.ids import NodeId
from holdfast.base.progress import Finding
from holdfast.base.randomness import Random
from holdfast.base.sizes import MIB
from holdfast.core.face import Limits, Progress, Restored
from holdfast.core.python import linux_restore as linux
from holdfast.core.python.contents import ContentReader
from holdfast.core.python.entries import EXTENT_MAP, FILE, FOLDER, ID_SIZE, Entry
from holdfast.core.python.leaves import Leaf
from holdfast.core.python.metadata import ATTRIBUTE, OWNER, Metadata
from holdfast.core.python.node_reader import LeafCursor, NodeReader, Work
from holdfast.core.python.placing import Placer, is_same
from holdfast.core.python.reading_run import ReadingRun
from holdfast.core.python.restore_folders import NOT_RESTORED, Level, Owner, RestoreFolders, refusal
from holdfast.core.python.restored_owners import LocalOwners
from holdfast.core.python.segment_reader import OpenedChunks, SegmentPlan
from holdfast.core.python.selection import KeyRange, Selection
from holdfast.core.python.target_folders import LookingStack, components
from holdfast.core.reader_errors import TargetError
from holdfast.core.restore_rules import RestoreRules
from holdfast.format.packs import KIND_DATA

_WINDOW_SHARE: Final = 4
_WINDOW_BYTES: Final = 64 * MIB
_WINDOW_ENTRIES: Final = 4096
_LONGEST_SMALL: Final = 16 * MIB
"""Files above this are read piece by piece, when it is their turn."""

_SUMMARIES: Final = {
    OWNER: "entries could not be given their owner; only root may give files away",
    ATTRIBUTE: "extended attributes were refused by the system or the file system",
    "folder": "folders could not be given their metadata: they were moved meanwhile",
}


@dataclass(slots=True)
class _Piece:
    """Neighbouring entries of one folder: (entry, owner, content is in place already)."""

    folder: bytes
    met: list[bytes]
    """All names that the tree has there, if that matters."""
    items: list[tuple[Entry, Owner, bool]] = field(default_factory=list)


class RestoreRun(ReadingRun[Restored]):
    """Put entries back below *target_fd*: the paths *below* and all in them, or everything.

    What goes wrong with one entry is a finding, and the run goes on: damage under its error code,
    with nothing left under the name. What an ordinary user may not do is said once at the end. May
    be dropped and run again: with ``if-changed``, what is complete is not written again.

    Raises:
        PathNotFoundError, InvalidPathError, NotAFolderError: a path is not there. Nothing was
            changed.
        IntegrityError: the root of the tree cannot be read.
        AnswerFailedError: the storage gave up; what was made stays.
    """

    def __init__(
        self,
        nodes: NodeReader,
        contents: ContentReader,
        root: NodeId,
        below: Sequence[bytes],
        target_fd: int,
        rules: RestoreRules,
        limits: Limits,
        random: Random,
    ) -> None:
        super().__init__(nodes.segments)
        self._nodes = nodes
        self._root = root
        self._rules = rules
        self._target_fd = target_fd
        self._selection = Selection(below, rules)
        self._metadata = Metadata()
        self._owners = LocalOwners(numeric_ids=rules.numeric_ids)
        self._folders = RestoreFolders(
            nodes, contents, root, self._selection, rules, self._metadata, self.emit
        )
        self._placer = Placer(
            self,
            nodes,
            contents,
            self._folders,
            self._metadata,
            rules,
            target_fd,
            random,
            self.emit,
        )
        self._window_bytes = min(_WINDOW_BYTES, limits.memory_bytes // _WINDOW_SHARE)
        self._looking: LookingStack | None = None
        self._pieces: list[_Piece] = []
        self._plan = SegmentPlan(KIND_DATA)
        self._waiting = 0
        self._ready: tuple[list[_Piece], OpenedChunks] = ([], OpenedChunks())
        self._items = 0

    def _release(self) -> None:
        self._folders.close()
        if self._looking is not None:
            self._looking.close()

    def _work(self) -> Work[Restored]:
        yield from self._check_paths()
        try:
            if linux.names_of(self._target_fd):
                self._looking = LookingStack(self._target_fd)
            yield from self._folders.start(self, self._target_fd)
        except OSError as error:
            raise TargetError(f"the target cannot be used: {refusal(error)}") from error
        for wanted in self._selection.ranges:
            cursor = LeafCursor(self._nodes, self._root, wanted[0])
            while True:
                try:
                    leaf = yield from cursor.next(self, wanted[1])
                except IntegrityError as error:
                    self.emit(Finding(error.code, b"", error.message))
                    # What that leaf names would look like something that the tree does not have.
                    self._folders.stop_removing()
                    continue
                if leaf is None:
                    break
                yield from self._take(leaf, wanted)
                yield True
        yield from self._flush()
        yield from self._place_ready()
        yield from self._folders.finish(self)
        for kind, count in sorted(self._metadata.refused.items()):
            path = self._metadata.first[kind]
            self.emit(Finding(kind, path, f"{count} {_SUMMARIES[kind]}"))
        return Restored(self._items, self._placer.bytes_written, self._folders.removed)

    def _check_paths(self) -> Work[None]:
        yield from self._nodes.load_root(self, self._root)
        for path in self._selection.paths:
            yield from self._nodes.find_path(self, self._root, path)
        yield from self._nodes.require_folder(self, self._root, self._rules.strip_prefix)

    # --- windows ------------------------------------------------------------------------------

    def _take(self, leaf: Leaf, wanted: KeyRange) -> Work[None]:
        """Add the wanted entries of a leaf to the window."""
        users, groups = self._owners.users(leaf), self._owners.groups(leaf)
        pieces: list[_Piece] = []
        ids: list[bytes] = []
        counts: list[int] = []
        for folder, entries in self._selection.entries(leaf, wanted):
            piece = _Piece(folder, [entry.name for entry in entries] if self._rules.delete else [])
            pieces.append(piece)
            chosen = self._selection.chosen(folder, entries)
            kept = self._kept(folder, chosen)
            for entry in chosen:
                is_kept = entry.name in kept
                owner = (
                    (users.get(entry.uid, entry.uid), groups.get(entry.gid, entry.gid))
                    if users or groups
                    else (entry.uid, entry.gid)
                )
                piece.items.append((entry, owner, is_kept))
                own = () if is_kept else _small_ids(entry)
                ids += own
                counts.append(len(own))
        counts_left = iter(counts)
        located = zip(ids, self.segments.locate(ids), strict=True)
        for piece in pieces:
            part = _Piece(piece.folder, piece.met)
            self._pieces.append(part)
            for item, count in zip(piece.items, counts_left, strict=False):
                places = list(islice(located, count))
                raw = 0
                for _, place in places:
                    # A segment that one file needs twice counts twice: nobody is hurt.
                    if place is not None and (place[0], place[2]) not in self._plan.locations:
                        raw += place.raw_length
                if self._waiting and (
                    self._plan.raw_bytes + raw > self._window_bytes
                    or self._waiting >= _WINDOW_ENTRIES
                ):
                    yield from self._flush()
                    part = _Piece(piece.folder, [])
                    self._pieces.append(part)
                part.items.append(item)
                self._waiting += 1
                for chunk_id, place in places:
                    if place is not None:
                        self._plan.add(chunk_id, place)

    def _kept(self, folder: bytes, entries: list[Entry]) -> frozenset[bytes]:
        """Return the names of files whose content is in place, or is to be left alone."""
        if self._looking is None or self._rules.overwrite == "always":
            return frozenset()
        fd = self._looking.open(components(folder[len(self._selection.prefix) :]))
        if fd is None:
            return frozenset()
        kept = set()
        is_never = self._rules.overwrite == "never"
        for entry in entries:
            if entry.type == FILE:
                with suppress(OSError):
                    status = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode) and (is_never or is_same(entry, status)):
                        kept.add(entry.name)
        return frozenset(kept)

    def _flush(self) -> Work[None]:
        """Fetch what the window needs, and make what is in the one before meanwhile."""
        pieces, self._pieces = self._pieces, []
        plan, self._plan = self._plan, SegmentPlan(KIND_DATA)
        self._waiting = 0
        chunks = OpenedChunks()
        if plan.locations:
            chunks = yield from self.segments.open_plan(self, plan)
        yield from self._place_ready()
        self._ready = pieces, chunks

    def _place_ready(self) -> Work[None]:
        """Make what is in the window whose segments are being opened."""
        (pieces, chunks), self._ready = self._ready, ([], OpenedChunks())
        for piece in pieces:
            if not piece.items and not (piece.met and self._selection.is_whole(piece.folder)):
                continue
            level = yield from self._folders.enter(self, piece.folder)
            if level is None:
                continue
            self._folders.has(level, piece.met)
            yield from self._place_piece(piece, level, chunks)
        self.emit(Progress(self._items, None, 0, self._placer.bytes_written))

    def _place_piece(self, piece: _Piece, level: Level, chunks: OpenedChunks) -> Work[None]:
        place_small, is_new = self._placer.place_small, level.is_new
        for entry, owner, is_kept in piece.items:
            try:
                if (
                    is_new
                    and entry.type == FILE
                    and not entry.rare
                    and not is_kept
                    and place_small(level, entry, owner, chunks)
                ):
                    pass
                elif entry.type == FOLDER:
                    yield from self._folders.place(self, level, entry, owner)
                else:
                    yield from self._placer.place(level, entry, owner, chunks)
                self._items += 1
            except IntegrityError as error:
                self.emit(Finding(error.code, level.path(entry.name), error.message))
            except linux.REFUSED as error:
                self.emit(Finding(NOT_RESTORED, level.path(entry.name), refusal(error)))


def _small_ids(entry: Entry) -> list[bytes]:
    """Return the chunks of a file that is restored in one go."""
    if not entry.ids or entry.extent_count == EXTENT_MAP or entry.size > _LONGEST_SMALL:
        return []
    ids = entry.ids
    if len(ids) == ID_SIZE:
        return [ids]
    return [ids[start : start + ID_SIZE] for start in range(0, len(ids), ID_SIZE)]
