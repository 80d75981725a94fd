"""What checks and upkeep can answer. Codes H640 to H659."""

from holdfast.base.errors import BusyError, IntegrityError, RequestError


class VaultDamagedError(IntegrityError):
    """A check found damage; its report names every object and every point that it touches."""

    code = "H640"


class UpkeepRefusedError(IntegrityError):
    """Upkeep does not understand all that it would have to; nothing was deleted."""

    code = "H641"


class SampleError(RequestError):
    """What was asked to be read is no share of a vault. Nothing was read."""

    code = "H642"


class MisplacedObjectError(IntegrityError):
    """An object's name says something else than the object itself; nothing of it was used."""

    code = "H643"


class PackContentError(IntegrityError):
    """A pack opens, and its parts do not fit together."""

    code = "H644"


class TreeError(IntegrityError):
    """The tree of a restore point cannot be walked whole."""

    code = "H645"


class MergeRaceError(BusyError):
    """Another upkeep replaces the same index objects, again and again; nothing is lost."""

    code = "H646"
