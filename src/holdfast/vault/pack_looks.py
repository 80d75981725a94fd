"""Reading whole packs: what shows without keys, and what shows with them (vault-format.md 6)."""

import struct
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from holdfast.base.errors import HoldfastError, IntegrityError
from holdfast.base.ids import GroupId, PackId, SessionId
from holdfast.base.sizes import MIB
from holdfast.core.python.segments import PackCipher
from holdfast.core.python.segments import SessionKeys as SegmentKeys
from holdfast.crypto.hashing import keyed_hash
from holdfast.crypto.suites import SUITES
from holdfast.format import frames, names
from holdfast.format.index_parts import LOCATOR_BYTES
from holdfast.format.packs import (
    COMPRESSION_RAW,
    DIRECTORY_NUMBER,
    KIND_DATA,
    KIND_DIRECTORY,
    KIND_TRAILER,
    KIND_TREE,
    TRAILER_NUMBER,
    TRAILER_RAW_BYTES,
    Directory,
    PackHeader,
    Trailer,
    header_bytes,
)
from holdfast.format.session import CONTENT_BOTH, CONTENT_DATA, CONTENT_TREE, Session
from holdfast.keys.keyring import GroupKeys, ReadRing
from holdfast.storage.errors import StorageDeniedError, StorageUnavailableError
from holdfast.vault.check_errors import PackContentError
from holdfast.vault.contradictions import pack_without_list
from holdfast.vault.errors import MissingObjectError
from holdfast.vault.inventory import Finding
from holdfast.vault.objects import ObjectStore
from holdfast.vault.opened_index import OpenedIndex
from holdfast.vault.relations import Relations
from holdfast.vault.report import ProblemKind

THREADS: Final = 2
"""Hashing, opening and decompressing release the interpreter lock, the rest does not: more threads
than two only wait."""
_TOGETHER_BYTES: Final = 64 * MIB
"""Packs up to this size are read on all threads at once, larger ones one at a time."""
_CONTENTS: Final = {KIND_DATA: CONTENT_DATA, KIND_TREE: CONTENT_TREE}

PackProgress = Callable[[int, int], None]
"""Told after each pack: packs read so far, bytes read so far."""


@dataclass(slots=True)
class PackLooks:
    """What reading packs has brought so far."""

    findings: list[Finding] = field(default_factory=list)
    packs_read: int = 0
    bytes_read: int = 0


class PackLook:
    """Judges one whole pack by what everybody can see of it."""

    def __init__(self, objects: ObjectStore, relations: Relations) -> None:
        self.objects: Final = objects
        self.relations: Final = relations
        self.vault_id: Final = objects.vault_id

    def findings(self, pack_id: PackId, data: memoryview) -> Iterator[Finding]:
        """Say what is wrong with the pack of these bytes; at most one thing of each kind."""
        name = names.pack_name(self.vault_id, pack_id)
        if PackId(frames.object_hash(data)) != pack_id:
            detail = "Its bytes do not have the hash in its name."
            yield Finding(name, ProblemKind.DAMAGED, detail)
            return
        try:
            header = PackHeader.decode(data[: header_bytes(suite_is_none=False)])
        except IntegrityError as error:
            yield Finding(name, ProblemKind.DAMAGED, error.message)
            return
        fault = self._header_fault(pack_id, header)
        if fault:
            yield Finding(name, ProblemKind.CONTRADICTION, fault)
            return
        if pack_id not in self.relations.positions.session_of:
            stray = pack_without_list(self.relations, pack_id, header.session_id)
            if stray is not None:
                yield stray
        yield from self.content_findings(pack_id, header, data)

    def content_findings(
        self, pack_id: PackId, header: PackHeader, data: memoryview
    ) -> Iterator[Finding]:
        """Say what is wrong inside; without keys nothing shows."""
        del pack_id, header, data
        return iter(())

    def _header_fault(self, pack_id: PackId, header: PackHeader) -> str:
        inventory = self.relations.inventory
        if inventory.chain is not None and header.suite != inventory.chain.suite.number:
            return "It states another suite than the vault has."
        owner = self.relations.positions.session_of.get(pack_id)
        if owner is not None and owner != header.session_id:
            return "Its header and the packlist name different sessions."
        standing = inventory.standing_for(header.session_id)
        if standing and not any(_states(header, item.body) for item in standing):
            return "Its header and its session object state different keys."
        return ""


