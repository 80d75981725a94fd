"""The packs of a session: their places, packlists and index objects (vault-format.md 5.8, 7)."""

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.base.ids import IndexId, PackId, SessionId
from holdfast.base.secrets import Secret
from holdfast.base.sizes import GIB
from holdfast.core import WrittenPack
from holdfast.crypto.boxes import seal_padded_box
from holdfast.format import frames, names
from holdfast.format.index_body import IndexBody, Owner, PositionsKey
from holdfast.format.index_parts import LOCATOR_BYTES, PACKS_LIMIT, POSITIONS_ROW, PRESENCE_ROW
from holdfast.format.session import (
    CONTENT_BOTH,
    CONTENT_DATA,
    CONTENT_TREE,
    PACKLIST_LIMIT,
    Packlist,
)
from holdfast.vault.objects import ObjectStore
from holdfast.vault.states import WritableVault

CHECKPOINT_BYTES: Final = GIB
CHECKPOINT_SECONDS: Final = 300.0
_CHECKPOINT_SHARE: Final = 8
"""A checkpoint holds at least this part of what is indexed, so that there are few of them."""

_CONTENTS: Final = {"data": CONTENT_DATA, "tree": CONTENT_TREE, "both": CONTENT_BOTH}
_ROW_BYTES: Final = PRESENCE_ROW + POSITIONS_ROW
_PAIR: Final = struct.Struct(">II")
_COMPRESSION_SHIFT: Final = 31
_PADDING: Final = 1.12
"""Padme adds at most 12 per cent."""
_PER_PACK_BYTES: Final = 64
_NONCE_BYTES: Final = 16


