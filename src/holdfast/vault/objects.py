"""The objects of one vault in its storage: put, get, listed, parsed (vault-format.md 2 and 3).

Everything is asked again when the storage says that it may be. Nothing here looks at signatures:
``trust`` does.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from holdfast.base.clock import Clock
from holdfast.base.errors import IntegrityError
from holdfast.base.ids import GroupId, ObjectHash, SessionId, VaultId
from holdfast.core.run_errors import SpoolError
from holdfast.format import frames, names
from holdfast.format.errors import FormatError, UnsupportedFormatError
from holdfast.format.frames import StoredObject
from holdfast.format.names import ObjectName
from holdfast.format.packs import PACK_LIMIT
from holdfast.format.tables import Body
from holdfast.storage.errors import ObjectMissingError
from holdfast.storage.interface import Bytes, StorageBackend, local_files
from holdfast.vault.errors import DamagedObjectError, MissingObjectError
from holdfast.vault.files import replace_file
from holdfast.vault.retries import NEVER, RetryRule

T = TypeVar("T")
B = TypeVar("B", bound=Body)

_HASH_ENDED: Final = frozenset({frames.KIND_MARKER, frames.KIND_LEASE})
_KEPT: Final = frozenset(
    {
        frames.KIND_WRITER,
        frames.KIND_SESSION,
        frames.KIND_PACKLIST,
        frames.KIND_POINT,
        frames.KIND_FORGET,
    }
)
"""Small objects that every command reads again; a copy of each stays on this machine."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of a listing whose name follows the grammar."""

    name: str
    parsed: ObjectName
    size_bytes: int

    @property
    def hash(self) -> ObjectHash:
        """The hash in the name; not for leases, which have none."""
        if self.parsed.hash is None:
            raise DamagedObjectError(f"'{self.name}' has no hash in its name.")
        return self.parsed.hash


@dataclass(frozen=True, slots=True)
class Loaded(Generic[B]):
    """An object whose bytes are those that its name promises. Signatures are unchecked."""

    name: str
    hash: ObjectHash
    data: bytes
    stored: StoredObject
    body: B


