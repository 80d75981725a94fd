"""The writing half of an engine with nothing around it; its packs are read back by the format."""

# ruff: noqa: ANN401 - parameters and rules are handed on as they come

import os
import resource
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blake3 import blake3

from doubles.randomness import CountedRandom
from holdfast.base.ids import NodeId, PackId, SessionId, VaultId
from holdfast.base.progress import Finding
from holdfast.base.secrets import Secret
from holdfast.core.face import (
    Event,
    Limits,
    NodeRule,
    Parameters,
    Run,
    Store,
    WriteKeys,
    Written,
)
from holdfast.core.python.branches import Extents, Inner
from holdfast.core.python.entries import EXTENT_MAP, Entry
from holdfast.core.python.leaves import Leaf
from holdfast.core.python.linux import FOLDER_FLAGS
from holdfast.core.python.nodes import decode_node
from holdfast.core.python.segments import PackCipher, SessionKeys
from holdfast.core.python.writer import PythonWriter
from holdfast.core.scan_rules import ScanRules
from holdfast.crypto import hkdf
from holdfast.crypto.suites import suite_named
from holdfast.format.packs import (
    DIRECTORY_NUMBER,
    KIND_DATA,
    KIND_DIRECTORY,
    KIND_TRAILER,
    TRAILER_NUMBER,
    TRAILER_RAW_BYTES,
    Directory,
    PackHeader,
    Trailer,
)

VAULT, SESSION = b"v" * 32, b"s" * 16
CHUNK_KEY, NODE_KEY, LOCATOR_KEY = b"c" * 32, b"n" * 32, b"l" * 32
ABSENT = b"\xff" * 8
LONG_AFTER = 2**62
"""A start of a session that makes nothing racy."""


class RowsIndex:
    """What the index of a vault says, as a dictionary that tests may change."""

    def __init__(self) -> None:
        self.rows: dict[bytes, tuple[PackId, int]] = {}
        self.generation = 0
        self.asked = 0
        """How often `look_up` was called."""
        self._packs: list[PackId] = []

    def take(self, pack_id: PackId, table: bytes) -> None:
        """Take the rows of a pack that is stored."""
        for locator, _, segment, _, _, _ in struct.iter_unpack(">20sIHHII", table):
            self.rows.setdefault(locator, (pack_id, segment))

    def lose(self, one: bytes) -> None:
        """Forget a chunk or node."""
        del self.rows[blake3(one, key=LOCATOR_KEY).digest(length=20)]

    def look_up(self, locators: bytes) -> bytes:
        """See `holdfast.core.face.Index`."""
        self.asked += 1
        return b"".join(
            self._answer(locators[start : start + 20]) for start in range(0, len(locators), 20)
        )

    def pack_at(self, number: int, pack: int) -> tuple[PackId, bytes]:
        """See `PythonIndex.pack_at`."""
        assert number == 0
        return self._packs[pack], SESSION

    def _answer(self, locator: bytes) -> bytes:
        if locator not in self.rows:
            return ABSENT
        pack_id, segment = self.rows[locator]
        if pack_id not in self._packs:
            self._packs.append(pack_id)
        return struct.pack(">HIH", 0, self._packs.index(pack_id), segment)


@contextmanager
def no_room_beyond(size_bytes: int) -> Iterator[None]:
    """Let no file grow beyond this, as if there were no room left: errno EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@dataclass(frozen=True)
class OpenedPack:
    """A pack as whoever holds the keys reads it."""

    header: PackHeader
    directory: Directory
    segments: list[bytes]
    """Raw."""
    padding_bytes: int

    def chunks(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield (kind of segment, id, bytes) in order."""
        for row, raw, inside in zip(
            self.directory.segments, self.segments, self.directory.chunks_by_segment(), strict=True
        ):
            start = 0
            for one, length in inside:
                yield row.kind, bytes(one), raw[start : start + length]
                start += length
            assert start == len(raw)


def parameters(**changes: Any) -> Parameters:
    """Return parameters with small chunks and packs, so that little data makes many."""
    settings: dict[str, Any] = {
        "suite": "aes-256-gcm",
        "chunk_min": 4096,
        "chunk_average": 8192,
        "chunk_max": 32768,
        "chunk_normalisation": 2,
        "segment_target": 65536,
        "pack_bytes": 1 << 20,
        "small_session_bytes": 1 << 16,
        "node_rule": NodeRule(),
        "compression": "zstd",
        "compression_level": 3,
    }
    return Parameters(**(settings | changes))


def write_keys(suite: str = "aes-256-gcm") -> WriteKeys:
    """Return the keys of the only session."""
    is_none = suite == "none"
    session_key = b"" if is_none else b"k" * 32
    prk = hkdf.extract(SESSION, session_key)
    return WriteKeys(
        vault_id=VAULT,
        session_id=SESSION,
        session_key=Secret(session_key),
        chunk_id_key=Secret(CHUNK_KEY),
        node_id_key=Secret(NODE_KEY),
        locator_key=Secret(LOCATOR_KEY),
        chunker_key=Secret(b"h" * 32),
        epoch=0,
        commitment=bytes(32) if is_none else hkdf.expand(prk, b"holdfast/0 commitment", 32),
        sealed_session_key=b"" if is_none else bytes(1168),
    )


