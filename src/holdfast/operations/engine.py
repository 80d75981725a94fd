"""The engine that use cases work with, and how much of this machine it may take."""

import os
from typing import Final, cast

from holdfast.base.sizes import MIB
from holdfast.core import Engine, Limits
from holdfast.core.python.engine import PythonEngine

_MEMORY_BYTES: Final = 128 * MIB
_THREADS_MOST: Final = 4
"""More do not pay for the plain engine: what holds the interpreter's lock is most of the rest."""
_READERS: Final = 4


def this_engine() -> Engine:
    """Return the engine of this installation."""
    return cast("Engine", PythonEngine())


def limits() -> Limits:
    """Return what one command may use."""
    return Limits(
        memory_bytes=_MEMORY_BYTES,
        threads=min(_THREADS_MOST, os.cpu_count() or 1),
        readers=_READERS,
    )
