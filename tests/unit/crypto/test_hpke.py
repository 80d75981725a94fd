"""Section 4.2 written out by hand opens what the library sealed, and the other way round."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric import mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from holdfast.base.secrets import Secret
from holdfast.crypto.errors import AuthenticationError, KeyMaterialError, PublicKeyError
from holdfast.crypto.hpke import (
    PUBLIC_KEY_BYTES,
    SEAL_OVERHEAD,
    hpke_open,
    hpke_seal,
    kem_public_key,
)

SEED = Secret(bytes(range(32)))
INFO = b"holdfast/0 test\x00where"
SUITE_ID = b"HPKE" + bytes.fromhex("647a00010002")
LABEL = bytes.fromhex("5c2e2f2f5e5c")


def _extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt, b"HPKE-v1" + SUITE_ID + label + ikm, "sha256")


def _expand(prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    whole = length.to_bytes(2, "big") + b"HPKE-v1" + SUITE_ID + label + info
    return hmac.digest(prk, whole + b"\x01", "sha256")[:length]


def _key_and_nonce(shared: bytes, info: bytes) -> tuple[bytes, bytes]:
    """RFC 9180, section 5.1, mode 0, without a pre-shared key."""
    context = b"\x00" + _extract(b"", b"psk_id_hash", b"") + _extract(b"", b"info_hash", info)
    secret = _extract(shared, b"secret", b"")
    return _expand(secret, b"key", context, 32), _expand(secret, b"base_nonce", context, 12)


def _combine(lattice: bytes, curve: bytes, ephemeral: bytes, recipient: bytes) -> bytes:
    return hashlib.sha3_256(lattice + curve + ephemeral + recipient + LABEL).digest()


def test_the_written_out_decapsulation_opens_what_the_library_sealed() -> None:
    """The specification must be enough for somebody without this library."""
    sealed = hpke_seal(kem_public_key(SEED), INFO, b"a root")
    enc, body = sealed[:1120], sealed[1120:]
    expanded = hashlib.shake_256(SEED.reveal()).digest(96)
    lattice = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    curve = x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
    shared = _combine(
        lattice.decapsulate(enc[:1088]),
        curve.exchange(x25519.X25519PublicKey.from_public_bytes(enc[1088:])),
        enc[1088:],
        curve.public_key().public_bytes_raw(),
    )
    key, nonce = _key_and_nonce(shared, INFO)

    assert AESGCM(key).decrypt(nonce, body, b"") == b"a root"


def test_the_library_opens_what_the_written_out_encapsulation_sealed() -> None:
    """Both directions, so that a reader and a writer of the format can be built apart."""
    public = kem_public_key(SEED)
    ephemeral = x25519.X25519PrivateKey.from_private_bytes(b"\x07" * 32)
    secret, ciphertext = mlkem.MLKEM768PublicKey.from_public_bytes(public[:1184]).encapsulate()
    shared = _combine(
        secret,
        ephemeral.exchange(x25519.X25519PublicKey.from_public_bytes(public[1184:])),
        ephemeral.public_key().public_bytes_raw(),
        public[1184:],
    )
    key, nonce = _key_and_nonce(shared, INFO)
    enc = ciphertext + ephemeral.public_key().public_bytes_raw()

    assert hpke_open(SEED, INFO, enc + AESGCM(key).encrypt(nonce, b"a root", b"")) == b"a root"


def test_a_sealed_key_has_the_length_that_the_specification_names() -> None:
    """Pack headers have a fixed place for it."""
    public = kem_public_key(SEED)

    assert len(public) == PUBLIC_KEY_BYTES == 1216
    assert len(hpke_seal(public, INFO, bytes(32))) == 32 + SEAL_OVERHEAD == 1168


@pytest.mark.parametrize("position", [0, 1087, 1088, 1119, 1120, 1151, 1152, 1167])
def test_any_flip_in_a_sealed_key_is_noticed(position: int) -> None:
    """In the lattice part, the curve part, the ciphertext and the tag."""
    sealed = bytearray(hpke_seal(kem_public_key(SEED), INFO, bytes(32)))
    sealed[position] ^= 1

    with pytest.raises(AuthenticationError):
        hpke_open(SEED, INFO, bytes(sealed))


@pytest.mark.parametrize("length", [0, 1, 1119, 1120, 1135, 1167])
def test_a_sealed_key_that_is_cut_short_is_refused(length: int) -> None:
    """The library's own errors stay inside."""
    sealed = hpke_seal(kem_public_key(SEED), INFO, bytes(32))

    with pytest.raises(AuthenticationError):
        hpke_open(SEED, INFO, sealed[:length])


def test_another_info_or_seed_does_not_open() -> None:
    """The place is part of the seal."""
    sealed = hpke_seal(kem_public_key(SEED), INFO, bytes(32))

    with pytest.raises(AuthenticationError):
        hpke_open(SEED, INFO + b"!", sealed)
    with pytest.raises(AuthenticationError):
        hpke_open(Secret(bytes(32)), INFO, sealed)


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31)])
def test_a_curve_point_of_small_order_is_refused(point: bytes) -> None:
    """As a recipient's key and as the ephemeral key of a sealed one."""
    public = kem_public_key(SEED)
    sealed = hpke_seal(public, INFO, bytes(32))

    with pytest.raises(PublicKeyError):
        hpke_seal(public[:1184] + point, INFO, bytes(32))
    with pytest.raises(AuthenticationError):
        hpke_open(SEED, INFO, sealed[:1088] + point + sealed[1120:])


def test_a_public_key_out_of_range_or_of_another_length_is_refused() -> None:
    """FIPS 203 checks the coefficients of an encapsulation key."""
    public = kem_public_key(SEED)

    with pytest.raises(PublicKeyError):
        hpke_seal(b"\xff" * 1184 + public[1184:], INFO, bytes(32))
    with pytest.raises(PublicKeyError):
        hpke_seal(public[:-1], INFO, bytes(32))


def test_a_seed_of_another_length_is_refused() -> None:
    """A programming error, not one of storage."""
    with pytest.raises(KeyMaterialError):
        kem_public_key(Secret(bytes(31)))
