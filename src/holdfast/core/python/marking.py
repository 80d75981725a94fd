"""Marking all that a tree reaches, so that gc and compaction know what is in use."""

from collections.abc import Iterator, Sequence

from holdfast.base.ids import NodeId
from holdfast.core.face import Marks
from holdfast.core.python.branches import Extents, Inner
from holdfast.core.python.entries import EXTENT_MAP, HOLES, ID_SIZE, LINK_TARGET, XATTRS, LongValue
from holdfast.core.python.leaves import Leaf
from holdfast.core.python.node_reader import NodeReader, Work, shown
from holdfast.core.python.nodes import Node
from holdfast.core.python.reading_run import ReadingRun
from holdfast.core.reader_errors import ChunkMissingError, TreeShapeError

_BATCH = 64
_LONG = frozenset({LINK_TARGET, HOLES, XATTRS})


class MarkRun(ReadingRun[int]):
    """Mark all rows that a tree reaches; the result is how many were not marked before.

    What is below a node that is marked already is taken for marked, so that a tree costs only
    what it does not share with those before it.

    Raises:
        ChunkMissingError: the index does not have something that the tree needs.
        IntegrityError: a node cannot be read. Nothing may be deleted by such marks.
    """

    def __init__(self, nodes: NodeReader, root: NodeId, marks: Marks) -> None:
        super().__init__(nodes.segments)
        self._nodes = nodes
        self._root = root
        self._marks = marks
        self._marked = 0

    def _work(self) -> Work[int]:
        if self._fresh([self._root], "/"):
            root = yield from self._nodes.load_root(self, self._root)
            waiting: list[tuple[Node, Iterator[int]]] = []
            self._open(root, waiting)
            while waiting:
                node, batches = waiting[-1]
                start = next(batches, None)
                if start is None:
                    waiting.pop()
                    continue
                yield from self._children(node, start, waiting)
                yield True
        return self._marked

    def _open(self, node: Node, waiting: list[tuple[Node, Iterator[int]]]) -> None:
        if isinstance(node, Leaf):
            return
        if isinstance(node, Extents) and not node.level:
            self._fresh(node.ids, "an extent map")
            return
        waiting.append((node, iter(range(0, len(node.ids), _BATCH))))

    def _children(
        self, node: Node, start: int, waiting: list[tuple[Node, Iterator[int]]]
    ) -> Work[None]:
        if isinstance(node, Leaf):
            return
        ids = node.ids[start : start + _BATCH]
        path = shown(node.keys[start]) if isinstance(node, Inner) else "an extent map"
        fresh = set(self._fresh(ids, path))
        numbers = [start + place for place, one in enumerate(ids) if one in fresh]
        children = yield from self._nodes.load(self, [node.ids[one] for one in numbers], path)
        for number, child in zip(numbers, children, strict=True):
            if isinstance(node, Inner):
                checked = self._nodes.checked(node, number, child)
                if isinstance(checked, Leaf):
                    yield from self._leaf(checked, waiting)
            elif not isinstance(child, Extents) or child.level != node.level - 1:
                raise TreeShapeError("an extent map is not one")
            self._open(child, waiting)

    def _leaf(self, leaf: Leaf, waiting: list[tuple[Node, Iterator[int]]]) -> Work[None]:
        chunks: list[bytes] = []
        maps: list[bytes] = []
        for section in leaf.sections:
            for count, ids in zip(section.extent_counts, section.ids, strict=True):
                if count == EXTENT_MAP:
                    maps.append(ids)
                else:
                    chunks += [ids[at : at + ID_SIZE] for at in range(0, len(ids), ID_SIZE)]
            for values in section.rare.values():
                for rare_field, value in values:
                    if rare_field in _LONG:
                        chunks += LongValue.from_raw(value).ids
        path = shown(leaf.first_key)
        self._fresh(chunks, path)
        for root in self._fresh(maps, path):
            node = yield from self._nodes.load_one(self, root, path)
            if not isinstance(node, Extents):
                raise TreeShapeError(f"an extent map at '{path}' is not one")
            self._open(node, waiting)

    def _fresh(self, ids: Sequence[bytes], path: str) -> list[bytes]:
        """Mark *ids* and return those that were not marked before."""
        fresh = []
        marked = self._marks.mark_locators(self.segments.locators(ids))
        for one, is_new in zip(ids, marked, strict=True):
            if is_new is None:
                raise ChunkMissingError(f"{one.hex()} at '{path}' is in no pack that counts")
            if is_new:
                fresh.append(one)
        self._marked += len(fresh)
        return fresh
