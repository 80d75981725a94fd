"""Sources that change under the writer, or that were made to break it."""

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from doubles.trees import build_hostile_tree, disposable_folder
from doubles.writing import Desk
from holdfast.core.python import scan
from holdfast.core.python.entries import FILE, FOLDER, SYMLINK


def swap_folder_for_symlink(source: Path, outside: Path) -> None:
    folder = source / "a"
    if folder.is_symlink():
        folder.unlink()
        folder.mkdir()
        (folder / "x").write_text("inside")
    else:
        (folder / "x").unlink(missing_ok=True)
        folder.rmdir()
        folder.symlink_to(outside)


def swap_file_for_fifo(source: Path, _outside: Path) -> None:
    file = source / "b" / "y"
    is_file = file.is_file()
    file.unlink(missing_ok=True)
    if is_file:
        os.mkfifo(file)
    else:
        file.write_text("inside")


def swap_file_for_symlink(source: Path, outside: Path) -> None:
    file = source / "b" / "y"
    is_link = file.is_symlink()
    file.unlink(missing_ok=True)
    if is_link:
        file.write_text("inside")
    else:
        file.symlink_to(outside / "x")


@pytest.mark.parametrize(
    "swap", [swap_folder_for_symlink, swap_file_for_fifo, swap_file_for_symlink]
)
def test_nothing_from_outside_the_source_is_ever_stored(
    tmp_path: Path, swap: Callable[[Path, Path], None]
) -> None:
    """Somebody with write access below the source swaps things as fast as he can."""
    source, outside = tmp_path / "source", tmp_path / "outside"
    for folder in (source / "a", source / "b", outside):
        folder.mkdir(parents=True)
    (source / "a/x").write_text("inside")
    (source / "b/y").write_text("inside")
    (outside / "x").write_text("a secret of somebody else")
    is_over = threading.Event()

    def keep_swapping() -> None:
        while not is_over.is_set():
            swap(source, outside)

    thread = threading.Thread(target=keep_swapping)
    thread.start()
    try:
        for number in range(60):
            desk = Desk(tmp_path / f"desk-{number}")
            tree = desk.tree(desk.backup(source).root)
            for path, entry in tree.items():
                if entry.type == FILE:
                    assert desk.stored(entry) in {b"inside", b""}
                # What is below a folder needs the folder (8.1).
                if b"/" in path:
                    assert tree[path.rpartition(b"/")[0]].type == FOLDER
            assert {finding.code for finding in desk.findings} <= {
                scan.VANISHED,
                scan.CHANGED,
                scan.UNREADABLE,
            }
    finally:
        is_over.set()
        thread.join()


def keep_changing(source: Path, is_over: threading.Event) -> None:
    chance = random.Random("changes")
    while not is_over.is_set():
        folder = source / f"f{chance.randrange(5)}"
        name = folder / f"n{chance.randrange(20)}"
        try:
            folder.mkdir(exist_ok=True)
            match chance.randrange(5):
                case 0:
                    name.write_bytes(chance.randbytes(chance.randrange(40_000)))
                case 1:
                    name.unlink()
                case 2:
                    name.rename(source / f"moved-{chance.randrange(20)}")
                case 3:
                    folder.rename(source / f"f{chance.randrange(5)}")
                case _:
                    os.truncate(name, chance.randrange(60_000))
        except OSError:
            continue


def test_a_tree_that_changes_all_the_time_is_stored_without_an_end(tmp_path: Path) -> None:
    """Files come, go, grow and move while they are read: findings, and a tree that is in order."""
    source = tmp_path / "source"
    source.mkdir()
    is_over = threading.Event()
    thread = threading.Thread(target=keep_changing, args=(source, is_over))
    thread.start()
    state = None
    try:
        for number in range(25):
            desk = Desk(tmp_path / f"desk-{number}")
            written = desk.backup(source, state)
            entries = desk.entries(written.root)
            assert [entry.key for entry in entries] == sorted({entry.key for entry in entries})
            for entry in entries:
                if entry.type == FILE:
                    holes = 4 in dict(entry.rare)
                    assert holes or len(desk.stored(entry)) == entry.size
            state = written.state
    finally:
        is_over.set()
        thread.join()


def test_whatever_a_file_system_can_hold_is_stored(tmp_path: Path) -> None:
    """The hostile tree twice: nothing but findings goes wrong, and the second run reads nothing."""
    is_root = os.geteuid() == 0
    with disposable_folder(tmp_path) as folder:
        build_hostile_tree(folder / "source", big_folder_files=300, privileged=is_root)
        desk = Desk(tmp_path / "desk")
        first = desk.backup(folder / "source")
        findings = list(desk.findings)
        tree = desk.tree(first.root)
        second = desk.backup(folder / "source", first.state)

    assert all(finding.code == scan.UNREADABLE for finding in findings)
    assert not findings or not is_root
    assert second.root == first.root
    assert second.packs == ()
    assert sum(path.endswith(b"/at-the-bottom") for path in tree) == 2
    assert any(entry.type == SYMLINK for entry in tree.values())


def test_more_attributes_than_memory_should_hold_cost_the_attributes_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("content")
    os.setxattr(source / "file", "user.large", bytes(1000))
    monkeypatch.setattr("holdfast.core.python.linux.ATTRIBUTES_BYTES", 999)
    desk = Desk(tmp_path)
    tree = desk.tree(desk.backup(source).root)

    assert desk.stored(tree[b"file"]) == b"content"
    assert [(finding.code, finding.path) for finding in desk.findings] == [
        (scan.UNREADABLE, b"file")
    ]
