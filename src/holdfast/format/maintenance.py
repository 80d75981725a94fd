"""Forget, tombstone and quarantine (sections 5.11, 5.12 and 12)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Any, Final

from holdfast.base.ids import ObjectHash, PackId, PointId, SeriesId, SessionId, WriterId
from holdfast.format.errors import FieldError
from holdfast.format.point import COUNTER
from holdfast.format.tables import (
    TIME,
    At,
    Body,
    Choice,
    FixedOrEmpty,
    Joined,
    ListOf,
    Row,
    RowOf,
    fixed,
)

_QUARANTINED_KEY: Final = 1


class ForgetReason(IntEnum):
    """Why points are dropped."""

    FORGET = 1
    PRUNE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgottenPoint(Row, what="forgotten point"):
    """A point that is dropped on purpose, and its place in its series."""

    point: Annotated[PointId, At(0, fixed(32))]
    writer_id: Annotated[WriterId, At(1, fixed(16))]
    series_id: Annotated[SeriesId, At(2, fixed(16))]
    counter: Annotated[int, At(3, COUNTER)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget(Body, what="forget"):
    """Points dropped on purpose. *writer_id* is None when the authority signed; time in seconds."""

    points: Annotated[tuple[ForgottenPoint, ...], At(1, ListOf(RowOf(ForgottenPoint), 1))]
    time: Annotated[int, At(2, TIME)]
    reason: Annotated[ForgetReason, At(3, Choice(ForgetReason))]
    writer_id: Annotated[WriterId | None, At(4, FixedOrEmpty(16))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone(Body, what="tombstone"):
    """What a gc is about to delete; the run id is new for every tombstone.

    *writer_id* is None when the authority signed; time in seconds.
    """

    run_id: Annotated[bytes, At(1, fixed(16))]
    packs: Annotated[tuple[PackId, ...], At(2, Joined(32, ascending=True))]
    refs: Annotated[tuple[ObjectHash, ...], At(3, Joined(32, ascending=True))]
    time: Annotated[int, At(4, TIME)]
    writer_id: Annotated[WriterId | None, At(5, FixedOrEmpty(16))]
    sessions: Annotated[tuple[SessionId, ...], At(6, Joined(16, ascending=True))]


def quarantined_packs(body: Mapping[int, Any]) -> tuple[PackId, ...]:
    """Return the packs that the body of a quarantine names.

    The kind is reserved: a reader uses key 1 only and takes other keys as they come.

    Raises:
        FieldError: key 1 is missing or not joined hashes.
    """
    if _QUARANTINED_KEY not in body:
        raise FieldError("The quarantine lacks its key 1.")
    packs = Joined(32).read(body[_QUARANTINED_KEY], "packs of the quarantine")
    return tuple(PackId(pack) for pack in packs)
