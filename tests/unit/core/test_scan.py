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
from holdfast.core.face import NodeRule
from holdfast.core.python import scan
from holdfast.core.python.entries import FOLDER_SIZE
from holdfast.core.python.linux import FOLDER_FLAGS, PASSED_FLAGS
from holdfast.core.scan_rules import ScanRules

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


def mount(root: Path, patch: pytest.MonkeyPatch, *folders: str) -> None:
    """Make it look as if each of *folders*, with all below it, were a file system of its own."""
    devices: dict[int, int] = {}
    for number, folder in enumerate(folders, 1):
        for path in [root / folder, *(root / folder).rglob("*")]:
            devices[path.stat().st_ino] = number
    real_stat, real_fstat = os.stat, os.fstat

    def moved(status: os.stat_result) -> os.stat_result:
        device = status.st_dev + devices.get(status.st_ino, 0)
        return os.stat_result([*status[:2], device, *status[3:]])

    patch.setattr(os, "stat", lambda path, **options: moved(real_stat(path, **options)))
    patch.setattr(os, "fstat", lambda fd: moved(real_fstat(fd)))


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Do without root's right to read everything."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


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


def test_each_named_path_has_its_own_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies below it on another one is left out; on the way to it none matters."""
    make(tmp_path, "root/x", "home/y", "home/usb/z", "way/mnt/deep/v", "way/w")
    mount(tmp_path, monkeypatch, "home", "home/usb", "way/mnt")
    selection = [b"root", b"home", b"way/mnt/deep"]

    paths, findings = scanned(tmp_path, selection=selection, one_file_system=True)

    folders = {b"home", b"home/usb", b"root", b"way", b"way/mnt", b"way/mnt/deep"}
    assert set(paths) == folders | {b"root/x", b"home/y", b"way/mnt/deep/v"}
    assert findings == []


def test_a_named_path_below_another_one_starts_anew_on_its_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the way to it leads over a third one, of which nothing else is taken."""
    make(tmp_path, "etc/x", "home/y", "mnt/third/z", "mnt/third/fourth/v", "mnt/third/w/x")
    mount(tmp_path, monkeypatch, "home", "mnt/third", "mnt/third/fourth")

    def taken(*selection: bytes) -> list[bytes]:
        paths, findings = scanned(tmp_path, selection=selection, one_file_system=True)
        assert findings == []
        return [path for path in paths if len(path.rpartition(b"/")[2]) == 1]

    assert taken() == taken(b".") == [b"etc/x"]
    assert taken(b".", b"home") == [b"etc/x", b"home/y"]
    assert taken(b".", b"mnt/third/fourth") == [b"etc/x", b"mnt/third/fourth/v"]


@pytest.mark.parametrize(
    ("rules", "left_out"),
    [
        ({"exclude": [b"[mqr]", b"one"]}, ""),
        ({"exclude": [b"/m", b"/m/q", b"/q", b"/one", b"m/q/in"]}, ""),
        ({"exclude": [b"sub"]}, "m/q/sub/in m/r/sub/in"),
        ({"exclude": [b"/sub/"]}, "m/q/sub/in m/r/sub/in"),
        ({"exclude": [b"/in"]}, "m/q/in"),
        ({"exclude": [b"*"]}, "m/q/in m/q/sub/in m/r/sub/in"),
        ({"exclude_if_present": [b"one", b"sub"]}, ""),
        ({"exclude_if_present": [b"in"]}, "m/q/sub/in m/r/sub/in"),
        ({"exclude_larger_bytes": 0}, "m/q/in m/q/sub/in m/r/sub/in"),
    ],
)
def test_rules_hold_only_below_named_paths_and_are_seen_from_each(
    tmp_path: Path, rules: dict[str, Any], left_out: str
) -> None:
    """Neither for these paths themselves, nor for the folders that lead to them."""
    files = {"m/one", "m/q/in", "m/q/sub/in", "m/r/sub/in"}
    make(tmp_path, "m/not-named", *files)

    paths, findings = scanned(tmp_path, selection=[b"m/q", b"m/r", b"m/one"], **rules)

    assert {path for path in map(os.fsdecode, paths) if (tmp_path / path).is_file()} == (
        files - set(left_out.split())
    )
    assert {b"m", b"m/q", b"m/r"} <= set(paths)
    assert findings == []


