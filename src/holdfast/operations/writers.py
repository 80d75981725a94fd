"""Writers: machines that make restore points without being able to read them."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from holdfast.base.clock import moment
from holdfast.base.errors import HoldfastError
from holdfast.format.names import parse_name
from holdfast.keys.changes import NewObject, new_writer
from holdfast.keys.keyring import ReadRing
from holdfast.keys.writers import ValidCertificate, WriterIdentity, read_certificate
from holdfast.operations.context import Context
from holdfast.operations.errors import KeyChangeLostError, KitError
from holdfast.operations.kit import refuse_in_repository
from holdfast.operations.opening import opened, unlocked, unlocked_if_possible
from holdfast.storage.interface import alone
from holdfast.vault.local import WriterKey
from holdfast.vault.states import ClosedVault, ReadableVault


@dataclass(frozen=True, slots=True)
class WriterListing:
    """One writer.

    Attributes:
        writer_id: in hex.
        name: None without a password.
        since: as near as the calendar goes to what its certificate says.
        is_current: it may write under the current keys.
        is_here: its key lies on this machine.
        problem: why its certificate cannot be believed, or None.
    """

    writer_id: str
    name: str | None
    since: datetime
    epoch: int
    is_current: bool
    is_here: bool
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class WriterAdded:
    """A new writer and the file of its key."""

    writer_id: str
    name: str
    key_file: Path
    vault_id: str


def run_list(address: str, context: Context) -> tuple[WriterListing, ...]:
    """Return the writers of a vault; their names only with a password."""
    with opened(address, context) as closed:
        vault = unlocked_if_possible(closed, context)
        here = context.folders.writer_key(closed.vault_id)
        own = WriterKey.load(here).writer_id.hex() if here.exists() else None
        return list_writers(closed, None if vault is None else vault.ring, own)


def plan_add(address: str, name: str, key_file: Path | None, context: Context) -> Path:
    """Make sure that a writer could be made, and return where its key would be.

    Raises:
        KeysError, KitError: as :func:`run_add`.
    """
    with opened(address, context) as closed:
        path = _free_path(closed, key_file, context)
        vault = unlocked(closed, context)
        identity = WriterIdentity.fresh(closed.vault_id, context.random)
        _certificate(closed, vault, name, identity, context)
        return path


def run_add(address: str, name: str, key_file: Path | None, context: Context) -> WriterAdded:
    """Make a writer, for this machine or for another one that gets *key_file*.

    Raises:
        KeysError: nothing that was given opens the vault. Nothing was changed.
        KitError: the key file is there already, or cannot be written. Nothing was changed.
    """
    with opened(address, context) as closed:
        path = _free_path(closed, key_file, context)
        try:
            return add_writer(closed, unlocked(closed, context), name, path, context)
        except OSError as error:
            if key_file is None:
                raise
            raise KitError(
                f"The writer key '{path}' cannot be written: {error.strerror or error}",
                hint="No writer was made; name a file in a folder that takes it.",
            ) from error


def add_writer(
    closed: ClosedVault, vault: ReadableVault, name: str, path: Path, context: Context
) -> WriterAdded:
    """Make a writer called *name* whose key is put into the file *path*.

    Raises:
        KeyChangeLostError: new keys have begun since *closed* was read. Nothing was changed.
        StorageBusyError: somebody else is changing the keys. Nothing was changed.
    """
    # A rotation carries over the certificates that it finds: one that comes beside it is lost.
    with alone(closed.repository.backend):
        now = ClosedVault.load(closed.repository, closed.vault_id, context.machine)
        if now.chain.epoch != closed.chain.epoch:
            raise KeyChangeLostError(
                "Somebody else began new keys at the same moment; no writer was made.",
                hint="Run the command again.",
            )
        return _added(closed, vault, name, path, context)


def _added(
    closed: ClosedVault, vault: ReadableVault, name: str, path: Path, context: Context
) -> WriterAdded:
    identity = WriterIdentity.fresh(closed.vault_id, context.random)
    certificate = _certificate(closed, vault, name, identity, context)
    parsed = parse_name(certificate.name)
    if parsed is None or parsed.hash is None:
        raise AssertionError(certificate.name)
    address = closed.repository.backend.address
    key = WriterKey(closed.vault_id, identity.writer_id, identity.seed, parsed.hash, address)
    # The key before its certificate, and none that nothing knows where it could be in the way.
    key.save(path)
    try:
        closed.objects.put(certificate.name, certificate.data)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return WriterAdded(identity.writer_id.hex(), name, path, closed.vault_id.hex())


def list_writers(
    closed: ClosedVault, ring: ReadRing | None, own: str | None = None
) -> tuple[WriterListing, ...]:
    """Return the newest certificate of each writer, by name and id."""
    newest: dict[bytes, ValidCertificate] = {}
    problems: list[WriterListing] = []
    for name, data in closed.certificates().items():
        try:
            found = read_certificate(closed.chain, name, data)
        except HoldfastError as error:
            problems.append(
                WriterListing(
                    "?",
                    name,
                    moment(0),
                    0,
                    is_current=False,
                    is_here=False,
                    problem=error.message,
                )
            )
            continue
        before = newest.get(found.body.writer_id)
        if before is None or (before.body.epoch, before.body.time) <= (
            found.body.epoch,
            found.body.time,
        ):
            newest[found.body.writer_id] = found
    listings = [
        WriterListing(
            writer_id=writer_id.hex(),
            name=_name(ring, found),
            since=moment(found.body.time),
            epoch=found.body.epoch,
            is_current=found.body.epoch == closed.chain.epoch,
            is_here=writer_id.hex() == own,
        )
        for writer_id, found in newest.items()
    ]
    return tuple(sorted(listings, key=lambda item: (item.name or "", item.writer_id)) + problems)


def _free_path(closed: ClosedVault, key_file: Path | None, context: Context) -> Path:
    """Return the file for a new writer's key, which is not there yet.

    Raises:
        KitError: it is, or the folder that somebody named for it is not, or is the repository's.
    """
    path = context.folders.writer_key(closed.vault_id) if key_file is None else key_file
    if key_file is not None:
        refuse_in_repository(key_file, closed.repository.backend.address)
    if path.exists():
        raise KitError(
            f"There is a writer key '{path}' already; it was not touched.",
            hint="For another machine, name a new file with -o.",
        )
    # This machine's own folders are made when they are needed; others are somebody's typing.
    if key_file is not None and not path.parent.is_dir():
        raise KitError(
            f"The writer key '{path}' cannot be written: there is no such folder.",
            hint="No writer was made; name a file in a folder that is there.",
        )
    return path


def _certificate(
    closed: ClosedVault,
    vault: ReadableVault,
    name: str,
    identity: WriterIdentity,
    context: Context,
) -> NewObject:
    return new_writer(
        closed.chain,
        vault.ring,
        identity.public,
        name=name,
        clock=context.clock,
        random=context.random,
    )


def _name(ring: ReadRing | None, certificate: ValidCertificate) -> str | None:
    if ring is None:
        return None
    try:
        return ring.writer_name(certificate.body)
    except HoldfastError:
        # A name is an ornament; a writer is known by its id.
        return None
