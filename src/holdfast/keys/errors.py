"""What can go wrong with keys. No message ever holds a secret."""

from holdfast.base.errors import IntegrityError, KeysError, RequestError, SignatureError


class WrongPasswordError(KeysError):
    """The password or key file opens no way in; nothing says that anything is damaged."""

    code = "H401"


class NoSuchWayInError(KeysError):
    """The vault has no way in of the kind or name that was asked for."""

    code = "H402"


class ChainError(SignatureError):
    """The key statements do not form one signed chain that begins with the vault object."""

    code = "H403"
    usual_hint = (
        "Put back what is missing from another copy of the repository, or from the file that "
        "'recovery-kit -o' wrote: it has copies of the vault object and the key statements of its "
        "day. 'holdfast verify --blind' names what is missing."
    )


class RollbackError(SignatureError):
    """The key statements end before, or differ from, what was seen earlier."""

    code = "H404"
    usual_hint = (
        "Write nothing to it before you know who did that. The file that 'recovery-kit -o' wrote "
        "has copies of the statements of its day, and says how to put them back."
    )


class LastWayInError(RequestError):
    """Without this way in nobody could open the vault any more; nothing was changed."""

    code = "H405"


class TooManyWaysInError(RequestError):
    """A vault has at most 64 ways in; nothing was changed."""

    code = "H406"


class SlotError(IntegrityError):
    """A slot contradicts itself or the statement that names it."""

    code = "H407"


class MissingKeyObjectError(IntegrityError):
    """A slot that the current key statement names is not there."""

    code = "H408"


class CertificateError(SignatureError):
    """A writer certificate is not valid for what it is used for."""

    code = "H409"


class StatementError(IntegrityError):
    """What a key statement holds does not fit the key that opened it."""

    code = "H410"


class WriterSeedError(KeysError):
    """The writer key of this machine is not the one that the certificate was made for."""

    code = "H411"


class KeyRequestError(RequestError):
    """A change of keys that makes no sense; nothing was changed."""

    code = "H412"


class UnknownEpochError(KeysError):
    """The key at hand does not reach this epoch: it is a later one, or belongs to no statement."""

    code = "H413"


class SessionKeyError(IntegrityError):
    """A sealed session key does not fit the commitment or the suite beside it."""

    code = "H414"
