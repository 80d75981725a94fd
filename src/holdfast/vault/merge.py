"""Index objects that stand in for others: built, sealed and put (vault-format.md 7, gc.md G8)."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from holdfast.base.ids import GroupId, IndexId, PackId, SessionId, WriterId
from holdfast.base.randomness import Random
from holdfast.core.face import MergedIndex
from holdfast.core.python.index_tables import merge_parts
from holdfast.crypto.boxes import seal_padded_box
from holdfast.format import frames, names
from holdfast.format.index_body import IndexBody, Owner, PositionsKey
from holdfast.format.session import Session
from holdfast.keys.keyring import ReadRing
from holdfast.vault.check_errors import MergeRaceError
from holdfast.vault.errors import MissingObjectError
from holdfast.vault.files import make_folder
from holdfast.vault.gc_plan import StandIn
from holdfast.vault.objects import ObjectStore
from holdfast.vault.opened_index import OpenedIndex, index_context
from holdfast.vault.trust import Maintainer

_NONCE_BYTES = 16
_HASH_BYTES = 32


class IndexMerger:
    """Puts index objects for one vault. Only who reads the vault can: rows have to be opened."""

    def __init__(
        self,
        objects: ObjectStore,
        ring: ReadRing,
        maintainer: Maintainer,
        random: Random,
        cache: Path | None,
    ) -> None:
        self._objects = objects
        self._ring = ring
        self._maintainer = maintainer
        self._random = random
        self._cache = cache

    def put(
        self,
        group_id: GroupId,
        stand_in: StandIn,
        bodies: Mapping[IndexId, IndexBody],
        sessions: Mapping[SessionId, Session],
    ) -> IndexId | None:
        """Put one object; return its id, or None if there is nothing left to say.

        Raises:
            MergeRaceError: one of the objects to be replaced vanished, so a later look has to
                decide. Nothing was put.
            IntegrityError: one cannot be opened. Nothing was put.
        """
        merged = self._merged(group_id, stand_in, bodies, sessions)
        if not merged.packs and not stand_in.drops:
            return None
        data = self._sealed(group_id, stand_in, merged)
        index_id = IndexId(frames.object_hash(data))
        self._objects.put(names.index_name(self._objects.vault_id, group_id, index_id), data)
        return index_id

    def _merged(
        self,
        group_id: GroupId,
        stand_in: StandIn,
        bodies: Mapping[IndexId, IndexBody],
        sessions: Mapping[SessionId, Session],
    ) -> MergedIndex:
        if self._cache is not None:
            make_folder(self._cache)
        with tempfile.TemporaryDirectory(dir=self._cache, prefix="merge-") as folder:
            index = OpenedIndex(
                Path(folder) / "index",
                self._ring,
                group_id,
                {key: (body,) for key, body in sessions.items()},
            )
            for index_id in stand_in.replaces:
                # What names nothing alive need not be opened; its session may be gone.
                if stand_in.dead.issuperset(bodies[index_id].pack_ids):
                    continue
                name = names.index_name(self._objects.vault_id, group_id, index_id)
                try:
                    index.add(self._objects.load(name, IndexBody))
                except MissingObjectError as error:
                    raise MergeRaceError(
                        f"'{name}' vanished while it was being merged: somebody else did that.",
                        hint="Nothing is lost; the next gc goes on from there.",
                    ) from error
            parts = list(index.parts.values())
            return merge_parts(parts, stand_in.replaces, set[bytes](stand_in.dead))

    def _sealed(self, group_id: GroupId, stand_in: StandIn, merged: MergedIndex) -> bytes:
        ring, vault_id, epoch = self._ring, self._objects.vault_id, self._ring.epoch
        presence, positions = (
            seal_padded_box(
                key,
                index_context(word, vault_id, group_id, epoch),
                content,
                self._random,
                sealed=ring.is_sealed,
            )
            for key, word, content in (
                (ring.group(group_id).index_keys[epoch], "presence", merged.presence),
                (ring.reader_index_key(epoch), "positions", merged.positions),
            )
        )
        body = IndexBody(
            group_id=group_id,
            epoch=epoch,
            session_id=None,
            writer_id=self._maintainer.writer_id,
            pack_ids=tuple(
                PackId(merged.packs[start : start + _HASH_BYTES])
                for start in range(0, len(merged.packs), _HASH_BYTES)
            ),
            owners=tuple(
                Owner(session_id=SessionId(session), writer_id=WriterId(writer), count=count)
                for session, writer, count in merged.owners
            ),
            row_count=merged.row_count,
            presence_length=len(presence),
            replaces=stand_in.replaces,
            drops=stand_in.drops,
            positions_key=PositionsKey.READER,
            nonce=self._random.take(_NONCE_BYTES),
        )
        return frames.build(
            frames.KIND_INDEX,
            body.to_body(),
            attachment=presence + positions,
            sign=self._maintainer.sign,
            vault_id=vault_id,
        )
