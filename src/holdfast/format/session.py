"""Session, lease and packlist (sections 5.6 to 5.8)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Final

from holdfast.base.ids import GroupId, ObjectHash, PackId, PointId, SeriesId, SessionId, WriterId
from holdfast.format.packs import PACK_LIMIT
from holdfast.format.runs import POSITIONS_LIMIT
from holdfast.format.statement import EPOCH, HPKE_SEALED_SECRET_BYTES, STATEMENT_NUMBER
from holdfast.format.tables import (
    EMPTY,
    TIME,
    At,
    Body,
    Choice,
    FixedOrEmpty,
    Flag,
    Joined,
    JoinedNumbers,
    fixed,
    unsigned,
)

PACKLIST_LIMIT: Final = 4_096
"""Packs."""
CONTENT_DATA: Final = 1
CONTENT_TREE: Final = 2
CONTENT_BOTH: Final = 3


class SessionKind(IntEnum):
    """What a session is for."""

    BACKUP = 1
    MAINTENANCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(Body, what="session object"):
    """Who writes under which keys. Commitment and sealed key are None for suite `none`."""

    session_id: Annotated[SessionId, At(1, fixed(16))]
    writer_id: Annotated[WriterId, At(2, fixed(16))]
    certificate_hash: Annotated[ObjectHash, At(3, fixed(32))]
    statement_number: Annotated[int, At(4, STATEMENT_NUMBER)]
    statement_hash: Annotated[ObjectHash, At(5, fixed(32))]
    epoch: Annotated[int, At(6, EPOCH)]
    kind: Annotated[SessionKind, At(7, Choice(SessionKind))]
    commitment: Annotated[bytes | None, At(8, FixedOrEmpty(32))]
    sealed_session_key: Annotated[bytes | None, At(9, FixedOrEmpty(HPKE_SEALED_SECRET_BYTES))]
    recipients: Annotated[tuple[()], At(10, EMPTY)] = ()
    group_id: Annotated[GroupId, At(11, fixed(16))]
    series_id: Annotated[SeriesId | None, At(12, FixedOrEmpty(16))]
    time: Annotated[int, At(13, TIME)]
    continues: Annotated[SessionId | None, At(14, FixedOrEmpty(16))] = None

    def fault(self) -> str:
        """See :class:`~holdfast.format.tables.Body`."""
        if (self.commitment is None) != (self.sealed_session_key is None):
            return "commitment and sealed session key go together"
        if (self.series_id is None) != (self.kind is SessionKind.MAINTENANCE):
            return "a backup has a series and maintenance has none"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease(Body, what="lease"):
    """A sign of life. *writer_id* is None when the authority signed."""

    session_id: Annotated[SessionId, At(1, fixed(16))]
    number: Annotated[int, At(2, unsigned())]
    ended: Annotated[bool, At(3, Flag())]
    point: Annotated[PointId | None, At(4, FixedOrEmpty(32))]
    writer_id: Annotated[WriterId | None, At(5, FixedOrEmpty(16))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Packlist(Body, what="packlist"):
    """Packs of a session from a position on, their sizes in bytes and what they contain."""

    session_id: Annotated[SessionId, At(1, fixed(16))]
    writer_id: Annotated[WriterId, At(2, fixed(16))]
    first_position: Annotated[int, At(3, unsigned(POSITIONS_LIMIT - 1))]
    pack_ids: Annotated[tuple[PackId, ...], At(4, Joined(32, 1, PACKLIST_LIMIT))]
    sizes: Annotated[tuple[int, ...], At(5, JoinedNumbers(4, 1, PACK_LIMIT))]
    contents: Annotated[tuple[int, ...], At(6, JoinedNumbers(1, CONTENT_DATA, CONTENT_BOTH))]

    def fault(self) -> str:
        """See :class:`~holdfast.format.tables.Body`."""
        if not len(self.pack_ids) == len(self.sizes) == len(self.contents):
            return "packs, sizes and contents differ in number"
        if self.first_position + len(self.pack_ids) > POSITIONS_LIMIT:
            return "its positions are too large"
        return ""
