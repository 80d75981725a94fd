"""Trees: limits, long keys and what cannot be stored."""

import pytest

from holdfast.base.secrets import Secret
from holdfast.core import NodeRule
from holdfast.core.errors import EntryOrderError, NodeError
from holdfast.core.python.branches import Inner
from holdfast.core.python.entries import (
    FILE,
    FOLDER,
    Entry,
    LongValue,
    decode_holes,
    decode_xattrs,
    encode_holes,
    encode_xattrs,
    rare_values,
)
from holdfast.core.python.leaves import Leaf, decode_leaf
from holdfast.core.python.nodes import decode_node
from holdfast.core.python.pure import PureCalls
from holdfast.core.python.tree_builder import TreeBuilder

KEY = Secret(b"n" * 32)


def folder(name: bytes, inside: bytes = b"") -> Entry:
    return Entry(inside, name, FOLDER, 0o755, 0, 0, 0, 0, 0, 0)


def build(entries: list[Entry], rule: NodeRule = NodeRule()) -> list[tuple[int, bytes]]:  # noqa: B008 - it is frozen
    nodes: list[tuple[int, bytes]] = []
    builder = TreeBuilder(KEY, rule, lambda level, node, _identity: nodes.append((level, node)))
    for entry in entries:
        builder.add(entry)
    builder.finish()
    return nodes


def test_the_root_alone_is_a_tree_of_one_leaf() -> None:
    [(level, node)] = build([folder(b"")])

    assert level == 0
    assert [entry.key for entry in decode_leaf(node)] == [b"\0"]


def test_leaves_keep_the_limits_of_entries_and_cost() -> None:
    names = sorted(b"%d" % number for number in range(3000))
    leaves = [decode_leaf(node) for level, node in build([folder(n) for n in names]) if level == 0]

    assert sum(map(len, leaves)) == 3000
    assert all(16 <= len(leaf) <= 256 for leaf in leaves[:-1])

    rule = NodeRule(16, 16, 256, 5000)
    costs = [
        sum(96 + len(name) for name in leaf.names()) + 64
        for leaf in (
            decode_leaf(node)
            for level, node in build([folder(n) for n in names], rule)
            if not level
        )
    ]
    assert all(4800 < cost <= 5000 for cost in costs[:-1])


def test_keys_longer_than_a_node_may_cost_still_make_a_tree_that_ends() -> None:
    """Every node above the leaves has two children at least, or levels would never end."""
    inside = b"x" * 4096 + b"\0"
    deep = [folder(b"n", b"%03d\0" % number + inside * 20) for number in range(20)]
    nodes = build(deep)

    assert max(level for level, _ in nodes) <= 5
    assert all(
        len(node.keys) >= 2
        for node in (decode_node(node) for level, node in nodes[:-3] if level)
        if isinstance(node, Inner) and node.level == 1
    )


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [folder(b"b"), folder(b"a")],
        [folder(b"a"), folder(b"a")],
        [folder(b"a/b")],
        [folder(b"..")],
        [folder(b"a", b"no end")],
        [folder(b"a" * 4097)],
        [folder(b"a")._replace(mode=0o10000, uid=-1)],
        [
            Entry(b"", b"f", FILE, 0, 0, 0, 0, 0, 0, 0)._replace(
                rare=rare_values(holes=LongValue(1 << 28, None, (bytes(32),) * 512))
            )
        ],
    ],
)
def test_what_no_tree_can_hold_is_refused(entries: list[Entry]) -> None:
    with pytest.raises(EntryOrderError):
        build(entries)


def test_holes_and_extended_attributes_come_back() -> None:
    holes = [(0, 4096), (8192, 1)]
    attributes = [(b"user.b", b""), (b"user.a", b"\0\xff")]

    assert decode_holes(encode_holes(holes), 8193) == holes
    assert decode_xattrs(encode_xattrs(attributes)) == sorted(attributes)
    for wrong in ([], [(0, 0)], [(0, 5), (5, 1)], [(9, 1), (0, 1)], [(8192, 2)]):
        with pytest.raises(NodeError):
            decode_holes(encode_holes(wrong), 8193)


def test_a_sparse_file_knows_what_is_stored_of_it() -> None:
    entry = Entry(b"", b"f", FILE, 0o600, 0, 0, 0, 0, 0, 100, 1, b"i" * 32, (), ())
    sparse = entry._replace(rare=rare_values(holes=LongValue.of(encode_holes([(10, 50)]))))

    assert entry.extents == ((b"i" * 32, 100),)
    assert sparse.extents == ((b"i" * 32, 50),)


def test_the_pure_call_builds_the_same_tree_out_of_leaves() -> None:
    names = sorted(b"%d" % number for number in range(500))
    nodes = [node for _, node in build([folder(name) for name in names])]
    leaves = [node for node in nodes if isinstance(decode_node(node), Leaf)]
    packed = b"".join(len(leaf).to_bytes(4, "big") + leaf for leaf in leaves)

    assert PureCalls().encode_nodes(packed, KEY, NodeRule()) == nodes
