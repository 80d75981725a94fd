"""Scanning: what is taken, what is left out, and what becomes a finding instead of an end."""

# ruff: noqa: ANN401 - the arguments of scans and of os.stat are handed on as they come

import os
import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from doubles.trees import disposable_folder
from holdfast.base.progress import Finding
from holdfast.core.face import NodeRule, ScanRules
from holdfast.core.python import scan
from holdfast.core.python.entries import FOLDER_SIZE
from holdfast.core.python.linux import FOLDER_FLAGS

CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n# made by a test\n"


@contextmanager
def scanner(root: Path, **rules: Any) -> Iterator[tuple[scan.Scanner, list[Finding]]]:
    findings: list[Finding] = []
    fd = os.open(root, FOLDER_FLAGS)
    try:
        yield scan.Scanner(fd, ScanRules(**rules), findings.append), findings
    finally:
        os.close(fd)


def scanned(root: Path, **rules: Any) -> tuple[list[bytes], list[Finding]]:
    """Return the paths that a scan takes, the root left out, and the findings."""
    with scanner(root, **rules) as (walk, findings):
        paths = [piece.path(name) for piece in walk.slices() for name in piece.names]
    assert paths[0] == b""
    return paths[1:], findings


def make(root: Path, *paths: str) -> None:
    """Make files, and folders where a path ends with a slash."""
    for path in paths:
        place = root / path
        if path.endswith("/"):
            place.mkdir(parents=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(path)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_entries_of_a_folder_come_before_those_of_its_folders(tmp_path: Path) -> None:
    make(tmp_path, "b/y", "b/x/deep", "a.txt", "c", "a/z")

    assert scanned(tmp_path) == (
        [b"a", b"a.txt", b"b", b"c", b"a/z", b"b/x", b"b/y", b"b/x/deep"],
        [],
    )


def test_large_folders_come_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "SLICE_ENTRIES", 10)
    make(tmp_path, *(f"{number:03}" for number in range(25)), "005-folder/inside")
    with scanner(tmp_path) as (walk, _):
        sizes = [len(piece.names) for piece in walk.slices()]

    assert sizes == [1, 10, 10, 6, 1]


def test_an_excluded_folder_is_not_entered(tmp_path: Path) -> None:
    make(tmp_path, "keep/a.o", "keep/a.c", "build/x", "keep/build/y")

    paths, findings = scanned(tmp_path, exclude=[b"/build/", b"*.o"])

    assert paths == [b"keep", b"keep/a.c", b"keep/build", b"keep/build/y"]
    assert findings == []


def test_of_a_cache_only_the_tag_is_taken(tmp_path: Path) -> None:
    make(tmp_path, "cache/data", "no-cache/data", "fifo/data", "folder/CACHEDIR.TAG/x")
    (tmp_path / "cache/CACHEDIR.TAG").write_bytes(CACHE_TAG)
    (tmp_path / "no-cache/CACHEDIR.TAG").write_bytes(b"Signature: of something else")
    os.mkfifo(tmp_path / "fifo/CACHEDIR.TAG")

    paths, findings = scanned(tmp_path, exclude_caches=True)

    assert b"cache/CACHEDIR.TAG" in paths
    assert b"cache/data" not in paths
    assert {b"no-cache/data", b"fifo/data", b"folder/CACHEDIR.TAG/x"} <= set(paths)
    assert findings == []
    assert b"cache/data" in scanned(tmp_path)[0]


def test_nothing_is_taken_from_a_folder_with_a_marker(tmp_path: Path) -> None:
    make(tmp_path, "a/.nobackup", "a/x", "a/b/y", "c/z", "d/.nobackup/")

    paths, _ = scanned(tmp_path, exclude_if_present=[b".nobackup", b".other"])

    assert paths == [b"a", b"c", b"d", b"c/z"]


def test_files_above_the_limit_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "exact").write_bytes(bytes(100))
    (tmp_path / "above").write_bytes(bytes(101))
    (tmp_path / "folder").mkdir()

    assert scanned(tmp_path, exclude_larger_bytes=100)[0] == [b"exact", b"folder"]


