"""Where things land."""

import os
from pathlib import Path

import pytest

from holdfast.recovery.errors import (
    PathNotInPointError,
    RestoreRequestError,
    TargetError,
    TargetNotEmptyError,
)
from holdfast.recovery.files import FileRestore, RestoreWish, path_below

ROOT = b"/home/me"


@pytest.mark.parametrize(
    ("path", "below", "above"),
    [
        (b"", b"", b"home/me"),
        (b"/", b"", b"home/me"),
        (b"/home", b"", b"me"),
        (b"/home/me", b"", b""),
        (b"/home/me/docs/", b"docs", b""),
        (b"docs/a", b"docs/a", b""),
        (b"./docs//a", b"docs/a", b""),
    ],
)
def test_a_path_is_found_from_the_root_of_the_point(
    path: bytes, below: bytes, above: bytes
) -> None:
    """Absolute or relative; above the root as well as below it."""
    assert path_below(path, ROOT) == (below, above)


@pytest.mark.parametrize("path", [b"/elsewhere", b"/home/meadow", b"../me", b"docs/../.."])
def test_a_path_outside_of_the_point_is_refused(path: bytes) -> None:
    """No '..' either."""
    with pytest.raises(PathNotInPointError):
        path_below(path, ROOT)


def test_without_a_path_the_full_path_is_rebuilt(tmp_path: Path) -> None:
    """And the folder that stands for the root gets what the root had."""
    planned = FileRestore.planned(RestoreWish(tmp_path / "t"), ROOT)

    assert planned.folder == os.fsencode(tmp_path) + b"/t/home/me"
    assert planned.below == ()
    assert planned.rules.onto_target
    with planned.open_target() as (descriptor, _):
        here = Path(f"/proc/self/fd/{descriptor}").readlink()
        assert os.fsencode(here) == planned.folder


def test_with_a_path_what_it_holds_lands_in_the_target(tmp_path: Path) -> None:
    """A file lands under its own name."""
    folder = FileRestore.planned(RestoreWish(tmp_path / "t", b"docs/a"), ROOT)
    file = FileRestore.planned(RestoreWish(tmp_path / "t", b"docs/a"), ROOT, is_folder=False)

    assert (folder.below, folder.rules.strip_prefix) == ((b"docs/a",), b"docs/a")
    assert (file.below, file.rules.strip_prefix) == ((b"docs/a",), b"docs")
    assert folder.folder == os.fsencode(tmp_path / "t")
    assert not folder.rules.onto_target


@pytest.mark.parametrize("path", [b"", b"docs/a", b"/home/me"])
def test_a_folder_that_is_made_for_one_of_the_point_is_private_at_first(
    tmp_path: Path, path: bytes
) -> None:
    """It gets the mode of that one at the end; until then nobody else looks into it."""
    planned = FileRestore.planned(RestoreWish(tmp_path / "t", path, "never"), ROOT)

    with planned.open_target() as (descriptor, rules):
        assert os.fstat(descriptor).st_mode & 0o777 == 0o700
        assert (rules.onto_target, rules.target_is_new) == (True, True)
    with planned.open_target() as (descriptor, rules):
        assert rules == planned.rules
        assert not rules.target_is_new


def test_a_folder_that_stands_for_none_of_the_point_is_made_as_any_folder(tmp_path: Path) -> None:
    """A file brings no folder, and the common folder of several paths was not backed up."""
    file = FileRestore.planned(RestoreWish(tmp_path / "f", b"docs/a"), ROOT, is_folder=False)
    several = FileRestore.planned(RestoreWish(tmp_path / "s"), ROOT, selection=(b"a", b"b"))
    (tmp_path / "any").mkdir()

    for planned in (file, several):
        with planned.open_target() as (descriptor, rules):
            assert os.fstat(descriptor).st_mode == (tmp_path / "any").stat().st_mode
            assert rules == planned.rules


def test_in_place_everything_goes_where_it_came_from() -> None:
    """Files that differ are replaced unless a rule says otherwise."""
    planned = FileRestore.planned(RestoreWish(None, b"docs"), ROOT)

    assert planned.folder == ROOT
    assert planned.rules.strip_prefix == b""
    assert planned.rules.overwrite == "if-changed"
    assert not planned.must_be_empty


def test_a_target_that_holds_something_is_refused(tmp_path: Path) -> None:
    """Unless a rule says what becomes of it."""
    (tmp_path / "mine").write_text("mine", encoding="utf-8")
    refused = FileRestore.planned(RestoreWish(tmp_path), ROOT)
    allowed = FileRestore.planned(RestoreWish(tmp_path, overwrite="never"), ROOT)

    with pytest.raises(TargetNotEmptyError), refused.open_target():
        pass
    with allowed.open_target():
        assert (tmp_path / "home" / "me").is_dir()


def test_no_link_below_the_target_is_followed(tmp_path: Path) -> None:
    """A link where a folder has to be rebuilt could lead anywhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    target = tmp_path / "t"
    target.mkdir()
    (target / "home").symlink_to(elsewhere)

    planned = FileRestore.planned(RestoreWish(target, overwrite="always"), ROOT)

    with pytest.raises(TargetError, match="not a folder"), planned.open_target():
        pass
    assert list(elsewhere.iterdir()) == []


def test_a_target_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """It stays as it is."""
    (tmp_path / "t").write_text("mine", encoding="utf-8")

    with (
        pytest.raises(TargetError),
        FileRestore.planned(RestoreWish(tmp_path / "t"), ROOT).open_target(),
    ):
        pass


def test_delete_needs_a_rule_for_the_rest(tmp_path: Path) -> None:
    """An empty target has nothing to delete."""
    with pytest.raises(RestoreRequestError):
        RestoreWish(tmp_path, delete=True)
