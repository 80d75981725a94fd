"""Who signed an object whose session may be gone (vault-format.md section 3, gc.md G9).

A session that slept while it was collected may still put packlists, refs and index objects when it
wakes up. They serve nobody, and upkeep may remove them, as soon as it knows that a writer of the
vault put them there.
"""

from typing import Any

from holdfast.base.ids import VaultId
from holdfast.crypto.errors import BadSignatureError
from holdfast.crypto.signatures import verify
from holdfast.format.frames import signed_message
from holdfast.format.index_body import IndexBody
from holdfast.format.point import Refs
from holdfast.format.session import Packlist
from holdfast.vault.errors import MissingObjectError, WrongSignerError
from holdfast.vault.objects import Loaded
from holdfast.vault.trust import Verifier


def check_attributed(verifier: Verifier, vault_id: VaultId, loaded: Loaded[Any]) -> None:
    """Check an object as ``Verifier.check`` does, or, without its session, by its writer alone.

    Raises:
        SignatureError: nobody who may did sign it.
        MissingObjectError, DamagedObjectError: what the check rests on is missing or damaged.
    """
    try:
        verifier.check(loaded)
    except MissingObjectError:
        body = loaded.body
        if not isinstance(body, Packlist | Refs | IndexBody) or body.writer_id is None:
            raise
        certificates = verifier.certificates_of(body.writer_id)
        if not certificates:
            raise
        (signature,) = loaded.stored.signatures
        if signature.public_key not in {item.body.signing_public_key for item in certificates}:
            raise WrongSignerError(f"'{loaded.name}' is not signed by whom it must be.") from None
        try:
            message = signed_message(loaded.data, vault_id)
            verify(signature.public_key, message, signature.signature)
        except BadSignatureError as error:
            raise WrongSignerError(f"'{loaded.name}': {error.message}") from error
