"""Errors of reading and restoring: codes H54x to H57x."""

from holdfast.base.errors import IntegrityError, KeysError, RequestError, SourceError


class ChunkMissingError(IntegrityError):
    """A chunk or node that a tree names is in no pack that the index knows."""

    code = "H540"


class ChunkMismatchError(IntegrityError):
    """The bytes of a chunk or node have another id, or another length, than what names them."""

    code = "H541"


class TreeShapeError(IntegrityError):
    """Nodes are right one by one and make no tree together; nothing below is used."""

    code = "H542"


class PackHeaderError(IntegrityError):
    """The header of a pack contradicts the index or the vault."""

    code = "H543"


class SessionKeyMissingError(KeysError):
    """A pack belongs to a session whose key is not at hand."""

    code = "H544"


class ValueTooLargeError(IntegrityError):
    """A stored value is larger than the memory that this run may use."""

    code = "H545"


class PathNotFoundError(RequestError):
    """The tree holds nothing under this path."""

    code = "H550"


class NotAFolderError(RequestError):
    """What is asked for as a folder is something else."""

    code = "H551"


class NotAFileError(RequestError):
    """What is asked for as a regular file is something else."""

    code = "H552"


class InvalidPathError(RequestError):
    """A path has an empty component, ``.``, ``..`` or a NUL byte, or lies outside of its prefix."""

    code = "H553"


class TooMuchAtOnceError(RequestError):
    """More bytes were asked for in one call than the run may hold in memory."""

    code = "H554"


class TargetError(SourceError):
    """The folder that is restored to cannot be used."""

    code = "H560"
