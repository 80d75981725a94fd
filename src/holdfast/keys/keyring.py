"""What a root opens: every key of a reader (sections 4.4 to 4.6)."""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from holdfast.base.errors import IntegrityError, KeysError
from holdfast.base.ids import GroupId, ObjectHash, SessionId, VaultId
from holdfast.base.randomness import Random
from holdfast.base.secrets import Secret
from holdfast.crypto.boxes import open_box, open_padded_box
from holdfast.crypto.errors import WrongKeyError
from holdfast.crypto.hashing import keyed_hash, sha256
from holdfast.crypto.hkdf import authority_seed, derive, derive_secret, expand, extract
from holdfast.crypto.hpke import hpke_open, hpke_seal, kem_public_key
from holdfast.crypto.signatures import signing_public_key
from holdfast.crypto.suites import Suite
from holdfast.format.cbor import Bytes, encode
from holdfast.format.packs import PackHeader
from holdfast.format.session import Session
from holdfast.format.statement import Statement
from holdfast.format.writer import WriterCertificate
from holdfast.keys.errors import (
    KeyRequestError,
    SessionKeyError,
    StatementError,
    UnknownEpochError,
)

SECRET_BYTES: Final = 32

_NO_RECIPIENTS: Final = sha256(encode([]))
_NO_COMMITMENT: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class GroupKeys:
    """The keys of a dedup group: what a writer needs to know to deduplicate in it."""

    group_id: GroupId
    chunk_id_key: Secret
    node_id_key: Secret
    locator_key: Secret
    chunker_key: Secret
    index_keys: Mapping[int, Secret]

    @property
    def boundary_key(self) -> Secret:
        """The key that decides where tree nodes end."""
        return Secret(keyed_hash(self.node_id_key.reveal(), b"holdfast/0 boundary"))

    @property
    def link_key(self) -> Secret:
        """The key of hard-link groups."""
        return Secret(keyed_hash(self.node_id_key.reveal(), b"holdfast/0 hard link"))


@dataclass(frozen=True, slots=True)
class GroupSecrets:
    """A dedup group as the secrets record of a statement has it."""

    group_id: GroupId
    name: str
    secret: Secret
    index_keys: Mapping[int, Secret]

    def keys(self, vault_id: VaultId) -> GroupKeys:
        """Derive the group's keys."""
        return group_keys(vault_id, self.group_id, self.secret, self.index_keys)


def group_keys(
    vault_id: VaultId, group_id: GroupId, secret: Secret, index_keys: Mapping[int, Secret]
) -> GroupKeys:
    """Derive the keys of a group from its *secret* (section 4.5)."""
    return GroupKeys(
        group_id,
        chunk_id_key=derive_secret(secret, vault_id, "chunk id", group_id),
        node_id_key=derive_secret(secret, vault_id, "node id", group_id),
        locator_key=derive_secret(secret, vault_id, "locator", group_id),
        chunker_key=derive_secret(secret, vault_id, "chunker", group_id),
        index_keys=dict(index_keys),
    )


class SessionKeys(NamedTuple):
    """The key of a session and the two derived from it; empty in a vault of the suite ``none``.

    The engine takes *key* and derives for itself.
    """

    key: Secret
    data: Secret
    tree: Secret


class NewSessionKey(NamedTuple):
    """A fresh session key with what the session object says of it; None for suite ``none``."""

    keys: SessionKeys
    commitment: bytes | None
    sealed: bytes | None


def session_keys(
    session_key: Secret | None, vault_id: VaultId, session_id: SessionId
) -> SessionKeys:
    """Derive the data key and the tree key of a session (section 4.6)."""
    if session_key is None:
        return SessionKeys(Secret(b""), Secret(b""), Secret(b""))
    return SessionKeys(
        session_key,
        derive_secret(session_key, vault_id, "data", session_id),
        derive_secret(session_key, vault_id, "tree", session_id),
    )


def new_session_key(
    vault_id: VaultId,
    suite: Suite,
    vault_public_key: bytes,
    epoch: int,
    session_id: SessionId,
    random: Random,
) -> NewSessionKey:
    """Make a key for one session of one process. It is never stored but sealed to the vault key."""
    if not suite.key_bytes:
        return NewSessionKey(session_keys(None, vault_id, session_id), None, None)
    key = Secret(random.take(SECRET_BYTES))
    info = _session_info(vault_id, session_id, epoch, vault_public_key)
    return NewSessionKey(
        session_keys(key, vault_id, session_id),
        _session_commitment(session_id, key),
        hpke_seal(vault_public_key, info, key.reveal()),
    )