def test_another_file_system_is_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "mounted/inside", "here/x")
    real = os.stat

    def elsewhere(path: Any, **options: Any) -> os.stat_result:
        status = real(path, **options)
        if path != b"mounted":
            return status
        return os.stat_result([*status[:2], status.st_dev + 1, *status[3:]])

    monkeypatch.setattr(os, "stat", elsewhere)

    assert scanned(tmp_path, one_file_system=True)[0] == [b"here", b"mounted", b"here/x"]
    assert b"mounted/inside" in scanned(tmp_path)[0]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ([b"a"], [b"a", b"a/b", b"a/x", b"a/b/y"]),
        ([b"a/b"], [b"a", b"a/b", b"a/b/y"]),
        ([b"a/b/y", b"a"], [b"a", b"a/b", b"a/x", b"a/b/y"]),
        ([b"a", b"a/b/y"], [b"a", b"a/b", b"a/x", b"a/b/y"]),
        ([b"a/b/y", b"a/b"], [b"a", b"a/b", b"a/b/y"]),
        ([b"c", b"a/x"], [b"a", b"c", b"a/x"]),
        ([b"c", b"c"], [b"c"]),
        ([b""], [b"a", b"c", b"a/b", b"a/x", b"a/b/y"]),
        ([], [b"a", b"c", b"a/b", b"a/x", b"a/b/y"]),
    ],
)
def test_a_selection_takes_these_paths_and_the_folders_on_the_way(
    tmp_path: Path, selection: list[bytes], expected: list[bytes]
) -> None:
    make(tmp_path, "a/x", "a/b/y", "c")

    assert scanned(tmp_path, selection=selection) == (expected, [])


@pytest.mark.parametrize("path", [b"gone", b"a/gone", b"c/below-a-file", b"gone/deep/down"])
def test_a_selected_path_that_is_not_there_is_a_finding(tmp_path: Path, path: bytes) -> None:
    make(tmp_path, "a/x", "c")

    _, findings = scanned(tmp_path, selection=[path, b"a/x"])

    assert [finding.code for finding in findings] == [scan.VANISHED]
    assert path.startswith(findings[0].path)


def test_what_cannot_be_read_is_a_finding_with_a_path_for_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a/b/lost", "a/b/there", "a/closed/x", "z")
    real_list, real_stat = os.listdir, os.stat

    def listed(place: int) -> list[str]:
        if Path(f"/proc/self/fd/{place}").readlink().name == "closed":
            raise PermissionError(13, "Permission denied")
        return real_list(place)

    def status(path: Any, **options: Any) -> os.stat_result:
        if path == b"lost":
            raise FileNotFoundError(2, "No such file or directory")
        return real_stat(path, **options)

    monkeypatch.setattr(os, "listdir", listed)
    monkeypatch.setattr(os, "stat", status)
    paths, findings = scanned(tmp_path)

    assert paths == [b"a", b"z", b"a/b", b"a/closed", b"a/b/there"]
    assert findings == [
        Finding(scan.VANISHED, b"a/b/lost", "not there any more"),
        Finding(scan.UNREADABLE, b"a/closed", "Permission denied"),
    ]


@pytest.mark.parametrize("becomes", ["symlink", "file", "nothing"])
def test_a_folder_that_becomes_something_else_is_not_entered(tmp_path: Path, becomes: str) -> None:
    make(tmp_path / "root", "a/secret", "b/x")
    make(tmp_path, "outside/secret")
    with scanner(tmp_path / "root") as (walk, findings), closing(walk.slices()) as slices:
        paths = []
        for piece in slices:
            paths += map(piece.path, piece.names)
            if b"a" in piece.names:
                (tmp_path / "root/a/secret").unlink()
                (tmp_path / "root/a").rmdir()
                if becomes == "symlink":
                    (tmp_path / "root/a").symlink_to("../outside")
                elif becomes == "file":
                    (tmp_path / "root/a").write_text("now a file")

    assert paths == [b"", b"a", b"b", b"b/x"]
    assert findings == [Finding(scan.VANISHED, b"a", "not there any more")]


