"""What the command line refuses by itself. Codes H900 to H919, and H999 for defects."""

from holdfast.base.errors import (
    HoldfastError,
    IntegrityError,
    InternalError,
    KeysError,
    RequestError,
)


class UsageError(RequestError):
    """What was typed is no command that Holdfast has, or not with these options."""

    code = "H900"


class NoRepositoryNamedError(RequestError):
    """Neither an option nor the environment says which repository is meant."""

    code = "H901"


class NoSecretError(KeysError):
    """A password is needed, none was given, and there is no terminal to ask on."""

    code = "H902"


class SecretFileError(RequestError):
    """A password file or key file cannot be read."""

    code = "H903"


class SecretFileWritableError(KeysError):
    """A password file or key file can be changed by other people; it was not used."""

    code = "H904"


class PasswordCommandError(RequestError):
    """The command that should print the password failed."""

    code = "H905"


class PasswordMismatchError(RequestError):
    """A new password was typed differently the second time; nothing was changed."""

    code = "H906"


class NotConfirmedError(HoldfastError):
    """The plan was shown and nothing was done: nobody said yes."""

    code = "H907"
    exit_code = 4


class InterruptedByUserError(HoldfastError):
    """The work was interrupted; the repository is consistent."""

    code = "H908"
    exit_code = 130


class OutputError(HoldfastError):
    """What was to be printed or written for people could not be."""

    code = "H909"


class SourcePartlyReadError(HoldfastError):
    """A restore point was made; parts of the source could not be read and are named."""

    code = "H910"
    exit_code = 3


class RestoredPartlyError(HoldfastError):
    """The restore ran to its end; some items are not as they were and are named."""

    code = "H911"


class DamageFoundError(IntegrityError):
    """A check or verification found damage; each damaged object is named."""

    code = "H912"


class LocalFolderError(HoldfastError):
    """A folder of this machine (keys, state or cache) cannot be used. The repository is whole."""

    code = "H913"


class PasswordLinesError(RequestError):
    """A new password has several lines; nothing was changed."""

    code = "H915"


class DefectError(InternalError):
    """Holdfast itself made a mistake: a defect, please report it."""

    code = "H999"
