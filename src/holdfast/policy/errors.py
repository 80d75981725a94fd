"""What this room refuses. Codes H150 to H159."""

from holdfast.base.errors import RequestError


class InvalidPatternError(RequestError):
    """A pattern holds a NUL byte, which no file name can have."""

    code = "H150"


class InvalidDurationError(RequestError):
    """A duration that people typed is not one."""

    code = "H151"


class InvalidKeepRuleError(RequestError):
    """A number in a keep rule makes no sense."""

    code = "H152"


class NoKeepRuleError(RequestError):
    """Retention without any keep rule would forget nearly everything."""

    code = "H153"


class InvalidCandidateError(RequestError):
    """A restore point was given twice, or its time has no zone or lies outside the calendar."""

    code = "H154"


class PlanOutdatedError(RequestError):
    """The restore points are not those that the plan was made from; nothing was changed."""

    code = "H155"
