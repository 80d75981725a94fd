"""What can be wrong with stored bytes. Codes H300 to H329."""

from holdfast.base.errors import IntegrityError, InternalError


class FormatError(IntegrityError):
    """Stored bytes do not follow the vault format; nothing of them was used."""

    code = "H300"


class EncodingError(FormatError):
    """Bytes are not exactly one item of the encoding (section 1.1)."""

    code = "H301"


class FrameError(FormatError):
    """An object's frame or the sizes it states are wrong (section 3)."""

    code = "H302"


class UnsupportedFormatError(FormatError):
    """An object of a kind, version or feature that this release does not know."""

    code = "H303"


class SignatureBlockError(FormatError):
    """The signatures of an object are not laid out as section 3 demands."""

    code = "H304"


class AttachmentError(FormatError):
    """An object's attachment is missing, unexpected, or not the one that the body names."""

    code = "H305"


class FieldError(FormatError):
    """A field of a body or record is missing, unknown, of the wrong type or out of range."""

    code = "H306"


class NameMismatchError(FormatError):
    """An object's bytes are not those that its name promises (section 2)."""

    code = "H307"


class RunsError(FormatError):
    """Run lengths of needed packs do not follow section 5.9."""

    code = "H308"


class PackError(FormatError):
    """A pack's header, directory or trailer does not follow section 6."""

    code = "H309"


class IndexPartError(FormatError):
    """An opened part of an index object does not follow section 7."""

    code = "H310"


class UnencodableError(InternalError):
    """Somebody asked to write what the format cannot say; nothing was written."""

    code = "H320"
