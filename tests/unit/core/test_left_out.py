"""What the backup left out stays where a restore removes, and is no difference afterwards."""

from collections.abc import Callable
from pathlib import Path

import pytest

from doubles.engine_store import EngineStore, open_folder
from doubles.trees import remove_tree
from holdfast.core.named_paths import outermost
from holdfast.core.restore_rules import LeftOutRules, RestoreRules
from holdfast.core.scan_rules import ScanRules

CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n"


def rules(left_out: LeftOutRules | None) -> RestoreRules:
    """Return rules by which a mirror is made."""
    return RestoreRules(
        "always",
        delete=True,
        sparse=True,
        numeric_ids=False,
        roots=() if left_out is None else outermost(left_out.named),
        left_out=left_out,
    )


class Mirror:
    """A folder that is backed up by some rules and restored in place, what it has not removed."""

    def __init__(self, folder: Path, left_out: LeftOutRules) -> None:
        self.folder = folder / "source"
        self.folder.mkdir()
        self.left_out = left_out
        self.store = EngineStore(folder / "spool")

    def put(self, *paths: str, content: bytes = b"x") -> None:
        """Write files, and their folders."""
        for path in paths:
            place = self.folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)

    def back_up(self) -> None:
        """Back it up as it is."""
        found = self.left_out
        scan = ScanRules(
            exclude=found.patterns,
            exclude_caches=found.caches,
            exclude_if_present=found.if_present,
            exclude_larger_bytes=found.larger_bytes,
            one_file_system=found.one_file_system,
            selection=found.named,
        )
        self.root = self.store.write(self.folder, scan).root

    def planned(self) -> tuple[set[bytes], set[bytes]]:
        """Return what a restore would remove, and what it says that it would spare."""
        self.store.findings.clear()
        with open_folder(self.folder) as fd:
            self.store.pump(self.store.reader.extras(self.root, (), fd, rules(self.left_out)))
        by_code = {
            code: {one.path for one in self.store.findings if one.code == code}
            for code in ("additional", "spared")
        }
        return by_code["additional"], by_code["spared"]

    def restore(self) -> None:
        """Restore in place, and find no difference afterwards."""
        plan = self.planned()[0]
        done = self.store.restore(self.root, self.folder, rules(self.left_out))
        assert self.store.findings == []
        assert done.removed == len(plan)
        assert self.store.compare(self.root, self.folder, rules(self.left_out)) == []

    def has(self, path: str) -> bool:
        """Tell whether something is there."""
        return (self.folder / path).exists()


