"""Bytes that do not show themselves."""

from typing import Final


class Secret:
    """Secret bytes: prints as asterisks, refuses pickling, compares by identity only.

    Call :meth:`reveal` where the bytes are really used; searching for that name audits every use.
    Python cannot wipe
    memory, so nothing is promised about copies that libraries make.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value: Final = bytes(value)

    def reveal(self) -> bytes:
        """Return the bytes themselves."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(****)"

    def __reduce__(self) -> str | tuple[object, ...]:
        message = "a Secret is never pickled"
        raise TypeError(message)
