"""Boxes: everything sealed that is not a segment (section 4.3).

A box commits to its key, so a wrong key and a damaged box are told apart, and no box opens under
two keys.
"""

import hmac
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.base.randomness import Random
from holdfast.base.secrets import Secret
from holdfast.base.sizes import padme
from holdfast.crypto.errors import AuthenticationError, KeyMaterialError, WrongKeyError
from holdfast.crypto.hkdf import expand, extract

BOX_OVERHEAD: Final = 80
"""Bytes that a box is longer than its plaintext: salt 32, commitment 32, tag 16."""

_SECRET: Final = 32
_SALT: Final = 32
_HEAD: Final = 64
_LENGTH: Final = 4
# Every box has a fresh salt and with it a key of its own; the nonce may be the same for all.
_NONCE: Final = bytes(12)


def seal_box(
    secret: Secret,
    context: bytes,
    plaintext: bytes | memoryview,
    random: Random,
    *,
    sealed: bool = True,
) -> bytes:
    """Seal *plaintext* for the place that *context* names.

    With *sealed* false (suite ``none``) the box is the plaintext.

    Raises:
        KeyMaterialError: *secret* does not have 32 bytes.
    """
    if not sealed:
        return bytes(plaintext)
    salt = random.take(_SALT)
    key, commitment = _key_and_commitment(secret, salt, context)
    return salt + commitment + AESGCM(key).encrypt(_NONCE, plaintext, context)


def open_box(
    secret: Secret, context: bytes, box: bytes | memoryview, *, sealed: bool = True
) -> bytes:
    """Return the plaintext of *box*.

    Raises:
        WrongKeyError: the box was sealed under another secret or for another context.
        AuthenticationError: the box is damaged.
        KeyMaterialError: *secret* does not have 32 bytes.
    """
    if not sealed:
        return bytes(box)
    if len(box) < BOX_OVERHEAD:
        raise AuthenticationError("a sealed box is cut short")
    view = memoryview(box)
    key, commitment = _key_and_commitment(secret, bytes(view[:_SALT]), context)
    if not hmac.compare_digest(commitment, view[_SALT:_HEAD]):
        raise WrongKeyError("a sealed box was not sealed under this key")
    try:
        return AESGCM(key).decrypt(_NONCE, view[_HEAD:], context)
    except InvalidTag:
        raise AuthenticationError("a sealed box is damaged") from None


def seal_padded_box(
    secret: Secret,
    context: bytes,
    plaintext: bytes | memoryview,
    random: Random,
    *,
    sealed: bool = True,
) -> bytes:
    """Seal *plaintext* so that the box shows its length roughly only (sections 1.2 and 4.3)."""
    size = _LENGTH + len(plaintext)
    padded = b"".join(
        (len(plaintext).to_bytes(_LENGTH, "big"), plaintext, bytes(padme(size) - size))
    )
    return seal_box(secret, context, padded, random, sealed=sealed)


def open_padded_box(
    secret: Secret, context: bytes, box: bytes | memoryview, *, sealed: bool = True
) -> bytes:
    """Return the plaintext of a padded *box*.

    Raises:
        WrongKeyError: as :func:`open_box`.
        AuthenticationError: the box is damaged, or its padding is not as the format says.
    """
    padded = open_box(secret, context, box, sealed=sealed)
    end = _LENGTH + int.from_bytes(padded[:_LENGTH], "big")
    if len(padded) < _LENGTH or end > len(padded) or len(padded) != padme(end):
        raise AuthenticationError("a padded box has a length that the format does not allow")
    if padded.count(0, end) != len(padded) - end:
        raise AuthenticationError("a padded box has padding that is not zero")
    return padded[_LENGTH:end]


def _key_and_commitment(secret: Secret, salt: bytes, context: bytes) -> tuple[bytes, bytes]:
    value = secret.reveal()
    if len(value) != _SECRET:
        raise KeyMaterialError(f"a box takes a secret of {_SECRET} bytes, not {len(value)}")
    both = expand(extract(salt, value), b"holdfast/0 box\x00" + context, 64)
    return both[:32], both[32:]