class ReadRing:
    """Everything that a way in opens: the roots of all epochs up to its own, and the groups.

    Holds no storage and shows no secret. Made by ``opening.open_ring``.
    """

    def __init__(
        self,
        vault_id: VaultId,
        suite: Suite,
        roots: Mapping[int, Secret],
        vault_name: str,
        groups: Mapping[GroupId, GroupSecrets],
        slot_hash: ObjectHash,
    ) -> None:
        self.vault_id = vault_id
        self.suite = suite
        self.epoch = max(roots)
        self.vault_name = vault_name
        self.groups = dict(groups)
        self.slot_hash = slot_hash
        self._roots = dict(roots)
        self._vault_seeds: dict[int, tuple[Secret, bytes]] = {}

    def __repr__(self) -> str:
        return f"ReadRing({self.vault_id.hex()}, epoch {self.epoch})"

    def opened_by(self, slot_hash: ObjectHash) -> "ReadRing":
        """Return the same keys, to be taken as opened by another slot."""
        return ReadRing(
            self.vault_id, self.suite, self._roots, self.vault_name, self.groups, slot_hash
        )

    @property
    def is_sealed(self) -> bool:
        """Whether the vault encrypts at all."""
        return self.suite.key_bytes > 0

    @property
    def roots(self) -> Mapping[int, Secret]:
        """The root of every epoch up to this ring's own."""
        return dict(self._roots)

    def root(self, epoch: int) -> Secret:
        """Return the root of *epoch*.

        Raises:
            UnknownEpochError: the epoch is later than what this way in opens.
        """
        if epoch not in self._roots:
            raise UnknownEpochError(
                f"this key opens epochs 0 to {self.epoch}, not epoch {epoch}",
                hint="The keys were rotated: open the vault with a way in that is still valid.",
            )
        return self._roots[epoch]

    def authority_seed(self, epoch: int | None = None) -> Secret:
        """Return the signing key of the authority, of the ring's own epoch by default."""
        number = self.epoch if epoch is None else epoch
        return authority_seed(self.root(number), number)

    def vault_seed(self, epoch: int) -> Secret:
        """Return the KEM seed of the vault's key pair of *epoch*."""
        return vault_seed(self.vault_id, self.root(epoch), epoch)

    def names_key(self, epoch: int) -> Secret:
        """Return the key under which writer names are sealed."""
        return _of_epoch(self.vault_id, self.root(epoch), "names", epoch)

    def reader_index_key(self, epoch: int) -> Secret:
        """Return the key of the positions part of merged index objects."""
        return _of_epoch(self.vault_id, self.root(epoch), "reader index", epoch)

    def group(self, group_id: GroupId) -> GroupKeys:
        """Return the keys of a group.

        Raises:
            KeyRequestError: the vault has no such group.
        """
        if group_id not in self.groups:
            raise KeyRequestError(f"the vault has no group {group_id.hex()}")
        return self.groups[group_id].keys(self.vault_id)

    def session_keys(self, session: Session) -> SessionKeys:
        """Open the keys of a session from its session object.

        Raises:
            UnknownEpochError: the session is of a later epoch.
            AuthenticationError: the sealed key is damaged or from another place.
            SessionKeyError: the key is not the one that the session commits to.
        """
        return self._open_session(
            session.session_id, session.epoch, session.commitment, session.sealed_session_key
        )

    def all_session_keys(self, sessions: Iterable[Session]) -> list[SessionKeys]:
        """Open the keys of every object that stands for one session, but those that do not open.

        A stolen writer key can sign a second object for the session of another (5.6). What was
        sealed decides under which of them it was. Objects that claim the same are opened once.

        Raises:
            UnknownEpochError, AuthenticationError, SessionKeyError: none opens; of the first.
        """
        found, failures = [], []
        for session in {
            (item.epoch, item.commitment, item.sealed_session_key): item for item in sessions
        }.values():
            try:
                found.append(self.session_keys(session))
            except (IntegrityError, KeysError) as error:
                failures.append(error)
        if failures and not found:
            raise failures[0]
        return found

    def open_in_session(self, sessions: Iterable[Session], context: bytes, box: Bytes) -> bytes:
        """Open a padded box under the tree key of the one of *sessions* that it was sealed under.

        Raises:
            UnknownEpochError, AuthenticationError, SessionKeyError: none of the sessions opens, or
                the box is damaged.
            WrongKeyError: it was sealed under none of them.
        """
        failure = WrongKeyError("a sealed box belongs to a session that is not at hand")
        for keys in self.all_session_keys(sessions):
            try:
                return open_padded_box(keys.tree, context, box, sealed=self.is_sealed)
            except WrongKeyError as error:
                failure = error
        raise failure

    def pack_keys(self, sessions: Iterable[Session], header: PackHeader) -> SessionKeys:
        """Open the keys of a pack: of the one of *sessions* that it commits to.

        *sessions* are the objects that stand for its session. Without any, the header is what
        there is.

        Raises:
            SessionKeyError: the pack commits to the key of none of them.
            UnknownEpochError, AuthenticationError: as :meth:`session_keys`.
        """
        stated = list(sessions)
        if not stated:
            return self.pack_session_keys(header)
        keys = self.all_session_keys(
            item for item in stated if header.commitment == (item.commitment or _NO_COMMITMENT)
        )
        if not keys:
            raise SessionKeyError(
                f"a pack of session {header.session_id.hex()} commits to another session key"
            )
        return keys[0]

    def pack_session_keys(self, header: PackHeader) -> SessionKeys:
        """Open the keys of a session from the header of any of its packs.

        Raises:
            UnknownEpochError: the session is of a later epoch.
            AuthenticationError: the sealed key is damaged or from another place.
            SessionKeyError: the key is not the one that the header commits to.
        """
        commitment = header.commitment if any(header.commitment) else None
        sealed = header.sealed_session_key or None
        return self._open_session(header.session_id, header.epoch, commitment, sealed)

    def _open_session(
        self, session_id: SessionId, epoch: int, commitment: bytes | None, sealed: bytes | None
    ) -> SessionKeys:
        if (commitment is not None, sealed is not None) != (self.is_sealed, self.is_sealed):
            raise SessionKeyError(
                f"session {session_id.hex()} has a key where the vault's suite has none, "
                "or has none"
            )
        if commitment is None or sealed is None:
            return session_keys(None, self.vault_id, session_id)
        seed, public_key = self._vault_pair(epoch)
        info = _session_info(self.vault_id, session_id, epoch, public_key)
        key = Secret(hpke_open(seed, info, sealed))
        if not hmac.compare_digest(_session_commitment(session_id, key), commitment):
            raise SessionKeyError(
                f"the key of session {session_id.hex()} is not the one that it commits to"
            )
        return session_keys(key, self.vault_id, session_id)

    def _vault_pair(self, epoch: int) -> tuple[Secret, bytes]:
        if epoch not in self._vault_seeds:
            seed = self.vault_seed(epoch)
            self._vault_seeds[epoch] = seed, kem_public_key(seed)
        return self._vault_seeds[epoch]

    def writer_name(self, certificate: WriterCertificate) -> str:
        """Return the name of the writer that *certificate* is for.

        Raises:
            UnknownEpochError: the certificate is of a later epoch.
            IntegrityError: the sealed name is damaged or not from here.
        """
        context = writer_name_context(self.vault_id, certificate.writer_id)
        try:
            name = open_box(
                self.names_key(certificate.epoch),
                context,
                certificate.sealed_name,
                sealed=self.is_sealed,
            )
            return name.decode("utf-8")
        except (WrongKeyError, UnicodeDecodeError):
            raise StatementError(
                f"the name of writer {certificate.writer_id.hex()} does not open"
            ) from None


