"""HPKE with ML-KEM-768 and X25519 together (section 4.2)."""

import hashlib
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from holdfast.base.secrets import Secret
from holdfast.crypto.errors import AuthenticationError, KeyMaterialError, PublicKeyError

KemSeed = Secret
"""32 bytes from which both halves of a KEM private key are expanded."""

SEED_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 1216
SEAL_OVERHEAD: Final = 1136
"""Bytes that sealed is longer than plaintext: enc 1,120, tag 16."""

_MLKEM_PUBLIC: Final = 1184
_MLKEM_SEED: Final = 64
_SUITE: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def kem_public_key(seed: KemSeed) -> bytes:
    """Return the 1,216 bytes of the public key that belongs to *seed*.

    Raises:
        KeyMaterialError: *seed* does not have 32 bytes.
    """
    lattice, curve = _private_halves(seed)
    return lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()


def hpke_seal(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Seal *plaintext* to whoever holds the seed of *public*; *info* names place and purpose.

    It proves nothing about who sealed.

    Raises:
        PublicKeyError: *public* is not a public key that may be used.
    """
    if len(public) != PUBLIC_KEY_BYTES:
        raise PublicKeyError(f"a KEM public key has {PUBLIC_KEY_BYTES} bytes, not {len(public)}")
    try:
        key = MLKEM768X25519PublicKey(
            mlkem.MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC]),
            x25519.X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC:]),
        )
        return _SUITE.encrypt(plaintext, key, info)
    except ValueError:
        # Coefficients out of range, or a curve point of small order.
        raise PublicKeyError("a KEM public key is not one that may be used") from None


def hpke_open(seed: KemSeed, info: bytes, sealed: bytes) -> bytes:
    """Return what was sealed to the public key of *seed* with the same *info*.

    Raises:
        AuthenticationError: another key, another *info*, or damage; HPKE cannot tell them apart.
        KeyMaterialError: *seed* does not have 32 bytes.
    """
    key = MLKEM768X25519PrivateKey(*_private_halves(seed))
    try:
        return _SUITE.decrypt(sealed, key, info)
    except (InvalidTag, ValueError):
        raise AuthenticationError("a sealed key is damaged or sealed for another key") from None


def _private_halves(
    seed: KemSeed,
) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    value = seed.reveal()
    if len(value) != SEED_BYTES:
        raise KeyMaterialError(f"a KEM seed has {SEED_BYTES} bytes, not {len(value)}")
    expanded = hashlib.shake_256(value).digest(96)
    return (
        mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED]),
        x25519.X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED:]),
    )
