"""Reading trees: nodes by id, entries by key, leaves in order. vault-format.md section 8.

Every node is held against the node above it, levels strictly descend, and so a hostile tree can
neither loop nor grow beyond what its root says.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from holdfast.base.errors import IntegrityError
from holdfast.base.ids import NodeId
from holdfast.base.sizes import MIB
from holdfast.core.python.branches import Extents, Inner
from holdfast.core.python.entries import FOLDER, Entry
from holdfast.core.python.leaves import Leaf
from holdfast.core.python.nodes import Node, check_child, decode_node
from holdfast.core.python.segment_reader import Fetcher, SegmentReader
from holdfast.core.reader_errors import (
    ChunkMissingError,
    InvalidPathError,
    NotAFolderError,
    PathNotFoundError,
    TreeShapeError,
)
from holdfast.format.packs import KIND_TREE

R = TypeVar("R")
Work = Generator[bool, None, R]
_READ_AHEAD: Final = 64
"""Neighbouring leaves that are fetched together."""
_LARGE_NODE: Final = 1 * MIB
ROOT_KEY: Final = b"\0"


def shown(key: bytes) -> str:
    """Return the path that a key stands for, for people."""
    folder, _, name = key.rpartition(b"\0")
    path = folder.replace(b"\0", b"/") + name
    return path.decode("utf-8", "backslashreplace") or "/"


def split_path(path: bytes) -> tuple[bytes, bytes]:
    """Return (folder as keys have it, name) of a path below the root; the root is (b"", b"").

    Raises:
        InvalidPathError: a component is empty, ``.`` or ``..``, or holds 00.
    """
    if not path:
        return b"", b""
    components = path.split(b"/")
    if not {b"", b".", b".."}.isdisjoint(components) or b"\0" in path:
        raise InvalidPathError(f"'{path.decode('utf-8', 'backslashreplace')}' is not a path")
    return b"".join(one + b"\0" for one in components[:-1]), components[-1]


def folder_of(path: bytes) -> bytes:
    """Return a path below the root as the folder of the entries in it.

    Raises:
        InvalidPathError: as `split_path`.
    """
    folder, name = split_path(path)
    return folder + name + b"\0" if name else b""


class NodeReader:
    """Nodes by id, with a cache of those used last."""

    def __init__(self, segments: SegmentReader, cache_bytes: int) -> None:
        self.segments: Final = segments
        self._limit: Final = cache_bytes
        self._cache: OrderedDict[bytes, tuple[Node, int]] = OrderedDict()
        self._size = 0

    def load(self, run: Fetcher, ids: Sequence[bytes], path: str) -> Work[list[Node]]:
        """Return nodes by their ids; *path* says for people what they belong to.

        Raises:
            ChunkMissingError: the index does not know one.
            IntegrityError: one is damaged.
        """
        found: dict[bytes, Node] = {}
        absent: list[bytes] = []
        for node_id in ids:
            known = self._cache.get(node_id)
            if known is None:
                absent.append(node_id)
            else:
                self._cache.move_to_end(node_id)
                found[node_id] = known[0]
        if absent:

            def missing(node_id: bytes) -> None:
                raise ChunkMissingError(
                    f"the tree node {node_id.hex()} at '{path}' is in no pack that the index knows"
                )

            plan = self.segments.plan(absent, KIND_TREE, missing)
            chunks = yield from self.segments.open_plan(run, plan)
            for node_id in absent:
                try:
                    data = chunks.get(node_id)
                    node = decode_node(bytes(data))
                except IntegrityError as error:
                    raise type(error)(f"at '{path}': {error.message}") from error
                found[node_id] = node
                self._keep(node_id, node, len(data))
        return [found[node_id] for node_id in ids]

    def load_one(self, run: Fetcher, node_id: bytes, path: str) -> Work[Node]:
        """Return one node; see `load`."""
        known = self._cache.get(node_id)
        if known is not None:
            self._cache.move_to_end(node_id)
            return known[0]
        return (yield from self.load(run, [node_id], path))[0]

    def load_root(self, run: Fetcher, root: NodeId) -> Work[Leaf | Inner]:
        """Return the root node of a tree, which begins with the entry of the root folder.

        Raises:
            TreeShapeError: it is the root of something else.
        """
        node = yield from self.load_one(run, root, "/")
        if isinstance(node, Extents) or node.first_key != ROOT_KEY:
            raise TreeShapeError(f"the node {root.hex()} is not the root of a tree")
        return node

    def load_child(self, run: Fetcher, parent: Inner, number: int) -> Work[Leaf | Inner]:
        """Return a child of an inner node, held against what the node says of it."""
        node = yield from self.load_one(run, parent.ids[number], shown(parent.keys[number]))
        return self.checked(parent, number, node)

    @staticmethod
    def checked(parent: Inner, number: int, node: Node) -> Leaf | Inner:
        """Hold a child against its parent and return it.

        Raises:
            IntegrityError: it is not what its parent says.
        """
        if isinstance(node, Extents):
            raise TreeShapeError(
                f"the node at '{shown(parent.keys[number])}' belongs to an extent map"
            )
        check_child(parent, number, node)
        return node

    def find_leaf(self, run: Fetcher, root: NodeId, key: bytes) -> Work[Leaf]:
        """Return the leaf that would hold *key*."""
        node = yield from self.load_root(run, root)
        while isinstance(node, Inner):
            node = yield from self.load_child(run, node, node.child_for(key))
        return node

    def find(self, run: Fetcher, root: NodeId, folder: bytes, name: bytes) -> Work[Entry | None]:
        """Return one entry, or None if the tree has none."""
        leaf = yield from self.find_leaf(run, root, folder + b"\0" + name)
        return leaf.find(folder, name)

    def find_path(self, run: Fetcher, root: NodeId, path: bytes) -> Work[Entry]:
        """Return the entry of a path.

        Raises:
            PathNotFoundError: there is none.
        """
        entry = yield from self.find(run, root, *split_path(path))
        if entry is None:
            raise PathNotFoundError(f"there is no '{path.decode('utf-8', 'backslashreplace')}'")
        return entry

    def check_folder(self, run: Fetcher, root: NodeId, folder: bytes) -> Work[None]:
        """Make sure that *folder* is an entry of the tree, and of type folder.

        Raises:
            TreeShapeError: it is something else.
        """
        above, _, name = folder[:-1].rpartition(b"\0")
        entry = yield from self.find(run, root, above + b"\0" if above else b"", name)
        if entry is None or entry.type != FOLDER:
            raise TreeShapeError(f"'{shown(folder + b'x')[:-2]}' holds entries and is no folder")

    def require_folder(self, run: Fetcher, root: NodeId, path: bytes) -> Work[None]:
        """Make sure that somebody who asks for a folder gets one.

        Raises:
            PathNotFoundError, NotAFolderError: there is none.
        """
        entry = yield from self.find_path(run, root, path)
        if entry.type != FOLDER:
            raise NotAFolderError(f"'{path.decode('utf-8', 'backslashreplace')}' is not a folder")

    def _keep(self, node_id: bytes, node: Node, size: int) -> None:
        if size > min(self._limit, _LARGE_NODE):
            return
        self._cache[node_id] = (node, size)
        self._size += size
        while self._size > self._limit:
            _, (_, dropped) = self._cache.popitem(last=False)
            self._size -= dropped


class LeafCursor:
    """The leaves of a tree in order, from the one that would hold *start* on."""

    def __init__(self, nodes: NodeReader, root: NodeId, start: bytes = ROOT_KEY) -> None:
        self._nodes: Final = nodes
        self._root: Final = root
        self._start: bytes | None = start
        self._stack: list[tuple[Inner, int]] = []
        """Nodes on the way down, each with the number of the child that comes next."""
        self._ahead: list[Leaf] = []

    def seek(self, start: bytes) -> None:
        """Go on with the leaf that would hold *start*."""
        self._start = start
        self._stack.clear()
        self._ahead.clear()

    def next(self, run: Fetcher, stop: bytes | None = None) -> Work[Leaf | None]:
        """Return the next leaf, or None after the last, or if the next begins at *stop* or later.

        Raises:
            IntegrityError: a node cannot be had. The next call goes on behind it.
        """
        if self._start is not None:
            node = yield from self._nodes.load_root(run, self._root)
            start, self._start = self._start, None
            if isinstance(node, Leaf):
                return node
            self._stack.append((node, node.child_for(start)))
            while (inner := self._stack[-1][0]).level > 1:
                parent, number = self._stack[-1]
                self._stack[-1] = (parent, number + 1)
                child = yield from self._nodes.load_child(run, inner, number)
                assert isinstance(child, Inner)  # noqa: S101 - its level is that of its parent less one
                self._stack.append((child, child.child_for(start)))
        if self._ahead:
            if stop is not None and self._ahead[-1].first_key >= stop:
                return None
            return self._ahead.pop()
        while self._stack:
            inner, number = self._stack[-1]
            if number >= len(inner.ids):
                self._stack.pop()
                continue
            if stop is not None and inner.keys[number] >= stop:
                return None
            if inner.level == 1:
                return (yield from self._leaves(run, inner, number, stop))
            self._stack[-1] = (inner, number + 1)
            child = yield from self._nodes.load_child(run, inner, number)
            assert isinstance(child, Inner)  # noqa: S101 - as above
            self._stack.append((child, 0))
        return None

    def _leaves(
        self, run: Fetcher, inner: Inner, number: int, stop: bytes | None
    ) -> Work[Leaf | None]:
        end = min(number + _READ_AHEAD, len(inner.ids))
        if stop is not None:
            end = bisect_left(inner.keys, stop, number + 1, end)
        path = shown(inner.keys[number])
        try:
            nodes = yield from self._nodes.load(run, inner.ids[number:end], path)
        except IntegrityError:
            # One of them is wrong: take them one by one, so that the others still come.
            end = number + 1
            self._stack[-1] = (inner, end)
            nodes = yield from self._nodes.load(run, inner.ids[number:end], path)
        self._stack[-1] = (inner, end)
        leaves: list[Leaf] = []
        for place, node in enumerate(nodes, number):
            leaf = self._nodes.checked(inner, place, node)
            assert isinstance(leaf, Leaf)  # noqa: S101 - a child of level 1 has level 0
            leaves.append(leaf)
        leaves.reverse()
        self._ahead = leaves
        return leaves.pop()


def entries_after(leaf: Leaf, after: bytes | None) -> Iterator[Entry]:
    """Return the entries of a leaf whose keys are above *after*."""
    for section in leaf.sections:
        if after is None:
            yield from section
            continue
        prefix = section.folder + b"\0"
        if prefix + section.names[-1] <= after:
            continue
        start = 0
        if prefix + section.names[0] <= after:
            names = section.names
            start = next(place for place, name in enumerate(names) if prefix + name > after)
        yield from islice(section, start, None)
