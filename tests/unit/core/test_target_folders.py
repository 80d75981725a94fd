"""Folders of a target: what is mounted below them belongs to somebody else."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.core.python.linux import FOLDER_FLAGS
from holdfast.core.python.target_folders import is_mount, remove_everything

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="a bind mount needs root"
)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[int]:
    """A folder with ``old/inner/there``, where ``elsewhere`` of the same file system is mounted."""
    there = tmp_path / "old" / "inner" / "there"
    there.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(b"content")
    bind = ["mount", "--bind", str(tmp_path / "elsewhere"), str(there)]
    if subprocess.run(bind, check=False, capture_output=True).returncode:
        pytest.skip("a bind mount needs root")
    fd = os.open(tmp_path, FOLDER_FLAGS)
    yield fd
    os.close(fd)
    subprocess.run(["umount", str(there)], check=True)


@needs_root
def test_a_folder_mounted_from_the_same_file_system_is_a_mount(target: int) -> None:
    inner = os.open("old/inner", FOLDER_FLAGS, dir_fd=target)

    assert is_mount(inner, b"there")
    assert not is_mount(target, b"old")
    os.close(inner)


@needs_root
def test_removing_never_enters_what_is_mounted(target: int, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="mounted"):
        remove_everything(target, b"old")

    assert (tmp_path / "elsewhere" / "file").read_bytes() == b"content"
