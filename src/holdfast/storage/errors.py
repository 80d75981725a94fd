"""What storage can answer instead of doing what it was asked."""

from typing import Self

from holdfast.base.errors import BusyError, IntegrityError, RequestError, StorageError


class ObjectMissingError(StorageError):
    """No object has this name."""

    code = "H201"


class ObjectExistsError(StorageError):
    """The name is taken by other bytes; objects are never overwritten. Nothing was changed."""

    code = "H202"


class ObjectTruncatedError(IntegrityError):
    """An object is shorter than what was asked of it."""

    code = "H203"


class ForeignObjectError(IntegrityError):
    """Where an object or folder should be lies something else: a link, a device, a pipe."""

    code = "H204"


class InvalidNameError(RequestError):
    """A name or prefix that no object can have; it never reached the storage."""

    code = "H205"


class ObjectTooLargeError(IntegrityError):
    """An object is larger than anything that may lie under its name. Nothing of it was read."""

    code = "H206"


class StorageFullError(StorageError):
    """No space, or the quota is used up. What was being written has been removed again."""

    code = "H210"
    usual_hint = (
        "Make a few MiB of room beside the repository, or enlarge it; then drop restore points "
        "with 'holdfast prune' and free their space with 'holdfast gc', which both write a little "
        "first. Delete nothing in the repository by hand."
    )

    @classmethod
    def at(cls, address: object) -> Self:
        """Say which repository it is."""
        return cls(f"The repository at '{address}' has no room left.")


class StorageReadOnlyError(StorageError):
    """The storage takes no writes. Nothing was changed."""

    code = "H211"
    usual_hint = "Mount it so that it can be written to, and try again."


class StorageDeniedError(StorageError):
    """The storage refuses this user. Nothing was changed."""

    code = "H212"


class StorageUnavailableError(StorageError):
    """The storage failed; the outcome is unknown and retrying is safe."""

    code = "H213"
    retryable = True


class RepositoryMissingError(StorageError):
    """There is no repository at this address."""

    code = "H214"
    exit_code = 10
    usual_hint = (
        "Is it spelled right, and is its disk mounted? 'holdfast init' makes a new repository."
    )


class SpoolElsewhereError(RequestError):
    """A file to be moved into the storage lies on another file system. Nothing was changed."""

    code = "H215"


class StorageBusyError(BusyError):
    """Somebody else makes this repository or changes its keys right now. Nothing was changed."""

    code = "H216"
    usual_hint = (
        "Run the command again when the other one is done: 'init', 'key', 'writer add', or a first "
        "'backup'."
    )


class InvalidAddressError(RequestError):
    """What was typed is no repository address."""

    code = "H220"


class AddressNotBuiltError(RequestError):
    """A kind of repository that this release cannot open."""

    code = "H221"


class PasswordInAddressError(RequestError):
    """An address carries a password; addresses are printed, logged and put on recovery kits."""

    code = "H222"
