"""Tree nodes of all kinds: vault-format.md section 8."""

from typing import Final

from holdfast.core.errors import NodeError
from holdfast.core.face import Bytes
from holdfast.core.python.branches import (
    EXTENT_INNER,
    EXTENT_LEAF,
    INNER,
    Extents,
    Inner,
    extents_from,
    inner_from,
)
from holdfast.core.python.leaves import LEAF, NODE_SIZE, Leaf, leaf_from
from holdfast.format import cbor

Node = Leaf | Inner | Extents
_RESERVED: Final = (5, 6)


def decode_node(node: Bytes) -> Node:
    """Read a node of any kind.

    Raises:
        IntegrityError: *node* is not what an encoder writes.
    """
    if len(node) > NODE_SIZE:
        raise NodeError("a node is longer than 8 MiB")
    content = cbor.decode(node)
    if not isinstance(content, list) or not content or type(content[0]) is not int:
        raise NodeError("a node is not an array that begins with its kind")
    kind = content[0]
    if kind == LEAF:
        return leaf_from(content)
    if kind == INNER:
        return inner_from(content)
    if kind in {EXTENT_LEAF, EXTENT_INNER}:
        return extents_from(content)
    if kind in _RESERVED:
        raise NodeError(f"nodes of kind {kind} are reserved for disk images")
    raise NodeError(f"there are no nodes of kind {kind}")


def check_child(parent: Inner, number: int, child: Leaf | Inner) -> None:
    """Compare a child with what its parent says of it.

    Raises:
        NodeError: the level, the first key, or the number or size of entries differ, or keys of
            the child reach into the next one.
    """
    if isinstance(child, Leaf):
        level, last = 0, child.last_key
        entries, size = len(child), child.size_bytes
    else:
        level, last = child.level, child.keys[-1]
        entries, size = sum(child.entries), sum(child.sizes)
    if (
        level != parent.level - 1
        or child.first_key != parent.keys[number]
        or (entries, size) != (parent.entries[number], parent.sizes[number])
        or (number + 1 < len(parent.keys) and last >= parent.keys[number + 1])
    ):
        raise NodeError("a node of a tree is not what the node above it says")
