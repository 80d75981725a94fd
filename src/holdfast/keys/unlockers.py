"""What people hold that opens a slot (section 5.4)."""

from typing import Final, Protocol

from holdfast.base.secrets import Secret
from holdfast.crypto.errors import KeyFileError
from holdfast.crypto.passwords import (
    KEY_FILE_MAX_BYTES,
    KEY_FILE_MIN_BYTES,
    normalise_password,
    password_from_file_bytes,
)
from holdfast.format.statement import SlotKind

SLOT_WORDS: Final = {
    SlotKind.OPEN: "open",
    SlotKind.PASSWORD: "password",
    SlotKind.KEY_FILE: "key file",
}
"""What people call each kind of slot."""


class Unlocker(Protocol):
    """Something that opens slots of one kind. Its secret shows in no representation."""

    @property
    def kind(self) -> SlotKind:
        """The kind of slot that it opens."""
        ...

    def secret_input(self) -> bytes:
        """Return what goes into the key derivation."""
        ...


class PasswordUnlocker:
    """A password, normalised."""

    kind = SlotKind.PASSWORD

    def __init__(self, text: str) -> None:
        """Take what was typed.

        Raises:
            PasswordError: *text* cannot be a password.
        """
        self._password = Secret(normalise_password(text))

    @classmethod
    def from_file_bytes(cls, data: bytes) -> "PasswordUnlocker":
        """Take the content of a password file; one newline at its end does not count.

        Raises:
            PasswordError: *data* cannot be a password.
        """
        return cls(password_from_file_bytes(data).decode("utf-8"))

    def secret_input(self) -> bytes:
        """Return the password's bytes."""
        return self._password.reveal()


class KeyFileUnlocker:
    """The content of a key file."""

    kind = SlotKind.KEY_FILE

    def __init__(self, data: bytes) -> None:
        """Take the content.

        Raises:
            KeyFileError: it is shorter than 32 bytes or longer than 1 MiB.
        """
        if not KEY_FILE_MIN_BYTES <= len(data) <= KEY_FILE_MAX_BYTES:
            raise KeyFileError(
                f"a key file has 32 bytes to 1 MiB, not {len(data)} bytes",
                hint="Make one with: head -c 64 /dev/urandom > FILE",
            )
        self._data = Secret(data)

    def secret_input(self) -> bytes:
        """Return the file's bytes."""
        return self._data.reveal()


class OpenUnlocker:
    """Nothing at all: for vaults of the suite ``none``."""

    kind = SlotKind.OPEN

    def secret_input(self) -> bytes:
        """Return no bytes."""
        return b""