def test_a_named_folder_is_taken_even_if_it_is_a_cache(tmp_path: Path) -> None:
    """And what is named in a cache; of the cache itself the tag alone, if it is below a name."""
    make(tmp_path, "c/a/in", "c/b/in", "d/sub/in", "d/sub/deep/app/in", "d/sub/deep/in")
    for folder in ("c", "c/a", "d/sub"):
        (tmp_path / folder / "CACHEDIR.TAG").write_bytes(CACHE_TAG)
    named = [b"c/a", b"c/b", b"d", b"d/sub/deep/app"]

    paths, findings = scanned(tmp_path, selection=named, exclude_caches=True)

    assert {path for path in map(os.fsdecode, paths) if (tmp_path / path).is_file()} == {
        "c/a/CACHEDIR.TAG",
        "c/a/in",
        "c/b/in",
        "d/sub/CACHEDIR.TAG",
        "d/sub/deep/app/in",
    }
    assert findings == []
    assert b"in" in scanned(tmp_path / "c/a", exclude_caches=True)[0]


def test_what_is_named_in_a_folder_that_is_left_out_is_taken(tmp_path: Path) -> None:
    """Of the folders that lead there nothing else is; below it, rules are seen from it."""
    make(tmp_path, "cache/app/x", "cache/app/tmp/x", "cache/other/x", "cache/x", "o/cache/x")
    rules = {"exclude": [b"cache/**", b"cache", b"/tmp"], "selection": [b".", b"cache/app"]}

    paths, findings = scanned(tmp_path, **rules)

    assert paths == [b"cache", b"o", b"cache/app", b"cache/app/x"]
    assert findings == []


def test_a_path_that_is_never_taken_is_left_out_there_alone(tmp_path: Path) -> None:
    """Unless something in it is named."""
    make(tmp_path, "a/repo/x", "b/repo/x", "b/repo/y")
    named = [b"a", b"b"]

    assert b"a/repo/x" in scanned(tmp_path, selection=named)[0]
    paths = scanned(tmp_path, selection=named, never=[b"a/repo"])[0]
    assert paths == [b"a", b"b", b"b/repo", b"b/repo/x", b"b/repo/y"]
    paths = scanned(tmp_path, selection=[*named, b"b/repo/x"], never=[b"b/repo"])[0]
    assert paths == [b"a", b"b", b"a/repo", b"a/repo/x", b"b/repo", b"b/repo/x"]


def test_folders_that_lead_to_named_paths_need_not_be_readable(tmp_path: Path) -> None:
    """The right to search them suffices: nobody lists them."""
    make(tmp_path, "mid/a/x", "mid/b", "mid/c", "o")
    ways = [tmp_path, tmp_path / "mid"]
    (tmp_path / "mid" / "a").chmod(0o755)
    fd = os.open(tmp_path, PASSED_FLAGS)
    for folder in ways:
        folder.chmod(0o111)
    findings: list[Finding] = []
    rules = ScanRules(selection=[b"mid/a", b"mid/b"])
    try:
        with ordinary_user():
            walk = scan.Scanner(fd, rules, findings.append)
            pieces = [(list(piece.names), set(piece.passed)) for piece in walk.slices()]
    finally:
        os.close(fd)
        for folder in ways:
            folder.chmod(0o755)

    assert pieces == [
        ([b""], {b""}),
        ([b"mid"], {b"mid"}),
        ([b"a", b"b"], set()),
        ([b"x"], set()),
    ]
    assert findings == []


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
