"""From the words that people use for encryption and compression to what a vault object holds."""

from dataclasses import dataclass
from typing import Final

from holdfast.crypto.suites import Suite, suite_named
from holdfast.format.vault_object import Compression, VaultObject
from holdfast.operations.errors import CipherError

LEVELS: Final = {"low": 128, "normal": 192, "high": 256}
_DEFAULT_BITS: Final = 256
_ZSTD_LEVELS: Final = {str(level): level for level in range(1, 23)} | {"": 3}


@dataclass(frozen=True, slots=True)
class EncryptionWish:
    """How a new vault encrypts and compresses.

    Attributes:
        cipher: ``gcm``, ``cbc`` or ``none``.
        key_bits: 128, 192 or 256; None where nothing was said.
        level: ``low``, ``normal`` or ``high``, another way to say the key length.
        compression: ``zstd``, ``zstd:LEVEL`` or ``none``.
    """

    cipher: str = "gcm"
    key_bits: int | None = None
    level: str | None = None
    compression: str = "zstd:3"

    def suite(self) -> Suite:
        """Return the suite.

        Raises:
            CipherError: there is none like that.
        """
        if self.level is not None and self.level not in LEVELS:
            raise CipherError(
                f"There is no encryption level '{self.level}'.",
                hint="Levels are low (128 bits), normal (192) and high (256).",
            )
        bits = self.key_bits if self.level is None else LEVELS[self.level]
        if self.key_bits is not None and bits != self.key_bits:
            raise CipherError("--key-bits and --level contradict each other; give one of them.")
        if self.cipher == "none":
            if bits is not None:
                raise CipherError("Without encryption there is no key length.")
            return suite_named("none")
        bits = _DEFAULT_BITS if bits is None else bits
        if self.cipher not in {"gcm", "cbc"} or bits not in LEVELS.values():
            raise CipherError(
                f"There is no cipher '{self.cipher}' with {bits} bits.",
                hint="Ciphers are gcm, cbc and none; key lengths 128, 192 and 256.",
            )
        ending = "gcm" if self.cipher == "gcm" else "cbc-hmac-sha256"
        return suite_named(f"aes-{bits}-{ending}")

    def vault_object(self) -> VaultObject:
        """Return the template of a vault object; its keys are still to be filled in.

        Raises:
            CipherError: cipher or compression are none that Holdfast has.
        """
        return VaultObject(
            suite=self.suite().number,
            authority_public_key=bytes(32),
            nonce=bytes(32),
            compression=self._compression(),
        )

    def _compression(self) -> Compression:
        name, _, level = self.compression.partition(":")
        if name == "none" and not level:
            return Compression(number=0, level=0)
        if name == "zstd" and level in _ZSTD_LEVELS:
            return Compression(number=1, level=_ZSTD_LEVELS[level])
        raise CipherError(
            f"There is no compression '{self.compression}'.",
            hint="Write zstd:LEVEL with a level from 1 to 22, such as zstd:3, or none.",
        )
