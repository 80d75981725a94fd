"""The one typed face of both engines.

An engine opens no connection, asks no password and decides nothing. It is pumped: it says what it
needs (`Store`, `Fetch`), the caller does it and answers. It never calls back. No object per file
or chunk crosses this line: pages and tables cross as bytes.

Six pure batch calls at the end of `Engine` are what vectors, property tests and
``holdfast-extract`` judge an engine by; equal inputs give equal plans (chunk ids, segments, node
ids, roots), while sealed bytes may differ, because no two compressors agree.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol, TypeVar

from holdfast.base.errors import IntegrityError
from holdfast.base.ids import IndexId, NodeId, PackId
from holdfast.base.progress import Finding
from holdfast.base.randomness import Random
from holdfast.base.secrets import Secret
from holdfast.core.restore_rules import RestoreRules
from holdfast.core.scan_rules import ScanRules

Bytes = bytes | memoryview
"""Anything that holds bytes and is not changed while a call runs."""
PackKind = Literal["data", "tree", "both"]
"""What a pack holds; ``both`` only for a small session that shares one pack (vault-format.md 6)."""
R_co = TypeVar("R_co", covariant=True)


# --- the pump ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Store:
    """A pack is complete.

    It counts as stored when `Run.stored` is called with its ticket; only then its memory is free.
    """

    ticket: int
    pack_id: PackId
    kind: PackKind
    body: Bytes | Path
    """The bytes, or a file in the spool folder where the backend can rename it."""
    written: "WrittenPack"
    """What the index has to know of it, so that the caller can make checkpoints."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Byte ranges (offset, length) of one pack, merged and in the order in which they help most."""

    ticket: int
    pack_id: PackId
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; `items_total` is None while it is unknown."""

    items: int
    items_total: int | None
    bytes_read: int
    bytes_stored: int


Event = Store | Fetch | Finding | Progress


class Run(Protocol[R_co]):
    """Work in progress.

    Bounded by its `Limits` however slowly it is answered; safe to drop at any moment: what was
    stored so far is unreferenced and harms nothing.
    """

    def step(self, timeout_seconds: float) -> Sequence[Event]:
        """Work on and return what happened; an empty answer means nothing new.

        Raises:
            HoldfastError: the run is over and has no result.
        """
        ...

    def stored(self, tickets: Sequence[int]) -> None:
        """Say that the packs of these `Store` events are durable."""
        ...

    def fetched(self, ticket: int, parts: Sequence[Bytes]) -> None:
        """Answer a `Fetch`: one part for each range, in the same order."""
        ...

    def failed(self, ticket: int, code: str) -> None:
        """Say that the caller has given up retrying; *code* is that of the error."""
        ...

    def lost(self, ticket: int, error: IntegrityError) -> None:
        """Say that the pack of a `Fetch` is missing or too short.

        A run that can do without goes on, and what needs it is damaged; others raise *error*.
        """
        ...

    def cancel(self) -> None:
        """End the run; nothing more is asked for."""
        ...

    def result(self) -> R_co | None:
        """Return what the run made, or None until it is done."""
        ...


# --- what goes in -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use, packs that are not yet acknowledged included."""

    memory_bytes: int
    threads: int


@dataclass(frozen=True, slots=True)
class NodeRule:
    """Where tree nodes end (vault-format.md 5.2 key 9, 8.2)."""

    bits: int = 6
    minimum_entries: int = 16
    maximum_entries: int = 256
    maximum_cost: int = 65536


@dataclass(frozen=True, slots=True)
class Parameters:
    """From the vault object; the same in both engines, never a default of a library."""

    suite: str
    chunk_min: int
    chunk_average: int
    """The centre of the rule, not the mean that comes out."""
    chunk_max: int
    chunk_normalisation: int
    segment_target: int
    pack_bytes: int
    small_session_bytes: int
    """Stored bytes up to which data and tree of a session share one pack."""
    node_rule: NodeRule
    compression: Literal["none", "zstd"]
    compression_level: int


