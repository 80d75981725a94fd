"""The two hash functions of the format: SHA-256 for names, keyed BLAKE3 for ids (section 1)."""

import hashlib

from blake3 import blake3


def sha256(*parts: bytes | memoryview) -> bytes:
    """Return the 32 bytes of SHA-256 over *parts*, joined."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()


def keyed_hash(key: bytes, data: bytes | memoryview) -> bytes:
    """Return the 32 bytes of BLAKE3 over *data*, keyed with the 32 bytes of *key*."""
    return blake3(data, key=key).digest()
