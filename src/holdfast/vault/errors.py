"""What can go wrong with a repository at work. Codes H600 to H639."""

from typing import Final

from holdfast.base.errors import (
    BusyError,
    IntegrityError,
    KeysError,
    RequestError,
    SignatureError,
    StorageError,
)


class NoRepositoryError(StorageError):
    """There is no repository at this address."""

    code = "H600"
    exit_code = 10


class ForeignFolderError(StorageError):
    """The place holds something, and it is no repository. Nothing was changed."""

    code = "H601"
    exit_code = 10


class RepositoryExistsError(RequestError):
    """There is a repository at this address already. Nothing was changed."""

    code = "H602"


class MissingObjectError(IntegrityError):
    """An object that something visible names is not there."""

    code = "H603"


class DamagedObjectError(IntegrityError):
    """The bytes of an object are not the ones that its name promises, or make no sense."""

    code = "H604"
    usual_hint = "'holdfast verify' names what is damaged and the restore points that it touches."


DAMAGED_TOMBSTONE_HINT: Final = (
    "A gc that runs may be about to delete what it named. When no 'holdfast gc' runs anywhere any"
    " more, move this one object to a place outside the repository."
)
"""What a dead gc had announced may stay: G3 of docs/design/gc.md."""


class WrongSignerError(SignatureError):
    """An object is not signed by whom it must be; nothing of it was used."""

    code = "H605"


class VaultChangedError(SignatureError):
    """The repository at a known address holds another vault than the one that was known."""

    code = "H606"


class DowngradeError(SignatureError):
    """An encrypted vault has been replaced by one without encryption."""

    code = "H607"


class SeriesBusyError(BusyError):
    """Another session of this machine writes the same series right now."""

    code = "H608"


class UnsafeFileError(KeysError):
    """A key or state file can be written by others, so nothing in it can be believed."""

    code = "H609"


class WriterKeyFileError(KeysError):
    """A writer key file is missing or is not one."""

    code = "H610"
    usual_hint = (
        "Put it back from a copy; or move it away, and 'holdfast writer add' makes a new one and "
        "asks for the password."
    )


class NoSuchPointError(RequestError):
    """No restore point has this id, or none is in this series."""

    code = "H611"


class AmbiguousPointError(RequestError):
    """Several restore points or series fit what was asked for."""

    code = "H612"


class PackMissingError(IntegrityError):
    """A pack that a restore point needs is not there."""

    code = "H613"


class PointUnreadableError(KeysError):
    """The keys at hand do not open this restore point."""

    code = "H614"


class LocalStateError(IntegrityError):
    """What this machine remembers of repositories cannot be read."""

    code = "H615"


class CollectedMeanwhileError(BusyError):
    """Upkeep kept taking away what a session needed, again and again; nothing earlier is lost."""

    code = "H616"


class StalePlanError(RequestError):
    """The repository is not in the state any more that a plan was made from; nothing was done."""

    code = "H617"


class NotAllowedError(KeysError):
    """The key at hand does not allow this."""

    code = "H618"


class ResultTooLargeError(RequestError):
    """Something does not fit into the objects of the format."""

    code = "H619"


class PointsInDoubtError(IntegrityError):
    """Restore points are damaged or missing; nothing was done that depends on knowing all."""

    code = "H620"


class KeysInDoubtError(IntegrityError):
    """A key statement that may be the newest is damaged; nothing was opened by an older one."""

    code = "H621"
    usual_hint = (
        "Put it back from another copy of the repository, or from the file that 'recovery-kit -o' "
        "wrote; 'holdfast verify --blind' names all that is damaged. If nobody has changed the "
        "keys since that file was written, the damaged object may be moved away."
    )
