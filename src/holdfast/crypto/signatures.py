"""Ed25519, verified strictly (section 3).

RFC 8032 leaves room: libraries differ on encodings that are not canonical and on keys of small
order, under which one signature fits many messages. Both are refused here before the library is
asked, so that every reader of the format comes to the same answer.
"""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from holdfast.base.secrets import Secret
from holdfast.crypto.errors import BadSignatureError

ALGORITHM_ED25519: Final = 1
PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_FIELD: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_LOW_255_BITS: Final = 2**255 - 1

SMALL_ORDER_KEYS: Final = frozenset(
    bytes.fromhex(key)
    for key in (
        "0100000000000000000000000000000000000000000000000000000000000000",  # order 1
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",  # order 2
        "0000000000000000000000000000000000000000000000000000000000000000",  # order 4
        "0000000000000000000000000000000000000000000000000000000000000080",  # order 4
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",  # order 8
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",  # order 8
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",  # order 8
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",  # order 8
    )
)
"""The eight points of small order in their canonical encodings."""

# x = 0 has no negative: these two encode y = 1 and y = -1 with the sign bit set.
_NEGATIVE_ZERO: Final = frozenset(
    bytes.fromhex(key)
    for key in (
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    )
)


def signing_public_key(seed: Secret) -> bytes:
    """Return the 32-byte public key of the 32-byte private key *seed*."""
    return Ed25519PrivateKey.from_private_bytes(seed.reveal()).public_key().public_bytes_raw()


def sign(seed: Secret, message: bytes) -> bytes:
    """Return the 64-byte signature of *message* by the private key *seed*."""
    return Ed25519PrivateKey.from_private_bytes(seed.reveal()).sign(message)


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Return only if *signature* was made by *public*'s private key over *message*.

    Raises:
        BadSignatureError: it was not, or key or signature are not encoded canonically, or the key
            has small order.
    """
    if len(public) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        raise BadSignatureError("a signature or its public key has the wrong length")
    if not _is_canonical_point(public) or public in SMALL_ORDER_KEYS:
        raise BadSignatureError("a signature names a public key that may not be used")
    if (
        not _is_canonical_point(signature[:32])
        or int.from_bytes(signature[32:], "little") >= _ORDER
    ):
        raise BadSignatureError("a signature is not encoded canonically")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        raise BadSignatureError("a signature does not fit what it should sign") from None


def _is_canonical_point(encoded: bytes) -> bool:
    y = int.from_bytes(encoded, "little") & _LOW_255_BITS
    return y < _FIELD and encoded not in _NEGATIVE_ZERO
