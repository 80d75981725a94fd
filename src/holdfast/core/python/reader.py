"""The reading half of the plain engine."""

from collections.abc import Sequence
from typing import Final

from holdfast.base.ids import NodeId, PackId
from holdfast.base.randomness import Random
from holdfast.base.sizes import MIB
from holdfast.core.face import (
    Compared,
    Limits,
    Marks,
    Page,
    Parameters,
    ReadKeys,
    Restored,
    Run,
    Verified,
)
from holdfast.core.python.compare import CompareRun
from holdfast.core.python.contents import ContentReader
from holdfast.core.python.extras import ExtrasRun
from holdfast.core.python.listing import DiffRun, ListRun, WalkRun
from holdfast.core.python.marking import MarkRun
from holdfast.core.python.node_reader import NodeReader
from holdfast.core.python.read_at import ReadAtRun
from holdfast.core.python.restore import RestoreRun
from holdfast.core.python.segment_reader import ChunkPlaces, SegmentReader
from holdfast.core.python.verify import VerifyRun
from holdfast.core.restore_rules import RestoreRules

_CACHE_SHARE: Final = 16
_LARGEST_CACHE: Final = 16 * MIB
_VALUE_SHARE: Final = 16


class PythonReader:
    """Implements `holdfast.core.face.Reader`.

    Runs of one reader may be pumped in turn, by one thread. They share a cache of tree nodes;
    damage to a node is found whenever it is read, and what is in the cache has been verified.
    """

    def __init__(
        self,
        keys: ReadKeys,
        parameters: Parameters,
        index: ChunkPlaces,
        limits: Limits,
        random: Random,
    ) -> None:
        self._limits: Final = limits
        self._random: Final = random
        self._segments: Final = SegmentReader(keys, parameters.suite, index, limits.threads)
        self._nodes: Final = NodeReader(
            self._segments, min(limits.memory_bytes // _CACHE_SHARE, _LARGEST_CACHE)
        )
        self._contents: Final = ContentReader(self._nodes, limits.memory_bytes // _VALUE_SHARE)

    def close(self) -> None:
        """Stop the threads; the reader may be used again."""
        self._segments.close()

    def list(self, root: NodeId, folder: bytes, after: bytes | None, limit: int) -> Run[Page]:
        """Return the entries of one folder, a path below the root, after the key *after*."""
        return ListRun(self._nodes, root, folder, after, limit)

    def walk(self, root: NodeId, after: bytes | None, limit: int) -> Run[Page]:
        """Return entries of the whole tree in key order, after the key *after*."""
        return WalkRun(self._nodes, root, after, limit)

    def diff(self, old: NodeId, new: NodeId, after: bytes | None, limit: int) -> Run[Page]:
        """Return entries that differ between two trees; the pages are `DiffPage`."""
        return DiffRun(self._nodes, old, new, after, limit)

    def restore(
        self, root: NodeId, below: Sequence[bytes], target_fd: int, rules: RestoreRules
    ) -> Run[Restored]:
        """Put entries back below *target_fd*; see `RestoreRun`."""
        return RestoreRun(
            self._nodes, self._contents, root, below, target_fd, rules, self._limits, self._random
        )

    def compare(
        self, root: NodeId, below: Sequence[bytes], target_fd: int, rules: RestoreRules
    ) -> Run[Compared]:
        """Find every difference between the tree and what is below *target_fd*; reads only."""
        return CompareRun(self._nodes, self._contents, root, below, target_fd, rules)

    def extras(
        self, root: NodeId, below: Sequence[bytes], target_fd: int, rules: RestoreRules
    ) -> Run[Compared]:
        """Find what a restore with these rules would remove, by names; reads only."""
        return ExtrasRun(self._nodes, root, below, target_fd, rules)

    def read_at(
        self, root: NodeId, path: bytes, spans: Sequence[tuple[int, int]]
    ) -> Run[Sequence[bytes]]:
        """Return byte ranges (offset, length) of one file; less beyond its end."""
        return ReadAtRun(
            self._nodes, self._contents, root, path, spans, self._limits.memory_bytes // 2
        )

    def mark(self, root: NodeId, marks: Marks) -> Run[int]:
        """Mark all that *root* reaches; nodes marked before are not read again."""
        return MarkRun(self._nodes, root, marks)

    def verify(self, packs: Sequence[tuple[PackId, int]]) -> Run[Verified]:
        """Open every segment of *packs* (id, size in bytes) and recompute every id."""
        return VerifyRun(self._segments, packs, self._limits.memory_bytes // 4)
