"""Who signed what: the table of vault-format.md section 3, applied.

Bytes have been compared with their names before (``objects``), so a signature that does not hold is
no damage: somebody without the right key wrote the object.
"""

from typing import Any, Final, Protocol, TypeVar

from holdfast.base.errors import HoldfastError
from holdfast.base.ids import ObjectHash, SessionId, WriterId
from holdfast.base.secrets import Secret
from holdfast.crypto.errors import BadSignatureError
from holdfast.crypto.signatures import sign, signing_public_key, verify
from holdfast.format import frames, names
from holdfast.format.frames import Sign, signed_message
from holdfast.format.index_body import IndexBody
from holdfast.format.maintenance import Forget, Tombstone
from holdfast.format.point import Point, Refs
from holdfast.format.session import Lease, Packlist, Session
from holdfast.format.writer import WriterCertificate, WriterClass
from holdfast.keys.statements import KeyChain
from holdfast.keys.writers import ValidCertificate, read_certificate
from holdfast.vault.errors import MissingObjectError, WrongSignerError
from holdfast.vault.objects import Loaded, ObjectStore

_WRITES: Final = WriterClass.WRITER | WriterClass.MAINTAINER

Maintained = TypeVar("Maintained", Forget, Tombstone)


class Maintainer(Protocol):
    """Whoever may sign what upkeep writes: the authority, or a writer of that class."""

    @property
    def writer_id(self) -> WriterId | None:
        """The id of the writer, None for the authority."""
        ...

    @property
    def sign(self) -> Sign:
        """What signs."""
        ...


class Authority:
    """The authority of an epoch, as a maintainer."""

    writer_id: Final = None

    def __init__(self, seed: Secret) -> None:
        self._seed = seed
        self._public_key = signing_public_key(seed)

    @property
    def sign(self) -> Sign:
        """What signs."""
        return lambda message: [(self._public_key, sign(self._seed, message))]


