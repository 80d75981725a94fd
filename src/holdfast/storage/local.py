"""Storage in a folder of a local or mounted file system: durable, atomic, write-once.

An object is written under a temporary name in its own folder, synced, given its name by a hard
link, which never replaces anything, and the folder is synced. Whatever a power cut leaves behind
before the link is a temporary file, which no listing shows.

Every path is walked folder by folder from the open root, and no symbolic link below the root is
followed, so whoever can write to the repository cannot lead a command elsewhere. The open root also
keeps a drive that was unmounted meanwhile from being mistaken for the empty folder under it.
"""

import errno
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from holdfast.base.clock import Clock
from holdfast.base.errors import InternalError
from holdfast.base.randomness import Random
from holdfast.storage._files import SystemFiles
from holdfast.storage._owners import Owner
from holdfast.storage._posix import (
    holds_exactly,
    map_file,
    opened,
    read,
    refuse_foreign,
    translated,
    unmap,
    vanished,
)
from holdfast.storage.errors import (
    ObjectExistsError,
    ObjectMissingError,
    RepositoryMissingError,
    StorageBusyError,
)
from holdfast.storage.interface import Bytes, Capabilities, ObjectInfo, as_parts
from holdfast.storage.names import (
    MAX_NAME_LENGTH,
    check_name,
    check_prefix,
    check_size,
    is_valid_name,
)

_TEMPORARY: Final = ".tmp-"
_SPOOL: Final = ".spool"
_NOT_FOREIGN: Final = frozenset({_SPOOL, "lost+found"})
"""What an empty root may hold; lost+found is in the root of a freshly made ext4."""
_ATTEMPTS: Final = 8
"""A put starts again when its folder vanished under it; each time needs another delete to win a
race of microseconds, so eight in a row mean that something else is wrong."""
_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_NO_FOLDER_SYNC: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP})
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY
_READ: Final = os.O_RDONLY | os.O_NONBLOCK
"""Not blocking, so that a pipe planted in place of an object cannot hold a command up."""

_LOCK_PAUSE_SECONDS: Final = 0.05

_Made = list[Sequence[str]]
"""Folders, each as its components."""

_LOCAL: Final = Capabilities(
    atomic_put=True,
    durable_put=True,
    consistent_list=True,
    conditional_put=True,
    object_lock=False,
    local_files=True,
    listing_delay_seconds=0.0,
)


