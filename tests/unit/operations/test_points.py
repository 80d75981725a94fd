"""What people see of a restore point."""

import pytest

from holdfast.base.ids import (
    ObjectHash,
    PointId,
    RepositoryId,
    SeriesId,
    SessionId,
    WriterId,
)
from holdfast.cli.output import show_time
from holdfast.format.point import Point
from holdfast.operations.points import describe
from holdfast.vault.points import RestorePoint


@pytest.mark.parametrize("seconds", [-(2**63), 2**63 - 1, 10**12])
def test_a_time_beyond_the_calendar_does_not_end_the_list(seconds: int) -> None:
    """Whoever may write may put any number there, and everybody reads it without a password."""
    body = Point(
        writer_id=WriterId(b"w" * 16),
        certificate_hash=ObjectHash(b"c" * 32),
        series_id=SeriesId(b"s" * 16),
        counter=1,
        predecessor=None,
        refs_hash=ObjectHash(b"r" * 32),
        sessions=(),
        session_id=SessionId(b"i" * 16),
        statement_number=0,
        statement_hash=ObjectHash(b"h" * 32),
        time=seconds,
        repository_id=RepositoryId(b"m" * 16),
    )
    point = RestorePoint(PointId(b"p" * 32), "points/70", 1, body, has_refs=True)

    shown = describe(point, "aes-256-gcm", "1 password").time

    assert shown.year == (1 if seconds < 0 else 9999)
    assert show_time(shown)
