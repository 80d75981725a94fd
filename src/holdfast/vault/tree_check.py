"""Walk the trees of restore points, every node once, and hold the refs against what they reach."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from holdfast.base.errors import HoldfastError, IntegrityError, StorageError
from holdfast.base.ids import PackId, PointId, SessionId
from holdfast.core.python.branches import Extents, Inner
from holdfast.core.python.entries import EXTENT_MAP, ID_SIZE, LongValue
from holdfast.core.python.leaves import Leaf
from holdfast.core.python.nodes import check_child, decode_node
from holdfast.core.python.segments import PackCipher
from holdfast.core.python.segments import SessionKeys as SegmentKeys
from holdfast.crypto.hashing import keyed_hash
from holdfast.crypto.suites import SUITES
from holdfast.format import names
from holdfast.format.index_parts import LOCATOR_BYTES
from holdfast.format.packs import KIND_TREE, PackHeader, header_bytes
from holdfast.format.point import Point, PointRecord
from holdfast.keys.keyring import GroupKeys, ReadRing
from holdfast.storage.errors import ObjectMissingError
from holdfast.vault.check_errors import TreeError
from holdfast.vault.inventory import Finding
from holdfast.vault.objects import ObjectStore
from holdfast.vault.opened_index import OpenedIndex, Place
from holdfast.vault.relations import Relations
from holdfast.vault.report import ProblemKind

_BATCH: Final = 64
"""Nodes that are fetched together: 64 of at most 64 KiB by the vault's own rule."""
_DEPTH: Final = 16
_CIPHERS: Final = 256
_LONG_VALUES: Final = frozenset({1, 4, 5})
"""Fields of rare values that may stand in chunks: link target, holes, extended attributes."""


class Reach(NamedTuple):
    """The packs that a node reaches.

    *only* hold something that is in no other pack; of each of *either* one is enough, because the
    same chunk is in all of them.
    """

    only: frozenset[PackId]
    either: frozenset[tuple[PackId, ...]]


