"""Files of recovery kits."""

import resource
from pathlib import Path

import pytest

from holdfast.operations.errors import KitError
from holdfast.operations.kit import write


def test_nothing_is_left_of_a_kit_that_could_not_be_written_whole(tmp_path: Path) -> None:
    """On a full disk it would look like one, and stand in the way of the next attempt."""
    path = tmp_path / "kit"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    try:
        with pytest.raises(KitError):
            write(path, "a page")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert not path.exists()
