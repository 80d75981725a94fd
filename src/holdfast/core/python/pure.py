"""The six pure batch calls of the engine's face: what vectors judge an engine by."""

import struct
from collections.abc import Sequence
from typing import Final

from blake3 import blake3

from holdfast.base.secrets import Secret
from holdfast.core.errors import NodeError
from holdfast.core.face import Bytes, NodeRule, Parameters
from holdfast.core.python import chunker
from holdfast.core.python.leaves import Leaf, decode_leaf
from holdfast.core.python.segments import open_batch, seal_batch
from holdfast.core.python.tree_builder import TreeBuilder

_LENGTH: Final = struct.Struct(">I")


class PureCalls:
    """Everything of an `Engine` that needs no index and no source."""

    def cut(self, data: Bytes, key: Secret, parameters: Parameters) -> Sequence[int]:
        """Return the lengths of the chunks of *data*, a whole file, in order (6.4)."""
        return chunker.cut(data, key, parameters)

    def chunk_ids(self, chunks: Sequence[Bytes], key: Secret) -> bytes:
        """Return the ids of *chunks* under the chunk id or node id key, joined (6.3)."""
        value = key.reveal()
        return b"".join(blake3(chunk, key=value).digest() for chunk in chunks)

    def seal(
        self,
        key: Secret,
        suite: str,
        first_number: int,
        segments: Sequence[Bytes],
        associated: Sequence[bytes],
    ) -> Sequence[bytes]:
        """Seal neighbouring segments of one pack and kind (6.2); *key* is their pack key."""
        return seal_batch(key, suite, first_number, segments, associated)

    def open(
        self,
        key: Secret,
        suite: str,
        first_number: int,
        segments: Sequence[Bytes],
        associated: Sequence[bytes],
    ) -> Sequence[bytes]:
        """Open what `seal` made."""
        return open_batch(key, suite, first_number, segments, associated)

    def encode_nodes(self, entries: bytes, node_id_key: Secret, rule: NodeRule) -> Sequence[bytes]:
        """Return all nodes of a tree, children before parents; see `Engine.encode_nodes`.

        Raises:
            IntegrityError: *entries* are not leaves, each after its length.
        """
        nodes: list[bytes] = []
        users: dict[int, bytes] = {}
        groups: dict[int, bytes] = {}
        builder = TreeBuilder(
            node_id_key,
            rule,
            lambda _level, node, _identity: nodes.append(node),
            users=users,
            groups=groups,
        )
        start = 0
        while start < len(entries):
            if len(entries) < start + _LENGTH.size:
                raise NodeError("the length of a leaf is cut off")
            (length,) = _LENGTH.unpack_from(entries, start)
            start += _LENGTH.size
            leaf = decode_leaf(entries[start : start + length])
            start += length
            users |= leaf.users
            groups |= leaf.groups
            for section in leaf.sections:
                builder.add_many(section.columns())
        builder.finish()
        return nodes

    def decode_node(self, node: Bytes) -> Leaf:
        """Read one leaf.

        Raises:
            IntegrityError: *node* is not what an encoder writes.
        """
        return decode_leaf(node)
