"""The write side of the Python engine: makes the runs that store something."""

from pathlib import Path

from holdfast.base.randomness import Random
from holdfast.core.face import (
    Limits,
    Parameters,
    WriteKeys,
)
from holdfast.core.python.chunk_store import ChunkStore
from holdfast.core.python.files_run import FilesRun
from holdfast.core.python.index import PythonIndex
from holdfast.core.python.stream_run import StreamRun
from holdfast.core.scan_rules import ScanRules


class PythonWriter:
    """Makes the runs that store something; see `holdfast.core.face.Writer`."""

    def __init__(
        self,
        keys: WriteKeys,
        parameters: Parameters,
        index: PythonIndex,
        spool: Path,
        limits: Limits,
        random: Random,
    ) -> None:
        self._keys = keys
        self._parameters = parameters
        self._index = index
        self._spool = spool
        self._limits = limits
        self._random = random

    def files(
        self, root_fd: int, rules: ScanRules, state: Path | None, *, started_ns: int
    ) -> "FilesRun":
        """Store the tree below *root_fd*; *state* is the local state of the point before."""
        return FilesRun(self._store(), root_fd, rules, state, started_ns)

    def stream(self, pipe_fd: int, name: bytes, *, started_ns: int) -> "StreamRun":
        """Store what comes out of a pipe as one file."""
        return StreamRun(self._store(), pipe_fd, name, started_ns)

    def _store(self) -> "ChunkStore":
        return ChunkStore(
            self._keys, self._parameters, self._index, self._spool, self._limits, self._random
        )
