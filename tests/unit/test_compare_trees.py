"""``tools/compare-trees`` finds each kind of difference, names its field, and finds no other."""

import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

from doubles.hostile_chapters import ACL_FOR_ONE_MORE_USER, capability
from doubles.trees import (
    build_hostile_tree,
    build_small_tree,
    disposable_folder,
    mutate_tree,
    remove_tree,
)

TOOL = Path(__file__).parents[2] / "tools" / "compare-trees"
BLOCK = 64 * 1024
IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="needs root: owners, devices, capabilities")


def compare(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, TOOL, *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def found(result: subprocess.CompletedProcess[str]) -> set[tuple[str, str]]:
    """Return the (field, path) pairs of the lines that name a difference."""
    lines = [line.split(": ") for line in result.stdout.splitlines() if line.count(": ") >= 2]
    return {(line[0], line[1]) for line in lines if line[0] != "Differences"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with disposable_folder(tmp_path) as folder:
        yield folder


def _plant_tree(root: Path) -> None:
    root.mkdir()
    (root / "folder").mkdir()
    (root / "file").write_bytes(b"content")
    (root / "other").write_bytes(b"content")
    (root / "linked").write_bytes(b"linked")
    os.link(root / "linked", root / "linked-too")
    (root / "linked-not").write_bytes(b"linked")
    (root / "symlink").symlink_to("file")
    os.mkfifo(root / "fifo")
    with (root / "sparse").open("wb") as file:
        file.write(b"x" * BLOCK)
        file.seek(3 * BLOCK)
        file.write(b"x" * BLOCK)
    (root / "zeros").write_bytes(bytes(4 * BLOCK))
    os.setxattr(root / "file", "user.kept", b"one")
    if IS_ROOT:
        os.mknod(root / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    for path in [*root.iterdir(), root]:
        os.utime(path, ns=(1, 1_500_000_000_123_456_789), follow_symlinks=False)


def _rewrite(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _fill_hole(path: Path) -> None:
    with path.open("r+b") as file:
        os.pwrite(file.fileno(), bytes(4096), 2 * BLOCK)


def _lose_data(path: Path) -> None:
    """Turn zeros that were written into a hole."""
    size = path.stat().st_size
    os.truncate(path, 0)
    os.truncate(path, size)


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _relink(root: Path) -> None:
    """Link the third of three equal files with the first, in place of the second."""
    (root / "linked-too").unlink()
    (root / "linked-too").write_bytes(b"linked")
    (root / "linked-not").unlink()
    os.link(root / "linked", root / "linked-not")


PLANTED: dict[str, tuple[Callable[[Path], object], set[tuple[str, str]]]] = {
    "a missing file": (lambda root: (root / "file").unlink(), {("presence", "file")}),
    "an additional file": (lambda root: (root / "new").touch(), {("presence", "new")}),
    "another type": (
        lambda root: _replace(root / "fifo", Path.touch),
        {("type", "fifo")},
    ),
    "a folder that became a link": (
        lambda root: ((root / "folder").rmdir(), (root / "folder").symlink_to(".")),
        {("type", "folder"), ("mode", "folder")},
    ),
    "other permissions": (lambda root: (root / "file").chmod(0o4644), {("mode", "file")}),
    "other permissions of a folder": (
        lambda root: (root / "folder").chmod(0o1755),
        {("mode", "folder")},
    ),
    "another size": (lambda root: _rewrite(root / "file", b"contents"), {("size", "file")}),
    "one bit": (lambda root: _rewrite(root / "file", b"contenT"), {("content", "file")}),
    "a filled hole": (lambda root: _fill_hole(root / "sparse"), {("holes", "sparse")}),
    "a hole in place of zeros": (lambda root: _lose_data(root / "zeros"), {("holes", "zeros")}),
    "another target": (
        lambda root: _replace(root / "symlink", lambda path: path.symlink_to("./file")),
        {("target", "symlink")},
    ),
    "a lost hard link": (
        lambda root: _replace(root / "linked-too", lambda path: path.write_bytes(b"linked")),
        {("links", "linked-too")},
    ),
    "an additional hard link": (
        lambda root: _replace(root / "other", lambda path: os.link(root / "file", path)),
        {("links", "other"), ("xattr", "other")},
    ),
    "hard links among other paths": (
        _relink,
        {("links", "linked-not"), ("links", "linked-too")},
    ),
    "a lost attribute": (
        lambda root: os.removexattr(root / "file", "user.kept"),
        {("xattr", "file")},
    ),
    "another attribute value": (
        lambda root: os.setxattr(root / "file", "user.kept", b"two"),
        {("xattr", "file")},
    ),
    "an additional attribute of a folder": (
        lambda root: os.setxattr(root / "folder", "user.new", b""),
        {("xattr", "folder")},
    ),
    "an ACL": (
        lambda root: os.setxattr(root / "file", "system.posix_acl_access", ACL_FOR_ONE_MORE_USER),
        {("xattr", "file"), ("mode", "file")},
    ),
    "a default ACL": (
        lambda root: os.setxattr(
            root / "folder", "system.posix_acl_default", ACL_FOR_ONE_MORE_USER
        ),
        {("xattr", "folder")},
    ),
}

PLANTED_BY_ROOT: dict[str, tuple[Callable[[Path], object], set[tuple[str, str]]]] = {
    "another owner": (lambda root: os.chown(root / "file", 4711, -1), {("owner", "file")}),
    "another owner of a link": (
        lambda root: os.chown(root / "symlink", 4711, -1, follow_symlinks=False),
        {("owner", "symlink")},
    ),
    "another group": (lambda root: os.chown(root / "folder", -1, 4711), {("group", "folder")}),
    "another device": (
        lambda root: _replace(
            root / "device",
            lambda path: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5)),
        ),
        {("device", "device")},
    ),
    "a block device for a character device": (
        lambda root: _replace(
            root / "device",
            lambda path: os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(1, 3)),
        ),
        {("type", "device")},
    ),
    "a capability": (
        lambda root: os.setxattr(root / "file", "security.capability", capability(10)),
        {("xattr", "file")},
    ),
    "a trusted attribute of a link": (
        lambda root: os.setxattr(root / "symlink", "trusted.x", b"x", follow_symlinks=False),
        {("xattr", "symlink")},
    ),
}


def _check_planted(
    folder: Path, plant: Callable[[Path], object], expected: set[tuple[str, str]]
) -> None:
    for side in ("a", "b"):
        _plant_tree(folder / side)
    plant(folder / "b")
    for path in [*(folder / "b").iterdir(), folder / "b"]:
        os.utime(path, ns=(1, 1_500_000_000_123_456_789), follow_symlinks=False)
    for sides in (("a", "b"), ("b", "a")):
        result = compare(*(folder / side for side in sides))
        assert found(result) == expected, result.stdout + result.stderr
        assert result.returncode == 1


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_difference_is_found_and_nothing_else(folder: Path, name: str) -> None:
    _check_planted(folder, *PLANTED[name])


@needs_root
@pytest.mark.parametrize("name", PLANTED_BY_ROOT)
def test_each_difference_that_root_can_plant_is_found(folder: Path, name: str) -> None:
    _check_planted(folder, *PLANTED_BY_ROOT[name])


@pytest.mark.parametrize(
    ("extents", "size", "expected"),
    [
        ([], 40960, []),
        ([(0, 40960)], 40960, [(0, 10)]),
        # A hole of one small block within a large one exists on the small side only.
        ([(0, 1024), (2048, 40960)], 40960, [(0, 10)]),
        ([(0, 1024), (3072, 4096)], 8192, [(0, 1)]),
        # So does a hole across the border of two large blocks, until it covers a whole one.
        ([(0, 1024), (7168, 8192)], 8192, [(0, 2)]),
        ([(0, 4096), (8192, 12288)], 12288, [(0, 1), (2, 3)]),
        ([(0, 1024), (11264, 12288)], 12288, [(0, 1), (2, 3)]),
        # The incomplete block at the end counts as data on both sides.
        ([(0, 100)], 100, []),
        ([], 4196, []),
        ([(4096, 4196)], 4196, []),
    ],
)
def test_the_hole_map_is_of_whole_blocks(
    monkeypatch: pytest.MonkeyPatch,
    extents: list[tuple[int, int]],
    size: int,
    expected: list[tuple[int, int]],
) -> None:
    """Restored to a file system with larger blocks, a file keeps the holes that can exist there."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("compare_trees", str(TOOL))
    spec = spec_from_loader("compare_trees", loader)
    assert spec is not None
    tool = module_from_spec(spec)
    loader.exec_module(tool)
    monkeypatch.setattr(tool, "data_extents", lambda _fd, _size: iter(extents))
    assert list(tool.data_blocks(-1, size, 4096)) == expected


@pytest.mark.parametrize("name", ["file", "folder", "symlink", "fifo"])
def test_one_nanosecond_of_a_modification_time_is_found(folder: Path, name: str) -> None:
    for side in ("a", "b"):
        _plant_tree(folder / side)
    os.utime(folder / "b" / name, ns=(1, 1_500_000_000_123_456_788), follow_symlinks=False)
    result = compare(folder / "a", folder / "b")
    assert (result.returncode, found(result)) == (1, {("mtime", name)})


def test_identical_trees_are_the_same(folder: Path) -> None:
    for side in ("a", "b"):
        _plant_tree(folder / side)
    result = compare(folder / "a", folder / "b")
    assert result.returncode == 0, result.stdout
    assert "No difference." in result.stdout


def test_the_roots_are_compared_unless_told_otherwise(folder: Path) -> None:
    for side in ("a", "b"):
        _plant_tree(folder / side)
    os.utime(folder / "b", ns=(2, 2))
    assert found(compare(folder / "a", folder / "b")) == {("mtime", ".")}
    assert compare("--ignore-root", folder / "a", folder / "b").returncode == 0


def test_a_field_that_is_ignored_makes_no_difference(folder: Path) -> None:
    for side in ("a", "b"):
        _plant_tree(folder / side)
    os.setxattr(folder / "b" / "file", "user.kept", b"two")
    for field in ("xattr", "xattr:user.kept"):
        result = compare("--ignore", field, folder / "a", folder / "b")
        assert result.returncode == 0
        assert f"Not compared: {field}." in result.stdout


def test_sockets_can_be_left_out(folder: Path) -> None:
    for side in ("a", "b"):
        (folder / side).mkdir()
    os.mknod(folder / "a" / "socket", stat.S_IFSOCK | 0o600)
    sides = (folder / "a", folder / "b")
    assert found(compare("--ignore-root", *sides)) == {("presence", "socket")}
    assert compare("--ignore-root", "--ignore", "sockets", *sides).returncode == 0


def test_an_open_socket_is_compared_without_being_opened(folder: Path) -> None:
    for side in ("a", "b"):
        (folder / side).mkdir()
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(folder / side / "socket"))
        os.utime(folder / side / "socket", ns=(0, 0))
    assert compare("--ignore-root", folder / "a", folder / "b").returncode == 0


def test_names_of_any_bytes_are_shown_on_one_line(folder: Path) -> None:
    for side in ("a", "b"):
        (folder / side).mkdir()
    (folder / "a" / "line\nfeed\\\udcff\x1b").touch()
    result = compare("--ignore-root", folder / "a", folder / "b")
    assert "presence: line\\nfeed\\\\\\xff\\x1b: only in " in result.stdout


def test_no_more_differences_are_printed_than_wanted(folder: Path) -> None:
    for side in ("a", "b"):
        (folder / side).mkdir()
    for number in range(10):
        (folder / "a" / f"{number}").touch()
    result = compare("--ignore-root", "--most", "3", folder / "a", folder / "b")
    assert result.returncode == 1
    assert len(found(result)) == 3
    assert "7 more differences are not shown" in result.stdout


def test_what_cannot_be_compared_exits_two(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "file").touch()
    for missing in ("not-there", "file"):
        result = compare(folder / "a", folder / missing)
        assert result.returncode == 2
        assert missing in result.stderr
    assert compare("--ignore", "colour", folder / "a", folder / "a").returncode == 2


@pytest.mark.skipif(IS_ROOT, reason="root can read everything")
def test_what_cannot_be_read_is_named_and_the_rest_is_compared(folder: Path) -> None:
    for side in ("a", "b"):
        _plant_tree(folder / side)
        (folder / side / "file").chmod(0)
        (folder / side / "folder").chmod(0o400)
    (folder / "b" / "symlink").unlink()
    result = compare("--ignore-root", folder / "a", folder / "b")
    assert result.returncode == 2
    assert found(result) == {("presence", "symlink")}
    assert {line.split(": ")[1] for line in result.stderr.splitlines()} == {"file", "folder"}


def test_the_hostile_tree_equals_a_second_one_and_each_is_seen_to_its_depth(folder: Path) -> None:
    for side in ("a", "b"):
        build_hostile_tree(folder / side, big_folder_files=100_000, privileged=IS_ROOT)
    result = compare(folder / "a", folder / "b")
    assert "No difference." in result.stdout, result.stdout
    # Two entries forbid everything to everybody but root, and that is said.
    closed = [] if IS_ROOT else ["modes/file-0000", "modes/folder-without-permissions"]
    assert [line.split(": ")[1] for line in result.stderr.splitlines()] == closed
    assert result.returncode == (2 if closed else 0)
    deepest = _bottom_of(folder / "b" / "beyond")
    os.utime("at-the-bottom", ns=(5, 5), dir_fd=deepest)
    os.close(deepest)
    result = compare(folder / "a", folder / "b")
    assert result.returncode == (2 if closed else 1)
    fields = [line for line in result.stdout.splitlines() if line.startswith("mtime: beyond/")]
    assert len(fields) == 1
    assert len(fields[0]) > 3 * 4096


def _bottom_of(folder: Path) -> int:
    here = os.open(folder, os.O_RDONLY)
    while True:
        folders = [entry.name for entry in os.scandir(here) if entry.is_dir(follow_symlinks=False)]
        if not folders:
            return here
        below = os.open(folders[0], os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below


@needs_root
@pytest.mark.skipif(shutil.which("cp") is None, reason="needs GNU cp")
def test_a_copy_by_cp_of_all_that_cp_can_copy_has_no_difference(folder: Path) -> None:
    """An independent witness that faithful copies raise no false alarm."""
    build_hostile_tree(folder / "a", big_folder_files=500, privileged=True)
    for name in ("beyond", "deep"):  # cp passes whole paths to the system
        remove_tree(folder / "a" / name)
    copied = subprocess.run(
        ["cp", "-a", "--sparse=auto", "--reflink=never", folder / "a", folder / "b"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert copied.returncode == 0, copied.stderr
    result = compare(folder / "a", folder / "b")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_small_tree_depends_on_its_seed_only(folder: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build_small_tree(folder / name, seed)
    assert compare(folder / "a", folder / "b").returncode == 0
    assert compare(folder / "a", folder / "c").returncode == 1


def test_changes_to_the_small_tree_depend_on_their_seed_only_and_are_what_they_say(
    folder: Path,
) -> None:
    for name in ("before", "a", "b"):
        build_small_tree(folder / name, 7)
    changes = mutate_tree(folder / "a", 3)
    assert mutate_tree(folder / "b", 3) == changes
    assert compare(folder / "a", folder / "b").returncode == 0
    assert all((changes.changed, changes.removed, changes.renamed, changes.added))
    for path in (*changes.removed, *(old for old, _new in changes.renamed)):
        assert (folder / "before" / path).exists()
        assert not (folder / "a" / path).exists()
    for path in (*changes.added, *(new for _old, new in changes.renamed)):
        assert (folder / "a" / path).exists()
        assert not (folder / "before" / path).exists()