class OpeningPackLook(PackLook):
    """Opens every segment of a pack and recomputes every id."""

    def __init__(
        self,
        objects: ObjectStore,
        relations: Relations,
        ring: ReadRing,
        indexes: Mapping[GroupId, OpenedIndex],
    ) -> None:
        super().__init__(objects, relations)
        self._ring = ring
        self._indexes = indexes
        self._row_counts = {
            name: index.row_counts(name) for index in indexes.values() for name in index.parts
        }
        self._keys: dict[tuple[SessionId, bytes], SegmentKeys] = {}
        self._groups: dict[GroupId, GroupKeys] = {}
        self._lock = threading.Lock()

    def content_findings(
        self, pack_id: PackId, header: PackHeader, data: memoryview
    ) -> Iterator[Finding]:
        """Say what is wrong inside: segments, ids, directory, and the index beside them."""
        name = names.pack_name(self.vault_id, pack_id)
        try:
            cipher = PackCipher(
                SUITES[header.suite],
                self._session_keys(header),
                vault_id=self.vault_id,
                session_id=header.session_id,
                salt=header.salt,
            )
            directory, end = _read_directory(cipher, header, data)
            group = self._group_of(header)
            _check_segments(cipher, header, directory, data[:end], group)
        except HoldfastError as error:
            yield Finding(name, ProblemKind.DAMAGED, error.message)
            return
        contents = self.relations.positions.contents.get(pack_id)
        kinds = {_CONTENTS[row.kind] for row in directory.segments}
        if contents is not None and contents != (
            CONTENT_BOTH if len(kinds) > 1 else next(iter(kinds))
        ):
            detail = "Its packlist says that it holds something else than it does."
            yield Finding(name, ProblemKind.CONTRADICTION, detail)
        yield from self._index_findings(pack_id, header, directory, group)

    def _session_keys(self, header: PackHeader) -> SegmentKeys:
        claim = header.session_id, header.commitment
        with self._lock:
            if claim not in self._keys:
                standing = self.relations.inventory.standing_for(header.session_id)
                opened = self._ring.pack_keys((item.body for item in standing), header)
                self._keys[claim] = SegmentKeys(opened.data, opened.tree)
            return self._keys[claim]

    def _group_of(self, header: PackHeader) -> GroupKeys:
        standing = self.relations.inventory.standing_for(header.session_id)
        groups = (item.body.group_id for item in standing if _states(header, item.body))
        group_id = next(groups, next(iter(self._ring.groups)))
        with self._lock:
            if group_id not in self._groups:
                self._groups[group_id] = self._ring.group(group_id)
            return self._groups[group_id]

    def _index_findings(
        self, pack_id: PackId, header: PackHeader, directory: Directory, group: GroupKeys
    ) -> Iterator[Finding]:
        """Hold the rows of each index object that names the pack against its directory."""
        index = self._indexes.get(group.group_id)
        if index is None:
            return
        rows = _directory_rows(directory, group)
        first = header_bytes(suite_is_none=not header.sealed_session_key)
        table = (
            first,
            b"".join(
                struct.pack(">II", row.stored_length, row.compression << 31 | row.raw_length)
                for row in directory.segments
            ),
        )
        for index_id, number in index.packs.get(pack_id, ()):
            part = index.parts[index_id]
            with self._lock:  # a part remembers what it was asked last
                is_same = part.pack_table(number) == table
                found = {
                    (locator, part.place(row)[1], *part.position(row))
                    for locator in {item[0] for item in rows}
                    for row in part.matches(locator)
                    if part.place(row)[0] == number
                }
            if not is_same or found != rows or self._row_counts[index_id][number] != len(rows):
                yield Finding(
                    names.index_name(self.vault_id, group.group_id, index_id),
                    ProblemKind.CONTRADICTION,
                    f"Its rows and the directory of pack {pack_id.hex()} disagree.",
                    (pack_id,),
                )


def _states(header: PackHeader, body: Session) -> bool:
    """Tell whether a pack and a session object state the same key."""
    stated = (header.epoch, header.commitment, header.sealed_session_key)
    return stated == (body.epoch, body.commitment or bytes(32), body.sealed_session_key or b"")


def _read_directory(
    cipher: PackCipher, header: PackHeader, data: memoryview
) -> tuple[Directory, int]:
    """Return the directory of a whole pack and where it begins, in bytes."""
    suite = SUITES[header.suite]
    sealed = suite.stored_length(TRAILER_RAW_BYTES)
    header_end = header_bytes(suite_is_none=not header.sealed_session_key)
    opened = cipher.open(
        KIND_TRAILER,
        TRAILER_NUMBER,
        data[max(0, len(data) - sealed) :],
        raw_length=TRAILER_RAW_BYTES,
        compression=COMPRESSION_RAW,
    )
    trailer = Trailer.decode(opened)
    trailer.check_place(pack_bytes=len(data), sealed_trailer_bytes=sealed, header_end=header_end)
    start = trailer.directory_offset
    directory = Directory.decode(
        cipher.open(
            KIND_DIRECTORY,
            DIRECTORY_NUMBER,
            data[start : start + trailer.directory_stored],
            raw_length=trailer.directory_raw,
            compression=COMPRESSION_RAW,
        )
    )
    if len(directory.segments) != trailer.segment_count:
        raise PackContentError("The trailer and the directory count different segments.")
    if directory.segment_offsets(header_end)[-1] > start:
        raise PackContentError("The segments reach into the directory.")
    return directory, start