class ObjectStore:
    """One vault's objects. Safe for several threads as far as its backend is."""

    def __init__(
        self,
        backend: StorageBackend,
        vault_id: VaultId,
        *,
        clock: Clock,
        retry: RetryRule = RetryRule(),  # noqa: B008 - a frozen value
        cache: Path | None = None,
        before_wait: Callable[[], None] = lambda: None,
    ) -> None:
        """*cache* is a folder for copies of small objects that never change."""
        self.backend = backend
        self.vault_id = vault_id
        self.clock = clock
        self._retry = retry
        self._cache = cache
        self._before_wait = before_wait

    def impatient(self) -> "ObjectStore":
        """Return the same store that tries everything once."""
        return ObjectStore(self.backend, self.vault_id, clock=self.clock, retry=NEVER)

    def uncached(self) -> "ObjectStore":
        """Return the same store that reads every byte from the storage."""
        return ObjectStore(
            self.backend,
            self.vault_id,
            clock=self.clock,
            retry=self._retry,
            before_wait=self._before_wait,
        )

    def waiting(self, before_wait: Callable[[], None]) -> "ObjectStore":
        """Return the same store that calls *before_wait* before it waits for the storage."""
        return ObjectStore(
            self.backend,
            self.vault_id,
            clock=self.clock,
            retry=self._retry,
            cache=self._cache,
            before_wait=before_wait,
        )

    # --- bytes --------------------------------------------------------------------------------

    def put(self, name: str, data: Bytes | Sequence[Bytes]) -> bool:
        """Store an object; return whether it was created. Errors as the backend's ``put``."""
        return self.tried(lambda: self.backend.put(name, data))

    def put_file(self, name: str, path: Path) -> None:
        """Store the finished file *path* and remove it, by moving it where that can be done.

        On failure *path* stays.

        Raises:
            SpoolError: *path* cannot be read.
            StorageError: as the backend's ``put``.
        """
        local = local_files(self.backend)
        if local is not None:
            self.tried(lambda: local.put_file(name, path))
            return
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SpoolError(f"'{path}' cannot be read: {error.strerror}") from error
        self.put(name, data)
        path.unlink(missing_ok=True)

    def get(self, name: str) -> bytes:
        """Return an object whose bytes are those that its name promises.

        Raises:
            MissingObjectError: it is not there.
            DamagedObjectError: they are others.
        """
        parsed = names.parse_name(name)
        if parsed is None:
            raise DamagedObjectError(f"'{name}' is not the name of an object.")
        kept = self._kept_path(parsed)
        if kept is not None:
            with suppress(OSError, FormatError):
                data = kept.read_bytes()
                names.check_hash(name, data)
                return data
        try:
            data = self.raw(name)
            names.check_hash(name, data)
        except MissingObjectError:
            raise
        except IntegrityError as error:
            raise DamagedObjectError(f"The object '{name}' is damaged: {error.message}") from error
        if kept is not None:
            with suppress(OSError):
                replace_file(kept, data, is_durable=False)
        return data

    def raw(self, name: str) -> bytes:
        """Return the bytes of an object, whatever they are: the caller compares them with its name.

        Raises:
            MissingObjectError: it is not there.
            IntegrityError: something else than an object lies there, or one that is larger than
                its kind may be.
        """
        most_bytes = _most_bytes(name)
        try:
            return self.tried(lambda: self.backend.get(name, most_bytes=most_bytes))
        except ObjectMissingError:
            raise MissingObjectError(f"The object '{name}' is missing.") from None

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return byte ranges of an object, unchecked. Errors as the backend's."""
        return self.tried(lambda: self.backend.get_ranges(name, ranges))

    def exists(self, name: str) -> bool:
        """Ask the storage for the object itself, never a listing or a cache."""
        return self.tried(lambda: self.backend.exists(name))

    def delete(self, name: str) -> bool:
        """Remove an object; return whether it was there as far as anybody can tell."""
        try:
            self.tried(lambda: self.backend.delete(name))
        except ObjectMissingError:
            return False
        return True

    def tried(self, act: Callable[[], T]) -> T:
        """Do *act* under the rule of retries."""
        return self._retry.run(self.clock, act, before_wait=self._before_wait)

    # --- objects ------------------------------------------------------------------------------

    def list(
        self, kind: int, *, session_id: SessionId | None = None, group_id: GroupId | None = None
    ) -> list[Listed]:
        """Return what the storage lists of *kind* now, sorted by name.

        Names that do not follow the grammar, or belong to another kind, are left out.
        """
        prefix = names.prefix(self.vault_id, kind)
        if session_id is not None:
            prefix = f"{prefix}{session_id.hex()}/"
        if group_id is not None:
            prefix = f"{prefix}{group_id.hex()}/"
        found = self.tried(lambda: list(self.backend.list(prefix)))
        listed = []
        for item in found:
            parsed = names.parse_name(item.name)
            if parsed is not None and parsed.kind == kind:
                listed.append(Listed(item.name, parsed, item.size_bytes))
        return sorted(listed, key=lambda item: item.name)

    def load(self, name: str, body: type[B]) -> Loaded[B]:
        """Read and parse an object.

        Raises:
            MissingObjectError: it is not there.
            DamagedObjectError: its bytes are not those that its name promises, or make no sense.
            UnsupportedFormatError: a newer Holdfast wrote it.
        """
        return parse(name, self.get(name), body)

    def _kept_path(self, parsed: ObjectName) -> Path | None:
        if self._cache is None or parsed.hash is None or parsed.kind not in _KEPT:
            return None
        return self._cache / parsed.hash.hex()


def _most_bytes(name: str) -> int:
    """Return how large an object of this name may be: what is larger would only fill memory."""
    parsed = names.parse_name(name)
    if parsed is None or parsed.kind == frames.KIND_PACK:
        return PACK_LIMIT
    try:
        return frames.size_limit(parsed.kind)
    except UnsupportedFormatError:
        return PACK_LIMIT


def parse(name: str, data: bytes, body: type[B]) -> Loaded[B]:
    """Parse the bytes of an object after comparing them with its name.

    Raises:
        DamagedObjectError, UnsupportedFormatError: see :meth:`ObjectStore.load`.
    """
    try:
        parsed = names.check_hash(name, data)
        take_apart = frames.parse_hash_ended if parsed.kind in _HASH_ENDED else frames.parse
        stored = take_apart(parsed.kind, data)
        loaded = Loaded(name, frames.object_hash(data), data, stored, body.from_body(stored.body))
    except UnsupportedFormatError:
        raise
    except FormatError as error:
        raise DamagedObjectError(f"The object '{name}' is damaged: {error.message}") from error
    return loaded
