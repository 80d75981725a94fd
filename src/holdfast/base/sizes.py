"""Sizes in bytes: names, reading, writing and padding."""

import re
from typing import Final

from holdfast.base.errors import RequestError

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB
TIB: Final = 1024 * GIB

_UNITS: Final = {"": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB}
_SIZE: Final = re.compile(r"0*([0-9]{1,18})\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_LARGEST: Final = 2**63 - 1


class InvalidSizeError(RequestError):
    """A size that people typed is not one."""

    code = "H010"


def parse_size(text: str) -> int:
    """Read ``512``, ``64K``, ``10 MiB`` or ``2G`` as bytes; units are powers of 1024.

    Raises:
        InvalidSizeError: *text* is not a size.
    """
    match = _SIZE.fullmatch(text.strip())
    size = None if match is None else int(match.group(1)) * _UNITS[match.group(2).upper()]
    if size is None or size > _LARGEST:
        message = f"'{text}' is not a size"
        raise InvalidSizeError(message, hint="Write a number and a unit: 500K, 64M, 2G.")
    return size


def format_size(size_bytes: int) -> str:
    """Write *size_bytes* for people: ``17 B``, ``4.0 KiB``, ``1.2 GiB``."""
    if size_bytes < KIB:
        return f"{size_bytes} B"
    value = float(size_bytes)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= KIB
        if value < KIB:
            return f"{value:.1f} {unit}"
    return f"{value / KIB:.1f} PiB"


def padme(size_bytes: int, *, floor_bytes: int = 16 * KIB) -> int:
    """Return the padded size for *size_bytes*, never below *floor_bytes*.

    The rule is Padme (Nikitin et al., PETS 2019).
    At most 12 per cent larger; leaks O(log log size) bits of it. vault-format.md, section
    "Padding".
    """
    if size_bytes <= floor_bytes:
        return floor_bytes
    exponent = size_bytes.bit_length() - 1
    low_bits = exponent - exponent.bit_length()
    mask = (1 << low_bits) - 1
    return (size_bytes + mask) & ~mask
