"""Is the repository sound? Its structure, its bytes, or what can be seen of it without any key.

Damage never ends the work: it is what is looked for. Even a vault that cannot be opened any more is
looked at as far as that goes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from holdfast.base.clock import moment
from holdfast.base.errors import HoldfastError, IntegrityError, SignatureError
from holdfast.base.ids import VaultId
from holdfast.base.progress import Listener, Progress
from holdfast.format.names import parse_name
from holdfast.operations.context import Context
from holdfast.operations.errors import NotEncryptedError, VerifyNeedsKeyError
from holdfast.operations.opening import chosen, known_of, refuse_unexpectedly_open, unlocked
from holdfast.storage.address import open_backend
from holdfast.storage.interface import StorageBackend
from holdfast.vault.blind import blind_verify
from holdfast.vault.check import check
from holdfast.vault.errors import MissingObjectError, NoRepositoryError
from holdfast.vault.objects import ObjectStore
from holdfast.vault.point_loading import load_points
from holdfast.vault.report import Report
from holdfast.vault.repository import Repository, open_repository
from holdfast.vault.states import ClosedVault, ReadableVault
from holdfast.vault.verify import verify

Depth = Literal["structure", "bytes", "blind"]


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What to look at.

    Attributes:
        depth: the structure, every byte, or everything that needs no key.
        sample_percent: of the packs, for ``bytes``.
    """

    address: str
    depth: Depth
    sample_percent: float = 100.0


@dataclass(frozen=True, slots=True)
class TouchedPoint:
    """A restore point that damage touches; None where nothing can be read of it."""

    id: str
    time: datetime | None
    series: str | None


@dataclass(frozen=True, slots=True)
class Checked:
    """What one vault turned out to be.

    Attributes:
        unopened: why the vault could not be opened, though a way in was asked for; or None.
    """

    vault_id: bytes
    report: Report
    touched: tuple[TouchedPoint, ...]
    unopened: str | None


def run(request: CheckRequest, context: Context, listener: Listener) -> tuple[Checked, ...]:
    """Look at every vault of the repository.

    Raises:
        VerifyNeedsKeyError: contents need a way in, and none was given.
        KeysError: what was given opens nothing, and nothing is damaged.
        NotEncryptedError: a way in is given, and a vault is one without encryption.
        NoRepositoryError: there is no repository.
        NoVaultError: no vault in it is the one that the context names.
        IntegrityError, SignatureError: no object is damaged, and yet a vault is not the one that
            this machine knows, or cannot be opened.
    """
    with _repository(request.address, context) as (backend, repository, vault_ids):
        wanted = chosen(vault_ids, context)
        found = [
            _checked(request, context, listener, backend, repository, vault_id)
            for vault_id in wanted
        ]
    failures = [failure for _, failure in found if failure is not None]
    if failures and all(checked.report.is_sound for checked, _ in found):
        raise failures[0]
    return tuple(checked for checked, _ in found)


def _checked(
    request: CheckRequest,
    context: Context,
    listener: Listener,
    backend: StorageBackend,
    repository: Repository,
    vault_id: VaultId,
) -> tuple[Checked, HoldfastError | None]:
    """Look at one vault; also return why it could not be opened, though that was tried."""
    # Before opening, which remembers what it sees.
    known = known_of(vault_id, context)
    vault: ReadableVault | None = None
    failure: HoldfastError | None = None
    if request.depth != "blind":
        try:
            closed = ClosedVault.load(repository, vault_id, context.machine)
            refuse_unexpectedly_open(closed, context)
            _require_way_in(closed, context)
            vault = unlocked(closed, context)
        except NotEncryptedError:
            raise
        except (IntegrityError, SignatureError) as error:
            # The report names the object; here it only matters that there are no keys.
            failure = error
    objects = ObjectStore(backend, vault_id, clock=context.clock)
    told = _telling(listener)
    ring = None if vault is None else vault.ring
    scratch = context.folders.with_scratch
    if request.depth == "blind":
        report = blind_verify(objects, known=known, progress=told)
    elif request.depth == "structure":
        report = scratch(
            vault_id,
            lambda cache: check(objects, ring, cache=cache, known=known, progress=told),
        )
    else:
        report = scratch(
            vault_id,
            lambda cache: verify(
                objects,
                ring,
                random=context.random,
                cache=cache,
                sample_percent=request.sample_percent,
                known=known,
                progress=told,
            ),
        )
    unopened = None if failure is None else failure.message
    return Checked(vault_id, report, _touched(report, vault), unopened), failure


def _require_way_in(closed: ClosedVault, context: Context) -> None:
    if closed.is_sealed and not (context.secrets.is_given or context.secrets.can_ask):
        raise VerifyNeedsKeyError(
            "Contents cannot be looked at without a password or key file, and none was given.",
            hint="Give one, or say 'verify --blind' for everything that needs no key.",
        )


def _touched(report: Report, vault: ReadableVault | None) -> tuple[TouchedPoint, ...]:
    if not report.points:
        return ()
    known = {}
    if vault is not None:
        try:
            listed = load_points(vault, with_forgets=False)
            known = {point.id: point for point in (*listed.points, *listed.incomplete)}
        except HoldfastError:
            # Names are an ornament of the report; what hides them is in it.
            known = {}
    touched = []
    for point_id in report.points:
        point = known.get(point_id)
        touched.append(
            TouchedPoint(
                point_id.hex(),
                None if point is None else moment(point.time_ns // 10**9),
                None if point is None else point.series,
            )
        )
    return tuple(touched)


@contextmanager
def _repository(
    address: str, context: Context
) -> Iterator[tuple[StorageBackend, Repository, Sequence[VaultId]]]:
    """Open the storage; a vault whose first object is missing counts as damaged, not as absent."""
    backend = open_backend(address, clock=context.clock, random=context.random)
    try:
        named = _vaults_by_name(backend)
        try:
            repository = open_repository(backend, context.clock)
        except (NoRepositoryError, MissingObjectError):
            if not named:
                raise
            repository = Repository(backend, None, tuple(named))
        yield backend, repository, named or repository.vaults
    finally:
        backend.close()


def _vaults_by_name(backend: StorageBackend) -> list[VaultId]:
    """Return every vault that anything in the storage belongs to."""
    parsed = (parse_name(item.name) for item in backend.list("vaults/"))
    return sorted({item.vault_id for item in parsed if item and item.vault_id is not None})


def _telling(listener: Listener) -> Callable[[str, int, int | None, int], None]:
    def tell(phase: str, done: int, total: int | None, size_bytes: int) -> None:
        listener.progress(Progress(phase, items=done, items_total=total, bytes_done=size_bytes))

    return tell
