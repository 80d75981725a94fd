"""Run lengths (vault-format.md, section 5.9)."""

import pytest

from holdfast.format.errors import RunsError, UnencodableError
from holdfast.format.runs import decode_runs, encode_runs


@pytest.mark.parametrize(
    ("positions", "runs"),
    [
        ([0], [0, 1]),
        ([0, 1, 2], [0, 3]),
        ([3], [3, 1]),
        ([1, 2, 5, 9, 10], [1, 2, 2, 1, 3, 2]),
        ([2**32 - 1], [2**32 - 1, 1]),
    ],
)
def test_positions_and_runs_say_the_same(positions: list[int], runs: list[int]) -> None:
    assert encode_runs(positions) == runs
    assert [place for span in decode_runs(runs) for place in span] == positions


def test_a_hostile_run_costs_nothing() -> None:
    assert list(decode_runs([0, 2**32])) == [range(2**32)]


@pytest.mark.parametrize("positions", [[], [1, 1], [2, 1], [-1], [2**32]])
def test_positions_that_no_session_has_are_never_written(positions: list[int]) -> None:
    with pytest.raises(UnencodableError):
        encode_runs(positions)


@pytest.mark.parametrize(
    "runs",
    [[], [0], [1, 2, 3], [0, 0], [1, 0], [0, 1, 0, 1], [-1, 1], [0, 2**32 + 1], [False, 1]],
)
def test_runs_that_the_encoder_would_not_write_are_refused(runs: list[int]) -> None:
    with pytest.raises(RunsError):
        decode_runs(runs)
