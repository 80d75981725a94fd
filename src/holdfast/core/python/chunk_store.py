"""What is not stored yet goes into packs; what is stored is relied on (vault-format.md 5.9, 6)."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from blake3 import blake3

from holdfast.base.ids import PackId
from holdfast.base.randomness import Random
from holdfast.base.sizes import MIB
from holdfast.core.face import (
    Bytes,
    Limits,
    Parameters,
    WriteKeys,
)
from holdfast.core.python.chunker import Chunker
from holdfast.core.python.index import PythonIndex
from holdfast.core.python.packing import (
    CompletedPack,
    PackAssembler,
    Pipeline,
    PlannedChunk,
    SegmentPlanner,
)
from holdfast.core.python.segments import SessionKeys
from holdfast.format.packs import KIND_DATA, KIND_TREE

_PENDING_BYTES: Final = 8 * MIB
_PENDING_CHUNKS: Final = 2048
_PENDING_NODES: Final = 64
_ABSENT: Final = b"\xff" * 8
_LOCATOR_SIZE: Final = 20
_PLACE: Final = struct.Struct(">HI")
"""How the index's answers begin: number of the object, number of the pack in it."""


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
        self._locators = blake3(key=keys.locator_key.reveal())
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
        answers = self.look_up([one for group in groups for one in group])
        present = []
        start = 0
        for group in groups:
            end = start + len(group)
            present.append(self.rely_on_all(answers[start:end]))
            start = end
        return present

    @property
    def generation(self) -> int:
        """Changes when earlier answers of `look_up` lose their meaning."""
        return self._index.generation

    def look_up(self, ids: Iterable[bytes]) -> list[bytes]:
        """Return what the index answers for each id; nothing is relied on yet."""
        answers = self._look_up([self._locator(one) for one in ids])
        return [answers[place : place + 8] for place in range(0, len(answers), 8)]

    def rely_on_all(self, answers: Iterable[bytes]) -> bool:
        """Say whether all *answers* of this generation are places; if so they are relied on."""
        found = frozenset(answers)
        is_there = _ABSENT not in found
        if is_there:
            self._rely_on(found)
        return is_there

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
        # One hasher that is reset costs half of a new one for each id.
        self._locators.reset()
        self._locators.update(one)
        return self._locators.digest(length=_LOCATOR_SIZE)

    def _look_up(self, locators: list[bytes]) -> bytes:
        # Answers number the objects of the index as it is now; the caller may have added a
        # checkpoint since the last look.
        if self._generation != self._index.generation:
            self._generation = self._index.generation
            self._seen.clear()
        return self._index.look_up(b"".join(locators))

    def _rely_on(self, answers: Iterable[bytes]) -> None:
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
