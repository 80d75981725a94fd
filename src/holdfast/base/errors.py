"""The root and the categories of every error raised on purpose.

A category answers the caller's question: is it my data, my storage, my keys, my source, my request?
The leaves live in
``<room>/errors.py``, each with a public code that is never reused; ``docs/reference/errors.md`` is
generated from them.

Blocks of codes: H0xx base, H1xx crypto and policy, H2xx storage, H3xx format, H4xx keys, H5xx core,
H6xx vault,
H7xx sources and recovery, H8xx operations, H9xx command line.
"""

from typing import ClassVar


class HoldfastError(Exception):
    """Root of all errors raised on purpose; never raised directly.

    Attributes:
        code: public, stable, unique.
        exit_code: what the command line ends with.
        retryable: the same call may be made again without harm and may succeed.
        hint: one sentence that says what to do, or None.
    """

    code: ClassVar[str] = "H000"
    exit_code: ClassVar[int] = 1
    retryable: ClassVar[bool] = False
    usual_hint: ClassVar[str | None] = None
    """The hint of every error of a class that is raised without one."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.usual_hint if hint is None else hint


class RequestError(HoldfastError):
    """What was asked for makes no sense or is not allowed; nothing was changed."""

    code = "H001"
    exit_code = 2


class StorageError(HoldfastError):
    """The storage under the repository failed or refused."""

    code = "H002"
    exit_code = 1


class KeysError(HoldfastError):
    """No key, or not the right one."""

    code = "H003"
    exit_code = 12


class IntegrityError(HoldfastError):
    """Stored bytes are not what they must be."""

    code = "H004"
    exit_code = 20


class SignatureError(HoldfastError):
    """A signature does not hold, or the repository went back behind what was seen before."""

    code = "H005"
    exit_code = 21


class SourceError(HoldfastError):
    """What is to be protected, or the place to restore to, failed or refused."""

    code = "H006"
    exit_code = 1


class BusyError(HoldfastError):
    """Somebody else is at work; trying again later is safe."""

    code = "H007"
    exit_code = 11
    retryable = True


class InternalError(HoldfastError):
    """A promise inside Holdfast was broken: a defect, please report it."""

    code = "H008"
    exit_code = 1
