"""Signing and verifying objects of this room: who signed, over what (section 3)."""

from collections.abc import Collection

from holdfast.base.ids import VaultId
from holdfast.base.secrets import Secret
from holdfast.crypto.errors import BadSignatureError
from holdfast.crypto.signatures import sign, signing_public_key, verify
from holdfast.format.frames import Sign, StoredObject, signed_message


def signed_by(*seeds: Secret) -> Sign:
    """Return what signs with each of *seeds*, in this order."""
    return lambda message: [(signing_public_key(seed), sign(seed, message)) for seed in seeds]


def check_one_signer(
    stored: StoredObject,
    data: bytes,
    vault_id: VaultId,
    allowed: Collection[bytes],
    what: str,
) -> bytes:
    """Return the public key that signed, which is one of *allowed*.

    Raises:
        BadSignatureError: another key signed, or the signature does not hold.
    """
    (signature,) = stored.signatures
    if signature.public_key not in allowed:
        raise BadSignatureError(f"{what} is not signed by whom it must be")
    verify(signature.public_key, signed_message(data, vault_id), signature.signature)
    return signature.public_key
