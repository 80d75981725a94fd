"""How names of any bytes stand in messages."""

from typing import Final

_LONGEST: Final = 200


def in_message(name: bytes) -> str:
    """Return *name* as text, with escapes for bytes that are none, and cut if it is long.

    A file that is no list of paths or patterns may be taken for one of megabytes.
    """
    text = name.decode("utf-8", "backslashreplace")
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}… ({len(name):,} bytes)"