class LocalBackend:
    """Objects are files below one folder. Implements ``StorageBackend`` and ``LocalFiles``.

    On a file system without hard links (FAT, exFAT, some network shares) an object is renamed into
    place after a look that its name is free. Then two processes that race for one name are not told
    apart and the later one stays: ``conditional_put`` is taken back at the first put. Names are
    content hashes, so the bytes are the same.

    On one that cannot sync folders, ``durable_put`` is taken back at the first put.

    Modes of new files and folders are cut by the process's umask. When root works in a repository
    whose root folder is somebody else's, they belong to that user and group.
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock,
        random: Random,
        files: SystemFiles | None = None,
        file_mode: int = 0o600,
        folder_mode: int = 0o700,
    ) -> None:
        """Open the folder *root*.

        Raises:
            RepositoryMissingError: *root* is not there or not a folder.
        """
        self._path = root.absolute()
        self._clock = clock
        self._random = random
        self._files = files or SystemFiles()
        self._file_mode = file_mode
        self._folder_mode = folder_mode
        self._capabilities = _LOCAL
        # Folders whose own name is known to be durable, by inode, so that one removed and made
        # again by another process is synced again.
        self._durable_folders: dict[str, int] = {}
        self._rename_lock = threading.Lock()
        self._root: int | None = None
        with self._errors(""):
            try:
                # The root itself may be a symbolic link: it is what the user typed.
                self._root = os.open(self._path, _FOLDER | os.O_CLOEXEC)
            except FileNotFoundError:
                raise RepositoryMissingError(
                    f"There is no repository at '{self._path}': the folder does not exist."
                ) from None
            except NotADirectoryError:
                raise RepositoryMissingError(
                    f"There is no repository at '{self._path}': it is not a folder.",
                    hint="Name the repository's own folder, in which there is 'vaults'.",
                ) from None
            self._owner = Owner.to_give(self._root)

    @property
    def address(self) -> str:
        """The absolute path."""
        return str(self._path)

    @property
    def capabilities(self) -> Capabilities:
        """What is promised, as far as is known by now."""
        return self._capabilities

    def put(self, name: str, data: Bytes | Sequence[Bytes]) -> bool:
        """Store *data* durably; see the interface. On failure the temporary file is removed."""
        check_name(name)
        parts = as_parts(data)
        *folders, leaf = name.split("/")
        with self._errors(name), self._tidied() as made:
            for _ in range(_ATTEMPTS):
                with suppress(FileNotFoundError), self._folder(folders, made=made) as folder:
                    if self._holds(folder, leaf, parts):
                        return False
                    temporary = self._write_temporary(folder, parts)
                    return self._publish(temporary, folder, leaf, folder, parts)
        raise vanished(self._open_root(), name=name, path=self._path)

    def put_file(self, name: str, path: Path) -> bool:
        """Move the file *path* into the storage, durably; see the interface."""
        check_name(name)
        *folders, leaf = name.split("/")
        with (
            self._errors(name),
            self._tidied() as made,
            opened(os.open(path.parent, _FOLDER | os.O_CLOEXEC)) as spool,
            self._spooled(spool, path.name) as view,
        ):
            for _ in range(_ATTEMPTS):
                with suppress(FileNotFoundError), self._folder(folders, made=made) as folder:
                    if self._holds(folder, leaf, [view]):
                        self._files.unlink(path.name, folder=spool)
                        return False
                    return self._publish(path.name, spool, leaf, folder, [view])
        raise vanished(self._open_root(), name=name, path=self._path)

    def get(self, name: str, *, most_bytes: int | None = None) -> bytes:
        """Return the whole object; see the interface."""
        check_name(name)
        with self._errors(name), self._object(name) as (descriptor, size_bytes):
            check_size(name, size_bytes, most_bytes)
            return read(descriptor, name, 0, size_bytes)

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of each range; see the interface."""
        check_name(name)
        with self._errors(name), self._object(name) as (descriptor, _):
            return [read(descriptor, name, offset, length) for offset, length in ranges]

    def size(self, name: str) -> int:
        """Return the object's size in bytes; see the interface."""
        check_name(name)
        *folders, leaf = name.split("/")
        with self._errors(name), self._folder(folders) as folder:
            found = os.stat(leaf, dir_fd=folder, follow_symlinks=False)
            refuse_foreign(found)
            return found.st_size

    def exists(self, name: str) -> bool:
        """Tell whether *name* is stored; see the interface."""
        try:
            self.size(name)
        except ObjectMissingError:
            return False
        return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield all objects below *prefix*; see the interface."""
        check_prefix(prefix)
        waiting = [prefix]
        while waiting:
            current = waiting.pop()
            found: list[ObjectInfo] = []
            with (
                # A folder that vanished meanwhile has no objects any more.
                suppress(ObjectMissingError),
                self._errors(current),
                self._folder(current.split("/")[:-1]) as folder,
                os.scandir(folder) as entries,
            ):
                for entry in entries:
                    name = current + entry.name
                    if not is_valid_name(name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(name + "/")
                    elif entry.is_file(follow_symlinks=False):
                        with suppress(FileNotFoundError):
                            size_bytes = entry.stat(follow_symlinks=False).st_size
                            found.append(ObjectInfo(name, size_bytes))
            yield from found

    def strangers(self) -> Sequence[str]:
        """Return what lies below the root and can be no object; see the interface."""
        found: list[str] = []
        waiting = [""]
        while waiting:
            current = waiting.pop()
            with (
                suppress(ObjectMissingError),
                self._errors(current),
                self._folder(current.split("/")[:-1]) as folder,
                os.scandir(folder) as entries,
            ):
                for entry in entries:
                    name = current + entry.name
                    if entry.name.startswith(_TEMPORARY) or name in _NOT_FOREIGN:
                        continue
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if is_valid_name(name) and is_folder:
                        waiting.append(name + "/")
                    elif not (is_valid_name(name) and entry.is_file(follow_symlinks=False)):
                        readable = os.fsencode(name).decode("utf-8", "backslashreplace")
                        found.append(readable + "/" * is_folder)
        return sorted(found)

    def delete(self, name: str) -> None:
        """Remove the object, durably, and folders that it leaves empty; see the interface."""
        check_name(name)
        *folders, leaf = name.split("/")
        with self._errors(name), self._folder(folders) as folder:
            refuse_foreign(os.stat(leaf, dir_fd=folder, follow_symlinks=False))
            self._files.unlink(leaf, folder=folder)
            self._sync_folder(folder)
        # Only an empty folder can be removed, and a put that loses its folder starts again, so
        # tidying up takes nothing from anybody. Nor does it matter when it fails or is cut short.
        with suppress(OSError):
            while folders:
                self._remove_folder(folders)
                folders.pop()

    def free_bytes(self) -> int | None:
        """Return what the file system leaves to this user."""
        with self._errors(""):
            found = os.statvfs(self._open_root())
        return found.f_bavail * found.f_frsize

    def close(self) -> None:
        """Let go of the root, so that the drive can be unmounted."""
        if self._root is not None:
            os.close(self._root)
            self._root = None

    def spool_folder(self, name: str | None = None) -> Path:
        """Return the folder for growing files; see the interface."""
        with self._errors(""):
            with suppress(FileExistsError):
                self._make_folder(_SPOOL, self._open_root())
            if name is None:
                return self._path / _SPOOL
            with opened(self._files.open(_SPOOL, _FOLDER, folder=self._open_root())) as spool:
                # Never given away: what the next backup trusts grows in it, too.
                self._files.make_folder(name, self._folder_mode, folder=spool)
        return self._path / _SPOOL / name

    def sweep(self, older_than_seconds: float) -> int:
        """Remove old temporary files and old empty folders; see the interface."""
        oldest = self._clock.now().timestamp() - older_than_seconds
        with self._errors(""), self._folder([]) as root:
            removed = self._sweep_folder(root, "", oldest, is_spool=False)
            with (
                suppress(FileNotFoundError),
                opened(self._files.open(_SPOOL, _FOLDER, folder=root)) as spool,
            ):
                removed += self._sweep_folder(spool, "", oldest, is_spool=True)
        return removed

    def is_empty(self) -> bool:
        """Tell whether the root holds nothing at all; see the interface."""
        with self._errors(""), self._folder([]) as root:
            return self._is_bare(root, ignored=_NOT_FOREIGN)

    @contextmanager
    def alone(self, wait_seconds: float) -> Iterator[bool]:
        """Hold a lock on the root itself, which needs no file; see the interface."""
        # Opened anew: whoever shares a descriptor shares its lock.
        with self._errors(""):
            root = self._files.open(".", _FOLDER, folder=self._open_root())
        with opened(root):
            yield self._is_locked(root, self._clock.monotonic_seconds() + wait_seconds)

    def _is_locked(self, root: int, latest: float) -> bool:
        while True:
            try:
                self._files.lock(root)
            except BlockingIOError:
                if self._clock.monotonic_seconds() >= latest:
                    raise StorageBusyError(
                        f"Somebody else makes the repository at '{self._path}' or changes its "
                        "keys right now; nothing was changed."
                    ) from None
                self._clock.sleep(_LOCK_PAUSE_SECONDS)
            except OSError:
                # Some network file systems lock no folders, or nothing.
                return False
            else:
                return True

    def _open_root(self) -> int:
        if self._root is None:
            raise InternalError("A storage backend was used after it was closed.")
        return self._root

    @contextmanager
    def _folder(self, folders: Sequence[str], *, made: _Made | None = None) -> Iterator[int]:
        """Open a folder, component by component, following no link.

        With a list for those *made*, missing ones are, and the names of all of them are durable.
        """
        descriptor = self._files.open(".", _FOLDER, folder=self._open_root())
        try:
            path = ""
            for depth, component in enumerate(folders, 1):
                path += component + "/"
                try:
                    below = self._files.open(component, _FOLDER, folder=descriptor)
                except FileNotFoundError:
                    if made is None:
                        raise
                    with suppress(FileExistsError):
                        self._make_folder(component, descriptor)
                        made.append(folders[:depth])
                    below = self._files.open(component, _FOLDER, folder=descriptor)
                above, descriptor = descriptor, below
                with opened(above):
                    if made is not None:
                        self._make_durable(path, above, below)
            yield descriptor
        finally:
            os.close(descriptor)

    def _make_folder(self, name: str, folder: int) -> None:
        if self._owner is None:
            self._files.make_folder(name, self._folder_mode, folder=folder)
            return
        # Given away before it gets its name, so that its owner is never kept out of it.
        with suppress(FileNotFoundError):
            os.stat(name, dir_fd=folder, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        temporary = _TEMPORARY + self._random.take(12).hex()
        self._files.make_folder(temporary, self._folder_mode, folder=folder)
        try:
            with opened(self._files.open(temporary, _FOLDER, folder=folder)) as made:
                self._owner.take(made)
            # It may replace an empty folder that somebody made meanwhile: a put that loses its
            # folder starts again. One with something in it stays.
            self._files.rename(temporary, name, source_folder=folder, folder=folder)
        except OSError as error:
            with suppress(OSError):
                self._files.remove_folder(temporary, folder=folder)
            if error.errno == errno.ENOTEMPTY:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
            raise

    @contextmanager
    def _tidied(self) -> Iterator[_Made]:
        """Collect the folders that a put makes: if it fails, those that are empty go again."""
        made: _Made = []
        try:
            yield made
        except OSError:
            with suppress(OSError):
                for folders in reversed(made):
                    self._remove_folder(folders)
            raise

    def _remove_folder(self, folders: Sequence[str]) -> None:
        with self._folder(folders[:-1]) as above:
            self._files.remove_folder(folders[-1], folder=above)
        # The next one of this name may get its inode.
        self._durable_folders.pop("/".join(folders) + "/", None)

    def _make_durable(self, path: str, above: int, below: int) -> None:
        # Also for folders found: another process may have made one and not synced it yet.
        inode = os.fstat(below).st_ino
        if self._durable_folders.get(path) != inode:
            self._sync_folder(above)
            self._durable_folders[path] = inode

    def _sync_folder(self, folder: int) -> None:
        try:
            self._files.fsync(folder)
        except OSError as error:
            if error.errno not in _NO_FOLDER_SYNC:
                raise
            self._capabilities = replace(self._capabilities, durable_put=False)

    def _write_temporary(self, folder: int, parts: Sequence[memoryview]) -> str:
        name, descriptor = self._create_temporary(folder)
        try:
            with opened(descriptor):
                for part in parts:
                    rest = part
                    while rest:
                        rest = rest[self._files.write(descriptor, rest) :]
                self._files.fsync(descriptor)
        except BaseException:
            self._remove_temporary(name, folder)
            raise
        return name

    def _create_temporary(self, folder: int) -> tuple[str, int]:
        for _ in range(_ATTEMPTS):
            name = _TEMPORARY + self._random.take(12).hex()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            with suppress(FileExistsError):
                descriptor = self._files.open(name, flags, self._file_mode, folder=folder)
                if self._owner is not None:
                    self._owner.take(descriptor)
                return name, descriptor
        raise InternalError("Random names of temporary files keep coming up again.")

    def _remove_temporary(self, name: str, folder: int) -> None:
        # What cannot be removed now is invisible and goes with the next sweep.
        with suppress(OSError):
            self._files.unlink(name, folder=folder)

    def _publish(
        self, source: str, source_folder: int, leaf: str, folder: int, parts: Sequence[memoryview]
    ) -> bool:
        """Name the finished file *leaf*; True if that name was free, False if it held the same."""
        is_spooled = folder != source_folder
        is_done = False
        try:
            is_new = self._link(source, source_folder, leaf, folder)
            if is_new:
                self._sync_folder(folder)
            elif not self._holds(folder, leaf, parts):
                # Put by another and deleted again, between two looks.
                raise FileNotFoundError(errno.ENOENT, leaf)
            is_done = True
        finally:
            # A temporary file always goes; a spooled one stays the caller's until all is well.
            if is_done or not is_spooled:
                self._remove_temporary(source, source_folder)
        return is_new

    def _link(self, source: str, source_folder: int, leaf: str, folder: int) -> bool:
        """Give the file its name unless that is taken; tell which."""
        try:
            self._files.link(source, leaf, source_folder=source_folder, folder=folder)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
        else:
            return True
        with self._rename_lock:
            try:
                os.stat(leaf, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                self._files.rename(source, leaf, source_folder=source_folder, folder=folder)
            else:
                return False
        self._capabilities = replace(self._capabilities, conditional_put=False)
        return True

    def _holds(self, folder: int, leaf: str, parts: Sequence[memoryview]) -> bool:
        """Tell whether *leaf* holds exactly *parts*, and make it durable; False if it is not there.

        Raises:
            ObjectExistsError: It holds other bytes.
        """
        try:
            descriptor = self._files.open(leaf, _READ, folder=folder)
        except FileNotFoundError:
            return False
        with opened(descriptor):
            refuse_foreign(os.fstat(descriptor))
            if not holds_exactly(descriptor, parts):
                raise ObjectExistsError(f"The object {leaf} is already stored with other bytes.")
            # Whoever put it may have been cut off before it was durable.
            self._files.fsync(descriptor)
            self._sync_folder(folder)
        return True

    @contextmanager
    def _object(self, name: str) -> Iterator[tuple[int, int]]:
        """Open an object; yields descriptor and size."""
        *folders, leaf = name.split("/")
        with (
            self._folder(folders) as folder,
            opened(self._files.open(leaf, _READ, folder=folder)) as descriptor,
        ):
            found = os.fstat(descriptor)
            refuse_foreign(found)
            yield descriptor, found.st_size

    @contextmanager
    def _spooled(self, spool: int, leaf: str) -> Iterator[memoryview]:
        """Make a finished file's bytes durable and map them."""
        with opened(self._files.open(leaf, _READ, folder=spool)) as descriptor:
            refuse_foreign(os.fstat(descriptor))
            if self._owner is not None:
                self._owner.take(descriptor)
            self._files.fsync(descriptor)
            view = map_file(descriptor)
        try:
            yield view
        finally:
            unmap(view)

    def _is_bare(self, folder: int, *, ignored: frozenset[str] = frozenset()) -> bool:
        """Tell whether there is nothing but what a put that was cut short may have left."""
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name in ignored or entry.name.startswith(_TEMPORARY):
                    continue
                if not (is_valid_name(entry.name) and entry.is_dir(follow_symlinks=False)):
                    return False
                with opened(self._files.open(entry.name, _FOLDER, folder=folder)) as below:
                    if not self._is_bare(below):
                        return False
        return True

    def _sweep_folder(self, folder: int, path: str, oldest: float, *, is_spool: bool) -> int:
        """Sweep a folder; *path* is empty or ends with a slash."""
        removed = 0
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if is_spool or _is_ours(entry.name)]
        for name in found:
            # No object lies deeper than names are long, and each level keeps a folder open.
            if len(path) + len(name) <= MAX_NAME_LENGTH:
                # What root left in the spool of somebody else, root removes.
                with suppress(FileNotFoundError, *[PermissionError] * is_spool):
                    removed += self._sweep_entry(name, folder, path, oldest, is_spool=is_spool)
        return removed

    def _sweep_entry(
        self, name: str, folder: int, path: str, oldest: float, *, is_spool: bool
    ) -> int:
        seen = os.stat(name, dir_fd=folder, follow_symlinks=False)
        is_old = seen.st_mtime <= oldest
        if stat.S_ISDIR(seen.st_mode):
            with opened(self._files.open(name, _FOLDER, folder=folder)) as below:
                removed = self._sweep_folder(below, f"{path}{name}/", oldest, is_spool=is_spool)
            if is_old:
                # Fails unless it is empty.
                with suppress(OSError):
                    self._files.remove_folder(name, folder=folder)
            return removed
        if is_old and (is_spool or name.startswith(_TEMPORARY)):
            self._files.unlink(name, folder=folder)
            return 1
        return 0

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Turn what the system says into what storage says."""
        try:
            yield
        except OSError as error:
            raise translated(error, name=name, path=self._path) from error


def _is_ours(name: str) -> bool:
    return name.startswith(_TEMPORARY) or is_valid_name(name)