@dataclass(frozen=True, slots=True)
class WriteKeys:
    """What a write-only writer holds for one session, and no more.

    With suite ``none`` the session key is empty, the commitment 32 zero bytes and the sealed key
    empty (vault-format.md 4.6).
    """

    vault_id: bytes
    session_id: bytes
    session_key: Secret
    chunk_id_key: Secret
    node_id_key: Secret
    locator_key: Secret
    chunker_key: Secret
    epoch: int
    """This and the next two stand in the header of every pack (vault-format.md 6)."""
    commitment: bytes
    sealed_session_key: bytes


@dataclass(frozen=True, slots=True)
class ReadKeys:
    """What a reader holds: session keys only, never a private key."""

    vault_id: bytes
    session_keys: Mapping[bytes, Sequence[Secret]]
    """By session id, its key; of several that may be it, the commitment in a pack's header tells.
    Asked for the session of every pack that is read, whichever the index names: a chunk may lie in
    several, and may have been stored again after the point was made."""
    chunk_id_key: Secret
    node_id_key: Secret
    locator_key: Secret


@dataclass(frozen=True, slots=True)
class IndexKeys:
    """What opens the index of one group.

    A write-only writer holds the index keys alone: it learns which chunks there are, not where in
    a segment they stand. Mappings are asked with the id of an object at hand, so they may find
    their secrets when they are asked.
    """

    vault_id: bytes
    group_id: bytes
    index_keys: Mapping[int, Secret]
    """By epoch."""
    session_keys: Mapping[bytes, Sequence[Secret]]
    """By session id; those at hand. Of several that may be a session's, the box tells."""
    reader_index_keys: Mapping[int, Secret]
    """By epoch; those at hand."""
    is_sealed: bool = True
    """False for suite ``none``."""


# --- what comes out ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WrittenPack:
    """A pack that a run made."""

    pack_id: PackId
    kind: PackKind
    stored_bytes: int
    first_offset: int
    """Where its first segment begins."""
    segments: Sequence[tuple[int, int, int]]
    """(stored length, raw length, compression) of each."""
    index_table: bytes
    """Its rows, sorted, each of 36 bytes: presence row and position as index objects hold them,
    the pack being number 0."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What a run met and made."""

    files: int
    folders: int
    others: int
    source_bytes: int
    new_chunks: int
    new_raw_bytes: int
    new_stored_bytes: int
    findings: int


