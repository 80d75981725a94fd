"""Writers: machines that write without being able to read (sections 4.7 and 5.5)."""

from collections.abc import Mapping
from typing import NamedTuple

from holdfast.base.errors import HoldfastError
from holdfast.base.ids import GroupId, ObjectHash, SeriesId, SessionId, VaultId, WriterId
from holdfast.base.randomness import Random
from holdfast.base.secrets import Secret
from holdfast.crypto.boxes import seal_box
from holdfast.crypto.hashing import keyed_hash
from holdfast.crypto.hkdf import derive_secret
from holdfast.crypto.hpke import SEED_BYTES, hpke_open, hpke_seal, kem_public_key
from holdfast.crypto.signatures import signing_public_key
from holdfast.format.frames import KIND_WRITER, Sign, build, object_hash, parse
from holdfast.format.names import check_hash
from holdfast.format.statement import IndexKey
from holdfast.format.writer import WriterCertificate, WriterClass, WriterKeys
from holdfast.keys._signed import check_one_signer, signed_by
from holdfast.keys.errors import CertificateError, StatementError, WriterSeedError
from holdfast.keys.keyring import (
    GroupKeys,
    GroupSecrets,
    NewSessionKey,
    ReadRing,
    epoch_bytes,
    group_keys,
    new_session_key,
    writer_name_context,
)
from holdfast.keys.statements import KeyChain

WRITER_ID_BYTES = 16
_SERIES_ID_BYTES = 16


class WriterPublic(NamedTuple):
    """What a machine shows of itself to be made a writer."""

    writer_id: WriterId
    signing_public_key: bytes
    kem_public_key: bytes


class WriterIdentity:
    """A writer's own secret: the id and the seed that stay on its machine."""

    def __init__(self, vault_id: VaultId, writer_id: WriterId, seed: Secret) -> None:
        self.vault_id = vault_id
        self.writer_id = writer_id
        self.seed = seed
        self._signing = derive_secret(seed, vault_id, "writer signing", writer_id)
        self.kem_seed = derive_secret(seed, vault_id, "writer kem", writer_id)
        self._series = derive_secret(seed, vault_id, "series", writer_id)
        self.public = WriterPublic(
            writer_id, signing_public_key(self._signing), kem_public_key(self.kem_seed)
        )

    @classmethod
    def fresh(cls, vault_id: VaultId, random: Random) -> "WriterIdentity":
        """Make a new writer for the vault."""
        writer_id = WriterId(random.take(WRITER_ID_BYTES))
        return cls(vault_id, writer_id, Secret(random.take(SEED_BYTES)))

    def __repr__(self) -> str:
        return f"WriterIdentity({self.writer_id.hex()})"

    @property
    def sign(self) -> Sign:
        """What signs objects as this writer."""
        return signed_by(self._signing)

    def series_id(self, name: str) -> SeriesId:
        """Return the series of the source called *name*, which is ``host/source name``."""
        whole = keyed_hash(self._series.reveal(), name.encode("utf-8"))
        return SeriesId(whole[:_SERIES_ID_BYTES])


class CertificateTerms(NamedTuple):
    """What a certificate says of a writer besides its keys. Expiry in seconds, 0 for never."""

    name: str
    writer_class: WriterClass
    expiry: int


class ValidCertificate(NamedTuple):
    """A certificate that an authority of the vault signed."""

    hash: ObjectHash
    body: WriterCertificate


def make_certificate(
    writer: WriterPublic,
    terms: CertificateTerms,
    group: GroupSecrets,
    ring: ReadRing,
    *,
    statement_number: int,
    time: int,
    random: Random,
) -> bytes:
    """Return the object that makes *writer* a writer in the epoch of *ring*.

    Raises:
        PublicKeyError: the writer's KEM key may not be used.
    """
    epoch = ring.epoch
    keys = WriterKeys(
        group_secret=group.secret.reveal(),
        index_keys=tuple(
            IndexKey(epoch=number, key=key.reveal())
            for number, key in sorted(group.index_keys.items())
        ),
    )
    body = WriterCertificate(
        writer_id=writer.writer_id,
        signing_public_key=writer.signing_public_key,
        kem_public_key=writer.kem_public_key,
        group_id=group.group_id,
        writer_class=terms.writer_class,
        expiry=terms.expiry,
        statement_number=statement_number,
        epoch=epoch,
        sealed_keys=hpke_seal(
            writer.kem_public_key,
            _keys_info(ring.vault_id, writer.writer_id, epoch),
            keys.to_bytes(),
        ),
        sealed_name=seal_box(
            ring.names_key(epoch),
            writer_name_context(ring.vault_id, writer.writer_id),
            terms.name.encode("utf-8"),
            random,
            sealed=ring.is_sealed,
        ),
        time=time,
    )
    return build(
        KIND_WRITER,
        body.to_body(),
        sign=signed_by(ring.authority_seed()),
        vault_id=ring.vault_id,
    )


