"""Small files of this machine: whole or not at all, for their owner only."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from holdfast.vault.errors import UnsafeFileError

_OTHERS_MAY_WRITE: Final = 0o022
_OTHERS_MAY_READ: Final = 0o044


def make_folder(folder: Path) -> None:
    """Make *folder* and what is above it, for the owner only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def replace_file(path: Path, content: bytes, *, is_durable: bool = True) -> None:
    """Give *path* a new content in one step, which survives a power cut if it *is_durable*.

    A copy whose hash is checked when it is used need not be: a torn one is fetched again.
    """
    make_folder(path.parent)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if is_durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_owner_only_writes(path: Path) -> bool:
    """Return whether others may read *path*, by the rule that ssh has for its keys.

    Raises:
        UnsafeFileError: others may write it, or it belongs to somebody else.
        OSError: it is not there.
    """
    status = path.stat()
    if status.st_mode & _OTHERS_MAY_WRITE or status.st_uid not in {0, os.geteuid()}:
        raise UnsafeFileError(
            f"Others can write the file '{path}', so it is not used.",
            hint=f"Look whether it is still yours, then: chmod 600 '{path}'",
        )
    return bool(status.st_mode & _OTHERS_MAY_READ)


@contextmanager
def file_lock(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock that ends with this process, whatever happens to it; yield whether it was got.

    The file stays: removing it would let two processes lock two files of one name.
    """
    make_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