@dataclass
class Desk:
    """Writes sources into packs in memory and answers from them."""

    folder: Path
    parameters: Parameters = field(default_factory=parameters)
    threads: int = 2
    memory_bytes: int = 64 << 20
    packs: dict[PackId, bytes] = field(default_factory=dict)
    index: RowsIndex = field(default_factory=RowsIndex)
    findings: list[Finding] = field(default_factory=list)
    spool: Path = field(init=False)
    _writers: int = 0
    _chunks: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.spool = self.folder / "spool"
        self.spool.mkdir(parents=True, exist_ok=True)

    @property
    def keys(self) -> WriteKeys:
        """The keys of the session."""
        return write_keys(self.parameters.suite)

    def writer(self) -> PythonWriter:
        """Return a writer."""
        self._writers += 1
        return PythonWriter(
            self.keys,
            self.parameters,
            self.index,  # type: ignore[arg-type]  # all that a writer wants of one
            self.spool,
            Limits(memory_bytes=self.memory_bytes, threads=self.threads),
            CountedRandom(f"desk {self._writers}"),
        )

    def backup(
        self,
        source: Path,
        state: Path | None = None,
        *,
        started_ns: int = LONG_AFTER,
        on_event: Callable[[Event], None] = lambda _: None,
        **rules: Any,
    ) -> Written:
        """Store a folder; findings are those of this run."""
        fd = os.open(source, FOLDER_FLAGS)
        try:
            run = self.writer().files(fd, ScanRules(**rules), state, started_ns=started_ns)
            return self.pump(run, on_event)
        finally:
            os.close(fd)

    def pump(
        self, run: Run[Written], on_event: Callable[[Event], None] = lambda _: None
    ) -> Written:
        """Answer a run until it is done."""
        self.findings.clear()
        while (written := run.result()) is None:
            for event in run.step(1.0):
                on_event(event)
                if isinstance(event, Store):
                    self.keep(event)
                    run.stored([event.ticket])
                elif isinstance(event, Finding):
                    self.findings.append(event)
        for pack in written.packs:
            self.index.take(pack.pack_id, pack.index_table)
        self.index.generation += 1
        return written

    def keep(self, event: Store) -> None:
        """Take a pack out of the spool."""
        assert isinstance(event.body, Path)
        self.packs[event.pack_id] = event.body.read_bytes()
        event.body.unlink()

    # --- reading back -------------------------------------------------------------------------

    def opened(self, pack_id: PackId) -> OpenedPack:
        """Open a pack by its trailer and directory alone."""
        pack = self.packs[pack_id]
        suite = suite_named(self.parameters.suite)
        header = PackHeader.decode(pack)
        cipher = PackCipher(
            suite,
            SessionKeys.derive(self.keys.session_key, VAULT, SESSION),
            vault_id=VaultId(VAULT),
            session_id=SessionId(SESSION),
            salt=header.salt,
        )
        sealed = pack[-suite.stored_length(TRAILER_RAW_BYTES) :]
        trailer = Trailer.decode(
            cipher.open(
                KIND_TRAILER, TRAILER_NUMBER, sealed, raw_length=TRAILER_RAW_BYTES, compression=0
            )
        )
        first = len(header.encode())
        trailer.check_place(
            pack_bytes=len(pack), sealed_trailer_bytes=len(sealed), header_end=first
        )
        start = trailer.directory_offset
        directory = Directory.decode(
            cipher.open(
                KIND_DIRECTORY,
                DIRECTORY_NUMBER,
                pack[start : start + trailer.directory_stored],
                raw_length=trailer.directory_raw,
                compression=0,
            )
        )
        offsets = directory.segment_offsets(first)
        segments = [
            cipher.open(
                row.kind,
                number,
                pack[offsets[number] : offsets[number + 1]],
                raw_length=row.raw_length,
                compression=row.compression,
            )
            for number, row in enumerate(directory.segments)
        ]
        return OpenedPack(header, directory, segments, start - offsets[-1])

    def chunk(self, one: bytes) -> bytes:
        """Return a chunk or node by its id, which is recomputed."""
        for pack_id in [known for known in self.packs if known not in self._chunks]:
            self._chunks[pack_id] = b""
            for kind, found, data in self.opened(pack_id).chunks():
                key = CHUNK_KEY if kind == KIND_DATA else NODE_KEY
                assert blake3(data, key=key).digest() == found
                self._chunks[found] = data
        return self._chunks[one]

    def entries(self, root: bytes) -> list[Entry]:
        """Return all entries of a tree in order."""
        node = decode_node(self.chunk(root))
        if isinstance(node, Leaf):
            return list(node)
        assert isinstance(node, Inner)
        return [entry for child in node.ids for entry in self.entries(child)]

    def tree(self, root: NodeId) -> dict[bytes, Entry]:
        """Return the entries of a tree by path."""
        return {
            entry.folder.replace(b"\0", b"/") + entry.name: entry for entry in self.entries(root)
        }

    def stored(self, entry: Entry) -> bytes:
        """Return the data of a file, without its holes."""
        if entry.extent_count == EXTENT_MAP:
            return b"".join(map(self.chunk, self._mapped(entry.ids)))
        return b"".join(
            self.chunk(entry.ids[start : start + 32]) for start in range(0, len(entry.ids), 32)
        )

    def _mapped(self, root: bytes) -> list[bytes]:
        node = decode_node(self.chunk(root))
        assert isinstance(node, Extents)
        if node.level == 0:
            return list(node.ids)
        return [one for child in node.ids for one in self._mapped(child)]
