"""What every storage under a repository promises, and what it may offer besides.

All calls are synchronous and may be made from several threads at once. Every call may raise
:class:`StorageUnavailableError` (the outcome is unknown, retrying is safe),
:class:`StorageDeniedError`, :class:`InvalidNameError`, and :class:`ForeignObjectError` where
something else than an object lies under a name; only further failures are named below.

No name may be the folder of another one (``a`` beside ``a/b``); what happens then is not promised.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

Bytes: TypeAlias = bytes | bytearray | memoryview
"""One run of bytes; a memoryview must be contiguous."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object of a listing."""

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What one storage promises. A promise it does not give must not be relied on.

    Attributes:
        atomic_put: an object is visible whole or not at all, whatever fails.
        durable_put: a put or delete that has returned survives a power cut.
        consistent_list: a listing shows every put and delete that returned before it began.
        conditional_put: of two writers racing for one name with different bytes, one is refused.
        object_lock: objects can be kept from deletion until a date.
        local_files: the storage is also :class:`LocalFiles`.
        listing_delay_seconds: how long a put or delete may stay out of listings.
    """

    atomic_put: bool
    durable_put: bool
    consistent_list: bool
    conditional_put: bool
    object_lock: bool
    local_files: bool
    listing_delay_seconds: float


class StorageBackend(Protocol):
    """Names and opaque bytes. Objects are written once, never changed, and deleted whole."""

    @property
    def address(self) -> str:
        """The address for messages; never contains a secret."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What is promised, as far as is known by now: a first put may take a promise back."""
        ...

    def put(self, name: str, data: Bytes | Sequence[Bytes]) -> bool:
        """Store *data* (in one run or in parts) under *name*; return whether it was created.

        False means that the very same bytes were there already and now are as durable as if this
        call had put them: names are content hashes, so a retry is a success.

        Raises:
            ObjectExistsError: *name* holds other bytes. Nothing was changed.
            StorageFullError: No space. Nothing is visible under *name*.
            StorageReadOnlyError: Nothing was changed.
        """
        ...

    def get(self, name: str, *, most_bytes: int | None = None) -> bytes:
        """Return the whole object, if it has at most *most_bytes*.

        Raises:
            ObjectMissingError: There is none.
            ObjectTooLargeError: It has more. Memory was not filled with it.
        """
        ...

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of each (offset, length) of *ranges*, in the order given.

        Offsets and lengths are never negative.

        Raises:
            ObjectMissingError: There is none.
            ObjectTruncatedError: The object ends before a range does.
        """
        ...

    def size(self, name: str) -> int:
        """Return the object's size in bytes.

        Raises:
            ObjectMissingError: There is none.
        """
        ...

    def exists(self, name: str) -> bool:
        """Tell whether *name* is stored; asks the object itself, never a listing."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield all objects below *prefix*, at any depth, in no promised order.

        *prefix* is a folder ending with a slash, or empty for everything; a folder that is not
        there is empty. Things whose names no object can have are passed over. Objects put or
        deleted meanwhile may or may not be seen.
        """
        ...

    def delete(self, name: str) -> None:
        """Remove the object.

        Raises:
            ObjectMissingError: There is none; after an unknown outcome this means success.
            StorageReadOnlyError: Nothing was changed.
        """
        ...

    def free_bytes(self) -> int | None:
        """Return how many bytes can still be stored, or None if the storage does not tell."""
        ...

    def close(self) -> None:
        """Let go of connections and files. Nothing may be called afterwards but this again."""
        ...


@runtime_checkable
class LocalFiles(Protocol):
    """Ability of storage on a local file system: finished files become objects without a copy."""

    def put_file(self, name: str, path: Path) -> bool:
        """Move the finished file *path* into the storage; promises and errors as for ``put``.

        On success *path* is gone, also when the same bytes were there already (False). On failure
        *path* stays.

        Raises:
            SpoolElsewhereError: *path* is not on the storage's file system.
        """
        ...

    def spool_folder(self, name: str | None = None) -> Path:
        """Return a folder for growing files that ``put_file`` can move, made if need be.

        With *name*, a plain word, it is a folder of that name inside.
        ``list`` never shows it. ``sweep`` clears what a crash leaves there.

        Raises:
            StorageError: it cannot be made or written to. Nothing was changed.
        """
        ...

    def sweep(self, older_than_seconds: float) -> int:
        """Remove temporary files not changed for *older_than_seconds*; return how many.

        Safe beside puts of other processes: one that loses its temporary file writes it again.
        Spool files have no such second life, so choose longer than any session fills one pack.
        """
        ...

    def strangers(self) -> Sequence[str]:
        """Return what lies below the root and can be no object: paths, made readable, sorted.

        These are names that no object can have, and whatever is neither file nor folder. Files of
        puts under way are none. ``list`` shows all other files.
        """
        ...

    def is_empty(self) -> bool:
        """Tell whether the root holds nothing, not even files that are no objects.

        What a put that was cut short may leave does not count: temporary files, empty folders.
        """
        ...

    def alone(self, wait_seconds: float) -> AbstractContextManager[bool]:
        """Keep all others out who ask for the same, until the block ends or the process does.

        Yields whether they are: on a file system without locks nobody is.

        Raises:
            StorageBusyError: somebody else was in it for *wait_seconds*. Nothing was changed.
        """
        ...


def local_files(backend: StorageBackend) -> LocalFiles | None:
    """Return *backend* as :class:`LocalFiles` if it promises that ability, else None."""
    if backend.capabilities.local_files and isinstance(backend, LocalFiles):
        return backend
    return None


def alone(backend: StorageBackend, wait_seconds: float = 20.0) -> AbstractContextManager[bool]:
    """Keep others out of what only one may do at a time, where *backend* can; yield whether it can.

    It is for changes of a second or so: nobody is asked for a password meanwhile.

    Raises:
        StorageBusyError: somebody else was in it for *wait_seconds*. Nothing was changed.
    """
    local = local_files(backend)
    return nullcontext(enter_result=False) if local is None else local.alone(wait_seconds)


def as_parts(data: Bytes | Sequence[Bytes]) -> Sequence[memoryview]:
    """Return *data* as byte views, without copying."""
    if isinstance(data, bytes | bytearray | memoryview):
        data = (data,)
    return [memoryview(part).cast("B") for part in data if len(part)]
