"""Repository addresses: one string that is typed, printed and put on recovery kits.

An address that is not a plain path is never repeated in a message, because a password may hide in
it where nobody looked.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from holdfast.base.clock import Clock
from holdfast.base.randomness import Random
from holdfast.storage._posix import opened, translated
from holdfast.storage.errors import (
    AddressNotBuiltError,
    InvalidAddressError,
    PasswordInAddressError,
    RepositoryMissingError,
)
from holdfast.storage.interface import StorageBackend, local_files
from holdfast.storage.local import LocalBackend

_KINDS_TO_COME: Final = {
    "sftp": "Repositories over SFTP are",
    "s3": "Repositories in S3 buckets are",
    "depot": "Depots are",
    "drive": "Drives found by their label are",
}
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://|(file|sftp|s3|drive|depot):")
# Behind a scheme a password may even contain a slash; a port before a path is none.
_PASSWORD_IN_URL: Final = re.compile(r"(?:https?://|//)?[^/@]*:(?!\d+/)[^@]*@")
_PASSWORD_IN_PATH: Final = re.compile(r"[^/]*:[^/]*@")
_SECRET_PARAMETER: Final = re.compile(r"pass|secret|token|key|credential", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """A folder of this machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


def parse_address(text: str) -> LocalAddress:
    """Read a repository address: a path or a ``file:`` URL.

    A folder whose name looks like another kind of address is written with ``./`` before it.

    Raises:
        PasswordInAddressError: It carries a password.
        AddressNotBuiltError: It is a kind of repository that is not built yet.
        InvalidAddressError: It is none.
    """
    if not text or "\0" in text:
        raise InvalidAddressError(
            "The repository address is empty or contains a zero byte.",
            hint="Write a folder, such as -r /mnt/drive/repository.",
        )
    match = _SCHEME.match(text)
    if match is None:
        if _PASSWORD_IN_PATH.match(text):
            raise _password_in_address()
        return LocalAddress(Path(text))
    if _has_password(text[match.end() :]):
        raise _password_in_address()
    scheme = (match.group(1) or match.group(2)).lower()
    if scheme == "file":
        return LocalAddress(_path_of_file_url(text))
    if scheme in _KINDS_TO_COME:
        raise AddressNotBuiltError(
            f"{_KINDS_TO_COME[scheme]} not built yet in this release.",
            hint="Use a folder of this machine; write ./ before a name that contains a colon.",
        )
    raise InvalidAddressError(
        "This kind of repository address is not known.",
        hint="Write a folder, such as -r /mnt/drive/repository.",
    )


def open_backend(address: str, *, clock: Clock, random: Random) -> StorageBackend:
    """Open the storage at *address*; whether a repository lies in it is the caller's question.

    Raises:
        RepositoryMissingError: There is no such folder.
        RequestError: *address* cannot be used, see :func:`parse_address`.
        StorageError: The storage failed or refused.
    """
    path = parse_address(address).path
    if path.name.endswith(".holdfast") and path.is_file():
        raise AddressNotBuiltError("Single-file backups are not built yet in this release.")
    return LocalBackend(path, clock=clock, random=random)


@contextmanager
def created_backend(address: str, *, clock: Clock, random: Random) -> Iterator[StorageBackend]:
    """Open the storage as :func:`create_backend` does and close it at the end.

    If what is done with it fails, folders that were made for it and are still empty go again.
    """
    missing = _missing_folders(parse_address(address).path.absolute())
    backend = create_backend(address, clock=clock, random=random)
    try:
        yield backend
    except BaseException:
        _remove_empty(missing)
        raise
    finally:
        backend.close()


def create_backend(address: str, *, clock: Clock, random: Random) -> StorageBackend:
    """Open the storage at *address*, making the folder and missing parents, durably.

    A folder that is there is opened as it is; ask :func:`holds_nothing` before filling it.

    Raises:
        RepositoryMissingError: Something that is no folder lies there. Nothing was changed.
        RequestError: *address* cannot be used, see :func:`parse_address`. Nothing was changed.
        StorageError: The storage failed or refused. Nothing was changed.
    """
    path = parse_address(address).path.absolute()
    try:
        _make_folders(path)
    except (FileExistsError, NotADirectoryError):
        raise RepositoryMissingError(
            f"No repository can be made at '{path}': something there is not a folder.",
            hint="Name a new or empty folder, below folders only.",
        ) from None
    except FileNotFoundError:
        raise RepositoryMissingError(
            f"No repository can be made at '{path}': the file system there takes no folders.",
            hint="Name a folder on a disk; /proc, /sys and the like hold no files of yours.",
        ) from None
    except OSError as error:
        raise translated(error, name="", path=path) from error
    return LocalBackend(path, clock=clock, random=random)


def holds_nothing(backend: StorageBackend) -> bool:
    """Tell whether the storage is unused, so that a repository may be made in it."""
    files = local_files(backend)
    if files is not None:
        return files.is_empty()
    return next(backend.list(""), None) is None


def _make_folders(path: Path) -> None:
    missing = _missing_folders(path)
    try:
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
            above = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with opened(above) as parent:
                os.fsync(parent)
    except OSError:
        _remove_empty(missing)
        raise


def _missing_folders(path: Path) -> list[Path]:
    """Return what would have to be made of *path* and its parents, the innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.is_dir()]


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove *folders*, the innermost first, as far as they are empty."""
    with suppress(OSError):
        for folder in folders:
            if folder.exists():
                folder.rmdir()


def _has_password(url_without_scheme: str) -> bool:
    parameters = parse_qsl(url_without_scheme.partition("?")[2], keep_blank_values=True)
    return _PASSWORD_IN_URL.match(url_without_scheme) is not None or any(
        _SECRET_PARAMETER.search(key) for key, _ in parameters
    )


def _password_in_address() -> PasswordInAddressError:
    return PasswordInAddressError(
        "The repository address contains a password; addresses are printed and logged.",
        hint="Leave it out and use the storage's own credentials file; "
        "write ./ before a folder whose name looks like that.",
    )


def _path_of_file_url(text: str) -> Path:
    try:
        url = urlsplit(text)
        path = os.fsdecode(unquote(url.path, errors="surrogateescape"))
    except ValueError:
        url, path = None, ""
    if (
        url is None
        or url.netloc not in {"", "localhost"}
        or url.query
        or url.fragment
        or not path.startswith("/")
        or "\0" in path
    ):
        raise InvalidAddressError(
            "A file: address names an absolute path of this machine and nothing else.",
            hint="Write file:///mnt/drive/repository, with %23 for # and %3F for ?.",
        )
    return Path(path)