class SessionPacks:
    """Numbers a session's packs in the order in which they come, lists and indexes them."""

    def __init__(
        self,
        vault: WritableVault,
        objects: ObjectStore,
        session_id: SessionId,
        tree_key: Secret,
    ) -> None:
        self._vault = vault
        self._objects = objects
        self._session_id = session_id
        self._tree_key = tree_key
        self._packs: list[WrittenPack] = []
        self._waiting: set[PackId] = set()
        self._positions: dict[PackId, int] = {}
        self._listed = 0
        self._indexed = 0
        self._indexed_bytes = 0
        self._checkpoints: list[IndexId] = []
        self._checked_at = objects.clock.monotonic_seconds()

    @property
    def positions(self) -> dict[PackId, int]:
        """The place of each pack in the session."""
        return self._positions

    def add(self, pack: WrittenPack) -> None:
        """Number a pack that is on its way to the storage."""
        self._positions[pack.pack_id] = len(self._packs)
        self._packs.append(pack)
        self._waiting.add(pack.pack_id)

    def stored(self, pack_id: PackId) -> None:
        """Take note that a pack is durable; only such packs are listed and indexed (W2)."""
        self._waiting.discard(pack_id)

    def hurry(self) -> None:
        """Ask the storage once only from now on: somebody wants to stop."""
        self._objects = self._objects.impatient()

    def checkpoint(self) -> None:
        """Index what is stored so far, if it is worth it: after 1 GiB or five minutes."""
        now = self._objects.clock.monotonic_seconds()
        ready = self._packs[self._indexed : self._ready()]
        size = sum(pack.stored_bytes for pack in ready)
        is_due = size >= CHECKPOINT_BYTES or now - self._checked_at >= CHECKPOINT_SECONDS
        if ready and is_due and size * _CHECKPOINT_SHARE >= self._indexed_bytes:
            self._list_packs(self._ready())
            self._index(ready)
            self._checked_at = now

    def finish(self) -> None:
        """List and index all packs that are stored.

        If all of them fit into one index object, it replaces the checkpoints; otherwise they stay,
        and a merge joins them later.
        """
        ready = self._ready()
        self._list_packs(ready)
        left = self._packs[self._indexed : ready]
        if not left:
            return
        whole = self._packs[:ready]
        if self._checkpoints and len(whole) <= PACKS_LIMIT and _size(whole) <= self._limit:
            checkpoints, self._checkpoints = self._checkpoints, []
            self._index(whole, replaces=checkpoints)
        else:
            self._index(left)

    @property
    def _limit(self) -> int:
        return self._vault.body.index_bytes

    def _ready(self) -> int:
        """Return how many packs from the first one on are stored without a gap."""
        for number, pack in enumerate(self._packs[self._indexed :], self._indexed):
            if pack.pack_id in self._waiting:
                return number
        return len(self._packs)

    def _list_packs(self, end: int) -> None:
        for first in range(self._listed, end, PACKLIST_LIMIT):
            packs = self._packs[first : min(first + PACKLIST_LIMIT, end)]
            body = Packlist(
                session_id=self._session_id,
                writer_id=self._vault.writer_id,
                first_position=first,
                pack_ids=tuple(pack.pack_id for pack in packs),
                sizes=tuple(pack.stored_bytes for pack in packs),
                contents=tuple(_CONTENTS[pack.kind] for pack in packs),
            )
            data = self._built(frames.KIND_PACKLIST, body)
            name = names.packlist_name(
                self._vault.vault_id, self._session_id, frames.object_hash(data)
            )
            self._objects.put(name, data)
            self._listed = first + len(packs)

    def _index(self, packs: Sequence[WrittenPack], *, replaces: Collection[IndexId] = ()) -> None:
        for part in self._split(packs):
            parts = index_parts(part)
            data = self._sealed(part, parts, replaces)
            index_id = IndexId(frames.object_hash(data))
            group_id = self._vault.ring.group_id
            self._objects.put(names.index_name(self._vault.vault_id, group_id, index_id), data)
            self._checkpoints.append(index_id)
        last = self._positions[packs[-1].pack_id] + 1
        self._indexed = last
        self._indexed_bytes = sum(pack.stored_bytes for pack in self._packs[:last])

    def _split(self, packs: Sequence[WrittenPack]) -> list[list[WrittenPack]]:
        """Cut a run of packs into objects that keep the vault's limit; each has a pack at least."""
        parts: list[list[WrittenPack]] = [[]]
        size = 0
        for pack in packs:
            more = _size([pack])
            if parts[-1] and (size + more > self._limit or len(parts[-1]) == PACKS_LIMIT):
                parts.append([])
                size = 0
            parts[-1].append(pack)
            size += more
        return parts

    def _sealed(
        self, packs: Sequence[WrittenPack], parts: "IndexParts", replaces: Collection[IndexId]
    ) -> bytes:
        ring, random = self._vault.ring, self._vault.machine.random
        bound = b"".join((self._vault.vault_id, ring.group_id, ring.epoch.to_bytes(4, "big")))
        is_sealed = self._vault.is_sealed
        presence = seal_padded_box(
            ring.index_key, b"index presence\0" + bound, parts.presence, random, sealed=is_sealed
        )
        positions = seal_padded_box(
            self._tree_key,
            b"index positions\0" + bound,
            parts.positions,
            random,
            sealed=is_sealed,
        )
        body = IndexBody(
            group_id=ring.group_id,
            epoch=ring.epoch,
            session_id=self._session_id,
            writer_id=ring.writer_id,
            pack_ids=tuple(pack.pack_id for pack in packs),
            owners=(
                Owner(session_id=self._session_id, writer_id=ring.writer_id, count=len(packs)),
            ),
            row_count=len(parts.presence) // PRESENCE_ROW,
            presence_length=len(presence),
            replaces=tuple(sorted(replaces)),
            positions_key=PositionsKey.SESSION,
            nonce=random.take(_NONCE_BYTES),
        )
        return self._built(frames.KIND_INDEX, body, presence + positions)

    def _built(self, kind: int, body: IndexBody | Packlist, attachment: bytes = b"") -> bytes:
        return frames.build(
            kind,
            body.to_body(),
            attachment=attachment,
            sign=self._vault.ring.sign,
            vault_id=self._vault.vault_id,
        )


@dataclass(frozen=True, slots=True)
class IndexParts:
    """The plaintexts of an index object."""

    presence: bytes
    positions: bytes


def _size(packs: Sequence[WrittenPack]) -> int:
    """Return about how large the index object of *packs* is, at most."""
    content = sum(len(pack.index_table) + _PAIR.size * (1 + len(pack.segments)) for pack in packs)
    return int(content * _PADDING) + _PER_PACK_BYTES * len(packs)


def index_parts(packs: Sequence[WrittenPack]) -> IndexParts:
    """Join the rows that the engine made for each pack; the first pack is number 0."""
    rows: list[bytes] = []
    for number, pack in enumerate(packs):
        place = number.to_bytes(4, "big")
        table = pack.index_table
        rows += [
            table[start : start + LOCATOR_BYTES]
            + place
            + table[start + LOCATOR_BYTES + 4 : start + _ROW_BYTES]
            for start in range(0, len(table), _ROW_BYTES)
        ]
    rows.sort()
    heads = [_PAIR.pack(pack.first_offset, len(pack.segments)) for pack in packs]
    segments = [
        _PAIR.pack(stored, compression << _COMPRESSION_SHIFT | raw)
        for pack in packs
        for stored, raw, compression in pack.segments
    ]
    return IndexParts(
        b"".join([row[:PRESENCE_ROW] for row in rows]),
        b"".join([*heads, *segments, *(row[PRESENCE_ROW:] for row in rows)]),
    )
