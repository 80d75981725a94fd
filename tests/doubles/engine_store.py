"""Packs in memory with the plain engine around them: what a vault would keep, without a vault."""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from blake3 import blake3

from doubles.randomness import CountedRandom
from holdfast.base.ids import NodeId, PackId
from holdfast.base.progress import Finding
from holdfast.base.secrets import Secret
from holdfast.core.face import (
    Fetch,
    Limits,
    NodeRule,
    Parameters,
    ReadKeys,
    Restored,
    Run,
    Store,
    WriteKeys,
    Written,
    WrittenPack,
)
from holdfast.core.python.index import Location
from holdfast.core.python.reader import PythonReader
from holdfast.core.python.segments import Compressor, PackCipher, SessionKeys
from holdfast.core.python.tree_builder import TreeBuilder, node_id
from holdfast.core.python.writer import PythonWriter
from holdfast.core.reader_errors import ChunkMissingError
from holdfast.core.restore_rules import RestoreRules
from holdfast.core.scan_rules import ScanRules
from holdfast.crypto import hkdf
from holdfast.crypto.suites import suite_named
from holdfast.format.packs import (
    DIRECTORY_NUMBER,
    KIND_DATA,
    KIND_DIRECTORY,
    KIND_TRAILER,
    KIND_TREE,
    TRAILER_NUMBER,
    Directory,
    PackHeader,
    SegmentRow,
    Trailer,
)

R = TypeVar("R")
ABSENT = b"\xff" * 8
EVERYTHING = RestoreRules(
    overwrite="if-changed", delete=False, sparse=True, numeric_ids=False, onto_target=True
)