class TreeCheck:
    """Walks the trees of the points of one group. Nodes that several points share are read once."""

    def __init__(
        self,
        objects: ObjectStore,
        relations: Relations,
        ring: ReadRing,
        index: OpenedIndex,
    ) -> None:
        self._objects = objects
        self._relations = relations
        self._ring = ring
        self._index = index
        self._group: GroupKeys = ring.group(index.group_id)
        self._reached: dict[bytes, Reach] = {}
        self._kept: dict[Reach, Reach] = {}
        self._ciphers: dict[PackId, PackCipher] = {}
        self._keys: dict[tuple[SessionId, bytes], SegmentKeys] = {}
        self.findings: list[Finding] = []

    @property
    def nodes_read(self) -> int:
        """How many different nodes were walked."""
        return len(self._reached)

    def check(self, point_id: PointId, point: Point) -> None:
        """Walk one point's tree; what is wrong is added to the findings."""
        name = names.point_name(self._objects.vault_id, point_id)
        try:
            record = self._record(name, point)
            reach = self._walk([record.root_node], 0)
        except StorageError:
            raise
        except (_UnreachableError, HoldfastError) as error:
            # Of one that somebody forgot meanwhile, gc may take what it needs.
            if self._objects.exists(name):
                self.findings.append(
                    error.finding
                    if isinstance(error, _UnreachableError)
                    else Finding(name, ProblemKind.DAMAGED, error.message)
                )
            return
        self._compare(point_id, point, reach)

    # --- what a point needs -----------------------------------------------------------------------

    def _compare(self, point_id: PointId, point: Point, reach: Reach) -> None:
        needs = self._relations.needs.get(point.refs_hash)
        if needs is None or needs.open_sessions:
            return  # Said elsewhere: the refs cannot be understood whole.
        lacking = sorted(reach.only - needs.packs)
        open_choices = [packs for packs in reach.either if needs.packs.isdisjoint(packs)]
        allowed = reach.only.union(*reach.either)
        spare = sorted(needs.packs - allowed)
        name = names.refs_name(self._objects.vault_id, point.refs_hash)
        if lacking or open_choices:
            count = len(lacking) + len(open_choices)
            detail = f"They lack {count} packs that restore point {point_id.hex()} reaches."
            self.findings.append(Finding(name, ProblemKind.CONTRADICTION, detail))
        elif spare:
            detail = (
                f"They name {len(spare)} packs that restore point {point_id.hex()} never reads."
            )
            self.findings.append(Finding(name, ProblemKind.CONTRADICTION, detail))

    def _record(self, name: str, point: Point) -> PointRecord:
        standing = self._relations.inventory.standing_for(point.session_id, point.writer_id)
        if not standing:
            folder = names.sessions_prefix(self._objects.vault_id, point.session_id)
            raise _UnreachableError(
                Finding(folder, ProblemKind.MISSING, "A restore point is sealed under its key.")
            )
        loaded = self._objects.load(name, Point)
        context = b"".join(
            (
                b"point\0",
                self._objects.vault_id,
                point.writer_id,
                point.session_id,
                point.series_id,
                struct.pack(">Q", point.counter),
            )
        )
        opened = self._ring.open_in_session(
            (item.body for item in standing), context, loaded.stored.attachment
        )
        record = PointRecord.from_bytes(opened)
        record.check_against(self._objects.vault_id, point)
        return record

    # --- the walk ---------------------------------------------------------------------------------

    def _walk(self, nodes: Sequence[bytes], depth: int, parent: Inner | None = None) -> Reach:
        """Return what these nodes and all below them reach.

        What *parent* says of a child is compared when the child is read: a child that another
        tree shares was compared there, with a parent that said the same or is another node.
        """
        if depth > _DEPTH:
            raise TreeError("A tree is deeper than 16 levels.")
        new = [(number, node) for number, node in enumerate(nodes) if node not in self._reached]
        for start in range(0, len(new), _BATCH):
            numbers = {node: number for number, node in new[start : start + _BATCH]}
            for node_id, content, place in self._read(list(numbers)):
                if parent is not None:
                    if isinstance(content, Extents):
                        raise TreeError("A tree has an extent map where a node must be.")
                    check_child(parent, numbers[node_id], content)
                below = self._below(content, depth)
                self._remember(node_id, _union([below, self._of_places(place)]))
        return _union(self._reached[node] for node in nodes)

    def _below(self, content: Leaf | Inner | Extents, depth: int) -> Reach:
        if isinstance(content, Leaf):
            return self._below_leaf(content, depth)
        if isinstance(content, Extents) and content.level == 0:
            return self._chunks(content.ids)
        parent = content if isinstance(content, Inner) else None
        return self._walk(list(content.ids), depth + 1, parent)

    def _below_leaf(self, leaf: Leaf, depth: int) -> Reach:
        chunks: list[bytes] = []
        maps: list[bytes] = []
        for section in leaf.sections:
            for count, ids in zip(section.extent_counts, section.ids, strict=True):
                if count == EXTENT_MAP:
                    maps.append(ids)
                else:
                    chunks += _split(ids)
            for values in section.rare.values():
                for field, value in values:
                    if field in _LONG_VALUES:
                        chunks += LongValue.from_raw(value).ids
        return _union([self._chunks(chunks), self._walk(maps, depth + 1)])

    def _chunks(self, chunks: Iterable[bytes]) -> Reach:
        return _union(self._of_places(self._places(chunk)) for chunk in set(chunks))

    def _remember(self, node_id: bytes, reach: Reach) -> None:
        # Most nodes reach the same few packs: one tuple of them for all.
        self._reached[node_id] = self._kept.setdefault(reach, reach)

    # --- where things are -------------------------------------------------------------------------

    def _places(self, content_id: bytes) -> list[Place]:
        locator = keyed_hash(self._group.locator_key.reveal(), content_id)[:LOCATOR_BYTES]
        dropped = self._relations.dropped
        found = [place for place in self._index.places(locator) if place.pack_id not in dropped]
        if not found:
            folder = names.indexes_prefix(self._objects.vault_id, self._index.group_id)
            detail = f"No index object knows where {content_id.hex()} is."
            raise _UnreachableError(Finding(folder, ProblemKind.MISSING, detail))
        return found

    def _of_places(self, places: Sequence[Place]) -> Reach:
        packs = tuple(sorted({place.pack_id for place in places}))
        if len(packs) == 1:
            return Reach(frozenset(packs), frozenset())
        return Reach(frozenset(), frozenset((packs,)))

    def _read(
        self, nodes: Sequence[bytes]
    ) -> Iterator[tuple[bytes, Leaf | Inner | Extents, list[Place]]]:
        """Fetch, open, check and decode nodes; one request for each pack."""
        places = {node: self._places(node) for node in nodes}
        by_pack: dict[PackId, list[bytes]] = {}
        for node, found in places.items():
            here = next((item for item in found if self._is_stored(item.pack_id)), found[0])
            by_pack.setdefault(here.pack_id, []).append(node)
        for pack_id, wanted in by_pack.items():
            chosen = [
                next(item for item in places[node] if item.pack_id == pack_id) for node in wanted
            ]
            name = names.pack_name(self._objects.vault_id, pack_id)
            try:
                cipher = self._cipher(pack_id, chosen[0].session_id)
                parts = self._objects.get_ranges(
                    name, [(item.segment_offset, item.stored_length) for item in chosen]
                )
                for node, place, part in zip(wanted, chosen, parts, strict=True):
                    yield node, self._opened(node, place, part, cipher), places[node]
            except ObjectMissingError as error:
                raise _UnreachableError(
                    Finding(name, ProblemKind.MISSING, error.message)
                ) from error
            except IntegrityError as error:
                raise _UnreachableError(
                    Finding(name, ProblemKind.DAMAGED, error.message)
                ) from error

    def _is_stored(self, pack_id: PackId) -> bool:
        return pack_id in self._relations.inventory.packs

    def _opened(
        self, node: bytes, place: Place, stored: bytes, cipher: PackCipher
    ) -> Leaf | Inner | Extents:
        raw = cipher.open(
            KIND_TREE,
            place.segment,
            stored,
            raw_length=place.raw_length,
            compression=place.compression,
        )
        content = raw[place.offset : place.offset + place.length]
        if keyed_hash(self._group.node_id_key.reveal(), content) != node:
            raise TreeError(f"A node in segment {place.segment} is not the one of its id.")
        return decode_node(content)

    def _cipher(self, pack_id: PackId, session_id: SessionId) -> PackCipher:
        if pack_id not in self._ciphers:
            if len(self._ciphers) >= _CIPHERS:
                self._ciphers.clear()
            name = names.pack_name(self._objects.vault_id, pack_id)
            length = header_bytes(suite_is_none=not self._ring.is_sealed)
            (start,) = self._objects.get_ranges(name, [(0, length)])
            header = PackHeader.decode(start)
            self._ciphers[pack_id] = PackCipher(
                SUITES[header.suite],
                self._session_keys(session_id, header),
                vault_id=self._objects.vault_id,
                session_id=session_id,
                salt=header.salt,
            )
        return self._ciphers[pack_id]

    def _session_keys(self, session_id: SessionId, header: PackHeader) -> SegmentKeys:
        claim = session_id, header.commitment
        if claim not in self._keys:
            standing = self._relations.inventory.standing_for(session_id)
            opened = self._ring.pack_keys((item.body for item in standing), header)
            self._keys[claim] = SegmentKeys(opened.data, opened.tree)
        return self._keys[claim]


class _UnreachableError(Exception):
    """A tree cannot be walked on; the finding says which object is to blame."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.detail)
        self.finding = finding


def _split(ids: bytes) -> list[bytes]:
    return [ids[start : start + ID_SIZE] for start in range(0, len(ids), ID_SIZE)]


def _union(reaches: Iterable[Reach]) -> Reach:
    only: set[PackId] = set()
    either: set[tuple[PackId, ...]] = set()
    for reach in reaches:
        only |= reach.only
        either |= reach.either
    # A choice stays one even where something else needs one of its packs anyway: the writer may
    # have relied on another of them.
    return Reach(frozenset(only), frozenset(either))
