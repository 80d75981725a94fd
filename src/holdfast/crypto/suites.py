"""The cipher suites for segments (section 4.1).

Every call takes fresh key material: a key encrypts one message, so GCM's nonce never repeats.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from holdfast.crypto.errors import AuthenticationError, KeyMaterialError, UnknownSuiteError

_BLOCK: Final = 16
_GCM_TAG: Final = 16
_MAC: Final = 32
_NOT_AUTHENTIC: Final = "a sealed segment is damaged or does not belong here"


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite: its number in the format, its name, the lengths of its key material in bytes."""

    number: int
    name: str
    key_bytes: int
    nonce_bytes: int
    mac_key_bytes: int

    @property
    def material_bytes(self) -> int:
        """Bytes of key material for one segment: key, MAC key, nonce."""
        return self.key_bytes + self.mac_key_bytes + self.nonce_bytes

    def stored_length(self, raw: int) -> int:
        """Return the bytes that *raw* bytes take when sealed."""
        if not self.key_bytes:
            return raw
        if not self.mac_key_bytes:
            return raw + _GCM_TAG
        return _BLOCK * (raw // _BLOCK + 1) + _MAC


_ALL: Final = (
    Suite(0, "none", 0, 0, 0),
    Suite(1, "aes-128-gcm", 16, 12, 0),
    Suite(2, "aes-192-gcm", 24, 12, 0),
    Suite(3, "aes-256-gcm", 32, 12, 0),
    Suite(4, "aes-128-cbc-hmac-sha256", 16, 16, 32),
    Suite(5, "aes-192-cbc-hmac-sha256", 24, 16, 32),
    Suite(6, "aes-256-cbc-hmac-sha256", 32, 16, 32),
)
SUITES: Final[Mapping[int, Suite]] = MappingProxyType({suite.number: suite for suite in _ALL})
_BY_NAME: Final = {suite.name: suite for suite in _ALL}


def suite_named(name: str) -> Suite:
    """Return the suite called *name*.

    Raises:
        UnknownSuiteError: there is none.
    """
    if name not in _BY_NAME:
        raise UnknownSuiteError(
            f"there is no cipher suite '{name}'", hint=f"Choose one of: {', '.join(_BY_NAME)}."
        )
    return _BY_NAME[name]


def suite_numbered(number: int) -> Suite:
    """Return the suite with this *number* in the format.

    Raises:
        UnknownSuiteError: there is none.
    """
    if number not in SUITES:
        raise UnknownSuiteError(
            f"cipher suite {number} is not known to this release",
            hint="A later release of Holdfast may know it.",
        )
    return SUITES[number]


def seal(suite: Suite, material: bytes, associated: bytes, data: bytes | memoryview) -> bytes:
    """Seal *data* under *material*, which must never be used for anything else.

    Raises:
        KeyMaterialError: *material* does not have the suite's length.
    """
    _check_material(suite, material)
    if not suite.key_bytes:
        return bytes(data)
    key = material[: suite.key_bytes]
    if not suite.mac_key_bytes:
        return AESGCM(key).encrypt(material[suite.key_bytes :], data, associated)
    mac_key, iv = _mac_key_and_iv(suite, material)
    missing = _BLOCK - len(data) % _BLOCK
    encryptor = Cipher(AES(key), CBC(iv)).encryptor()
    ciphertext = encryptor.update(data) + encryptor.update(bytes([missing]) * missing)
    ciphertext += encryptor.finalize()
    return ciphertext + _mac(mac_key, associated, ciphertext)


def open_sealed(
    suite: Suite, material: bytes, associated: bytes, data: bytes | memoryview
) -> bytes:
    """Return what :func:`seal` sealed.

    Raises:
        AuthenticationError: any bit of key, associated data or *data* differs. Wrong padding is
            reported like a wrong MAC.
        KeyMaterialError: *material* does not have the suite's length.
    """
    _check_material(suite, material)
    if not suite.key_bytes:
        return bytes(data)
    key = material[: suite.key_bytes]
    if not suite.mac_key_bytes:
        try:
            return AESGCM(key).decrypt(material[suite.key_bytes :], data, associated)
        except InvalidTag:
            raise AuthenticationError(_NOT_AUTHENTIC) from None
    mac_key, iv = _mac_key_and_iv(suite, material)
    view = memoryview(data)
    ciphertext, mac = view[:-_MAC], view[-_MAC:]
    if len(ciphertext) < _BLOCK or len(ciphertext) % _BLOCK:
        raise AuthenticationError(_NOT_AUTHENTIC)
    if not hmac.compare_digest(_mac(mac_key, associated, ciphertext), mac):
        raise AuthenticationError(_NOT_AUTHENTIC)
    decryptor = Cipher(AES(key), CBC(iv)).decryptor()
    padded = decryptor.update(ciphertext) + decryptor.finalize()
    missing = padded[-1]
    if not 1 <= missing <= _BLOCK or padded[-missing:] != bytes([missing]) * missing:
        raise AuthenticationError(_NOT_AUTHENTIC)
    return padded[:-missing]


def _check_material(suite: Suite, material: bytes) -> None:
    if len(material) != suite.material_bytes:
        raise KeyMaterialError(
            f"suite {suite.name} takes {suite.material_bytes} bytes of key material, "
            f"not {len(material)}"
        )


def _mac_key_and_iv(suite: Suite, material: bytes) -> tuple[bytes, bytes]:
    end = suite.key_bytes + suite.mac_key_bytes
    return material[suite.key_bytes : end], material[end:]


def _mac(key: bytes, associated: bytes, ciphertext: bytes | memoryview) -> bytes:
    # hmac of the standard library lets other threads run while it hashes; three updates, no copy.
    mac = hmac.new(key, associated, "sha256")
    mac.update(ciphertext)
    mac.update(len(associated).to_bytes(8, "big"))
    return mac.digest()
