"""What is wrong with a place to restore to. Codes H750 to H769."""

from holdfast.base.errors import RequestError, SourceError


class TargetNotEmptyError(RequestError):
    """The target holds something and no rule says what becomes of it. Nothing was changed."""

    code = "H750"


class TargetError(SourceError):
    """The target cannot be made or opened, or is no folder."""

    code = "H751"


class PathNotInPointError(RequestError):
    """The restore point does not hold the path that was asked for. Nothing was changed."""

    code = "H752"


class RestoreRequestError(RequestError):
    """What was asked of a restore contradicts itself. Nothing was changed."""

    code = "H753"


class TargetInRepositoryError(RequestError):
    """The target is the repository that is restored from, or lies in it. Nothing was changed."""

    code = "H754"
