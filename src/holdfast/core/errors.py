"""Errors of the engine: codes H50x to H53x."""

from holdfast.base.errors import IntegrityError, InternalError, KeysError, RequestError


class NodeError(IntegrityError):
    """A tree node is not what an encoder writes; nothing of it is used."""

    code = "H500"


class SegmentError(IntegrityError):
    """A segment opened, and its content is not what its pack says."""

    code = "H501"


class CompressedFrameError(SegmentError):
    """A compressed segment is not exactly one frame of the authenticated length."""

    code = "H502"


class IndexContentError(IntegrityError):
    """The rows of an index object contradict themselves; nothing of it is used."""

    code = "H503"


class ChunkerParametersError(RequestError):
    """A cut rule is outside of what the format allows."""

    code = "H504"


class EntryOrderError(InternalError):
    """A tree was given entries that do not ascend, or one that no leaf can hold."""

    code = "H505"


class IndexCacheError(IntegrityError):
    """An opened index part on this machine is damaged; dropping it and adding it anew is safe."""

    code = "H506"


class IndexKeyMissingError(KeysError):
    """The key that opens an index object's part is not at hand."""

    code = "H507"


class UnknownIndexError(RequestError):
    """An index object was asked for that is not in the index of this machine."""

    code = "H508"
