"""A vault closed, readable, writable: what can be done is what the type has.

Closed, everything public can be looked at and verified. A way in makes it readable, and whoever can
read it also maintains it. A writer key makes it writable, and opens nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Self

from holdfast.base.clock import Clock
from holdfast.base.errors import HoldfastError, IntegrityError
from holdfast.base.ids import GroupId, ObjectHash, SessionId, VaultId, WriterId
from holdfast.base.randomness import Random
from holdfast.base.secrets import Secret
from holdfast.core import IndexKeys, NodeRule, Parameters, ReadKeys
from holdfast.format import frames, names
from holdfast.format.errors import UnsupportedFormatError
from holdfast.format.statement import ReuseRule
from holdfast.format.vault_object import VaultObject
from holdfast.format.writer import WriterClass
from holdfast.keys.doubts import read_chain
from holdfast.keys.errors import NoSuchWayInError, RollbackError, WrongPasswordError
from holdfast.keys.keyring import GroupKeys, ReadRing
from holdfast.keys.opening import open_ring
from holdfast.keys.statements import KeyChain
from holdfast.keys.unlockers import Unlocker
from holdfast.keys.writers import WriterIdentity, WriterRing, certificate_for_writing
from holdfast.vault.errors import (
    DamagedObjectError,
    KeysInDoubtError,
    MissingObjectError,
    NotAllowedError,
)
from holdfast.vault.local import (
    KnownVault,
    KnownVaults,
    LocalFolders,
    WriterKey,
    with_way_out,
)
from holdfast.vault.objects import ObjectStore
from holdfast.vault.repository import Repository
from holdfast.vault.trust import Authority, Maintainer, Verifier

_NO_SECRET: Final = Secret(b"")


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine: its time, its randomness, its folders."""

    clock: Clock
    random: Random
    folders: LocalFolders

    @property
    def known(self) -> KnownVaults:
        """What this machine has seen."""
        return KnownVaults(self.folders.known_vaults)

    def now_seconds(self) -> int:
        """Return the wall time in whole seconds since 1970."""
        return int(self.clock.now().timestamp())

    def now_ns(self) -> int:
        """Return the wall time in nanoseconds since 1970, as exact as a clock is."""
        return round(self.clock.now().timestamp() * 1_000_000) * 1000


@dataclass(frozen=True, slots=True)
class Vault:
    """What every state of a vault has."""

    repository: Repository
    machine: Machine
    objects: ObjectStore
    chain: KeyChain
    verifier: Verifier

    @property
    def vault_id(self) -> VaultId:
        """The vault."""
        return self.chain.vault_id

    @property
    def body(self) -> VaultObject:
        """The vault object."""
        return self.chain.vault

    @property
    def is_sealed(self) -> bool:
        """Whether the vault encrypts at all."""
        return self.chain.suite.key_bytes > 0

    @property
    def parameters(self) -> Parameters:
        """What the engine has to know of the vault object."""
        body = self.body
        return Parameters(
            suite=self.chain.suite.name,
            chunk_min=body.chunking.minimum,
            chunk_average=body.chunking.centre,
            chunk_max=body.chunking.maximum,
            chunk_normalisation=body.chunking.normalisation,
            segment_target=body.segment_target,
            pack_bytes=body.pack_bytes,
            small_session_bytes=body.small_session_bytes,
            node_rule=NodeRule(
                body.node_rule.bits,
                body.node_rule.minimum_entries,
                body.node_rule.maximum_entries,
                body.node_rule.maximum_cost,
            ),
            compression="zstd" if body.compression.number else "none",
            compression_level=body.compression.level,
        )

    def stored_sessions(self) -> frozenset[SessionId]:
        """Return the sessions of which the storage lists anything but packs, unverified.

        A gc that was killed may have left nothing but leases or packlists of one.
        """
        return frozenset(
            item.parsed.session_id
            for kind in (frames.KIND_SESSION, frames.KIND_LEASE, frames.KIND_PACKLIST)
            for item in self.objects.list(kind)
            if item.parsed.session_id is not None
        )

    def known(self) -> KnownVault | None:
        """Return what this machine has seen of the vault."""
        return self.machine.known.find(self.vault_id)


