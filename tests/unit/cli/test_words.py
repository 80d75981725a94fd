"""Words that several commands share."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from holdfast.base.sizes import InvalidSizeError, parse_size
from holdfast.cli.errors import UsageError
from holdfast.cli.words import counted, parse_rate, parse_subset, parse_tags, parse_time, plain_text


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1234, "1,234 files")]
)
def test_one_of_a_thing_is_no_plural(count: int, shown: str) -> None:
    """And large numbers are grouped."""
    assert counted(count, "file") == shown


@pytest.mark.parametrize(
    "text", ["0001-01-01", "9999-12-31T23:59:59-12:00", "2300-01-01", "1600-01-01", "soon", ""]
)
def test_a_time_that_no_restore_point_can_have_is_refused(text: str) -> None:
    """Before anything is read: the record holds nanoseconds in 64 bits."""
    with pytest.raises(UsageError):
        parse_time(text)


def test_a_time_with_a_zone_counts_in_that_zone() -> None:
    assert parse_time("2026-03-20T12:00:00+01:00") == datetime(2026, 3, 20, 11, tzinfo=UTC)


@pytest.mark.parametrize("text", ["9" * 5000, "9" * 18 + "T", "\u0663", "1X", "-1", ""])
def test_a_size_that_is_none_or_beyond_63_bits_is_refused(text: str) -> None:
    """Never a traceback, and never a number that no record holds."""
    with pytest.raises(InvalidSizeError):
        parse_size(text)


def test_the_largest_size_is_read() -> None:
    assert parse_size("007 MiB") == 7 * 2**20
    assert parse_size("8388607T") == 8388607 * 2**40


@pytest.mark.parametrize("text", ["1/\u00b2", "1/" + "9" * 5000, "1/0", "x/2"])
def test_a_part_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_subset(text)


def test_a_rate_of_nothing_is_refused() -> None:
    """It would be one byte a second, and the backup would never end."""
    assert parse_rate("10K/s") == 10240
    with pytest.raises(UsageError):
        parse_rate("0")


def test_tags_may_stand_in_one_word() -> None:
    """As in restic; a tag with a comma in it could never be named by --keep-tag."""
    assert parse_tags(["a,b", " c "]) == ("a", "b", "c")


@pytest.mark.parametrize("text", ["", ",", "a,", "\udcff"])
def test_an_empty_tag_or_one_that_is_no_text_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_tags([text])


@pytest.mark.parametrize(
    "read", [lambda: plain_text("\udcff", "name"), lambda: plain_text("", "name")]
)
def test_what_is_stored_as_text_has_to_be_text(read: Callable[[], str]) -> None:
    """Refused on the command line, and not when a backup is nearly done."""
    with pytest.raises(UsageError, match="name"):
        read()
