"""Trees: for all sets of entries, in whatever way they came to be."""

from collections.abc import Iterable

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.base.errors import HoldfastError
from holdfast.base.secrets import Secret
from holdfast.core import NodeRule
from holdfast.core.python.branches import Extents, Inner
from holdfast.core.python.entries import (
    EXTENT_MAP,
    FILE,
    FOLDER,
    SYMLINK,
    Entry,
    LongValue,
    rare_values,
)
from holdfast.core.python.leaves import Columns, Leaf, encode_leaf
from holdfast.core.python.nodes import check_child, decode_node
from holdfast.core.python.tree_builder import ExtentMapBuilder, TreeBuilder

KEY = Secret(bytes(range(32)))
RULES = st.sampled_from(
    [NodeRule(), NodeRule(1, 2, 4, 65536), NodeRule(2, 3, 8, 700), NodeRule(3, 2, 64, 1500)]
)

components = st.binary(min_size=1, max_size=12).filter(
    lambda name: name not in {b".", b".."} and b"/" not in name and b"\0" not in name
)
folders = st.lists(components, max_size=3).map(
    lambda parts: b"".join(part + b"\0" for part in parts)
)
ids = st.binary(min_size=32, max_size=32)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    folder = draw(folders)
    kind = draw(st.sampled_from([FILE, FILE, FOLDER, SYMLINK]))
    size, count, chunks, lengths = 0, 0, b"", ()
    rare = ()
    if kind == FILE:
        count = draw(st.sampled_from([0, 1, 1, 2, 5, EXTENT_MAP]))
        if count == EXTENT_MAP:
            size, chunks = 1 << 30, draw(ids)
        else:
            lengths = tuple(draw(st.integers(1, 1 << 20)) for _ in range(count))
            size, chunks = sum(lengths), b"".join(draw(ids) for _ in range(count))
            lengths = lengths if count > 1 else ()
        if draw(st.booleans()):
            rare = rare_values(hard_link_group=draw(st.binary(min_size=8, max_size=8)))
    if kind == SYMLINK:
        rare = rare_values(
            link_target=LongValue.of(draw(st.binary(max_size=30))),
            xattrs=LongValue(600_000, None, (draw(ids), draw(ids))),
        )
    stamp = st.integers(-(2**63), 2**63 - 1)
    numbers = st.integers(0, 3)
    return Entry(
        folder,
        draw(components),
        kind,
        draw(st.integers(0, 0o7777)),
        draw(numbers),
        draw(numbers),
        draw(stamp),
        draw(stamp),
        draw(st.integers(0, 2**64 - 1)),
        size,
        count,
        chunks,
        lengths,
        rare,
    )


sets = st.lists(entries(), min_size=1, max_size=60, unique_by=lambda entry: entry.key).map(
    lambda found: sorted(found, key=lambda entry: entry.key)
)


class Nodes(dict[bytes, tuple[int, bytes]]):
    """Keeps what a builder emits, by node id."""

    def emit(self, level: int, node: bytes, identity: bytes) -> None:
        self[identity] = (level, node)

    def builder(self, rule: NodeRule) -> TreeBuilder:
        return TreeBuilder(KEY, rule, self.emit, users={0: b"root", 2: b"u"}, groups={1: b"g"})

    def build(self, items: Iterable[Entry], rule: NodeRule) -> bytes:
        builder = self.builder(rule)
        for item in items:
            builder.add(item)
        return builder.finish()

    def walk(self, root: bytes) -> list[Entry]:
        node = decode_node(self[root][1])
        if isinstance(node, Leaf):
            return list(node)
        assert isinstance(node, Inner)
        found: list[Entry] = []
        for number, child in enumerate(node.ids):
            below = decode_node(self[child][1])
            assert not isinstance(below, Extents)
            check_child(node, number, below)
            found += self.walk(child)
        return found

    def find(self, root: bytes, entry: Entry) -> Entry | None:
        node = decode_node(self[root][1])
        while isinstance(node, Inner):
            node = decode_node(self[node.ids[node.child_for(entry.key)]][1])
        assert isinstance(node, Leaf)
        return node.find(entry.folder, entry.name)


