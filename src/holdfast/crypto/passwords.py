"""From what people hold to 32 bytes: passwords, key files and their cost (section 5.4).

Parameters come from storage and are hostile until a slot has opened: :func:`check_parameters`
stands before any work, with bounds in both directions.
"""

import os
import threading
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from holdfast.base.clock import Clock
from holdfast.base.secrets import Secret
from holdfast.base.sizes import KIB, MIB, format_size
from holdfast.crypto.errors import KdfParametersError, KeyFileError, PasswordError
from holdfast.crypto.hkdf import expand, extract

KDF_NONE: Final = 0
KDF_ARGON2ID: Final = 1
KDF_PBKDF2: Final = 2
KDF_HKDF: Final = 3

SALT_BYTES: Final = 32
KEY_FILE_MIN_BYTES: Final = 32
KEY_FILE_MAX_BYTES: Final = MIB

_OUTPUT: Final = 32
_PASSES_MAX: Final = 16
_MEMORY_MAX_KIB: Final = 2 * 1024 * 1024
_LANES_MAX: Final = 16
_WORK_MAX_KIB: Final = 8 * 1024 * 1024
_ITERATIONS: Final = (600_000, 10_000_000)
_CALIBRATED_MEMORY_MAX_KIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class KdfParameters:
    """How a slot's key comes from what opens it; unused fields are 0."""

    algorithm: int
    passes: int = 0
    memory_kib: int = 0
    lanes: int = 0
    iterations: int = 0

    @classmethod
    def argon2id(cls, passes: int, memory_kib: int, lanes: int) -> Self:
        """Return Argon2id (RFC 9106, version 19)."""
        return cls(KDF_ARGON2ID, passes=passes, memory_kib=memory_kib, lanes=lanes)

    @classmethod
    def pbkdf2(cls, iterations: int) -> Self:
        """Return PBKDF2-HMAC-SHA-256."""
        return cls(KDF_PBKDF2, iterations=iterations)

    @classmethod
    def hkdf(cls) -> Self:
        """Return HKDF, for key files."""
        return cls(KDF_HKDF)

    @classmethod
    def none(cls) -> Self:
        """Return no derivation, for open slots."""
        return cls(KDF_NONE)

    def to_array(self) -> list[int]:
        """Return the array that a slot holds."""
        if self.algorithm == KDF_ARGON2ID:
            return [KDF_ARGON2ID, self.passes, self.memory_kib, self.lanes]
        if self.algorithm == KDF_PBKDF2:
            return [KDF_PBKDF2, self.iterations]
        return [self.algorithm]

    @classmethod
    def from_array(cls, array: Sequence[int]) -> Self:
        """Read the array of a slot; the numbers in it are not judged yet.

        Raises:
            KdfParametersError: no known algorithm, or the wrong number of parameters.
        """
        match list(array):
            case [0]:
                return cls.none()
            case [1, int(passes), int(memory_kib), int(lanes)]:
                return cls.argon2id(passes, memory_kib, lanes)
            case [2, int(iterations)]:
                return cls.pbkdf2(iterations)
            case [3]:
                return cls.hkdf()
            case _:
                raise KdfParametersError("a slot names a key derivation that is not known")


TEST_PARAMETERS: Final = KdfParameters.argon2id(1, 8 * 1024, 1)
"""Cheap on purpose; accepted for test vaults only."""

FLOOR_PARAMETERS: Final = KdfParameters.argon2id(3, 64 * 1024, 4)
"""The least that a new password slot gets; where calibration starts."""


def normalise_password(text: str) -> bytes:
    """Return the bytes of a password: Unicode NFC, UTF-8, so that every keyboard gives the same.

    Raises:
        PasswordError: *text* is empty, holds NUL or is not Unicode text.
    """
    if not text:
        raise PasswordError(
            "the password is empty",
            hint="Type one, or look whether the file or variable that was named holds one.",
        )
    if "\x00" in text:
        raise PasswordError(
            "the password contains a NUL character",
            hint="For a file of arbitrary bytes use a key file instead.",
        )
    try:
        return unicodedata.normalize("NFC", text).encode("utf-8")
    except UnicodeEncodeError:
        raise PasswordError(
            "the password is not valid Unicode text", hint="Write it in UTF-8."
        ) from None


def password_from_file_bytes(data: bytes) -> bytes:
    """Return the password that a file holds; one newline at its end is not part of it.

    Raises:
        PasswordError: as :func:`normalise_password`, or *data* is not UTF-8.
    """
    for newline in (b"\r\n", b"\n"):
        if data.endswith(newline):
            data = data[: -len(newline)]
            break
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise PasswordError(
            "the password file is not UTF-8 text",
            hint="For a file of arbitrary bytes use a key file instead.",
        ) from None
    return normalise_password(text)