@dataclass(frozen=True, slots=True)
class Written:
    """A tree that is stored."""

    root: NodeId
    packs: Sequence[WrittenPack]
    """Made by this run, in order."""
    needed: Sequence[PackId]
    """Packs of earlier sessions that the tree relies on: computed from every id, never inherited.
    Together with `packs` they are the refs of the point."""
    state: Path | None
    """New local state, to be swapped in after the point is visible."""
    statistics: Statistics


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore wrote."""

    items: int
    bytes_written: int
    removed: int = 0
    """Names that the tree does not have and that are gone; a folder with all in it is one."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison looked at; each difference is a finding."""

    items: int
    differences: int


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification found."""

    damaged: Sequence[tuple[PackId, int, str]]
    """Pack, number of the segment, error code."""


@dataclass(frozen=True, slots=True)
class MergedIndex:
    """The plain content of an index object that replaces others (vault-format.md 7)."""

    packs: bytes
    """Pack ids, joined."""
    owners: Sequence[tuple[bytes, bytes, int]]
    """(session id, writer id, number of packs), covering the packs in order."""
    row_count: int
    presence: bytes
    positions: bytes
    replaces: bytes
    """Index object hashes, joined, ascending."""
    drops: Sequence[tuple[bytes, bytes]]
    """(pack id, session id), ascending: all that the replaced ones say. Whoever seals it leaves out
    those whose session object is gone."""


EntryKind = Literal["file", "folder", "link", "fifo", "socket", "char", "block"]


class Entry(Protocol):
    """One name of a tree."""

    @property
    def name(self) -> bytes:
        """The last component of its path; empty for the root."""
        ...

    @property
    def kind(self) -> EntryKind:
        """What it is."""
        ...

    @property
    def size(self) -> int:
        """Size in bytes of a regular file, else 0."""
        ...

    @property
    def mtime_ns(self) -> int:
        """Time of the last change of content, nanoseconds since 1970."""
        ...


class Page(Protocol):
    """Entries of one listing as columns; decoding one entry touches only that entry."""

    @property
    def next_key(self) -> bytes | None:
        """Where the next page goes on, or None when this is the last."""
        ...

    def __len__(self) -> int: ...

    def names(self) -> Sequence[bytes]:
        """Return the names of all entries in order."""
        ...

    def __iter__(self) -> Iterator[Entry]: ...


# --- the four things an engine makes ----------------------------------------------------------


class Index(Protocol):
    """Sorted tables in a folder, memory-mapped. Opening does not depend on their size."""

    def names(self) -> frozenset[IndexId]:
        """Return the objects whose rows are here."""
        ...

    def add(self, objects: Sequence[tuple[IndexId, Bytes]]) -> None:
        """Open, check and keep index objects; those that are here already are left alone.

        Raises:
            IntegrityError, KeysError: an object is wrong; those before it are kept.
        """
        ...

    def drop(self, names: Sequence[IndexId]) -> None:
        """Forget objects that are replaced or gone."""
        ...

    def condemn(self, packs: Sequence[PackId]) -> None:
        """Treat *packs* (tombstones, quarantine) as absent from now on."""
        ...

    def condemn_sessions(self, sessions: Sequence[bytes]) -> None:
        """Treat all packs of *sessions* (tombstones, sessions not listed) as absent."""
        ...

    def sessions(self) -> frozenset[bytes]:
        """Return the sessions whose packs the index names: to be held against those listed."""
        ...

    def trust(self, packs: Sequence[PackId] | None) -> None:
        """Treat all other packs as absent: the group's reuse rule. None trusts all."""
        ...

    def look_up(self, locators: bytes) -> bytes:
        """Return 8 bytes for each 20-byte locator; all ``ff`` when it is absent."""
        ...

    def merge_due(self) -> Sequence[Sequence[IndexId]]:
        """Return the sets of objects that are worth being merged now."""
        ...

    def merge(self, names: Sequence[IndexId]) -> MergedIndex:
        """Return the plain content of one object that replaces *names*; to be sealed and put."""
        ...

    def marks(self) -> "Marks":
        """Return an empty bit map over the rows that are here now."""
        ...


class Marks(Protocol):
    """One bit an index row: gc and compaction at any size in n/8 bytes."""

    def mark_locators(self, locators: bytes) -> Sequence[bool | None]:
        """Mark the row of each 20-byte locator.

        True where it was not marked before, so that nodes are read once; None where it is absent.
        """
        ...

    def live_share(self) -> Sequence[tuple[PackId, float]]:
        """Return the share of marked bytes of every pack."""
        ...


class Writer(Protocol):
    """Reads sources and makes packs."""

    def files(
        self, root_fd: int, rules: ScanRules, state: Path | None, *, started_ns: int
    ) -> Run[Written]:
        """Store the tree below *root_fd*; *state* is that of the point before.

        *started_ns* is the wall time at which the scan begins: what changed shortly before it is
        read again next time (vault-format.md 8.5).
        """
        ...

    def image(
        self,
        device_fd: int,
        changed: Sequence[tuple[int, int]] | None,
        block_bytes: int,
        previous: NodeId | None,
    ) -> Run[Written]:
        """Store a disk in fixed blocks; only *changed* (offset, length) are read."""
        ...

    def stream(self, pipe_fd: int, name: bytes, *, started_ns: int) -> Run[Written]:
        """Store what comes out of a pipe as one file."""
        ...

    def rewrite(
        self, reader: "Reader", packs: Sequence[PackId], marks: Marks
    ) -> Run[Sequence[WrittenPack]]:
        """Store the marked rows of *packs* in new packs."""
        ...