@given(sets, RULES)
@settings(max_examples=80, deadline=None)
def test_a_tree_holds_what_went_in_and_finds_every_entry(
    items: list[Entry], rule: NodeRule
) -> None:
    nodes = Nodes()
    root = nodes.build(items, rule)

    assert nodes.walk(root) == items
    assert all(nodes.find(root, item) == item for item in items)


@given(sets, RULES, st.data())
@settings(max_examples=80, deadline=None)
def test_equal_sets_of_entries_give_equal_roots_in_any_history(
    items: list[Entry], rule: NodeRule, data: st.DataObject
) -> None:
    """One by one, in batches, or out of leaves of another tree where these can be reused."""
    nodes = Nodes()
    root = nodes.build(items, rule)
    in_batches = nodes.builder(rule)
    batch: Columns | None = None
    for item in items:
        if batch is None or batch.folder != item.folder or data.draw(st.booleans()):
            if batch is not None:
                in_batches.add_many(batch)
            batch = Columns(item.folder)
        batch.append(item)
    assert batch is not None
    in_batches.add_many(batch)

    assert in_batches.finish() == root

    removed = set(data.draw(st.lists(st.sampled_from(items), max_size=3)))
    older = [item for item in items if item not in removed] or items
    before = Nodes()
    before.build(older, rule)
    leaves = [
        (leaf, node, identity)
        for identity, (level, node) in before.items()
        if level == 0 and isinstance(leaf := decode_node(node), Leaf)
    ]
    again = nodes.builder(rule)
    waiting = list(items)
    while waiting:
        fitting = [part for part in leaves if list(part[0]) == waiting[: len(part[0])]]
        if fitting and again.reuse(*fitting[0]):
            waiting = waiting[len(fitting[0][0]) :]
        else:
            again.add(waiting.pop(0))

    assert again.finish() == root


@given(st.lists(st.tuples(ids, st.integers(1, 1 << 22)), min_size=1, max_size=300), RULES)
@settings(max_examples=60, deadline=None)
def test_an_extent_map_holds_all_chunks_in_order(
    chunks: list[tuple[bytes, int]], rule: NodeRule
) -> None:
    nodes = Nodes()
    builder = ExtentMapBuilder(KEY, rule, nodes.emit)
    for chunk_id, length in chunks:
        builder.add(chunk_id, length)
    root = builder.finish()

    def walk(identity: bytes) -> list[tuple[bytes, int]]:
        node = decode_node(nodes[identity][1])
        assert isinstance(node, Extents)
        pairs = list(zip(node.ids, node.lengths, strict=True))
        if node.level == 0:
            return pairs
        found = []
        for child, length in pairs:
            below = walk(child)
            assert sum(size for _, size in below) == length
            found += below
        return found

    assert walk(root) == chunks


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_only_ever_raise_our_own_error(data: bytes) -> None:
    try:
        decode_node(data)
    except HoldfastError:
        pass


@given(sets, st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_node_is_refused_or_read_back_as_itself(
    items: list[Entry], data: st.DataObject
) -> None:
    """Whatever a decoder accepts, an encoder writes in exactly these bytes."""
    nodes = Nodes()
    nodes.build(items, NodeRule())
    node = bytearray(data.draw(st.sampled_from([node for _, node in nodes.values()])))
    for _ in range(data.draw(st.integers(1, 3))):
        node[data.draw(st.integers(0, len(node) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = decode_node(bytes(node))
        if isinstance(read, Leaf):
            for entry in read:
                _ = entry.extents, entry.link_target, entry.holes, entry.xattrs, entry.device
    except HoldfastError:
        return
    if isinstance(read, Leaf):
        again = encode_leaf([s.columns() for s in read.sections], read.users, read.groups)
        assert again == bytes(node)