class ClosedVault(Vault):
    """A vault without any key: its public objects can be listed and verified."""

    __slots__ = ()

    @classmethod
    def load(cls, repository: Repository, vault_id: VaultId, machine: Machine) -> Self:
        """Read the vault object and the key statements, and hold them against what was seen.

        What is seen now is remembered; where this machine's state cannot be written (a rescue
        stick), it is not, and nothing else fails for it.

        Raises:
            MissingObjectError, DamagedObjectError: the vault object is missing or damaged.
            KeysInDoubtError: a key statement that may count is damaged.
            SignatureError: the chain of statements does not hold, or ends before what was seen;
                or another vault stands where a known one was.
        """
        objects = ObjectStore(
            repository.backend,
            vault_id,
            clock=machine.clock,
            cache=machine.folders.objects(vault_id),
        )
        vault_data = objects.get(names.vault_name(vault_id))
        statements = read_statements(objects)
        known = machine.known.find(vault_id)
        seen = None if known is None else known.statement
        try:
            chain = read_chain(vault_id, vault_data, statements, seen=seen)
        except UnsupportedFormatError:
            raise
        except RollbackError as error:
            addresses = [] if known is None else known.addresses
            raise with_way_out(error, repository.backend.address, addresses) from error
        except IntegrityError as error:
            raise KeysInDoubtError(
                f"The key statements of the vault are damaged: {error.message}"
            ) from error
        vault = cls(repository, machine, objects, chain, Verifier(chain, objects))
        encrypted = [vault_id] if vault.is_sealed else []
        machine.known.check_address(
            repository.backend.address, repository.vaults, encrypted=encrypted
        )
        with suppress(OSError):
            vault.remember()
        return vault

    def remember(self) -> None:
        """Note on this machine where the vault is and how far its key statements go."""
        address = self.repository.backend.address

        def seen(known: KnownVault) -> KnownVault:
            addresses = tuple(dict.fromkeys((*known.addresses, address)))
            noted = replace(known, addresses=addresses)
            settled = self.chain.settled
            return noted if settled is None else noted.with_statement(settled)

        self.machine.known.change(self.vault_id, is_encrypted=self.is_sealed, how=seen)

    def slots(self) -> dict[str, bytes]:
        """Return the slot objects that the current statement names, by name and unverified.

        Those that are missing or cannot be read are left out.
        """
        return self._unverified(
            names.slot_name(self.vault_id, slot.slot_hash) for slot in self.chain.current.body.slots
        )

    def certificates(self) -> dict[str, bytes]:
        """Return all writer certificates by name, unverified; without those that cannot be read."""
        return self._unverified(item.name for item in self.objects.list(frames.KIND_WRITER))

    def _unverified(self, wanted: Iterable[str]) -> dict[str, bytes]:
        # Whoever uses them compares them with their names: one that is damaged shuts nobody out
        # who does not need it.
        found = {}
        for name in wanted:
            with suppress(IntegrityError):
                try:
                    found[name] = self.objects.get(name)
                except DamagedObjectError:
                    found[name] = self.objects.raw(name)
        return found

    def unlock(
        self, unlockers: Sequence[Unlocker], *, slot: ObjectHash | None = None
    ) -> "ReadableVault":
        """Open the vault with the first of *unlockers* that opens a way in.

        Raises:
            KeysError: none does.
            IntegrityError: none does, and a slot is damaged or missing.
        """
        slots = self.slots()
        failure: HoldfastError = NoSuchWayInError("Nothing was given that could open the vault.")
        for unlocker in unlockers:
            try:
                ring = open_ring(self.chain, slots, unlocker, slot_hash=slot)
            except (WrongPasswordError, NoSuchWayInError) as error:
                failure = error
                continue
            return self.opened(ring)
        raise failure

    def opened(self, ring: ReadRing) -> "ReadableVault":
        """Return the vault as whoever holds *ring* sees it."""
        return ReadableVault(
            self.repository, self.machine, self.objects, self.chain, self.verifier, ring
        )

    def with_writer(self, key: WriterKey) -> "WritableVault":
        """Return the vault as the writer with this *key* sees it.

        Raises:
            CertificateError: the writer may not write under the current keys.
            KeysError: the key is not the one of its certificate.
            UnsupportedFormatError: writing needs what this release does not know.
        """
        self.body.check_writable()
        certificate = certificate_for_writing(
            self.chain, self.certificates(), key.writer_id, self.machine.now_seconds()
        )
        identity = WriterIdentity(key.vault_id, key.writer_id, key.seed)
        ring = WriterRing(self.chain, certificate, identity)
        return WritableVault(
            self.repository, self.machine, self.objects, self.chain, self.verifier, ring
        )


