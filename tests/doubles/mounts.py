"""Small file systems of their own, in memory: what only root can mount."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_NEEDS_ROOT = "mounting a tmpfs needs root"

needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason=_NEEDS_ROOT
)


@contextmanager
def mounted(folder: Path, options: str = "size=1m") -> Iterator[Path]:
    """Mount an empty tmpfs at *folder*, which is made; even root may not be allowed to."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip(_NEEDS_ROOT)
    try:
        yield folder
    finally:
        # Lazily: a command that was killed may still have something open there.
        subprocess.run(["umount", "-l", str(folder)], check=True)
