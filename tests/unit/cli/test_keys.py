"""What people see of the ways in."""

import pytest

from holdfast.base.ids import ObjectHash
from holdfast.cli.commands import keys
from holdfast.keys.ways import WayInListing


@pytest.mark.parametrize("seconds", [-(2**63), 2**62, 10**12])
def test_a_way_in_of_a_time_beyond_the_calendar_does_not_end_the_list(seconds: int) -> None:
    """Whoever once had a way in can sign one, and `key list` is for everybody."""
    way = WayInListing(ObjectHash(b"s" * 32), "password", "'mine'", seconds, None)

    shown = keys._table([way])

    assert "password" in shown
    assert "mine" in shown
