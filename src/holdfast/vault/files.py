"""Small files of this machine: whole or not at all, for their owner only."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from holdfast.vault.errors import UnsafeFileError

_OTHERS_MAY_WRITE: Final = 0o022
_OTHERS_MAY_READ: Final = 0o044
_ATTEMPTS: Final = 64


def make_folder(folder: Path, *, is_durable: bool = False) -> None:
    """Make *folder* and what is above it, for the owner only, whatever the umask.

    What is made survives a power cut if it *is_durable*: a file is as lost as the folder it is in.
    """
    missing = [item for item in (folder, *folder.parents) if not item.exists()]
    for item in reversed(missing):
        # One by one: `parents` gives what is above the mode of the umask.
        item.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if is_durable:
        for item in reversed(missing):
            sync_folder(item.parent)


def replace_file(path: Path, content: bytes, *, is_durable: bool = True) -> None:
    """Give *path* a new content in one step, which survives a power cut if it *is_durable*.

    A copy whose hash is checked when it is used need not be: a torn one is fetched again.
    """
    make_folder(path.parent, is_durable=is_durable)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with _named(path):
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


def move_file(source: Path, target: Path) -> None:
    """Let *source* take the place of *target*, also from another file system, in one step.

    On failure *target* is as it was and nothing lies beside it. It is for its owner only.
    """
    make_folder(target.parent)
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    else:
        return
    near = target.with_name(f"{target.name}.new")
    near.unlink(missing_ok=True)
    with _named(target):
        try:
            descriptor = os.open(near, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with source.open("rb") as whole, os.fdopen(descriptor, "wb") as copy:
                shutil.copyfileobj(whole, copy)
            near.replace(target)
        except BaseException:
            near.unlink(missing_ok=True)
            raise


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Give an OSError of a write, which names nothing, the name of the file."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_owner_only_writes(path: Path) -> bool:
    """Return whether others may read *path*, by the rule that ssh has for its keys.

    Whoever can write the folder that it lies in can put another file in its place.

    Raises:
        UnsafeFileError: others may write it or its folder, or it belongs to somebody else.
        OSError: it is not there.
    """
    status = path.stat()
    for place, found, kind, mode in (
        (path.parent, path.parent.stat(), "folder", "700"),
        (path, status, "file", "600"),
    ):
        if found.st_mode & _OTHERS_MAY_WRITE or found.st_uid not in {0, os.geteuid()}:
            raise UnsafeFileError(
                f"Others can write the {kind} '{place}', so '{path.name}' is not used.",
                hint=f"Look whether it is still yours, then: chmod {mode} '{place}'",
            )
    return bool(status.st_mode & _OTHERS_MAY_READ)


@contextmanager
def file_lock(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold a lock that ends with this process, whatever happens to it; yield whether it was got.

    The file stays. Only who holds the lock may remove it, or two processes lock two files of one
    name: whoever waited for the lock of a file that is gone takes that of the next one.
    """
    make_folder(path.parent)
    for attempt in range(_ATTEMPTS):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            # Numbers of files that never agree are those of a file system that has none.
            if _is_called(path, descriptor) or attempt == _ATTEMPTS - 1:
                yield True
                return
        finally:
            os.close(descriptor)


def _is_called(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
