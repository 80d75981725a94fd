"""Small things said once about files: reading, comparing, mapping, and what errors mean."""

import errno
import mmap
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from holdfast.base.errors import HoldfastError
from holdfast.storage.errors import (
    ForeignObjectError,
    ObjectMissingError,
    ObjectTruncatedError,
    RepositoryMissingError,
    SpoolElsewhereError,
    StorageDeniedError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
)

_COMPARE_BYTES: Final = 1 << 20

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED: Final = (
    StorageDeniedError,
    "This user may not do that to the {place}.",
    "Check who owns the folder and what its mode is.",
)
_FOREIGN: Final = (
    ForeignObjectError,
    "Where the {place} should be lies something that is neither a plain file nor a folder.",
    "Holdfast follows no links inside a repository; look who put it there.",
)
_MEANINGS: Final[Mapping[int, tuple[type[HoldfastError], str, str | None]]] = {
    errno.ENOENT: (ObjectMissingError, "There is no {place}.", None),
    errno.EROFS: (StorageReadOnlyError, "The file system of '{path}' is read-only.", None),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ELOOP: _FOREIGN,
    errno.ENOTDIR: _FOREIGN,
    errno.EISDIR: _FOREIGN,
    errno.EXDEV: (
        SpoolElsewhereError,
        "The file that is to become the {place} is not on its file system.",
        None,
    ),
}


def translated(error: OSError, *, name: str, path: Path) -> HoldfastError:
    """Say in storage's words what the system said about *name* in the repository at *path*.

    An empty name is the repository's folder itself.
    """
    if error.errno in _NO_ROOM:
        return StorageFullError.at(path)
    meaning = _MEANINGS.get(error.errno or 0)
    if meaning is None:
        reason = os.strerror(error.errno) if error.errno else str(error)
        return StorageUnavailableError(f"The storage '{path}' failed: {reason}.")
    leaf, sentence, hint = meaning
    place = f"object {name} in '{path}'" if name else f"folder '{path}'"
    return leaf(sentence.format(place=place, path=path), hint=hint)


def vanished(root: int, *, name: str, path: Path) -> HoldfastError:
    """Say why a folder was gone each time something was to be put into it."""
    if os.fstat(root).st_nlink == 0:
        return RepositoryMissingError(
            f"The repository '{path}' has been removed.",
            hint="If it was moved, name its new place; if somebody removed it, make a new one with "
            "'holdfast init'.",
        )
    return StorageUnavailableError(
        f"The folder of {name} in '{path}' vanishes whenever it is written to.",
        hint="Look for another program that cleans up this folder.",
    )


@contextmanager
def opened(descriptor: int) -> Iterator[int]:
    """Close *descriptor* at the end."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def refuse_foreign(found: os.stat_result) -> None:
    """Refuse whatever is no plain file.

    Raises:
        OSError: ELOOP, which :func:`translated` turns into ``ForeignObjectError``.
    """
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def read(descriptor: int, name: str, offset: int, length: int) -> bytes:
    """Return exactly *length* bytes from *offset*.

    Raises:
        ObjectTruncatedError: The file ends before.
    """
    data = os.pread(descriptor, length, offset)
    if len(data) == length:
        return data
    # The system returns less at the end of the file, and for more than 2 GiB at once.
    pieces = [data]
    missing = length - len(data)
    while missing:
        data = os.pread(descriptor, missing, offset + length - missing)
        if not data:
            size_bytes = os.fstat(descriptor).st_size
            raise ObjectTruncatedError(
                f"The object {name} has {size_bytes} bytes; {offset + length} were expected."
            )
        pieces.append(data)
        missing -= len(data)
    return b"".join(pieces)


def holds_exactly(descriptor: int, parts: Sequence[memoryview]) -> bool:
    """Tell whether the file's bytes are those of *parts*, and no more."""
    if os.fstat(descriptor).st_size != sum(map(len, parts)):
        return False
    offset = 0
    for part in parts:
        for start in range(0, len(part), _COMPARE_BYTES):
            # As bytes, because memoryviews are compared item by item.
            expected = bytes(part[start : start + _COMPARE_BYTES])
            if os.pread(descriptor, len(expected), offset) != expected:
                return False
            offset += len(expected)
    return True


def map_file(descriptor: int) -> memoryview:
    """Map the whole file, read-only; it may be closed afterwards."""
    # An empty mapping is refused by the system.
    if os.fstat(descriptor).st_size == 0:
        return memoryview(b"")
    return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))


def unmap(view: memoryview) -> None:
    """Give the mapping back, or leave that to the last slice of it that lives on."""
    mapping = view.obj
    with suppress(BufferError):
        view.release()
        if isinstance(mapping, mmap.mmap):
            mapping.close()
