"""Folders of this machine that are full, read-only or no folders: said, and worked around."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from doubles.command_line import CommandLine

needs_mount = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="mounting a tmpfs needs root"
)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Mount a small file system at *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if done.returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[Path]:
    """Mount a file system that has no room left."""
    with mounted(folder, "size=64k,mode=700"):
        (folder / "ballast").write_bytes(bytes(64 << 10))
        yield folder


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """Show *folder* through a mount that takes no writes."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_refused_init_leaves_no_folder(holdfast: CommandLine) -> None:
    """Neither the repository's nor one above it."""
    inner = holdfast.folder / "a" / "b"

    refused = holdfast("init", inner)

    assert refused.code == 12
    assert not (holdfast.folder / "a").exists()


@needs_mount
def test_a_read_only_repository_refuses_a_backup_and_gives_restores(filled: CommandLine) -> None:
    """H211, before anything is read."""
    with read_only(filled.repository):
        refused = filled("backup", filled.source())
        restored = filled("restore", "latest", "--to", filled.folder / "x", password=True)

    assert refused.code == 1
    assert "H211" in refused.err
    assert restored.code == 0
