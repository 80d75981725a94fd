"""The slot: one way in (section 5.4)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from holdfast.format.cbor import encode
from holdfast.format.errors import FieldError
from holdfast.format.statement import KEM_PUBLIC_KEY_BYTES, SlotKind
from holdfast.format.tables import TIME, U64, At, Blob, Body, Choice, Text, fixed

KDF_NONE: Final = 0
KDF_ARGON2ID: Final = 1
KDF_PBKDF2: Final = 2
KDF_HKDF: Final = 3

HINT_LIMIT: Final = 100
"""Characters."""
OPEN_SEED_BYTES: Final = 32
WRAPPED_SEED_BYTES: Final = 112
"""A box (section 4.3) of 32 bytes."""

_KDF_LENGTHS: Final = {KDF_NONE: 1, KDF_ARGON2ID: 4, KDF_PBKDF2: 2, KDF_HKDF: 1}
_KDFS_OF: Final = {
    SlotKind.OPEN: {KDF_NONE},
    SlotKind.PASSWORD: {KDF_ARGON2ID, KDF_PBKDF2},
    SlotKind.KEY_FILE: {KDF_HKDF},
}
_SEED_KEY: Final = 6


@dataclass(frozen=True, slots=True)
class _KeyDerivation:
    """A number and as many parameters as it has. Their ranges are for whoever does the work."""

    def read(self, value: object, place: str) -> tuple[int, ...]:
        """See :class:`~holdfast.format.tables.Rule`."""
        if (
            not isinstance(value, list)
            or not all(type(item) is int and 0 <= item <= U64 for item in value)
            or not value
            or _KDF_LENGTHS.get(value[0]) != len(value)
        ):
            raise FieldError(f"The {place} is none of the known ones.")
        return tuple(value)

    def write(self, value: Sequence[int]) -> list[int]:
        """See :class:`~holdfast.format.tables.Rule`."""
        return list(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot(Body, what="slot"):
    """A key pair whose seed is wrapped by what somebody knows or has. Time in seconds.

    *key_derivation* is (0,) none, (1, t, m in KiB, p) Argon2id, (2, iterations) PBKDF2, (3,) HKDF.
    """

    kind: Annotated[SlotKind, At(1, Choice(SlotKind))]
    kem_public_key: Annotated[bytes, At(2, fixed(KEM_PUBLIC_KEY_BYTES))]
    key_derivation: Annotated[tuple[int, ...], At(3, _KeyDerivation())]
    salt: Annotated[bytes, At(4, fixed(32))]
    hint: Annotated[str, At(5, Text(HINT_LIMIT))]
    wrapped_seed: Annotated[bytes, At(_SEED_KEY, Blob(OPEN_SEED_BYTES, WRAPPED_SEED_BYTES))]
    time: Annotated[int, At(7, TIME)]

    def bound_hash(self) -> bytes:
        """Return H(body without key 6), which the box of the seed is bound to.

        The wrapped seed may be anything of a right length while it is not known yet.
        """
        body = self.to_body()
        del body[_SEED_KEY]
        return hashlib.sha256(encode(body)).digest()

    def fault(self) -> str:
        """See :class:`~holdfast.format.tables.Body`."""
        if self.key_derivation[0] not in _KDFS_OF[self.kind]:
            return "the key derivation does not go with its kind"
        is_open = self.kind is SlotKind.OPEN
        if len(self.wrapped_seed) != (OPEN_SEED_BYTES if is_open else WRAPPED_SEED_BYTES):
            return "the wrapped seed has not the length of its kind"
        return ""
