"""The body of an index object (section 7); its parts are in ``index_parts``."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from holdfast.base.ids import GroupId, IndexId, PackId, SessionId, WriterId
from holdfast.format.index_parts import PACKS_LIMIT
from holdfast.format.statement import EPOCH
from holdfast.format.tables import (
    U32,
    At,
    Body,
    Choice,
    FixedOrEmpty,
    Integer,
    Joined,
    ListOf,
    Row,
    RowOf,
    fixed,
    unsigned,
)

_DROPS: Final = Joined(32 + 16, ascending=True)


class PositionsKey(IntEnum):
    """What the positions part is sealed under."""

    SESSION = 1
    READER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner(Row, what="owner"):
    """Whose the next *count* packs of an index object are."""

    session_id: Annotated[SessionId, At(0, fixed(16))]
    writer_id: Annotated[WriterId, At(1, fixed(16))]
    count: Annotated[int, At(2, Integer(1, PACKS_LIMIT))]


class Drop(NamedTuple):
    """A pack that is absent whatever another index object says, and the session that wrote it."""

    pack_id: PackId
    session_id: SessionId


@dataclass(frozen=True, slots=True)
class _Drops:
    """Pairs of pack id and session id, joined, ascending."""

    def read(self, value: object, place: str) -> tuple[Drop, ...]:
        """See :class:`~holdfast.format.tables.Rule`."""
        pairs = _DROPS.read(value, place)
        return tuple(Drop(PackId(pair[:32]), SessionId(pair[32:])) for pair in pairs)

    def write(self, value: Sequence[Drop]) -> bytes:
        """See :class:`~holdfast.format.tables.Rule`."""
        return _DROPS.write([drop.pack_id + drop.session_id for drop in value])


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexBody(Body, what="index object"):
    """What everybody may see of an index object.

    *session_id* is None for a merged one, *writer_id* when the authority signed.
    *presence_length* is in bytes of the attachment; the positions part is the rest of it.
    """

    group_id: Annotated[GroupId, At(1, fixed(16))]
    epoch: Annotated[int, At(2, EPOCH)]
    session_id: Annotated[SessionId | None, At(3, FixedOrEmpty(16))]
    writer_id: Annotated[WriterId | None, At(4, FixedOrEmpty(16))]
    pack_ids: Annotated[tuple[PackId, ...], At(5, Joined(32, high=PACKS_LIMIT))]
    owners: Annotated[tuple[Owner, ...], At(6, ListOf(RowOf(Owner), high=PACKS_LIMIT))]
    row_count: Annotated[int, At(7, unsigned(U32))]
    presence_length: Annotated[int, At(8, unsigned(U32))]
    replaces: Annotated[tuple[IndexId, ...], At(9, Joined(32, ascending=True))] = ()
    drops: Annotated[tuple[Drop, ...], At(10, _Drops())] = ()
    positions_key: Annotated[PositionsKey, At(11, Choice(PositionsKey))]
    nonce: Annotated[bytes, At(12, fixed(16))]

    def fault(self) -> str:
        """See :class:`~holdfast.format.tables.Body`."""
        if sum(owner.count for owner in self.owners) != len(self.pack_ids):
            return "the owners do not cover the packs"
        if self.session_id is None:
            is_reader = self.positions_key is PositionsKey.READER
            return "" if is_reader else "merged positions are not under a session's key"
        if self.writer_id is None:
            return "the index object of a session is signed by its writer"
        if any(owner.session_id != self.session_id for owner in self.owners):
            return "the index object of a session names packs of another"
        return ""
