"""Errors of runs: codes H58x."""

import errno
from pathlib import Path
from typing import Self

from holdfast.base.errors import SourceError, StorageError


class AnswerFailedError(StorageError):
    """The caller of a run has given up on something that the run needs; the run is over."""

    code = "H580"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the storage did not answer ({reason})")


class SpoolError(SourceError):
    """The spool folder, where packs grow until they are stored, cannot be written."""

    code = "H581"
    is_full: bool = False
    """Whether the file system of the folder has no room, or the user's quota is used up."""

    @classmethod
    def of(cls, path: Path, error: OSError) -> Self:
        """Say what the operating system said of a file or folder."""
        made = cls(
            f"'{path}' cannot be written: {error.strerror}",
            hint="Free some space there, and check that this user may write there.",
        )
        made.is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        return made


class StreamError(SourceError):
    """The stream that is being backed up cannot be read to its end."""

    code = "H582"