def vault_seed(vault_id: VaultId, root: Secret, epoch: int) -> Secret:
    """Return the KEM seed of the vault's key pair (section 4.4)."""
    return _of_epoch(vault_id, root, "vault key", epoch)


def statement_key(vault_id: VaultId, root: Secret, epoch: int) -> Secret:
    """Return the key of the secrets record of statements (section 4.4)."""
    return _of_epoch(vault_id, root, "statement", epoch)


def root_commitment(vault_id: VaultId, root: Secret, epoch: int) -> bytes:
    """Return what a statement says of its root (section 4.4)."""
    return derive(root, vault_id, "root commitment", epoch_bytes(epoch))


def check_root(vault_id: VaultId, root: Secret, statement: Statement) -> None:
    """Return only if *root* is the one that *statement* stands for.

    Raises:
        StatementError: commitment, authority key or vault key differ.
    """
    epoch = statement.epoch
    fits = (
        len(root.reveal()) == SECRET_BYTES
        and hmac.compare_digest(root_commitment(vault_id, root, epoch), statement.root_commitment)
        and signing_public_key(authority_seed(root, epoch)) == statement.authority_public_key
        and kem_public_key(vault_seed(vault_id, root, epoch)) == statement.vault_public_key
    )
    if not fits:
        raise StatementError(
            f"the root of epoch {epoch} is not the one that key statement {statement.number} "
            "was made with"
        )


def writer_name_context(vault_id: VaultId, writer_id: bytes) -> bytes:
    """Return what the box of a writer's name is bound to (section 5.5)."""
    return b"writer name\x00" + vault_id + writer_id


def epoch_bytes(epoch: int) -> bytes:
    """Return *epoch* as the u32 that derivations take."""
    return epoch.to_bytes(4, "big")


def _of_epoch(vault_id: VaultId, root: Secret, label: str, epoch: int) -> Secret:
    return derive_secret(root, vault_id, label, epoch_bytes(epoch))


def _session_commitment(session_id: SessionId, session_key: Secret) -> bytes:
    prk = extract(session_id, session_key.reveal())
    return expand(prk, b"holdfast/0 commitment", SECRET_BYTES)


def _session_info(
    vault_id: VaultId, session_id: SessionId, epoch: int, vault_public_key: bytes
) -> bytes:
    return b"".join(
        (
            b"holdfast/0 session\x00",
            vault_id,
            session_id,
            epoch_bytes(epoch),
            sha256(vault_public_key),
            _NO_RECIPIENTS,
        )
    )