Make = Callable[[LeftOutRules], Mirror]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Makes a mirror with rules."""
    return lambda left_out: Mirror(tmp_path, left_out)


def test_what_a_pattern_left_out_stays_and_other_things_go(make: Make) -> None:
    mirror = make(LeftOutRules(patterns=(b"*.tmp", b"!keep.tmp", b"/a/build/")))
    mirror.put("a/file", "a/x.tmp", "a/build/out", "b/build/out")
    mirror.back_up()
    mirror.put("a/new", "b/y.tmp", "keep.tmp")

    assert mirror.planned() == ({b"a/new", b"keep.tmp"}, {b"a/build/", b"a/x.tmp", b"b/y.tmp"})
    mirror.restore()

    assert all(mirror.has(path) for path in ("a/x.tmp", "a/build/out", "b/y.tmp", "b/build/out"))
    assert not mirror.has("a/new")
    assert not mirror.has("keep.tmp")


def test_a_new_folder_that_holds_something_left_out_stays_as_a_whole(make: Make) -> None:
    """It may be one that was renamed: what is in it is nowhere else."""
    mirror = make(LeftOutRules(patterns=(b"*.tmp",)))
    mirror.put("photos/one", "photos/deep/er/raw.tmp")
    mirror.back_up()
    (mirror.folder / "photos").rename(mirror.folder / "pictures")
    mirror.put("other/one")

    assert mirror.planned() == ({b"other/"}, {b"pictures/"})
    mirror.restore()

    assert mirror.has("pictures/deep/er/raw.tmp")
    assert mirror.has("photos/one")
    assert not mirror.has("other")


def test_large_files_stay_where_large_files_were_left_out(make: Make) -> None:
    mirror = make(LeftOutRules(larger_bytes=10))
    mirror.put("film", content=bytes(11))
    mirror.put("note", content=bytes(10))
    mirror.back_up()
    mirror.put("films/new", content=bytes(11))
    mirror.put("more", content=bytes(10))

    assert mirror.planned() == ({b"more"}, {b"film", b"films/"})
    mirror.restore()

    assert mirror.has("film")


def test_the_contents_of_a_cache_stay(make: Make) -> None:
    """Also where the tag is gone meanwhile: the tree has it, and nothing else there."""
    mirror = make(LeftOutRules(caches=True))
    for folder in ("cache", "lost"):
        mirror.put(f"{folder}/CACHEDIR.TAG", content=CACHE_TAG)
        mirror.put(f"{folder}/page", f"{folder}/sub/page")
    mirror.put("file")
    mirror.back_up()
    (mirror.folder / "lost/CACHEDIR.TAG").unlink()
    mirror.put("new/CACHEDIR.TAG", content=CACHE_TAG)
    mirror.put("new/page", "old")

    removed, spared = mirror.planned()
    assert removed == {b"old"}
    assert spared == {b"new/"} | {
        b"%s/%s" % (folder, name) for folder in (b"cache", b"lost") for name in (b"page", b"sub/")
    }
    mirror.restore()

    assert mirror.has("cache/sub/page")
    assert mirror.has("lost/sub/page")
    assert mirror.has("lost/CACHEDIR.TAG")


def test_the_contents_of_a_folder_with_a_marker_stay_even_without_it(make: Make) -> None:
    """An empty folder of the tree may have held anything."""
    mirror = make(LeftOutRules(if_present=(b".nobackup",)))
    mirror.put("vm/.nobackup", "vm/disk", "full/file")
    mirror.back_up()
    (mirror.folder / "vm/.nobackup").unlink()
    mirror.put("full/new", "moved/in/.nobackup", "moved/in/disk")

    assert mirror.planned() == ({b"full/new"}, {b"vm/disk", b"moved/"})
    mirror.restore()

    assert mirror.has("vm/disk")


def test_what_is_in_a_folder_that_was_stored_empty_stays_after_one_file_system(make: Make) -> None:
    """Another file system may have been mounted there, which hid it."""
    mirror = make(LeftOutRules(one_file_system=True))
    mirror.put("file")
    (mirror.folder / "mnt").mkdir()
    mirror.back_up()
    mirror.put("mnt/hidden", "new")

    assert mirror.planned() == ({b"new"}, {b"mnt/hidden"})
    mirror.restore()

    assert mirror.has("mnt/hidden")


def test_a_full_folder_in_the_way_of_a_file_stays_if_it_holds_what_was_left_out(
    make: Make,
) -> None:
    mirror = make(LeftOutRules(patterns=(b"*.tmp",)))
    mirror.put("name")
    mirror.back_up()
    (mirror.folder / "name").unlink()
    mirror.put("name/x.tmp")

    assert mirror.planned() == (set(), {b"name/"})
    mirror.store.restore(mirror.root, mirror.folder, rules(mirror.left_out))

    assert [one.code for one in mirror.store.findings] == ["in-the-way"]
    assert mirror.has("name/x.tmp")


def test_patterns_are_seen_from_each_named_path(make: Make) -> None:
    """As the backup saw them: what only looks alike goes."""
    mirror = make(LeftOutRules(patterns=(b"/tmp", b"p/q"), named=(b"a", b"b/c")))
    mirror.put("a/file", "a/tmp/x", "b/c/file", "b/c/p/q/x", "b/tmp/mine")
    mirror.back_up()
    mirror.put("a/c/tmp", "a/b/p/q", "b/c/tmp", "a/p/q")

    removed, spared = mirror.planned()
    assert removed == {b"a/b/", b"a/c/"}
    assert spared == {b"a/p/", b"a/tmp/", b"b/c/p/q/", b"b/c/tmp"}
    mirror.restore()

    assert all(mirror.has(path) for path in ("a/tmp/x", "b/c/p/q/x", "b/tmp/mine"))


@pytest.mark.parametrize(
    "left_out",
    [
        LeftOutRules(patterns=(b"/cache",), named=(b".", b"cache/deep/app")),
        LeftOutRules(if_present=(b".no",), named=(b".", b"cache/deep/app")),
        LeftOutRules(caches=True, named=(b".", b"cache/deep/app")),
    ],
)
def test_what_lies_beside_a_named_path_in_a_folder_that_is_left_out_stays(
    make: Make, left_out: LeftOutRules
) -> None:
    """The tree has that folder, as the way to what was named, and nothing else of it."""
    mirror = make(left_out)
    mirror.put("cache/.no", "cache/page", "cache/deep/page", "cache/deep/app/file", "file")
    mirror.put("cache/CACHEDIR.TAG", content=CACHE_TAG)
    mirror.back_up()
    mirror.put("cache/deep/app/new", "new")

    assert mirror.planned()[0] == {b"cache/deep/app/new", b"new"}
    mirror.restore()

    assert mirror.has("cache/page")
    assert mirror.has("cache/deep/page")


def test_without_rules_everything_goes_that_the_tree_does_not_have(make: Make) -> None:
    """A backup that left nothing out, or somebody who wants it so."""
    mirror = make(LeftOutRules())
    mirror.put("a/file", "empty/in")
    (mirror.folder / "empty/in").unlink()
    mirror.back_up()
    mirror.put("a/x.tmp", "empty/new", "new/deep/CACHEDIR.TAG")

    assert mirror.planned() == ({b"a/x.tmp", b"empty/new", b"new/"}, set())
    mirror.restore()


def test_a_folder_of_any_depth_is_looked_through(make: Make) -> None:
    """With few descriptors and no recursion."""
    mirror = make(LeftOutRules(patterns=(b"*.tmp",)))
    mirror.put("file")
    mirror.back_up()
    deep = mirror.folder / "new"
    deep.mkdir()
    for _ in range(1200):
        deep /= "d"
        deep.mkdir()
    try:
        assert mirror.planned() == ({b"new/"}, set())
        (deep / "x.tmp").write_bytes(b"")
        assert mirror.planned() == (set(), {b"new/"})
    finally:
        remove_tree(mirror.folder / "new")