def machine_memory_bytes() -> int:
    """Return the memory that this machine has, in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_parameters(
    parameters: KdfParameters, *, available_memory_bytes: int, test_vault: bool
) -> None:
    """Return only if *parameters* may be worked with. Does no work itself.

    *available_memory_bytes* is the memory of this machine; half of it may be used. Test vaults
    may have cheap Argon2id.

    Raises:
        KdfParametersError: the parameters are too weak or too expensive.
    """
    if parameters.algorithm == KDF_ARGON2ID:
        floor = TEST_PARAMETERS if test_vault else FLOOR_PARAMETERS
        _within("Argon2id passes", parameters.passes, floor.passes, _PASSES_MAX)
        _within("Argon2id memory in KiB", parameters.memory_kib, floor.memory_kib, _MEMORY_MAX_KIB)
        _within("Argon2id lanes", parameters.lanes, 1, _LANES_MAX)
        work = parameters.passes * parameters.memory_kib
        _within("Argon2id passes times memory in KiB", work, 0, _WORK_MAX_KIB)
        if parameters.memory_kib * KIB * 2 > available_memory_bytes:
            raise KdfParametersError(
                f"a slot asks for {format_size(parameters.memory_kib * KIB)} of memory, more than "
                "half of what this machine has; nothing was tried",
                hint="Open the vault on a machine with more memory, or by another way in.",
            )
    elif parameters.algorithm == KDF_PBKDF2:
        _within("PBKDF2 iterations", parameters.iterations, *_ITERATIONS)
    elif parameters.algorithm not in (KDF_NONE, KDF_HKDF):
        raise KdfParametersError("a slot names a key derivation that is not known")


def run_kdf(parameters: KdfParameters, salt: bytes, secret_input: bytes) -> Secret:
    """Return the 32 bytes that *parameters* make of *secret_input*.

    Check the parameters first. The work runs in a thread that is left behind when the caller is
    interrupted: Argon2id itself does not stop for a signal.

    Raises:
        KdfParametersError: the algorithm is none that derives a key, or the library refuses it.
        KeyFileError: as :func:`key_file_secret`.
    """
    if parameters.algorithm == KDF_HKDF:
        return key_file_secret(salt, secret_input)
    try:
        if parameters.algorithm == KDF_ARGON2ID:
            argon = Argon2id(
                salt=salt,
                length=_OUTPUT,
                iterations=parameters.passes,
                lanes=parameters.lanes,
                memory_cost=parameters.memory_kib,
            )
            return Secret(_abandonable(lambda: argon.derive(secret_input)))
        if parameters.algorithm == KDF_PBKDF2:
            pbkdf2 = PBKDF2HMAC(hashes.SHA256(), _OUTPUT, salt, parameters.iterations)
            return Secret(_abandonable(lambda: pbkdf2.derive(secret_input)))
    except (ValueError, MemoryError):
        raise KdfParametersError(
            "this machine cannot do the key derivation that a slot asks for"
        ) from None
    raise KdfParametersError("an open slot has no key derivation")


def key_file_secret(salt: bytes, data: bytes) -> Secret:
    """Return the 32 bytes that a key file stands for.

    Raises:
        KeyFileError: the file is shorter than 32 bytes or longer than 1 MiB.
    """
    if not KEY_FILE_MIN_BYTES <= len(data) <= KEY_FILE_MAX_BYTES:
        raise KeyFileError(
            f"a key file has 32 bytes to 1 MiB, not {format_size(len(data))}",
            hint="Make one with: head -c 64 /dev/urandom > FILE",
        )
    info = b"holdfast/0 key file\x00" + len(data).to_bytes(8, "big")
    return Secret(expand(extract(salt, data), info, _OUTPUT))


def calibrate(clock: Clock, target_seconds: float = 0.25) -> KdfParameters:
    """Return Argon2id parameters that take up to *target_seconds* here, and at least the floor.

    Memory grows first, to at most 1 GiB or a quarter of this machine's memory, then the passes.
    """
    limit_kib = min(_CALIBRATED_MEMORY_MAX_KIB, machine_memory_bytes() // 4 // KIB)
    chosen = FLOOR_PARAMETERS
    seconds = _measure(chosen, clock)
    while seconds * 2 <= target_seconds and chosen.memory_kib * 2 <= limit_kib:
        chosen = KdfParameters.argon2id(chosen.passes, chosen.memory_kib * 2, chosen.lanes)
        seconds = _measure(chosen, clock)
    if seconds > 0:
        affordable = int(chosen.passes * target_seconds / seconds)
        most = min(_PASSES_MAX, _WORK_MAX_KIB // chosen.memory_kib)
        passes = max(chosen.passes, min(affordable, most))
        chosen = KdfParameters.argon2id(passes, chosen.memory_kib, chosen.lanes)
    return chosen


def _measure(parameters: KdfParameters, clock: Clock) -> float:
    begin = clock.monotonic_seconds()
    run_kdf(parameters, bytes(SALT_BYTES), b"calibration")
    return clock.monotonic_seconds() - begin


def _within(what: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise KdfParametersError(
            f"a slot asks for {value} {what}; {least} to {most} are accepted; nothing was tried"
        )


def _abandonable(work: Callable[[], bytes]) -> bytes:
    """Run *work* in a daemon thread, so that the caller can be interrupted and walk away."""
    results: list[bytes] = []
    failures: list[BaseException] = []

    done = threading.Event()

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller's thread
            failures.append(error)
        finally:
            done.set()

    threading.Thread(target=run, name="key-derivation", daemon=True).start()
    # Waiting for an event ends at a signal; the derivation itself would not.
    done.wait()
    if failures:
        raise failures[0]
    return results[0]
