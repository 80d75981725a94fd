"""What is wrong with a source. Codes H700 to H719."""

from holdfast.base.errors import RequestError, SourceError


class SourceMissingError(SourceError):
    """What should be backed up is not there. Nothing was stored."""

    code = "H700"


class SourceUnreadableError(SourceError):
    """What should be backed up cannot be opened. Nothing was stored."""

    code = "H701"


class EmptySourceError(RequestError):
    """Nothing was named, or the folder named holds nothing. Nothing was stored."""

    code = "H702"


class PatternFileError(RequestError):
    """A file of patterns or of paths cannot be read. Nothing was stored."""

    code = "H703"


class CommandFailedError(SourceError):
    """The command whose output was backed up failed; no restore point was made."""

    code = "H704"


class CommandNotFoundError(SourceError):
    """The command whose output should be backed up cannot be started. Nothing was stored."""

    code = "H705"


class ExclusionError(RequestError):
    """The rules of what to leave out are too long, or name a path where a name belongs."""

    code = "H706"


class SourceInRepositoryError(RequestError):
    """What should be backed up is the repository itself, or lies in it. Nothing was stored."""

    code = "H707"