@dataclass(frozen=True, slots=True)
class ReadableVault(Vault):
    """A vault that a way in has opened: reads everything up to its epoch, and maintains."""

    ring: ReadRing

    @property
    def maintainer(self) -> Maintainer:
        """Who signs what upkeep writes."""
        return Authority(self.ring.authority_seed())

    def index_keys(self, group_id: GroupId) -> IndexKeys:
        """Return what opens the whole index of a group; session keys are opened when asked for."""
        return IndexKeys(
            vault_id=self.vault_id,
            group_id=group_id,
            index_keys=self.ring.group(group_id).index_keys,
            session_keys=_SessionKeys(self),
            reader_index_keys={
                epoch: self.ring.reader_index_key(epoch) for epoch in self.ring.roots
            },
            is_sealed=self.is_sealed,
        )

    def read_keys(self, group_id: GroupId, sessions: Sequence[SessionId]) -> ReadKeys:
        """Return what reads the packs of *sessions*, all of one group, and of any other.

        Those of other sessions are opened when they are asked for.

        Raises:
            IntegrityError, KeysError: a session's object is missing, damaged or does not open. Of
                several for one session, one that opens is enough.
        """
        group = self.ring.group(group_id)
        keys = _SessionKeys(self)
        for session_id in sessions:
            keys.opened(session_id)
        return ReadKeys(
            vault_id=self.vault_id,
            session_keys=keys,
            chunk_id_key=group.chunk_id_key,
            node_id_key=group.node_id_key,
            locator_key=group.locator_key,
        )


class _SessionKeys(Mapping[bytes, Sequence[Secret]]):
    """Session keys by session id, opened when they are asked for. Absent if none can be.

    A session has one, unless somebody signed a second object for the session of another.
    """

    def __init__(self, vault: ReadableVault) -> None:
        self._vault = vault
        self._opened: dict[bytes, tuple[Secret, ...]] = {}

    def opened(self, session_id: bytes) -> tuple[Secret, ...]:
        """Return what may be a session's key, or raise why it does not open."""
        if session_id not in self._opened:
            sessions = self._vault.verifier.sessions(SessionId(session_id))
            keys = self._vault.ring.all_session_keys(item.body for item in sessions)
            self._opened[session_id] = tuple(item.key for item in keys)
        return self._opened[session_id]

    def __getitem__(self, session_id: bytes) -> tuple[Secret, ...]:
        try:
            return self.opened(session_id)
        except HoldfastError as error:
            raise KeyError(session_id.hex()) from error

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._opened)

    def __len__(self) -> int:
        return len(self._opened)


@dataclass(frozen=True, slots=True)
class WritableVault(Vault):
    """A vault as a writer sees it: deduplicates, seals and signs, and opens no data."""

    ring: WriterRing

    @property
    def writer_id(self) -> WriterId:
        """Who writes."""
        return self.ring.writer_id

    @property
    def group(self) -> GroupKeys:
        """The keys of the writer's group."""
        return self.ring.group

    @property
    def reuses_group(self) -> bool:
        """Whether packs of the group's other writers may be relied on."""
        rules = {item.group_id: item.reuse for item in self.chain.current.body.groups}
        return rules.get(self.ring.group_id) is ReuseRule.GROUP

    @property
    def index_keys(self) -> IndexKeys:
        """What opens the presence parts of the writer's group."""
        return IndexKeys(
            vault_id=self.vault_id,
            group_id=self.ring.group_id,
            index_keys=self.group.index_keys,
            session_keys={},
            reader_index_keys={},
            is_sealed=self.is_sealed,
        )

    @property
    def maintainer(self) -> Maintainer:
        """Who signs what upkeep writes.

        Raises:
            NotAllowedError: this writer is no maintainer.
        """
        if not self.ring.certificate.body.writer_class & WriterClass.MAINTAINER:
            raise NotAllowedError(
                "This machine's key writes restore points and does not remove any.",
                hint="Open the vault with a password or key file.",
            )
        return self.ring


def read_statements(objects: ObjectStore) -> dict[str, bytes]:
    """Return all objects among the key statements by name; empty where one cannot be read.

    Raises:
        MissingObjectError: one is listed and not there.
    """
    found = {}
    for listed in objects.list(frames.KIND_STATEMENT):
        try:
            found[listed.name] = objects.raw(listed.name)
        except MissingObjectError:
            raise
        except IntegrityError:
            # As good as damaged: where it stands decides whether it may count.
            found[listed.name] = b""
    return found
