"""The index of one group, opened whole and fresh from the storage: for checks and for merging.

Unlike the index that backups and restores keep on their machine, this one rests on nothing that was
opened earlier, and it answers with every place of a chunk, not with the first.
"""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from holdfast.base.errors import IntegrityError
from holdfast.base.ids import GroupId, IndexId, PackId, SessionId
from holdfast.base.secrets import Secret
from holdfast.core.python.index_parts import (
    ROW,
    Description,
    Part,
    check_positions,
    check_presence,
    replace_file,
    write_part,
)
from holdfast.crypto.boxes import open_padded_box
from holdfast.crypto.errors import WrongKeyError
from holdfast.format.cbor import Bytes
from holdfast.format.index_body import IndexBody, PositionsKey
from holdfast.format.session import Session
from holdfast.keys.keyring import ReadRing
from holdfast.vault.errors import DamagedObjectError, MissingObjectError
from holdfast.vault.files import make_folder
from holdfast.vault.objects import Loaded

_NO_SECRET: Final = Secret(b"")


class Place(NamedTuple):
    """One place of a chunk or node: lengths and offsets in bytes."""

    index_id: IndexId
    pack_id: PackId
    session_id: SessionId
    segment: int
    segment_offset: int
    """In the pack."""
    stored_length: int
    raw_length: int
    compression: int
    offset: int
    """In the raw segment."""
    length: int


def index_context(word: str, vault_id: bytes, group_id: bytes, epoch: int) -> bytes:
    """Return what the *presence* or *positions* part of an index object is bound to (section 7)."""
    return f"index {word}\0".encode() + vault_id + group_id + struct.pack(">I", epoch)


class OpenedIndex:
    """Index objects of one group, opened into *folder*. For one thread at a time."""

    def __init__(
        self,
        folder: Path,
        ring: ReadRing,
        group_id: GroupId,
        sessions: Mapping[SessionId, Sequence[Session]],
    ) -> None:
        """*folder* must be empty; *sessions* are all session objects whose signatures hold."""
        make_folder(folder)
        self._folder = folder
        self._ring = ring
        self._sessions = sessions
        self.group_id: Final = group_id
        self.parts: Final[dict[IndexId, Part]] = {}
        self.packs: Final[dict[PackId, list[tuple[IndexId, int]]]] = {}
        """For each pack: the objects that name it, and its position in them."""

    def add(self, loaded: Loaded[IndexBody]) -> None:
        """Open both parts of an index object and check every row.

        Raises:
            IntegrityError: it is damaged, or contradicts itself.
            MissingObjectError: its session object is not at hand.
        """
        body = loaded.body
        name = IndexId(loaded.hash)
        attachment = memoryview(loaded.stored.attachment)
        if body.presence_length > len(attachment):
            raise DamagedObjectError(f"'{loaded.name}' ends inside its presence part.")
        keys = self._ring.group(body.group_id).index_keys
        presence = self._opened(
            "presence",
            loaded,
            lambda context: open_padded_box(
                keys.get(body.epoch, _NO_SECRET),
                context,
                attachment[: body.presence_length],
                sealed=self._ring.is_sealed,
            ),
        )
        table = check_presence(presence, body.row_count, len(body.pack_ids))
        rest = attachment[body.presence_length :]
        positions = self._opened(
            "positions", loaded, lambda context: self._positions(body, context, rest)
        )
        check_positions(positions, presence, len(body.pack_ids))
        description = Description(
            body.epoch,
            body.session_id or b"",
            b"".join(body.pack_ids),
            [(owner.session_id, owner.writer_id, owner.count) for owner in body.owners],
            body.row_count,
            b"".join(body.replaces),
            body.drops,
        )
        write_part(self._folder, name, description, presence, table)
        replace_file(self._folder / f"{name.hex()}.positions", positions)
        self.parts[name] = Part(self._folder, name)
        for number, pack_id in enumerate(body.pack_ids):
            self.packs.setdefault(pack_id, []).append((name, number))

    def places(self, locator: bytes) -> Iterator[Place]:
        """Return every place of a chunk or node."""
        for name, part in self.parts.items():
            for row in part.matches(locator):
                number, segment = part.place(row)
                yield Place(
                    name,
                    PackId(part.pack_id(number)),
                    SessionId(part.owner(number)[0]),
                    segment,
                    *part.segment(number, segment),
                    *part.position(row),
                )

    def row_counts(self, name: IndexId) -> list[int]:
        """Return how many rows an object has for each of its packs."""
        part = self.parts[name]
        counts = [0] * part.pack_count
        for start in range(0, len(part.rows), ROW << 15):
            for (number,) in struct.iter_unpack(">20xI4x", part.rows[start : start + (ROW << 15)]):
                counts[number] += 1
        return counts

    def _positions(self, body: IndexBody, context: bytes, box: Bytes) -> bytes:
        if body.positions_key is PositionsKey.READER:
            key = self._ring.reader_index_key(body.epoch)
            return open_padded_box(key, context, box, sealed=self._ring.is_sealed)
        sessions = self._sessions.get(body.session_id, ()) if body.session_id else ()
        if not sessions:
            raise MissingObjectError("The session object of an index object is not at hand.")
        return self._ring.open_in_session(sessions, context, box)

    def _opened(
        self, word: str, loaded: Loaded[IndexBody], opened: Callable[[bytes], bytes]
    ) -> bytes:
        body = loaded.body
        context = index_context(word, self._ring.vault_id, body.group_id, body.epoch)
        try:
            return opened(context)
        except MissingObjectError:
            raise
        except (WrongKeyError, IntegrityError) as error:
            raise DamagedObjectError(
                f"The {word} part of '{loaded.name}' does not open: {error.message}"
            ) from error
