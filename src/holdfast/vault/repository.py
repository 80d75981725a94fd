"""A repository as a whole: its marker, the vaults in it, and how both begin.

A vault is made in this order: slots, certificates, statement, then the vault object, then the
marker. So a power cut leaves either a vault that lacks its ``vault`` object, which is nothing, or a
whole vault that lacks the marker, which is a hint only. Making a repository again clears away
what was left in both cases, as long as nobody has written a session into it.
"""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from holdfast.base.clock import Clock
from holdfast.base.errors import HoldfastError, IntegrityError
from holdfast.base.ids import RepositoryId, VaultId
from holdfast.base.randomness import Random
from holdfast.format import frames, names
from holdfast.format.errors import UnsupportedFormatError
from holdfast.format.vault_object import FORMAT, Marker
from holdfast.storage.errors import ObjectExistsError, ObjectMissingError
from holdfast.storage.interface import StorageBackend, local_files
from holdfast.vault.errors import (
    ForeignFolderError,
    MissingObjectError,
    NoRepositoryError,
    RepositoryExistsError,
)
from holdfast.vault.retries import RetryRule

_REPOSITORY_ID_BYTES: Final = 16
_OF_INIT: Final = frozenset(
    {frames.KIND_VAULT, frames.KIND_STATEMENT, frames.KIND_SLOT, frames.KIND_WRITER}
)
_RETRY: Final = RetryRule()


@dataclass(frozen=True, slots=True)
class Repository:
    """What a storage holds. The marker is a hint: it may be missing, and is never trusted."""

    backend: StorageBackend
    marker: Marker | None
    vaults: tuple[VaultId, ...]

    @property
    def listing_delay_seconds(self) -> float:
        """How long a put or delete may stay out of listings; never below the backend's promise."""
        stated = 0.0 if self.marker is None else self.marker.listing_delay_milliseconds / 1000
        return max(stated, self.backend.capabilities.listing_delay_seconds)

    @property
    def id(self) -> RepositoryId:
        """The repository's id; zero bytes when the marker is lost."""
        lost = RepositoryId(bytes(_REPOSITORY_ID_BYTES))
        return lost if self.marker is None else self.marker.repository_id


def open_repository(
    backend: StorageBackend, clock: Clock, *, known: Collection[VaultId] = ()
) -> Repository:
    """Look what is there. Nothing is listed when the vaults that are *known* are all there.

    Raises:
        NoRepositoryError: there is nothing, or a repository whose making was cut short.
        ForeignFolderError: there is something else.
        MissingObjectError: there is a repository, and the object that its vault hangs on is lost.
        UnsupportedFormatError: a newer Holdfast made it.
    """
    marker = _read_marker(backend, clock)
    vaults = tuple(sorted(set(known)))
    if not vaults or not _all_exist(backend, clock, vaults):
        vaults = _listed_vaults(_everything(backend, clock))
    if vaults:
        return Repository(backend, marker, vaults)
    found = _everything(backend, clock, "")
    if not found and _is_empty(backend):
        raise NoRepositoryError(
            f"There is no repository at {backend.address}: nothing is there.",
            hint="Make one with 'holdfast init', or check whether the right drive is mounted.",
        )
    parsed = [names.parse_name(name) for name in found]
    # What a stranger, or a probe that was cut short, left beside it hides no damage.
    is_used = bool({item.kind for item in parsed if item is not None} - _OF_INIT)
    if (not is_used and None in parsed) or not found:
        raise ForeignFolderError(
            f"What is at {backend.address} is no repository.", hint="Check the address."
        )
    if is_used:
        lost = sorted({item.vault_id for item in parsed if item and item.vault_id is not None})
        raise MissingObjectError(
            f"The repository at {backend.address} is damaged: "
            + (
                "it holds no vault."
                if not lost
                else f"'{names.vault_name(lost[0])}' is missing, and nothing opens without it."
            ),
            hint="The file that 'holdfast recovery-kit -o FILE' wrote has a copy and says how to"
            " put it back; so does another copy of the repository.",
        )
    raise NoRepositoryError(
        f"The repository at {backend.address} was never finished.",
        hint="Run 'holdfast init' again.",
    )


