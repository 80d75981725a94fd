"""The engine that use cases work with, and how much of this machine it may take."""

import ctypes
import os
from contextlib import suppress
from functools import cache
from typing import Final, cast

from holdfast.base.sizes import MIB
from holdfast.core import Engine, Limits
from holdfast.core.python.engine import PythonEngine

_MEMORY_BYTES: Final = 128 * MIB
_THREADS_MOST: Final = 4
"""More do not pay for the plain engine: what holds the interpreter's lock is most of the rest."""
_MALLOC_SETTINGS: Final = ((-3, 32 * MIB), (-1, 64 * MIB), (-8, 1))
"""M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_ARENA_MAX of mallopt(3)."""


def this_engine() -> Engine:
    """Return the engine of this installation."""
    _keep_freed_memory()
    return cast("Engine", PythonEngine())


@cache
def _keep_freed_memory() -> None:
    """Ask the C library to use buffers of some MiB again instead of giving them back each time.

    Fresh pages cost: a restore of 3 GiB took 4.7 s and 300,000 page faults, and takes 4.0 s and
    50,000. What is kept is bounded by what was in use at once. Elsewhere than with glibc nothing
    happens.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _MALLOC_SETTINGS:
            mallopt(parameter, value)


def limits() -> Limits:
    """Return what one command may use."""
    return Limits(
        memory_bytes=_MEMORY_BYTES,
        threads=min(_THREADS_MOST, os.cpu_count() or 1),
    )
