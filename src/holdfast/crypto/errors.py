"""What can go wrong with primitives. No message ever holds a secret."""

from holdfast.base.errors import (
    IntegrityError,
    InternalError,
    KeysError,
    RequestError,
    SignatureError,
)


class AuthenticationError(IntegrityError):
    """Sealed bytes are not what was sealed, or were sealed for another place."""

    code = "H101"


class UnknownSuiteError(IntegrityError):
    """A cipher suite that this release does not have."""

    code = "H102"


class WrongKeyError(KeysError):
    """A box was sealed under another key; the box itself need not be damaged."""

    code = "H103"


class PublicKeyError(IntegrityError):
    """Bytes that should be a public key are none that may be used."""

    code = "H104"


class BadSignatureError(SignatureError):
    """A signature was not made by this key over this message."""

    code = "H105"


class KdfParametersError(IntegrityError):
    """Key derivation parameters outside what is accepted; refused before any work."""

    code = "H106"


class KeyMaterialError(InternalError):
    """Key material of a length that the primitive does not take."""

    code = "H107"


class PasswordError(RequestError):
    """Text that cannot be a password."""

    code = "H108"


class KeyFileError(RequestError):
    """A file that cannot be a key file."""

    code = "H109"