def create_repository(
    backend: StorageBackend,
    objects: Sequence[tuple[str, bytes]],
    *,
    clock: Clock,
    random: Random,
    listing_delay_seconds: float | None = None,
) -> Repository:
    """Store a new vault and make the place a repository; *objects* in the order of ``new_vault``.

    The vault object is stored after all others, whatever its place, and the marker last. What
    an earlier, unfinished attempt left is removed first, so the same call may be made again. When
    it fails, what it has put goes again, as far as the storage takes deletes.

    Raises:
        RepositoryExistsError: there is a repository. Nothing was changed.
        ForeignFolderError: the place holds something else. Nothing was changed.
    """
    prepare_place(backend, clock)
    whole = [(name, data) for name, data in objects if not name.endswith("/vault")]
    whole += [(name, data) for name, data in objects if name.endswith("/vault")]
    delay = listing_delay_seconds
    if delay is None:
        delay = backend.capabilities.listing_delay_seconds
    marker = Marker(
        repository_id=RepositoryId(random.take(_REPOSITORY_ID_BYTES)),
        format=FORMAT,
        listing_delay_milliseconds=round(delay * 1000),
        time=int(clock.now().timestamp()),
    )
    whole.append((names.MARKER_NAME, frames.build_hash_ended(frames.KIND_MARKER, marker.to_body())))
    for number, (name, data) in enumerate(whole):
        try:
            _put(backend, clock, name, data)
        except (HoldfastError, KeyboardInterrupt) as error:
            # The outcome of the last one may be unknown.
            is_there = not isinstance(error, ObjectExistsError)
            _take_back(backend, whole[: number + is_there])
            raise
    return Repository(backend, marker, _listed_vaults(name for name, _ in objects))


def prepare_place(backend: StorageBackend, clock: Clock) -> None:
    """Refuse a place that is taken; clear away what an unfinished attempt left.

    Nothing is removed unless there is no marker and nothing but key objects: then nobody has been
    told that a repository is there, and nobody has stored anything in it.

    Raises:
        RepositoryExistsError, ForeignFolderError: as :func:`create_repository`.
    """
    found = _everything(backend, clock, "")
    if any(names.parse_name(name) is None for name in found) or not (found or _is_empty(backend)):
        raise ForeignFolderError(
            f"{backend.address} is not empty, and what is there is no repository.",
            hint="Choose an empty folder, or a new one.",
        )
    kinds = {parsed.kind for parsed in map(names.parse_name, found) if parsed is not None}
    if kinds - _OF_INIT:
        raise RepositoryExistsError(
            f"There is a repository at {backend.address} already.",
            hint="'holdfast backup' uses it; 'holdfast key add' lets somebody else in.",
        )
    # The vault object goes first, so that a cut here leaves what is nothing again.
    for name in sorted(found, key=lambda item: not item.endswith("/vault")):
        _delete(backend, clock, name)


def _read_marker(backend: StorageBackend, clock: Clock) -> Marker | None:
    try:
        most_bytes = frames.size_limit(frames.KIND_MARKER)
        data = _RETRY.run(clock, lambda: backend.get(names.MARKER_NAME, most_bytes=most_bytes))
        stored = frames.parse_hash_ended(frames.KIND_MARKER, data)
        return Marker.from_body(stored.body)
    except UnsupportedFormatError:
        raise
    except (ObjectMissingError, IntegrityError):
        # A hint only; also where a folder or a link lies in its place.
        return None


def _all_exist(backend: StorageBackend, clock: Clock, vaults: Iterable[VaultId]) -> bool:
    wanted = [names.vault_name(vault_id) for vault_id in vaults]
    return _RETRY.run(clock, lambda: all(backend.exists(name) for name in wanted))


def _everything(backend: StorageBackend, clock: Clock, prefix: str = "vaults/") -> list[str]:
    return _RETRY.run(clock, lambda: [item.name for item in backend.list(prefix)])


def _listed_vaults(found: Iterable[str]) -> tuple[VaultId, ...]:
    parsed = [names.parse_name(name) for name in found]
    vaults = {item.vault_id for item in parsed if item and item.kind == frames.KIND_VAULT}
    return tuple(sorted(vault_id for vault_id in vaults if vault_id is not None))


def _is_empty(backend: StorageBackend) -> bool:
    local = local_files(backend)
    return local is None or local.is_empty()


def _put(backend: StorageBackend, clock: Clock, name: str, data: bytes) -> None:
    _RETRY.run(clock, lambda: backend.put(name, data))


def _take_back(backend: StorageBackend, put: Sequence[tuple[str, bytes]]) -> None:
    """Delete what was put, the last first, so that a cut leaves what is nothing again.

    A marker that somebody else put meanwhile is theirs.
    """
    with suppress(HoldfastError):
        for name, data in reversed(put):
            with suppress(ObjectMissingError):
                if backend.get(name) == data:
                    backend.delete(name)


def _delete(backend: StorageBackend, clock: Clock, name: str) -> None:
    with suppress(ObjectMissingError):
        _RETRY.run(clock, lambda: backend.delete(name))
