"""Building trees as entries come, in key order: vault-format.md 8.2, *Cuts*.

Where nodes end depends on keys alone (but at the limits), so equal sets of entries give equal
trees, whatever was there before.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import lt
from typing import Final

from blake3 import blake3

from holdfast.base.ids import NodeId
from holdfast.base.secrets import Secret
from holdfast.core.errors import EntryOrderError
from holdfast.core.face import NodeRule
from holdfast.core.python.branches import (
    HIGHEST_LEVEL,
    Extents,
    Inner,
    encode_extents,
    encode_inner,
)
from holdfast.core.python.entries import ENTRY_SIZE, EXTENTS_INLINE, Entry
from holdfast.core.python.leaf_columns import Columns, encode_leaf, rare_cost
from holdfast.core.python.leaves import Leaf

Emit = Callable[[int, bytes, bytes], None]
"""Takes (level, node, node id), children before their parents."""

_ENTRY_COST: Final = 96
_ID_COST: Final = 36
_SECTION_COST: Final = 64
_CHILD_COST: Final = 64
_BATCH: Final = 256
_FEWEST_CHILDREN: Final = 2
_RARE_LIMIT: Final = ENTRY_SIZE - 64 - _ID_COST * EXTENTS_INLINE


def boundary_key(node_id_key: Secret) -> bytes:
    """Return the key under which entries decide where nodes end (4.5)."""
    return blake3(b"holdfast/0 boundary", key=node_id_key.reveal()).digest()


def hard_link_key(node_id_key: Secret) -> bytes:
    """Return the key of hard-link groups (4.5)."""
    return blake3(b"holdfast/0 hard link", key=node_id_key.reveal()).digest()


def node_id(node_id_key: Secret, node: bytes) -> NodeId:
    """Return the id of a node (6.3)."""
    return NodeId(blake3(node, key=node_id_key.reveal()).digest())


def _threshold(bits: int) -> bytes:
    # A digest is below this, compared as bytes, exactly if its first four bytes are below
    # 2^(32 - bits); with no bits every digest is.
    return (1 << (32 - bits)).to_bytes(4, "big") if bits else b"\xff" * 33


@dataclass(slots=True)
class _Level:
    """Children that wait for their parent to be complete."""

    keys: list[bytes] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    entries: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    cost: int = 0
    is_closed: bool = False
    """A cut came after the last child. The node is made only when another child follows: a
    single child of all is the root itself, and has no node above it."""
    has_emitted: bool = False


class TreeBuilder:
    """Makes the nodes of one tree.

    *users* and *groups* are asked for the names of the owners in a leaf when it is complete.
    """

    def __init__(
        self,
        node_id_key: Secret,
        rule: NodeRule,
        emit: Emit,
        *,
        users: Mapping[int, bytes] | None = None,
        groups: Mapping[int, bytes] | None = None,
    ) -> None:
        self._node_id_key: Final = node_id_key
        self._rule: Final = rule
        self._emit: Final = emit
        self._users: Final = {} if users is None else users
        self._groups: Final = {} if groups is None else groups
        # One hasher that is reset costs half of a new one for each key.
        self._hasher: Final = blake3(key=boundary_key(node_id_key))
        self._threshold: Final = _threshold(rule.bits)
        self._batch: Columns | None = None
        self._parts: list[tuple[Columns, int, int]] = []
        self._count = 0
        self._cost = 0
        self._last = b""
        self._levels: list[_Level] = []

    def add(self, entry: Entry) -> None:
        """Take the next entry.

        Raises:
            EntryOrderError: it does not come after the one before, or no leaf can hold it.
        """
        batch = self._batch
        if batch is None or batch.folder != entry.folder or len(batch) >= _BATCH:
            self._take_batch()
            batch = self._batch = Columns(entry.folder)
        batch.append(entry)

    def add_many(self, columns: Columns) -> None:
        """Take the next entries, all of one folder. *columns* must not change afterwards.

        Raises:
            EntryOrderError: they do not ascend, or no leaf can hold one of them.
        """
        self._take_batch()
        self._take(columns)

    def reuse(self, leaf: Leaf, node: bytes, known_id: bytes) -> bool:
        """Take all entries of *leaf* by emitting its node again, as it is.

        Only if a node begins here and *leaf* ends for a reason of its own, whatever follows:
        then it is what the entries themselves would give. Owners are not compared with the
        tables of this builder. False: nothing was taken, add the entries instead.
        """
        self._take_batch()
        count = len(leaf)
        key = leaf.last_key
        if self._count or not (
            count >= self._rule.maximum_entries
            or (count >= self._rule.minimum_entries and self._is_cut(0, key))
        ):
            return False
        self._check_next(leaf.first_key)
        self._last = key
        self._emit(0, node, known_id)
        self._push(1, leaf.first_key, known_id, count, leaf.size_bytes)
        return True

    def finish(self) -> NodeId:
        """Make the nodes that are open and return the id of the root.

        Raises:
            EntryOrderError: there was no entry at all.
        """
        self._take_batch()
        if self._count:
            self._end_leaf()
        if not self._levels:
            raise EntryOrderError("a tree has at least the entry of its root")
        level = 1
        while True:
            waiting = self._levels[level - 1]
            if not waiting.has_emitted and len(waiting.ids) == 1:
                return NodeId(waiting.ids[0])
            self._end_inner(level)
            level += 1

    # --- leaves -------------------------------------------------------------------------------

    def _is_cut(self, level: int, key: bytes) -> bool:
        self._hasher.reset()
        self._hasher.update(bytes([level]) + key)
        return self._hasher.digest() < self._threshold

    def _check_next(self, key: bytes) -> None:
        if key <= self._last:
            raise EntryOrderError("the entries of a tree do not ascend")

    def _take_batch(self) -> None:
        batch, self._batch = self._batch, None
        if batch is not None:
            self._take(batch)

    def _take(self, columns: Columns) -> None:  # noqa: C901 - the cut rule is one loop: a call an entry costs more than its hash
        names = columns.names
        if not names:
            return
        key = columns.folder + b"\0"
        self._check_next(key + names[0])
        if not all(map(lt, names, names[1:])):
            raise EntryOrderError("the entries of a tree do not ascend")
        self._last = key + names[-1]

        maximum_cost = self._rule.maximum_cost
        minimum, maximum = self._rule.minimum_entries, self._rule.maximum_entries
        hasher, threshold, rare = self._hasher, self._threshold, columns.rare
        prefix = b"\0" + key  # level 0
        section_cost = _SECTION_COST + len(columns.folder)
        start = 0
        count, cost = self._count, self._cost
        if not self._parts or self._parts[-1][0].folder != columns.folder:
            cost += section_cost
        for position, (name, ids) in enumerate(zip(names, columns.ids, strict=True)):
            item = _ENTRY_COST + len(name) + _ID_COST * (len(ids) >> 5)
            if rare and position in rare:
                extra = rare_cost(rare[position])
                if extra > _RARE_LIMIT:
                    raise EntryOrderError(f"the entry {name!r} has more than a leaf can hold")
                item += extra
            if count and cost + item > maximum_cost:
                if position > start:
                    self._parts.append((columns, start, position))
                self._end_leaf()
                start, count, cost = position, 0, section_cost
            count += 1
            cost += item
            if count < minimum:
                continue
            if count < maximum:
                hasher.reset()
                hasher.update(prefix + name)
                if hasher.digest() >= threshold:
                    continue
            self._parts.append((columns, start, position + 1))
            self._end_leaf()
            start, count, cost = position + 1, 0, section_cost
        if start < len(names):
            self._parts.append((columns, start, len(names)))
        self._count, self._cost = count, cost if count else 0

    def _end_leaf(self) -> None:
        sections: list[Columns] = []
        for columns, start, stop in self._parts:
            if (
                start == 0
                and stop == len(columns)
                and (not sections or sections[-1].folder != columns.folder)
            ):
                sections.append(columns)
                continue
            if not sections or sections[-1].folder != columns.folder:
                sections.append(Columns(columns.folder))
            elif any(sections[-1] is part[0] for part in self._parts):
                # What was handed in is not changed: go on in a copy.
                whole = sections[-1]
                sections[-1] = Columns(columns.folder)
                sections[-1].extend(whole, 0, len(whole))
            sections[-1].extend(columns, start, stop)
        self._parts = []
        self._count = self._cost = 0
        node = encode_leaf(sections, self._users, self._groups)
        identity = node_id(self._node_id_key, node)
        self._emit(0, node, identity)
        self._push(
            1,
            sections[0].folder + b"\0" + sections[0].names[0],
            identity,
            sum(map(len, sections)),
            sum(sum(section.sizes) for section in sections),
        )

    # --- levels above -------------------------------------------------------------------------

    def _push(self, level: int, key: bytes, identity: bytes, entries: int, size: int) -> None:
        if level > HIGHEST_LEVEL + 1:
            raise EntryOrderError("a tree would have more than 16 levels")
        if level > len(self._levels):
            self._levels.append(_Level())
        waiting = self._levels[level - 1]
        cost = _CHILD_COST + len(key)
        # A node has at least two children, however long their keys are: else levels would never
        # come to an end.
        if waiting.is_closed or (
            len(waiting.ids) >= _FEWEST_CHILDREN and waiting.cost + cost > self._rule.maximum_cost
        ):
            self._end_inner(level)
            waiting = self._levels[level - 1]
        waiting.keys.append(key)
        waiting.ids.append(identity)
        waiting.entries.append(entries)
        waiting.sizes.append(size)
        waiting.cost += cost
        count = len(waiting.ids)
        waiting.is_closed = count >= self._rule.maximum_entries or (
            count >= self._rule.minimum_entries and self._is_cut(level, key)
        )

    def _end_inner(self, level: int) -> None:
        waiting = self._levels[level - 1]
        self._levels[level - 1] = _Level(has_emitted=True)
        inner = Inner(level, waiting.keys, waiting.ids, waiting.entries, waiting.sizes)
        node = encode_inner(inner)
        identity = node_id(self._node_id_key, node)
        self._emit(level, node, identity)
        self._push(level + 1, inner.first_key, identity, sum(inner.entries), sum(inner.sizes))


@dataclass(slots=True)
class _ExtentLevel:
    ids: list[bytes] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    is_closed: bool = False
    has_emitted: bool = False


class ExtentMapBuilder:
    """Makes the extent map of one file of more than 16 chunks."""

    def __init__(self, node_id_key: Secret, rule: NodeRule, emit: Emit) -> None:
        self._node_id_key: Final = node_id_key
        self._rule: Final = rule
        self._emit: Final = emit
        self._threshold: Final = _threshold(rule.bits)
        self._levels: list[_ExtentLevel] = [_ExtentLevel()]

    def add(self, chunk_id: bytes, length: int) -> None:
        """Take the next chunk of the file."""
        self._push(0, chunk_id, length)

    def finish(self) -> NodeId:
        """Make the nodes that are open and return the id of the root.

        Raises:
            EntryOrderError: there was no chunk at all.
        """
        if not self._levels[0].ids:
            raise EntryOrderError("an extent map has at least one chunk")
        level = 0
        while True:
            waiting = self._levels[level]
            if level and not waiting.has_emitted and len(waiting.ids) == 1:
                return NodeId(waiting.ids[0])
            self._end(level)
            level += 1

    def _push(self, level: int, identity: bytes, length: int) -> None:
        if level > HIGHEST_LEVEL + 1:
            raise EntryOrderError("an extent map would have more than 16 levels")
        if level == len(self._levels):
            self._levels.append(_ExtentLevel())
        if self._levels[level].is_closed:
            self._end(level)
        waiting = self._levels[level]
        waiting.ids.append(identity)
        waiting.lengths.append(length)
        count = len(waiting.ids)
        waiting.is_closed = count >= self._rule.maximum_entries or (
            count >= self._rule.minimum_entries and identity < self._threshold
        )

    def _end(self, level: int) -> None:
        waiting = self._levels[level]
        self._levels[level] = _ExtentLevel(has_emitted=True)
        node = encode_extents(Extents(level, waiting.ids, waiting.lengths))
        identity = node_id(self._node_id_key, node)
        self._emit(level, node, identity)
        self._push(level + 1, identity, sum(waiting.lengths))