class Verifier:
    """Checks the signatures of one vault's objects; certificates and sessions are read when needed.

    Every check returns only if the signature holds and its maker was allowed to make it.
    """

    def __init__(self, chain: KeyChain, objects: ObjectStore) -> None:
        self._chain = chain
        self._objects = objects
        self._certificates: dict[ObjectHash, ValidCertificate] = {}
        self._sessions: dict[tuple[SessionId, WriterId | None], tuple[Loaded[Session], ...]] = {}
        self._session_names: dict[SessionId, list[str]] | None = None
        self._all_certificates: list[ValidCertificate] | None = None

    # --- certificates and sessions ------------------------------------------------------------

    def certificate(self, certificate_hash: ObjectHash) -> ValidCertificate:
        """Return a certificate that an authority of the vault signed.

        Raises:
            MissingObjectError, DamagedObjectError: it is not there, or not what its name says.
            SignatureError: no authority of its epoch signed it.
        """
        if certificate_hash not in self._certificates:
            name = names.writer_name(self._chain.vault_id, certificate_hash)
            data = self._objects.get(name)
            self._certificates[certificate_hash] = read_certificate(self._chain, name, data)
        return self._certificates[certificate_hash]

    def certificates_of(self, writer_id: WriterId) -> list[ValidCertificate]:
        """Return all certificates of a writer; those that are damaged or not signed are none."""
        return [item for item in self.certificates() if item.body.writer_id == writer_id]

    def certificates(self) -> list[ValidCertificate]:
        """Return the certificates of all writers, as :meth:`certificates_of`."""
        if self._all_certificates is None:
            found = []
            for listed in self._objects.list(frames.KIND_WRITER):
                try:
                    found.append(self.certificate(listed.hash))
                except HoldfastError as error:
                    if error.retryable:
                        raise
            self._all_certificates = found
        return self._all_certificates

    def sessions(
        self, session_id: SessionId, writer_id: WriterId | None = None
    ) -> tuple[Loaded[Session], ...]:
        """Return the objects that stand for a session, their signatures checked; those of a writer.

        There is one, unless somebody signed a second one for the session of another (5.6). Who
        relies on them tries each. Their number has no limit, behind which a writer could hide the
        true one; each is read once, and costs whoever put it as much as it costs here.

        Raises:
            MissingObjectError: there is none.
            DamagedObjectError, SignatureError: there is one, and it cannot be believed.
        """
        key = session_id, writer_id
        if key in self._sessions:
            return self._sessions[key]
        failure: HoldfastError | None = None
        found: list[Loaded[Session]] = []
        for name in self._names_of(session_id):
            try:
                loaded = self._objects.load(name, Session)
                if loaded.body.session_id != session_id:
                    continue
                if writer_id is not None and loaded.body.writer_id != writer_id:
                    continue
                self.check_session(loaded)
            except HoldfastError as error:
                if error.retryable:
                    # It may be the true one.
                    raise
                failure = error
                continue
            found.append(loaded)
        if not found:
            raise failure or MissingObjectError(
                f"There is no session object of session {session_id.hex()}."
            )
        self._sessions[key] = tuple(found)
        return self._sessions[key]

    def session(self, session_id: SessionId, writer_id: WriterId) -> Loaded[Session]:
        """Return the first of :meth:`sessions`, for who only asks whether there is one."""
        return self.sessions(session_id, writer_id)[0]

    def know_session(self, loaded: Loaded[Session]) -> None:
        """Check a session object that is at hand; it is not asked for again.

        Raises:
            SignatureError, IntegrityError: it cannot be believed.
        """
        self.check_session(loaded)
        self._sessions[loaded.body.session_id, loaded.body.writer_id] = (loaded,)

    def expect_sessions(self) -> None:
        """List all sessions once, because many of them will be asked for; new ones are missed."""
        found: dict[SessionId, list[str]] = {}
        for listed in self._objects.list(frames.KIND_SESSION):
            if listed.parsed.session_id is not None:
                found.setdefault(listed.parsed.session_id, []).append(listed.name)
        self._session_names = found

    def _names_of(self, session_id: SessionId) -> list[str]:
        known = (self._session_names or {}).get(session_id)
        if known:
            return known
        listed = self._objects.list(frames.KIND_SESSION, session_id=session_id)
        return [item.name for item in listed]

    # --- the table of section 3 ---------------------------------------------------------------

    def check(self, loaded: Loaded[Any]) -> None:
        """Check an object of any kind that somebody must have signed, statements left out.

        Raises:
            SignatureError: a leaf that says what is wrong.
            IntegrityError: what the check rests on is missing or damaged.
        """
        body = loaded.body
        if isinstance(body, Session):
            self.check_session(loaded)
        elif isinstance(body, Lease):
            self.check_lease(loaded)
        elif isinstance(body, Packlist | Refs):
            self.check_of_session(loaded)
        elif isinstance(body, Point):
            self.check_point(loaded)
        elif isinstance(body, IndexBody):
            self.check_index(loaded)
        elif isinstance(body, Forget | Tombstone):
            self.check_maintained(loaded)
        else:
            raise WrongSignerError(f"Nobody can have signed '{loaded.name}'.")

    def check_session(self, loaded: Loaded[Session]) -> None:
        """Check a session object: its writer's, valid for writing in its epoch."""
        body = loaded.body
        certificate = self.certificate(body.certificate_hash).body
        if certificate.writer_id != body.writer_id:
            raise WrongSignerError(f"'{loaded.name}' names the certificate of another writer.")
        if not certificate.writer_class & _WRITES or certificate.group_id != body.group_id:
            raise WrongSignerError(f"The writer of '{loaded.name}' was not allowed to write it.")
        _check_expiry(loaded.name, certificate, body.time)
        self._check_statement(
            loaded.name, body.statement_number, body.statement_hash, certificate.epoch
        )
        if body.epoch != certificate.epoch:
            raise WrongSignerError(f"'{loaded.name}' is of another epoch than its certificate.")
        self._check_signature(loaded, certificate.signing_public_key)

    def check_of_session(self, loaded: Loaded[Any]) -> None:
        """Check a packlist, refs or a session's index object: its session's writer signed it."""
        sessions = self.sessions(loaded.body.session_id, loaded.body.writer_id)
        certificates = {session.body.certificate_hash for session in sessions}
        keys = [self.certificate(item).body.signing_public_key for item in certificates]
        self._check_signature(loaded, *keys)

    def check_point(self, loaded: Loaded[Point]) -> None:
        """Check a restore point: its writer's, under the certificate and statement it names."""
        body = loaded.body
        certificate = self.certificate(body.certificate_hash).body
        if certificate.writer_id != body.writer_id or not certificate.writer_class & _WRITES:
            raise WrongSignerError(f"'{loaded.name}' names the certificate of another writer.")
        _check_expiry(loaded.name, certificate, body.time)
        self._check_statement(
            loaded.name, body.statement_number, body.statement_hash, certificate.epoch
        )
        self._check_signature(loaded, certificate.signing_public_key)

    def check_index(self, loaded: Loaded[IndexBody]) -> None:
        """Check an index object: its session's writer signed it, or, if merged, a maintainer."""
        if loaded.body.session_id is None:
            self.check_merged(loaded)
        else:
            self.check_of_session(loaded)

    def check_merged(self, loaded: Loaded[IndexBody]) -> None:
        """Check a merged index object: the authority or a maintainer of its own epoch signed it.

        Nobody can pass off what he signs as of an epoch whose keys he never had.
        """
        body = loaded.body
        if body.writer_id is None:
            authority = self._chain.authority_keys.get(body.epoch)
            self._check_signature(loaded, *([] if authority is None else [authority]))
            return
        keys = [
            item.body.signing_public_key
            for item in self.certificates_of(body.writer_id)
            if item.body.epoch == body.epoch and item.body.writer_class & WriterClass.MAINTAINER
        ]
        self._check_signature(loaded, *keys)

    def check_maintained(self, loaded: Loaded[Maintained]) -> None:
        """Check what upkeep writes: a maintainer or an authority of the vault signed it."""
        writer_id = loaded.body.writer_id
        if writer_id is None:
            self._check_signature(loaded, *self._chain.authority_keys.values())
            return
        keys = [
            item.body.signing_public_key
            for item in self.certificates_of(writer_id)
            if item.body.writer_class & WriterClass.MAINTAINER
        ]
        self._check_signature(loaded, *keys)

    def check_forget(self, loaded: Loaded[Forget]) -> int:
        """Check a forget; return the newest epoch whose keys signed it.

        It drops no point of a later epoch: whoever lost his way in by a rotation still has the
        authority before it (5.11).
        """
        self.check_maintained(loaded)
        (signature,) = loaded.stored.signatures
        epochs = [
            epoch
            for epoch, key in self._chain.authority_keys.items()
            if key == signature.public_key and loaded.body.writer_id is None
        ]
        if loaded.body.writer_id is not None:
            epochs += [
                item.body.epoch
                for item in self.certificates_of(loaded.body.writer_id)
                if item.body.signing_public_key == signature.public_key
                and item.body.writer_class & WriterClass.MAINTAINER
            ]
        return max(epochs)

    def check_quarantine(self, loaded: Loaded[Any]) -> None:
        """Check a quarantine: a maintainer, a scrubber or an authority of the vault signed it."""
        keys = [
            item.body.signing_public_key
            for item in self.certificates()
            if item.body.writer_class & (WriterClass.MAINTAINER | WriterClass.SCRUBBER)
        ]
        self._check_signature(loaded, *self._chain.authority_keys.values(), *keys)

    def check_lease(self, loaded: Loaded[Lease]) -> None:
        """Check a lease: an authority's, or of any certificate of its writer that may write."""
        writer_id = loaded.body.writer_id
        if writer_id is None:
            self._check_signature(loaded, *self._chain.authority_keys.values())
            return
        keys = [
            item.body.signing_public_key
            for item in self.certificates_of(writer_id)
            if item.body.writer_class & _WRITES
        ]
        self._check_signature(loaded, *keys)

    def _check_statement(
        self, name: str, number: int, statement_hash: ObjectHash, epoch: int
    ) -> None:
        if number >= len(self._chain.links):
            raise WrongSignerError(
                f"'{name}' names key statement {number}, which is not there.",
                hint="The keys may have been changed this very moment: try again. If it stays,"
                " key statements have been removed from the storage.",
            )
        link = self._chain.statement(number)
        if link.hash != statement_hash or link.body.epoch != epoch:
            raise WrongSignerError(f"'{name}' names a key statement that does not count.")

    def _check_signature(self, loaded: Loaded[Any], *allowed: bytes) -> None:
        if len(loaded.stored.signatures) != 1:
            raise WrongSignerError(f"'{loaded.name}' does not have one signature.")
        (signature,) = loaded.stored.signatures
        if signature.public_key not in allowed:
            raise WrongSignerError(f"'{loaded.name}' is not signed by whom it must be.")
        message = signed_message(loaded.data, self._chain.vault_id)
        try:
            verify(signature.public_key, message, signature.signature)
        except BadSignatureError as error:
            raise WrongSignerError(f"'{loaded.name}': {error.message}") from error


def _check_expiry(name: str, certificate: WriterCertificate, time: int) -> None:
    # The same second is still valid (5.5).
    if certificate.expiry and certificate.expiry < time:
        raise WrongSignerError(f"The certificate of '{name}' had expired.")
