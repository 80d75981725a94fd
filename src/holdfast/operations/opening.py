"""From an address to a vault: closed, readable with a way in, or writable with this machine's key.

The storage is closed with the ``with`` block.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from holdfast.base.errors import HoldfastError
from holdfast.base.ids import VaultId
from holdfast.keys.errors import NoSuchWayInError, WrongPasswordError
from holdfast.keys.unlockers import OpenUnlocker, Unlocker
from holdfast.keys.ways import list_ways_in
from holdfast.operations.context import Context
from holdfast.operations.errors import NotEncryptedError, NoVaultError
from holdfast.storage.address import open_backend
from holdfast.vault.local import KnownVault, WriterKey
from holdfast.vault.repository import Repository, open_repository
from holdfast.vault.states import ClosedVault, ReadableVault, WritableVault


@contextmanager
def opened(address: str, context: Context) -> Iterator[ClosedVault]:
    """Open the repository at *address* and load its vault; yields it closed.

    Raises:
        RepositoryMissingError, NoRepositoryError, ForeignFolderError: there is no repository.
        NoVaultError: it holds several vaults and the context names none of them.
        IntegrityError, SignatureError: what everything hangs on is damaged or went back in time.
        NotEncryptedError: a way in is given, and the vault is one without encryption.
    """
    backend = open_backend(address, clock=context.clock, random=context.random)
    try:
        known = [vault.vault_id for vault in context.machine.known.at(backend.address)]
        repository = open_repository(backend, context.clock, known=known)
        closed = ClosedVault.load(repository, _chosen(repository, context), context.machine)
        refuse_unexpectedly_open(closed, context)
        yield closed
    finally:
        backend.close()


def refuse_unexpectedly_open(vault: ClosedVault, context: Context) -> None:
    """Refuse a vault without encryption where somebody relies on a password.

    Whoever replaced the true vault could otherwise read what is backed up from now on.

    Raises:
        NotEncryptedError: a way in is given, and *vault* is one without encryption.
    """
    if context.secrets.is_given and not vault.is_sealed:
        raise NotEncryptedError(
            "A password or key file is given, but the repository at "
            f"{vault.repository.backend.address} is not encrypted; it was not used.",
            hint="If it was made with --cipher none, leave the password away, in the environment "
            "too. If not, somebody has replaced it: write nothing to it.",
        )


def unlocked(vault: ClosedVault, context: Context) -> ReadableVault:
    """Open the vault with what the context's secrets give.

    Raises:
        KeysError: nothing that was given opens it, or nothing was given.
        IntegrityError: nothing opens it, and a slot is damaged or asks for too much.
    """
    return unlocked_by(vault, context)[0]


def unlocked_by(vault: ClosedVault, context: Context) -> tuple[ReadableVault, Unlocker]:
    """Open the vault as :func:`unlocked` does; return what opened it, too."""
    found = _tried(vault, context, may_skip=False)
    if found is None:
        raise NoSuchWayInError("Nothing was given that could open the vault.")
    return found


def unlocked_or_declined(vault: ClosedVault, context: Context) -> ReadableVault | None:
    """Open the vault; None if nothing is given and nobody is there, or whoever is asked declines.

    Raises:
        KeysError, IntegrityError: what was given does not open it.
    """
    if vault.is_sealed and not (context.secrets.is_given or context.secrets.can_ask):
        return None
    found = _tried(vault, context, may_skip=True)
    return None if found is None else found[0]


def unlocked_if_possible(vault: ClosedVault, context: Context) -> ReadableVault | None:
    """Open the vault if that needs no person, else return None.

    Raises:
        KeysError, IntegrityError: what was given does not open it.
    """
    if vault.is_sealed and not context.secrets.is_given:
        return None
    return unlocked(vault, context)


def local_writer(vault: ClosedVault, context: Context) -> WritableVault | None:
    """Return the vault as this machine's writer key sees it, or None where there is no key.

    Raises:
        KeysError: there is one, and it is unsafe, damaged, or no longer valid.
    """
    path = context.folders.writer_key(vault.vault_id)
    if not path.exists():
        return None
    key = WriterKey.load(path)
    if key.is_readable_by_others:
        context.warn(f"the writer key '{path}' can be read by others; chmod 600 makes it yours")
    return vault.with_writer(key)


def _tried(
    vault: ClosedVault, context: Context, *, may_skip: bool
) -> tuple[ReadableVault, Unlocker] | None:
    if not vault.is_sealed:
        without = OpenUnlocker()
        return vault.unlock([without]), without
    ways = list_ways_in(vault.chain, vault.slots())
    hints = [way.plain_hint for way in ways if way.plain_hint]
    failure: HoldfastError | None = None
    for unlockers in context.secrets.attempts(hints, may_skip=may_skip):
        for unlocker in unlockers:
            try:
                return vault.unlock([unlocker]), unlocker
            except (WrongPasswordError, NoSuchWayInError) as error:
                failure = error
    if failure is not None:
        raise failure
    return None


def chosen(vaults: Sequence[VaultId], context: Context) -> list[VaultId]:
    """Return those of *vaults* that the context means: one that it names, or all.

    Raises:
        NoVaultError: there is none.
    """
    wanted = (context.vault or "").lower()
    fitting = [item for item in vaults if item.hex().startswith(wanted)]
    if not fitting:
        raise NoVaultError(
            f"The repository has no vault whose id begins with '{wanted}'.",
            hint="It has: " + ", ".join(item.hex()[:12] for item in vaults),
        )
    return fitting


def known_of(vault_id: VaultId, context: Context) -> KnownVault | None:
    """Return what this machine remembers of the vault, if its state can be read."""
    try:
        return context.machine.known.find(vault_id)
    except OSError:
        return None


def _chosen(repository: Repository, context: Context) -> VaultId:
    fitting = chosen(repository.vaults, context)
    if len(fitting) == 1:
        return fitting[0]
    raise NoVaultError(
        f"The repository has {len(fitting)} vaults that could be meant.",
        hint="Name one with --vault: " + ", ".join(item.hex()[:12] for item in fitting),
    )