class Reader(Protocol):
    """Reads trees and packs. Recomputes the id of every chunk and node that it reads."""

    def list(self, root: NodeId, folder: bytes, after: bytes | None, limit: int) -> Run[Page]:
        """Return the entries of one folder, after the key *after*."""
        ...

    def walk(self, root: NodeId, after: bytes | None, limit: int) -> Run[Page]:
        """Return entries of the whole tree in key order, after the key *after*."""
        ...

    def diff(self, old: NodeId, new: NodeId, after: bytes | None, limit: int) -> Run[Page]:
        """Return entries that differ between two trees."""
        ...

    def restore(
        self, root: NodeId, below: Sequence[bytes], target_fd: int, rules: RestoreRules
    ) -> Run[Restored]:
        """Put entries back below *target_fd*: the paths *below* and all in them, or everything."""
        ...

    def compare(
        self, root: NodeId, below: Sequence[bytes], target_fd: int, rules: RestoreRules
    ) -> Run[Compared]:
        """Find every difference between the tree and what is below *target_fd*; reads only."""
        ...

    def extras(
        self, root: NodeId, below: Sequence[bytes], target_fd: int, rules: RestoreRules
    ) -> Run[Compared]:
        """Find what a restore with these rules would remove; reads only.

        Each is a finding ``additional``; the path of a folder, which goes with all in it, ends with
        a slash. What stays because the backup may have left it out is a finding ``spared``.
        """
        ...

    def read_at(
        self, root: NodeId, path: bytes, spans: Sequence[tuple[int, int]]
    ) -> Run[Sequence[bytes]]:
        """Return byte ranges (offset, length) of one file."""
        ...

    def mark(self, root: NodeId, marks: Marks) -> Run[int]:
        """Mark all that *root* reaches; nodes marked before are not read again."""
        ...

    def verify(self, packs: Sequence[tuple[PackId, int]]) -> Run[Verified]:
        """Open every segment of *packs* (id, size in bytes) and recompute every id."""
        ...


class Engine(Protocol):
    """Makes the four, and answers six pure batch calls."""

    name: ClassVar[Literal["python", "native"]]

    def index(self, folder: Path, keys: IndexKeys) -> Index:
        """Open the index in *folder*."""
        ...

    def writer(
        self,
        keys: WriteKeys,
        parameters: Parameters,
        index: Index,
        spool: Path,
        limits: Limits,
        random: Random,
    ) -> Writer:
        """Make a writer for one session."""
        ...

    def reader(
        self, keys: ReadKeys, parameters: Parameters, index: Index, limits: Limits, random: Random
    ) -> Reader:
        """Make a reader; *random* names the temporary files of a restore."""
        ...

    def cut(self, data: Bytes, key: Secret, parameters: Parameters) -> Sequence[int]:
        """Return the lengths of the chunks of *data*, a whole file, in order (6.4)."""
        ...

    def chunk_ids(self, chunks: Sequence[Bytes], key: Secret) -> bytes:
        """Return the ids of *chunks* under the chunk id or node id key, joined (6.3)."""
        ...

    def seal(
        self,
        key: Secret,
        suite: str,
        first_number: int,
        segments: Sequence[Bytes],
        associated: Sequence[bytes],
    ) -> Sequence[bytes]:
        """Seal the (compressed) *segments* first_number, first_number + 1 … of one pack (6.2).

        *key* is the pack key of their kind; the kind is read from the associated data.
        """
        ...

    def open(
        self,
        key: Secret,
        suite: str,
        first_number: int,
        segments: Sequence[Bytes],
        associated: Sequence[bytes],
    ) -> Sequence[bytes]:
        """Open what `seal` made.

        Raises:
            IntegrityError: a segment is damaged; nothing is returned.
        """
        ...

    def encode_nodes(self, entries: bytes, node_id_key: Secret, rule: NodeRule) -> Sequence[bytes]:
        """Return all nodes of a tree, leaves first, the root last.

        *entries* are leaves whose entries, one after the other, are those of the tree in order;
        each is preceded by its length as u32.
        """
        ...

    def decode_node(self, node: Bytes) -> Page:
        """Read one leaf.

        Raises:
            IntegrityError: *node* is not what an encoder writes.
        """
        ...