class MemoryIndex:
    """Rows of the packs that are stored, as a dictionary."""

    generation = 0

    def __init__(self) -> None:
        self.places: dict[bytes, Location] = {}

    def look_up(self, locators: bytes) -> bytes:
        """Find nothing: a writer with this index stores everything."""
        return ABSENT * (len(locators) // 20)

    def locate(self, locators: bytes) -> list[Location | None]:
        """Return where chunks and nodes are."""
        return [
            self.places.get(locators[start : start + 20]) for start in range(0, len(locators), 20)
        ]


class EngineStore:
    """Keeps packs, pumps runs, and makes readers and writers for one session."""

    def __init__(
        self,
        spool: Path,
        *,
        suite: str = "aes-256-gcm",
        memory_bytes: int = 256 << 20,
        bits: int = 6,
        **parameters: Any,  # noqa: ANN401 - any field of Parameters
    ) -> None:
        self.packs: dict[bytes, bytes] = {}
        self.index = MemoryIndex()
        self.findings: list[Finding] = []
        self.fetches: list[Fetch] = []
        self.random = CountedRandom("engine store")
        self.limits = Limits(memory_bytes=memory_bytes, threads=1)
        settings: dict[str, Any] = {
            "suite": suite,
            "chunk_min": 4096,
            "chunk_average": 8192,
            "chunk_max": 32768,
            "chunk_normalisation": 2,
            "segment_target": 65536,
            "pack_bytes": 1 << 20,
            "small_session_bytes": 1 << 16,
            "node_rule": NodeRule(bits=bits),
            "compression": "zstd",
            "compression_level": 3,
        }
        self.parameters = Parameters(**(settings | parameters))
        is_none = suite == "none"
        session_id = b"s" * 16
        session_key = Secret(b"" if is_none else b"k" * 32)
        commitment = bytes(32)
        if not is_none:
            prk = hkdf.extract(session_id, session_key.reveal())
            commitment = hkdf.expand(prk, b"holdfast/0 commitment", 32)
        self.write_keys = WriteKeys(
            vault_id=b"v" * 32,
            session_id=session_id,
            session_key=session_key,
            chunk_id_key=Secret(b"c" * 32),
            node_id_key=Secret(b"n" * 32),
            locator_key=Secret(b"l" * 32),
            chunker_key=Secret(b"h" * 32),
            epoch=0,
            commitment=commitment,
            sealed_session_key=b"" if is_none else bytes(1168),
        )
        self.read_keys = ReadKeys(
            vault_id=b"v" * 32,
            session_keys={session_id: (session_key,)},
            chunk_id_key=Secret(b"c" * 32),
            node_id_key=Secret(b"n" * 32),
            locator_key=Secret(b"l" * 32),
        )
        self.spool = spool
        spool.mkdir(exist_ok=True)
        self.reader = PythonReader(
            self.read_keys, self.parameters, self.index, self.limits, self.random
        )

    # --- pumping ------------------------------------------------------------------------------

    def pump(self, run: Run[R], *, steps: int | None = None) -> R:
        """Answer a run until it is done, or for some steps; keep its findings."""
        while run.result() is None and (steps is None or steps > 0):
            for event in run.step(0.05):
                if isinstance(event, Fetch):
                    self.fetches.append(event)
                    if event.pack_id not in self.packs:
                        run.lost(event.ticket, ChunkMissingError("the pack is not there"))
                        continue
                    pack = self.packs[event.pack_id]
                    parts = [pack[start : start + length] for start, length in event.ranges]
                    run.fetched(event.ticket, parts)
                elif isinstance(event, Store):
                    body = event.body
                    self.packs[event.pack_id] = (
                        body.read_bytes() if isinstance(body, Path) else bytes(body)
                    )
                    self._take_rows(event.written)
                    run.stored([event.ticket])
                elif isinstance(event, Finding):
                    self.findings.append(event)
            if steps is not None:
                steps -= 1
        return run.result()  # type: ignore[return-value]  # None only where steps are given

    def write(self, folder: Path, rules: ScanRules | None = None) -> Written:
        """Back a folder up and return what came of it."""
        writer = PythonWriter(
            self.write_keys,
            self.parameters,
            self.index,  # type: ignore[arg-type]  # all that a writer wants of one
            self.spool,
            self.limits,
            self.random,
        )
        with open_folder(folder) as fd:
            run = writer.files(fd, rules or ScanRules(), None, started_ns=2**62)
            written: Written = self.pump(run)
        return written

    def restore(
        self,
        root: NodeId,
        target: Path,
        rules: RestoreRules = EVERYTHING,
        below: Sequence[bytes] = (),
    ) -> Restored:
        """Restore into a folder; findings are those of this restore."""
        self.findings.clear()
        with open_folder(target) as fd:
            return self.pump(self.reader.restore(root, below, fd, rules))

    def compare(
        self,
        root: NodeId,
        target: Path,
        rules: RestoreRules = EVERYTHING,
        below: Sequence[bytes] = (),
    ) -> list[Finding]:
        """Compare with a folder and return the differences."""
        self.findings.clear()
        with open_folder(target) as fd:
            self.pump(self.reader.compare(root, below, fd, rules))
        return list(self.findings)

    # --- packs by hand ------------------------------------------------------------------------

    def chunk_id(self, data: bytes) -> bytes:
        """Return the id of a data chunk."""
        return blake3(data, key=b"c" * 32).digest()

    def add_chunks(self, *chunks: bytes) -> list[bytes]:
        """Store data chunks in a segment each, and return their ids."""
        ids = [self.chunk_id(chunk) for chunk in chunks]
        self.add_pack([(KIND_DATA, one, chunk) for one, chunk in zip(ids, chunks, strict=True)])
        return ids

    def add_nodes(self, *nodes: bytes) -> list[NodeId]:
        """Store nodes as they are, and return their ids."""
        ids = [node_id(Secret(b"n" * 32), node) for node in nodes]
        self.add_pack([(KIND_TREE, one, node) for one, node in zip(ids, nodes, strict=True)])
        return ids

    def add_tree(self, entries: Sequence[Any]) -> NodeId:
        """Store the tree of some entries and return its root."""
        nodes: list[bytes] = []
        builder = TreeBuilder(
            Secret(b"n" * 32),
            self.parameters.node_rule,
            lambda _level, node, _id: nodes.append(node),
        )
        for entry in entries:
            builder.add(entry)
        root = builder.finish()
        for start in range(0, len(nodes), 1000):
            self.add_nodes(*nodes[start : start + 1000])
        return root

    def add_pack(self, segments: Sequence[tuple[int, bytes, bytes]]) -> PackId:
        """Store a pack of one-chunk segments (kind, id, data) and return its id."""
        suite = suite_named(self.parameters.suite)
        keys = self.write_keys
        salt = self.random.take(32)
        session = SessionKeys.derive(keys.session_key, keys.vault_id, keys.session_id)
        cipher = PackCipher(
            suite, session, vault_id=keys.vault_id, session_id=keys.session_id, salt=salt
        )
        header = PackHeader(
            suite.number, keys.epoch, keys.session_id, keys.commitment, salt,
            keys.sealed_session_key,
        ).encode()  # fmt: skip
        body, rows = bytearray(header), []
        compressor = Compressor(3)
        places = []
        for number, (kind, _, data) in enumerate(segments):
            compression, small = compressor.compress(data)
            sealed = cipher.seal(kind, number, small, raw_length=len(data), compression=compression)
            places.append((len(body), len(sealed), len(data), compression))
            rows.append(SegmentRow(kind, compression, len(sealed), len(data), 1))
            body += sealed
        directory = Directory(rows, [(one, len(data)) for _, one, data in segments]).encode()
        sealed = cipher.seal(
            KIND_DIRECTORY, DIRECTORY_NUMBER, directory, raw_length=len(directory), compression=0
        )
        trailer = Trailer(len(body), len(sealed), len(directory), len(rows)).encode()
        body += sealed
        body += cipher.seal(KIND_TRAILER, TRAILER_NUMBER, trailer, raw_length=16, compression=0)
        pack_id = PackId(blake3(body).digest())
        self.packs[pack_id] = bytes(body)
        for number, ((_, one, data), place) in enumerate(zip(segments, places, strict=True)):
            locator = blake3(one, key=b"l" * 32).digest(length=20)
            self.index.places[locator] = Location(
                pack_id, keys.session_id, number, *place, 0, len(data)
            )
        return pack_id

    def _take_rows(self, written: WrittenPack) -> None:
        offsets = [written.first_offset]
        for stored, _, _ in written.segments:
            offsets.append(offsets[-1] + stored)
        for locator, _, segment, _, offset, length in struct.iter_unpack(
            ">20sIHHII", written.index_table
        ):
            stored, raw, compression = written.segments[segment]
            self.index.places[locator] = Location(
                written.pack_id, self.write_keys.session_id, segment, offsets[segment],
                stored, raw, compression, offset, length,
            )  # fmt: skip


@contextmanager
def open_folder(folder: Path) -> Iterator[int]:
    """Give a descriptor of a folder."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)
