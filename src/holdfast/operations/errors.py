"""What the use cases refuse. Codes H800 to H819."""

from holdfast.base.errors import (
    BusyError,
    InternalError,
    KeysError,
    RequestError,
    SignatureError,
    StorageError,
)


class NoVaultError(RequestError):
    """No vault of the repository, or more than one, is what was asked for."""

    code = "H800"


class KeyChangeLostError(BusyError):
    """Somebody else changed the keys at the same moment, and that change stands."""

    code = "H801"


class NoSuchSlotError(RequestError):
    """The vault has no way in with this id, or several."""

    code = "H802"


class CipherError(RequestError):
    """A cipher, key length or compression that Holdfast does not have. Nothing was changed."""

    code = "H803"


class SelfTestError(InternalError):
    """A part of Holdfast does not work on this machine."""

    code = "H804"


class UnusableStorageError(StorageError):
    """The storage does not give what a repository needs."""

    code = "H805"


class VerifyNeedsKeyError(RequestError):
    """Without a password only the outside of the repository can be verified."""

    code = "H806"


class KitError(StorageError):
    """The recovery kit cannot be written to the file that was named."""

    code = "H807"


class ListError(RequestError):
    """The restore point cannot be listed as was asked."""

    code = "H808"


class UnknownAddressError(RequestError):
    """This machine knows no repository at the address that it should forget."""

    code = "H809"


class NamesNeedKeyError(KeysError):
    """Restore points are chosen by a name or a tag, and nothing opens the vault to read these."""

    code = "H810"


class NotEncryptedError(SignatureError):
    """A password or key file is configured, and the vault is one without encryption."""

    code = "H815"
