"""Words that several commands share."""

import pytest

from holdfast.cli.words import counted


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1234, "1,234 files")]
)
def test_one_of_a_thing_is_no_plural(count: int, shown: str) -> None:
    """And large numbers are grouped."""
    assert counted(count, "file") == shown