def read_certificate(chain: KeyChain, name: str, data: bytes) -> ValidCertificate:
    """Return the certificate in *data*, stored as *name*: signed by the authority of its epoch.

    What a writer signed while its certificate was valid stays valid: this is the check for reading.
    For writing see :func:`certificate_for_writing`.

    Raises:
        FormatError: it is no certificate, or not the one that its name promises.
        BadSignatureError: the authority of its epoch did not sign it.
        CertificateError: its epoch or its statement is none of this vault.
    """
    check_hash(name, data)
    stored = parse(KIND_WRITER, data)
    body = WriterCertificate.from_body(stored.body)
    authority = chain.authority_keys.get(body.epoch)
    if authority is None:
        raise CertificateError(
            f"the certificate '{name}' is of epoch {body.epoch}, which this vault does not have"
        )
    check_one_signer(stored, data, chain.vault_id, (authority,), f"the certificate '{name}'")
    return ValidCertificate(object_hash(data), body)


def certificate_for_writing(
    chain: KeyChain, certificates: Mapping[str, bytes], writer_id: WriterId, now: int
) -> ValidCertificate:
    """Return the newest certificate under which the writer may write in the current epoch.

    *certificates* are certificate objects by name, of any writers and epochs; *now* in seconds.

    Raises:
        CertificateError: there is none, or it has expired.
        HoldfastError: there is none, and an object among *certificates* is damaged.
    """
    found: list[ValidCertificate] = []
    failures: list[HoldfastError] = []
    for name, data in certificates.items():
        try:
            certificate = read_certificate(chain, name, data)
        except HoldfastError as error:
            failures.append(error)
            continue
        if certificate.body.writer_id == writer_id and certificate.body.epoch == chain.epoch:
            found.append(certificate)
    if not found:
        if failures:
            raise failures[0]
        raise CertificateError(
            f"writer {writer_id.hex()} has no certificate for the current keys of this vault",
            hint="Whoever can open the vault makes one with 'holdfast writer add'.",
        )
    newest = max(found, key=newest_first)
    if newest.body.expiry and newest.body.expiry <= now:
        raise CertificateError(
            f"the certificate of writer {writer_id.hex()} has expired",
            hint="Whoever can open the vault makes a new one with 'holdfast writer add'.",
        )
    return newest


def newest_first(certificate: ValidCertificate) -> tuple[int, bytes]:
    """Order certificates of one writer: the latest counts, the higher hash among equals."""
    return certificate.body.time, certificate.hash


class WriterRing:
    """Everything that a writer holds: it seals, signs and deduplicates, and opens no data."""

    def __init__(
        self,
        chain: KeyChain,
        certificate: ValidCertificate,
        identity: WriterIdentity,
    ) -> None:
        """Open *certificate* with the writer's own secret.

        Raises:
            CertificateError: the certificate is of an earlier epoch.
            WriterSeedError: it was made for another secret.
            AuthenticationError: the keys in it are damaged.
        """
        body = certificate.body
        if body.epoch != chain.epoch:
            raise CertificateError(
                f"the certificate of writer {body.writer_id.hex()} is of epoch {body.epoch}; "
                f"the vault's keys are in epoch {chain.epoch}"
            )
        public = WriterPublic(body.writer_id, body.signing_public_key, body.kem_public_key)
        if public != identity.public or identity.vault_id != chain.vault_id:
            raise WriterSeedError(
                f"this machine's writer key is not that of writer {body.writer_id.hex()}"
            )
        info = _keys_info(chain.vault_id, body.writer_id, body.epoch)
        keys = WriterKeys.from_bytes(hpke_open(identity.kem_seed, info, body.sealed_keys))
        index_keys = {entry.epoch: Secret(entry.key) for entry in keys.index_keys}
        if body.epoch not in index_keys:
            raise StatementError(
                f"the certificate of writer {body.writer_id.hex()} lacks the index key of its epoch"
            )
        secret = Secret(keys.group_secret)
        self.vault_id = chain.vault_id
        self.suite = chain.suite
        self.epoch = body.epoch
        self.statement = chain.current.seen
        self.vault_public_key = chain.current.body.vault_public_key
        self.certificate = certificate
        self.identity = identity
        self.group: GroupKeys = group_keys(chain.vault_id, body.group_id, secret, index_keys)

    def __repr__(self) -> str:
        return f"WriterRing({self.writer_id.hex()}, epoch {self.epoch})"

    @property
    def writer_id(self) -> WriterId:
        """Who writes."""
        return self.identity.writer_id

    @property
    def group_id(self) -> GroupId:
        """The dedup group that it writes in."""
        return self.group.group_id

    @property
    def index_key(self) -> Secret:
        """The key of presence parts written now."""
        return self.group.index_keys[self.epoch]

    @property
    def sign(self) -> Sign:
        """What signs objects as this writer."""
        return self.identity.sign

    def series_id(self, name: str) -> SeriesId:
        """Return the series of the source called *name*, which is ``host/source name``."""
        return self.identity.series_id(name)

    def new_session_key(self, session_id: SessionId, random: Random) -> NewSessionKey:
        """Make the key of a session; nobody but a reader of the vault opens it again."""
        return new_session_key(
            self.vault_id, self.suite, self.vault_public_key, self.epoch, session_id, random
        )


def _keys_info(vault_id: VaultId, writer_id: WriterId, epoch: int) -> bytes:
    return b"holdfast/0 writer\x00" + vault_id + writer_id + epoch_bytes(epoch)
