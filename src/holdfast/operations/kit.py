"""The recovery kit: a page that says how to open everything on another machine. Holds no secret."""

import base64
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from holdfast import __version__
from holdfast.crypto.suites import suite_named
from holdfast.format.names import vault_name
from holdfast.keys.keyring import ReadRing
from holdfast.keys.kit import RecoveryKit, recovery_kit
from holdfast.keys.statements import KeyChain
from holdfast.keys.ways import WayInListing
from holdfast.operations.context import Context
from holdfast.operations.errors import KitError
from holdfast.operations.opening import opened, unlocked
from holdfast.recovery import files
from holdfast.recovery.errors import TargetInRepositoryError
from holdfast.storage.address import parse_address

_OUTSIDE_HINT: Final = (
    "Name a file outside of the repository: a check takes foreign files in it for damage."
)
_UNWRITABLE_HINT: Final = "Name a file in a folder of yours that has room."


@dataclass(frozen=True, slots=True)
class KitPage:
    """What a kit says, ready to be laid out."""

    address: str
    made_at: datetime
    program: str
    host: str
    kit: RecoveryKit

    @property
    def vault_id(self) -> str:
        """The vault's id."""
        return self.kit.vault_id.hex()

    @property
    def is_encrypted(self) -> bool:
        """Whether a password or key file is needed to read the vault."""
        return suite_named(self.kit.suite).key_bytes > 0

    @property
    def ways_in(self) -> tuple[WayInListing, ...]:
        """What opens the vault."""
        return self.kit.ways_in

    @property
    def key_objects(self) -> str:
        """Copies of the objects without which no password opens anything, as text."""
        lines = []
        for name, data in self.kit.objects:
            encoded = base64.b64encode(data).decode("ascii")
            lines.append(name)
            lines += ["  " + encoded[at : at + 76] for at in range(0, len(encoded), 76)]
        return "\n".join(lines)

    @property
    def vault_object(self) -> str:
        """The name of the object that everything hangs on."""
        return vault_name(self.kit.vault_id)


def run(address: str, context: Context) -> KitPage:
    """Make the kit of a repository.

    Raises:
        KeysError: nothing that was given opens the vault.
    """
    with opened(address, context) as closed:
        return page_of(
            closed.repository.backend.address,
            closed.chain,
            unlocked(closed, context).ring,
            closed.slots(),
            context,
        )


def page_of(
    address: str,
    chain: KeyChain,
    ring: ReadRing,
    slots: Mapping[str, bytes],
    context: Context,
) -> KitPage:
    """Make the kit of an open vault; *slots* are its slot objects by name."""
    return KitPage(
        address=address,
        made_at=context.clock.now(),
        program=f"holdfast {__version__}",
        host=context.host,
        kit=recovery_kit(chain, ring, slots),
    )


def check(path: Path, address: str) -> None:
    """Make sure that a kit of the repository at *address* could be written to *path*.

    As far as that can be seen; the repository need not be there yet.

    Raises:
        KitError: the file is there already, or its folder is not or takes nothing, or one of both
            is the repository, or is to be.
        RequestError: *address* is none.
    """
    repository = os.path.realpath(parse_address(address).path)
    if Path(repository).is_relative_to(os.path.realpath(path)) and not os.path.lexists(path):
        raise KitError(
            f"'{path}' cannot be written: the repository is to be there.", hint=_OUTSIDE_HINT
        )
    refuse_in_repository(path, address)
    if os.path.lexists(path):
        raise _is_there(path)
    if not path.parent.is_dir():
        raise KitError(
            f"'{path}' cannot be written: there is no such folder.",
            hint="Is it spelled right? Name a file in a folder that is there.",
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise KitError(
            f"'{path}' cannot be written: its folder takes no files.", hint=_UNWRITABLE_HINT
        )


def refuse_in_repository(path: Path, address: str) -> None:
    """Refuse a file in the repository at *address*, whose checks would find it as a foreign one.

    Raises:
        KitError: *path* would lie there.
    """
    try:
        files.refuse_in_repository(
            os.fsencode(path.parent), os.fsencode(parse_address(address).path)
        )
    except TargetInRepositoryError as error:
        raise KitError(f"'{path}' lies in the repository itself.", hint=_OUTSIDE_HINT) from error


def write(path: Path, text: str) -> None:
    """Write a kit to a new file that only its owner can read.

    Raises:
        KitError: the file is there already, or cannot be written; then nothing is left of it.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise _is_there(path) from None
    except OSError as error:
        raise _is_unwritable(path, error) from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        # Half a kit looks like one, and would stand in the way of the next attempt.
        with suppress(OSError):
            path.unlink()
        raise _is_unwritable(path, error) from error


def _is_unwritable(path: Path, error: OSError) -> KitError:
    reason = error.strerror or type(error).__name__
    return KitError(f"'{path}' cannot be written: {reason}.", hint=_UNWRITABLE_HINT)


def _is_there(path: Path) -> KitError:
    return KitError(
        f"'{path}' is there already and was not overwritten.", hint="Choose another name."
    )
