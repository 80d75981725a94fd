"""Run lengths: which packs of a session are needed (section 5.9)."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final

from holdfast.format.errors import RunsError, UnencodableError

POSITIONS_LIMIT: Final = 2**32
"""Packs of a session."""


def encode_runs(positions: Iterable[int]) -> list[int]:
    """Return the runs that say that exactly the packs at *positions* (ascending) are needed.

    Raises:
        UnencodableError: there is no position, or they do not ascend within the limit.
    """
    runs: list[int] = []
    end = 0
    for position in positions:
        if position < end or position >= POSITIONS_LIMIT:
            raise UnencodableError(f"Pack position {position} does not ascend or is too large.")
        if runs and position == end:
            runs[-1] += 1
        else:
            runs += (position - end, 1)
        end = position + 1
    if not runs:
        raise UnencodableError("A session without a needed pack has no runs.")
    return runs


def check_runs(runs: Sequence[object]) -> None:
    """Refuse runs that :func:`encode_runs` would not have written.

    Raises:
        RunsError: they are none.
    """
    if not runs or len(runs) % 2:
        raise RunsError("Run lengths do not end with a run of needed packs.")
    total = 0
    for place, run in enumerate(runs):
        if type(run) is not int or run < min(place, 1):
            raise RunsError(f"Run length {place} is not a number of packs.")
        total += run
    if total > POSITIONS_LIMIT:
        raise RunsError("Run lengths cover more packs than a session has.")


def decode_runs(runs: Sequence[int]) -> Iterator[range]:
    """Return the positions of the needed packs, one range for each run of them, ascending.

    Everything is checked before the first range is returned. A range costs nothing, however long.

    Raises:
        RunsError: *runs* are none that :func:`encode_runs` writes.
    """
    check_runs(runs)
    ends = list(accumulate(runs))
    return map(range, ends[::2], ends[1::2])