def _check_segments(
    cipher: PackCipher,
    header: PackHeader,
    directory: Directory,
    data: memoryview,
    group: GroupKeys,
) -> None:
    """Open every segment and recompute the id of everything in it.

    Raises:
        IntegrityError: the first thing that is wrong.
    """
    keys = {KIND_DATA: group.chunk_id_key.reveal(), KIND_TREE: group.node_id_key.reveal()}
    offsets = directory.segment_offsets(header_bytes(suite_is_none=not header.sealed_session_key))
    for number, (row, chunks) in enumerate(
        zip(directory.segments, directory.chunks_by_segment(), strict=True)
    ):
        raw = memoryview(
            cipher.open(
                row.kind,
                number,
                data[offsets[number] : offsets[number + 1]],
                raw_length=row.raw_length,
                compression=row.compression,
            )
        )
        start = 0
        for chunk_id, length in chunks:
            if keyed_hash(keys[row.kind], raw[start : start + length]) != chunk_id:
                raise PackContentError(f"A chunk of segment {number} is not the one of its id.")
            start += length


def _directory_rows(directory: Directory, group: GroupKeys) -> set[tuple[bytes, int, int, int]]:
    """Return (locator, segment, offset, length) of everything that is in a pack."""
    key = group.locator_key.reveal()
    rows = set()
    for number, chunks in enumerate(directory.chunks_by_segment()):
        start = 0
        for chunk_id, length in chunks:
            rows.add((keyed_hash(key, chunk_id)[:LOCATOR_BYTES], number, start, length))
            start += length
    return rows


def look_at_packs(
    look: PackLook,
    pack_ids: Collection[PackId],
    progress: PackProgress = lambda _packs, _bytes: None,
) -> PackLooks:
    """Read every byte of the packs, once, and judge them; goes on after damage.

    Memory: two packs of up to 64 MiB, or one larger one.

    Raises:
        StorageError: the storage failed.
    """
    looks = PackLooks()
    one_large = threading.Lock()
    sizes = look.relations.inventory.packs

    def read(pack_id: PackId) -> tuple[int, list[Finding]]:
        if sizes[pack_id] <= _TOGETHER_BYTES:
            return _judged(look, pack_id)
        with one_large:
            return _judged(look, pack_id)

    with ThreadPoolExecutor(THREADS, thread_name_prefix="verify") as pool:
        queue = iter(pack_ids)
        running = {pool.submit(read, pack_id) for pack_id in islice(queue, THREADS)}
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    _count(looks, future)
                    running.update(pool.submit(read, pack) for pack in islice(queue, 1))
                progress(looks.packs_read, looks.bytes_read)
        finally:
            for future in running:
                future.cancel()
    looks.findings.sort()
    return looks


def _judged(look: PackLook, pack_id: PackId) -> tuple[int, list[Finding]]:
    name = names.pack_name(look.vault_id, pack_id)
    try:
        data = look.objects.raw(name)
    except MissingObjectError:
        # Listed a moment ago. If a point needs it, it was never collected: it is missing.
        if not look.relations.points_needing(pack_id):
            return -1, []
        return 0, [Finding(name, ProblemKind.MISSING, "It vanished while packs were being read.")]
    except IntegrityError as error:
        return 0, [Finding(name, ProblemKind.DAMAGED, error.message)]
    except StorageUnavailableError as error:
        # A drive that cannot read one place any more reads the others; one that is gone does not
        # answer this question either.
        if not look.objects.exists(name):
            raise
        return 0, [Finding(name, ProblemKind.DAMAGED, f"It cannot be read: {error.message}")]
    except StorageDeniedError:
        # One file with another owner or mode. Where this user may read nothing at all, the objects
        # before the packs have ended the work.
        detail = "It cannot be read: the storage denies it to this user. See its owner and mode."
        return 0, [Finding(name, ProblemKind.DAMAGED, detail)]
    return len(data), list(look.findings(pack_id, memoryview(data)))


def _count(looks: PackLooks, future: "Future[tuple[int, list[Finding]]]") -> None:
    size, findings = future.result()
    looks.findings += findings
    if size >= 0:
        looks.packs_read += 1
        looks.bytes_read += size