def test_deep_trees_need_few_descriptors(tmp_path: Path) -> None:
    """A comb: every level has a second folder behind the deep one, so all are come back to."""
    levels = 1500
    with disposable_folder(tmp_path) as folder:
        here = os.open(folder, FOLDER_FLAGS)
        for _ in range(levels):
            os.mkdir("long-name-" * 4, dir_fd=here)
            os.mkdir("second", dir_fd=here)
            below = os.open("long-name-" * 4, FOLDER_FLAGS, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        before = open_descriptors()
        most = entries = 0
        with scanner(folder) as (walk, findings):
            for piece in walk.slices():
                entries += len(piece.names)
                if entries % 50 == 0:
                    most = max(most, open_descriptors())

        assert findings == []
        assert entries == 1 + 2 * levels
        assert most - before < 80
        # What other tests of this process left open may be closed meanwhile.
        assert open_descriptors() <= before


def test_coming_back_up_a_deep_tree_stays_below_the_limit_of_descriptors(tmp_path: Path) -> None:
    """Opening the upper folders again holds no more of them than going down."""
    with disposable_folder(tmp_path) as folder:
        here = os.open(folder, FOLDER_FLAGS)
        for _ in range(600):
            os.mkdir("a", dir_fd=here)
            os.mkdir("b", dir_fd=here)
            below = os.open("a", FOLDER_FLAGS, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_descriptors() + 80, hard))
        try:
            paths, findings = scanned(folder)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        assert len(paths) == 1200
        assert findings == []


def test_a_folder_moved_while_it_is_read_is_a_finding(tmp_path: Path) -> None:
    """Upper folders are opened again by name, and compared: nothing else is walked instead."""
    root = tmp_path / "root"
    make(root, *("a/" * depth + "b/inside" for depth in range(1, 80)))
    make(root, "a/" * 80 + "end")
    with scanner(root) as (walk, findings), closing(walk.slices()) as slices:
        for piece in slices:
            if piece.names == [b"end"]:
                (root / "a").rename(tmp_path / "elsewhere")
                make(root, "a/b/planted")
            assert b"planted" not in piece.names

    assert findings[-1].path == b"a/b"
    assert {finding.code for finding in findings} == {scan.VANISHED}


def test_folders_beyond_any_sensible_depth_are_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_DEEPEST_BYTES", 8)
    make(tmp_path, "abc/def/x", "abc/defg/y")

    paths, findings = scanned(tmp_path)

    assert paths == [b"abc", b"abc/def", b"abc/defg", b"abc/def/x"]
    assert [(finding.code, finding.path) for finding in findings] == [
        (scan.UNSUPPORTED, b"abc/defg")
    ]


def test_of_folders_with_very_long_paths_only_so_much_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a tree could need more levels than there are, and no backup would ever end well."""
    monkeypatch.setattr(scan, "_LONG_BYTES", 8)
    monkeypatch.setattr(scan, "_LONG_ENTRIES", 3)
    make(tmp_path, "abc/def/x", "abc/defg/x", "abc/defg/y", "abc/defg/z", "abc/defh/x", "b")

    paths, findings = scanned(tmp_path)

    taken = [b"abc/defg/x", b"abc/defg/y", b"abc/defg/z"]
    assert paths == [b"abc", b"b", b"abc/def", b"abc/defg", b"abc/defh", b"abc/def/x", *taken]
    assert [(finding.code, finding.path) for finding in findings] == [
        (scan.UNSUPPORTED, b"abc/defh")
    ]


def test_all_that_is_taken_fits_into_sixteen_levels() -> None:
    """8.2: inner nodes have two children at least, and four over keys that are not so long."""
    key = scan._LONG_BYTES + len(b"\0" + b"n" * 255)

    assert 4 * (64 + key) <= NodeRule().maximum_cost
    assert scan._LONG_ENTRIES <= 2**13
    assert scan._DEEPEST_BYTES < FOLDER_SIZE


def test_a_name_that_is_listed_twice_is_one_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is replaced meanwhile gets a new place at the end of a folder of tmpfs."""
    make(tmp_path, "again", "other")
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda fd: [*real(fd), "again"])

    assert scanned(tmp_path)[0] == [b"again", b"other"]


def test_an_abandoned_scan_leaves_nothing_open(tmp_path: Path) -> None:
    make(tmp_path, "a/b/c/d", "a/z/y")
    before = open_descriptors()
    with scanner(tmp_path) as (walk, _):
        slices = walk.slices()
        for _ in range(4):
            next(slices)
        slices.close()  # type: ignore[attr-defined]  # a generator

    assert open_descriptors() == before


@pytest.mark.slow
def test_a_hundred_thousand_files_in_one_folder(tmp_path: Path) -> None:
    fd = os.open(tmp_path, FOLDER_FLAGS)
    for number in range(100_000):
        os.mknod(f"{number:x}", dir_fd=fd)
    os.close(fd)

    paths, findings = scanned(tmp_path)

    assert len(paths) == 100_000
    assert paths == sorted(paths)
    assert findings == []
