"""Make a repository: a folder, a vault in it, ways in, and this machine's write-only key."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from holdfast.base.errors import HoldfastError
from holdfast.crypto.passwords import FLOOR_PARAMETERS, KdfParameters, calibrate
from holdfast.format.names import parse_name
from holdfast.format.statement import SlotKind
from holdfast.keys.changes import WayIn, new_vault, new_writer
from holdfast.keys.slots import check_hint
from holdfast.keys.unlockers import OpenUnlocker, Unlocker
from holdfast.keys.writers import WriterIdentity
from holdfast.operations.ciphers import EncryptionWish
from holdfast.operations.context import Context
from holdfast.operations.errors import CipherError
from holdfast.operations.kit import KitPage, page_of
from holdfast.storage.address import created_backend, parse_address
from holdfast.storage.errors import StorageFullError
from holdfast.storage.interface import alone
from holdfast.vault.local import WriterKey
from holdfast.vault.repository import create_repository, prepare_place
from holdfast.vault.states import ClosedVault

VAULT_NAME = "main"


@dataclass(frozen=True, slots=True)
class InitRequest:
    """What to make, and where."""

    address: str
    encryption: EncryptionWish = field(default_factory=EncryptionWish)
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Initialised:
    """What is there now.

    Attributes:
        parameters: what a password costs to try; None without a password.
        writer_key: the file of this machine's write-only key.
    """

    address: str
    vault_id: bytes
    suite: str
    parameters: KdfParameters | None
    writer_key: Path
    kit: KitPage


def run(request: InitRequest, context: Context) -> Initialised:
    """Make the repository.

    The place is looked at before anybody is asked for a password. After a power cut the same call
    succeeds. A refusal leaves nothing behind that was not there before.

    Raises:
        RepositoryExistsError, ForeignFolderError: the place is taken. Nothing was changed.
        StorageBusyError: somebody else is making one there. Nothing was changed.
        CipherError, KeyRequestError: the wish makes no sense. Nothing was changed.
        StorageError: the storage failed, or is full. What was put there has been removed again, as
            far as it let that happen.
    """
    template = request.encryption.vault_object()
    check(request, context)
    with (
        _room_at(request.address),
        created_backend(request.address, clock=context.clock, random=context.random) as backend,
    ):
        # Clearing away what an unfinished attempt left must not hit one that is under way.
        with alone(backend):
            prepare_place(backend, context.clock)
        ways = _ways_in(request, context, is_sealed=template.suite != 0)
        change = new_vault(
            template, name=VAULT_NAME, ways_in=ways, clock=context.clock, random=context.random
        )
        vault_id = change.chain.vault_id
        writer = WriterIdentity.fresh(vault_id, context.random)
        certificate = new_writer(
            change.chain,
            change.ring,
            writer.public,
            name=context.host,
            clock=context.clock,
            random=context.random,
        )
        # The key is on this machine before its certificate is in the repository: after a power cut
        # there is at worst a key that nothing knows.
        parsed = parse_name(certificate.name)
        if parsed is None or parsed.hash is None:
            raise AssertionError(certificate.name)
        key = WriterKey(vault_id, writer.writer_id, writer.seed, parsed.hash, backend.address)
        path = context.folders.writer_key(vault_id)
        with alone(backend):
            # Somebody else may have been faster while a password was typed: then no key is made.
            prepare_place(backend, context.clock)
            key.save(path)
            try:
                repository = create_repository(
                    backend,
                    [*change.objects, certificate],
                    clock=context.clock,
                    random=context.random,
                )
            except (HoldfastError, KeyboardInterrupt):
                with suppress(OSError):
                    path.unlink()
                raise
        context.machine.known.forget_address(backend.address)
        closed = ClosedVault.load(repository, vault_id, context.machine)
        kit = page_of(backend.address, change.chain, change.ring, closed.slots(), context)
        is_password = any(way.unlocker.kind is SlotKind.PASSWORD for way in ways)
        return Initialised(
            address=backend.address,
            vault_id=vault_id,
            suite=change.chain.suite.name,
            parameters=ways[0].parameters if is_password else None,
            writer_key=path,
            kit=kit,
        )


@contextmanager
def _room_at(address: str) -> Iterator[None]:
    """Say that a full storage takes no new repository; it has no restore points to drop."""
    try:
        yield
    except StorageFullError as error:
        raise StorageFullError(
            f"There is no room for a repository at '{parse_address(address).path.absolute()}'.",
            hint="Make some room there or choose another place, and run 'holdfast init' again.",
        ) from error


def check(request: InitRequest, context: Context) -> None:
    """Look whether the wish makes sense, without looking at the place.

    Raises:
        CipherError, KeyRequestError: it makes none.
    """
    check_hint(request.hint)
    if request.encryption.suite().key_bytes:
        return
    if context.secrets.is_given:
        raise CipherError(
            "A repository without encryption has no password and no key file, but one is given.",
            hint="Leave it away, in the environment too; or leave --cipher none away.",
        )
    if request.hint:
        raise CipherError("A repository without encryption has no password, so no --hint either.")


def new_way_in(unlocker: Unlocker, hint: str, context: Context) -> WayIn:
    """Return a way in for *unlocker*; a password gets a cost that suits this machine."""
    is_password = unlocker.kind is SlotKind.PASSWORD
    parameters = calibrate(context.clock) if is_password else FLOOR_PARAMETERS
    return WayIn(unlocker, hint, parameters)


def _ways_in(request: InitRequest, context: Context, *, is_sealed: bool) -> list[WayIn]:
    if not is_sealed:
        return [WayIn(OpenUnlocker())]
    unlockers = list(context.secrets.given()) or [context.secrets.new_unlocker("new password")]
    first = new_way_in(unlockers[0], request.hint, context)
    others = [replace(first, unlocker=unlocker, hint="") for unlocker in unlockers[1:]]
    return [first, *others]
