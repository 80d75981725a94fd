"""HKDF with SHA-256 and the derivations of the format (sections 1 and 4.4)."""

import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from holdfast.base.secrets import Secret

_SHA256 = hashes.SHA256()
_PREFIX = b"holdfast/0 "


def extract(salt: bytes, ikm: bytes) -> bytes:
    """Return the 32-byte pseudorandom key; an empty *salt* stands for 32 zero bytes."""
    return hmac.digest(salt, ikm, "sha256")


def expand(prk: bytes, info: bytes, length: int) -> bytes:
    """Return *length* bytes, at most 8,160.

    Called once a segment: 2 microseconds for 44 bytes, against 3 with ``hmac.digest``.
    """
    return HKDFExpand(_SHA256, length, info).derive(prk)


def derive(
    secret: Secret | bytes, vault_id: bytes, label: str, context: bytes = b"", length: int = 32
) -> bytes:
    """Derive a key for one purpose: section 1, ``derive``."""
    ikm = secret.reveal() if isinstance(secret, Secret) else secret
    return expand(
        extract(vault_id, ikm), _PREFIX + label.encode("ascii") + b"\x00" + context, length
    )


def derive_secret(
    secret: Secret | bytes, vault_id: bytes, label: str, context: bytes = b"", length: int = 32
) -> Secret:
    """Derive a key that does not show itself."""
    return Secret(derive(secret, vault_id, label, context, length))


def authority_seed(root: Secret, epoch: int) -> Secret:
    """Return the Ed25519 private key of *epoch*'s authority (section 4.4).

    It does not depend on the vault id: the first authority's public key is part of the vault
    object, whose hash the vault id is.
    """
    info = _PREFIX + b"authority\x00" + epoch.to_bytes(4, "big")
    return Secret(expand(extract(b"", root.reveal()), info, 32))
