"""Named paths: which of them count, and from where something is seen."""

import pytest

from holdfast.core.named_paths import NamedPaths, outermost


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], ()),
        ([b"."], ()),
        ([b"a", b".", b"b"], ()),
        ([b"a", b"a/b", b"a.b", b"a/b/c", b"c/d", b"a"], (b"a", b"a.b", b"c/d")),
    ],
)
def test_paths_below_others_and_below_the_root_do_not_count(
    paths: list[bytes], expected: tuple[bytes, ...]
) -> None:
    assert outermost(paths) == expected


def test_something_is_seen_from_the_deepest_named_path_above_it() -> None:
    """A named path is seen from nowhere."""
    named = NamedPaths([b"a", b"a/b/c", b"ab"])

    assert named.seen(b"a/b/c/d/e") == b"d/e"
    assert named.seen(b"a/b/d") == b"b/d"
    assert named.seen(b"ab/a") == b"a"
    assert named.seen(b"x/y") == b"x/y"
    assert named.seen(b"a/b/c") is None


def test_without_names_and_with_that_of_the_root_everything_is_seen_from_the_root() -> None:
    """All but what lies below another named path."""
    assert NamedPaths([]).seen(b"a/b") == b"a/b"
    assert NamedPaths([b".", b"a"]).seen(b"b/c") == b"b/c"
    assert NamedPaths([b".", b"a"]).seen(b"a/b") == b"b"


def test_named_paths_and_the_folders_above_them_lead_there() -> None:
    """A name that begins alike does not."""
    named = NamedPaths([b"a/b", b"a/b.c", b"."])

    assert [path for path in (b"a", b"a/b", b"a/b.c") if not named.leads(path)] == []
    assert [path for path in (b"a/b/c", b"a/b.", b"b") if named.leads(path)] == []
