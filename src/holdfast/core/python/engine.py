"""The plain engine as a whole: makes indexes, writers and readers."""

from pathlib import Path
from typing import ClassVar, Literal

from holdfast.base.errors import InternalError
from holdfast.base.randomness import Random
from holdfast.core.face import Index, IndexKeys, Limits, Parameters, ReadKeys, WriteKeys
from holdfast.core.python.index import PythonIndex
from holdfast.core.python.pure import PureCalls
from holdfast.core.python.reader import PythonReader
from holdfast.core.python.writer import PythonWriter


class PythonEngine(PureCalls):
    """Implements `holdfast.core.face.Engine`."""

    name: ClassVar[Literal["python"]] = "python"

    def index(self, folder: Path, keys: IndexKeys) -> PythonIndex:
        """Open the index in *folder*."""
        return PythonIndex(folder, keys)

    def writer(
        self,
        keys: WriteKeys,
        parameters: Parameters,
        index: Index,
        spool: Path,
        limits: Limits,
        random: Random,
    ) -> PythonWriter:
        """Make a writer for one session."""
        return PythonWriter(keys, parameters, _own(index), spool, limits, random)

    def reader(
        self, keys: ReadKeys, parameters: Parameters, index: Index, limits: Limits, random: Random
    ) -> PythonReader:
        """Make a reader; *random* names the temporary files of a restore."""
        return PythonReader(keys, parameters, _own(index), limits, random)


def _own(index: Index) -> PythonIndex:
    if not isinstance(index, PythonIndex):
        raise InternalError("the plain engine works with its own indexes only")
    return index
