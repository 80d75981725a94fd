"""Refs, the restore point and its sealed record (sections 5.9 and 5.10)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from operator import attrgetter
from typing import Annotated, Any, Final

from holdfast.base.ids import (
    NodeId,
    ObjectHash,
    PointId,
    RepositoryId,
    SeriesId,
    SessionId,
    VaultId,
    WriterId,
)
from holdfast.base.sizes import MIB
from holdfast.format.errors import FieldError, RunsError
from holdfast.format.runs import check_runs
from holdfast.format.statement import STATEMENT_NUMBER
from holdfast.format.tables import (
    TIME,
    U64,
    At,
    Blob,
    Body,
    Choice,
    FixedOrEmpty,
    Flag,
    Integer,
    ListOf,
    Optionally,
    Record,
    Row,
    RowOf,
    Text,
    fixed,
    itself,
    unsigned,
)

COUNTER: Final = Integer(1, U64)
"""Restore points of a series count from 1."""

LEFT_OUT_LIMIT: Final = 2 * MIB
"""Bytes of all patterns and names of :class:`LeftOut`."""
LEFT_OUT_COUNT: Final = 65_536
"""Patterns, and names, of :class:`LeftOut`."""
_LEFT_OUT: Final = ListOf(Blob(1, LEFT_OUT_LIMIT), high=LEFT_OUT_COUNT)


@dataclass(frozen=True, slots=True)
class _Runs:
    """Run lengths (``runs``)."""

    def read(self, value: object, place: str) -> tuple[int, ...]:
        """See :class:`~holdfast.format.tables.Rule`."""
        if not isinstance(value, list):
            raise FieldError(f"The {place} is not an array.")
        try:
            check_runs(value)
        except RunsError as error:
            raise FieldError(f"The {place} is wrong: {error}") from error
        return tuple(value)

    def write(self, value: Sequence[int]) -> list[int]:
        """See :class:`~holdfast.format.tables.Rule`."""
        return list(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRuns(Row, what="runs of a session"):
    """Which packs of a session are needed; see ``runs``."""

    session_id: Annotated[SessionId, At(0, fixed(16))]
    runs: Annotated[tuple[int, ...], At(1, _Runs())]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refs(Body, what="refs object"):
    """All packs that a restore point needs. The nonce is random: no two ever have the same name."""

    session_id: Annotated[SessionId, At(1, fixed(16))]
    writer_id: Annotated[WriterId, At(2, fixed(16))]
    sessions: Annotated[
        tuple[SessionRuns, ...],
        At(3, ListOf(RowOf(SessionRuns), ascending=attrgetter("session_id"))),
    ]
    nonce: Annotated[bytes, At(4, fixed(16))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point(Body, what="restore point"):
    """What everybody may see of a restore point. Time in seconds."""

    writer_id: Annotated[WriterId, At(1, fixed(16))]
    certificate_hash: Annotated[ObjectHash, At(2, fixed(32))]
    series_id: Annotated[SeriesId, At(3, fixed(16))]
    counter: Annotated[int, At(4, COUNTER)]
    predecessor: Annotated[PointId | None, At(5, FixedOrEmpty(32))]
    refs_hash: Annotated[ObjectHash, At(6, fixed(32))]
    sessions: Annotated[tuple[SessionId, ...], At(7, ListOf(fixed(16), ascending=itself))]
    session_id: Annotated[SessionId, At(8, fixed(16))]
    statement_number: Annotated[int, At(9, STATEMENT_NUMBER)]
    statement_hash: Annotated[ObjectHash, At(10, fixed(32))]
    time: Annotated[int, At(11, TIME)]
    repository_id: Annotated[RepositoryId, At(12, fixed(16))]

    def fault(self) -> str:
        """See :class:`~holdfast.format.tables.Body`."""
        if self.counter == 1 and self.predecessor is not None:
            return "the first point of a series has a predecessor"
        return ""


class PointKind(IntEnum):
    """What a restore point holds."""

    FILES = 1
    STREAM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics(Row, what="statistics"):
    """What a session counted; sizes in bytes."""

    files: Annotated[int, At(0, unsigned())] = 0
    folders: Annotated[int, At(1, unsigned())] = 0
    others: Annotated[int, At(2, unsigned())] = 0
    source_bytes: Annotated[int, At(3, unsigned())] = 0
    new_chunks: Annotated[int, At(4, unsigned())] = 0
    new_raw_bytes: Annotated[int, At(5, unsigned())] = 0
    new_stored_bytes: Annotated[int, At(6, unsigned())] = 0
    findings: Annotated[int, At(7, unsigned())] = 0


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Head(Row, what="head"):
    """The newest point of a series that a writer saw."""

    writer_id: Annotated[WriterId, At(0, fixed(16))]
    series_id: Annotated[SeriesId, At(1, fixed(16))]
    counter: Annotated[int, At(2, COUNTER)]
    point: Annotated[PointId, At(3, fixed(32))]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut(Row, what="rules of what was left out"):
    """By which rules a backup left things out. *larger_than* holds no or one size in bytes."""

    patterns: Annotated[tuple[bytes, ...], At(0, _LEFT_OUT)] = ()
    caches: Annotated[bool, At(1, Flag())] = False
    if_present: Annotated[tuple[bytes, ...], At(2, _LEFT_OUT)] = ()
    larger_than: Annotated[tuple[int, ...], At(3, ListOf(unsigned(), high=1))] = ()
    one_file_system: Annotated[bool, At(4, Flag())] = False

    def fault(self) -> str:
        """See :class:`~holdfast.format.tables.Body`."""
        both = (*self.patterns, *self.if_present)
        if any(b"\0" in one for one in both):
            return "a pattern or name has a zero byte in it"
        if any(b"/" in name for name in self.if_present):
            return "a name has a slash in it"
        if sum(map(len, both)) > LEFT_OUT_LIMIT:
            return "patterns and names are too long"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PointRecord(Record, what="record of a restore point"):
    """What only somebody who reads may see of a restore point. Times in nanoseconds.

    *left_out* is None where nobody says by which rules things were left out.
    """

    vault_id: Annotated[VaultId, At(1, fixed(32))]
    writer_id: Annotated[WriterId, At(2, fixed(16))]
    session_id: Annotated[SessionId, At(3, fixed(16))]
    host: Annotated[str, At(4, Text())]
    source: Annotated[str, At(5, Text())]
    kind: Annotated[PointKind, At(6, Choice(PointKind))]
    root: Annotated[bytes, At(7, Blob(1, U64))]
    selection: Annotated[tuple[bytes, ...], At(8, ListOf(Blob(1, U64)))] = ()
    root_node: Annotated[NodeId, At(9, fixed(32))]
    started: Annotated[int, At(10, TIME)]
    finished: Annotated[int, At(11, TIME)]
    stands_for: Annotated[int, At(12, TIME)]
    statistics: Annotated[Statistics, At(13, RowOf(Statistics))] = Statistics()
    tags: Annotated[tuple[str, ...], At(14, ListOf(Text()))] = ()
    heads: Annotated[tuple[Head, ...], At(15, ListOf(RowOf(Head), ascending=itself))] = ()
    program: Annotated[str, At(16, Text())]
    left_out: Annotated[LeftOut | None, At(17, Optionally(RowOf(LeftOut)))] = None

    def check_against(self, vault_id: VaultId, point: Point) -> None:
        """Compare what the record repeats with what stands outside.

        Raises:
            FieldError: it was sealed for another vault, writer or session.
        """
        outside: tuple[Any, ...] = (vault_id, point.writer_id, point.session_id)
        if (self.vault_id, self.writer_id, self.session_id) != outside:
            raise FieldError("The record of a restore point belongs to another one.")

    def fault(self) -> str:
        """See :class:`~holdfast.format.tables.Body`."""
        if not self.root.startswith(b"/"):
            return "the root is not an absolute path"
        if any(path.startswith(b"/") for path in self.selection):
            return "a selected path is not relative to the root"
        if any(b"\0" in path for path in (self.root, *self.selection)):
            return "a path has a zero byte in it"
        return ""
