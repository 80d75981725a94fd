"""Parts of an index object (vault-format.md, section 7)."""

import pytest

from holdfast.format.errors import IndexPartError, UnencodableError
from holdfast.format.index_parts import (
    IndexRow,
    PackSegments,
    PositionsPart,
    PresencePart,
    SegmentPlace,
    build_parts,
)

A, B = b"a" * 20, b"b" * 20
PACKS = [PackSegments(1268, [(50, 100, 1), (26, 10, 0)]), PackSegments(100, [(80, 80, 0)])]
ROWS = [IndexRow(B, 0, 1, 0, 10), IndexRow(A, 1, 0, 5, 75), IndexRow(A, 0, 0, 60, 40)]


def test_rows_are_sorted_and_belong_together() -> None:
    presence_bytes, positions_bytes = build_parts(PACKS, ROWS)
    presence = PresencePart(presence_bytes, pack_count=2, row_count=3)
    positions = PositionsPart(memoryview(positions_bytes), pack_count=2, row_count=3)

    assert presence_bytes[:28] == A + bytes(8)
    assert [presence.row(number) for number in range(3)] == [(A, 0, 0), (A, 1, 0), (B, 0, 1)]
    assert [positions.row(number) for number in range(3)] == [(60, 40), (5, 75), (0, 10)]
    assert list(presence.find(A)) == [0, 1]
    assert list(presence.find(B)) == [2]
    assert list(presence.find(b"c" * 20)) == []
    assert positions.pack(1) == (100, 1)
    assert positions.segment(0, 1) == SegmentPlace(1318, 26, 10, 0)
    assert positions.segment(0, 0) == SegmentPlace(1268, 50, 100, 1)
    presence.check_rows()
    positions.check_rows(presence.row(number)[1:] for number in range(3))


def test_parts_of_no_rows_are_empty() -> None:
    assert build_parts([], []) == (b"", b"")


@pytest.mark.parametrize(
    "rows",
    [
        [ROWS[0], ROWS[0]],
        [IndexRow(A, 2, 0, 0, 1)],
        [IndexRow(A, 0, 2, 0, 1)],
        [IndexRow(A, 0, 0, 60, 41)],
        [IndexRow(A, 0, 0, 60, 0)],
        [IndexRow(A, 0, 2**16, 0, 1)],
    ],
)
def test_rows_that_name_what_is_not_there_are_never_written(rows: list[IndexRow]) -> None:
    with pytest.raises(UnencodableError):
        build_parts(PACKS, rows)


def test_parts_whose_length_is_not_what_counts_demand_are_refused() -> None:
    presence, positions = build_parts(PACKS, ROWS)

    for data in (presence[:-1], presence + bytes(28)):
        with pytest.raises(IndexPartError):
            PresencePart(data, pack_count=2, row_count=3)
    for data in (b"", positions[:-1], positions + bytes(8), b"\0\0\0\0\xff\xff\xff\xff" * 10):
        with pytest.raises(IndexPartError):
            PositionsPart(data, pack_count=2, row_count=3)


def test_hostile_rows_are_refused_when_they_are_used() -> None:
    presence, positions = build_parts(PACKS, ROWS)
    swapped = PresencePart(presence[28:56] + presence[:28], pack_count=2, row_count=2)
    foreign = PresencePart(presence, pack_count=1, row_count=3)
    padded = PresencePart(presence[:27] + b"\1", pack_count=2, row_count=1)
    huge = PositionsPart(b"\xff" * 4 + positions[4:], pack_count=2, row_count=3)

    with pytest.raises(IndexPartError):
        swapped.check_rows()
    with pytest.raises(IndexPartError):
        foreign.row(1)
    with pytest.raises(IndexPartError):
        padded.row(0)
    with pytest.raises(IndexPartError):
        huge.segment(0, 0)
    with pytest.raises(IndexPartError):
        huge.segment(2, 0)
