"""Names of objects: lower-case ASCII components, separated by slashes.

No valid name can leave the root of the storage, be hidden, or differ from another one by letter
case or Unicode form only, so every file system and object store keeps them apart.
"""

import re
from typing import Final

from holdfast.storage.errors import InvalidNameError, ObjectTooLargeError

MAX_COMPONENT_LENGTH: Final = 200
"""Below the 255 bytes of common file systems, so that suffixes of other tools still fit."""
MAX_NAME_LENGTH: Final = 512
"""Half of what S3 takes, so that a key prefix of the user's still fits."""

_NAME: Final = re.compile(
    rf"[a-z0-9-]{{1,{MAX_COMPONENT_LENGTH}}}(?:/[a-z0-9-]{{1,{MAX_COMPONENT_LENGTH}}})*"
)


def is_valid_name(name: str) -> bool:
    """Tell whether an object can have this name; for sorting listings, not for security."""
    return len(name) <= MAX_NAME_LENGTH and _NAME.fullmatch(name) is not None


def check_name(name: str) -> None:
    """Refuse what no object can be called.

    Raises:
        InvalidNameError: *name* is not slash-separated components of ``a-z 0-9 -``.
    """
    if not is_valid_name(name):
        raise InvalidNameError(f"{name[:80]!r} is not a valid object name.")


def check_prefix(prefix: str) -> None:
    """Refuse what is neither empty nor a folder ending with a slash.

    Raises:
        InvalidNameError: *prefix* is neither.
    """
    if prefix and not (prefix.endswith("/") and is_valid_name(prefix[:-1])):
        raise InvalidNameError(f"{prefix[:80]!r} is not a valid folder of objects.")


def check_size(name: str, size_bytes: int, most_bytes: int | None) -> None:
    """Refuse an object that is larger than its reader expects.

    Raises:
        ObjectTooLargeError: it has more than *most_bytes*.
    """
    if most_bytes is not None and size_bytes > most_bytes:
        raise ObjectTooLargeError(
            f"The object {name} has {size_bytes} bytes; at most {most_bytes} may be there."
        )
