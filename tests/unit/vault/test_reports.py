"""Reports, samples, and who counts as quiet."""

import pytest

from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from holdfast.base.ids import PackId, PointId, SessionId, VaultId
from holdfast.format.session import Lease
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.check_errors import SampleError, VaultDamagedError
from holdfast.vault.gc import GcPlan, Patience
from holdfast.vault.gc_plan import quiet_sessions
from holdfast.vault.objects import ObjectStore
from holdfast.vault.report import Problem, ProblemKind, Report
from holdfast.vault.verify import sample, verify

ONE, TWO, THREE = (SessionId(bytes([number]) * 16) for number in (1, 2, 3))
POINT = PointId(bytes(32))


def a_lease(session: SessionId, number: int, *, ended: bool) -> Lease:
    return Lease(session_id=session, number=number, ended=ended, point=None, writer_id=None)


def test_a_report_without_problems_is_sound_and_raises_nothing() -> None:
    report = Report()
    report.raise_if_damaged()

    assert report.is_sound
    assert report.points == ()


def test_a_report_with_problems_raises_what_ends_with_20() -> None:
    problem = Problem("vaults/x", ProblemKind.DAMAGED, "It is damaged.", (POINT,))
    report = Report(problems=(problem, problem))

    with pytest.raises(VaultDamagedError, match="'vaults/x': It is damaged") as caught:
        report.raise_if_damaged()
    assert caught.value.exit_code == 20
    assert report.points == (POINT,)


@pytest.mark.parametrize(("percent", "count"), [(100, 40), (50, 20), (5, 2), (0.01, 1)])
def test_a_sample_is_a_share_of_different_packs(percent: float, count: int) -> None:
    packs = [PackId(bytes([number]) * 32) for number in range(40)]
    chosen = sample(packs, percent, CountedRandom())

    assert len(set(chosen)) == count
    assert chosen == sample(packs, percent, CountedRandom())
    assert sample([], percent, CountedRandom()) == []


@pytest.mark.parametrize("percent", [0.0, -1.0, 100.5])
def test_a_share_that_is_none_is_refused(percent: float) -> None:
    objects = ObjectStore(MemoryBackend(), VaultId(bytes(32)), clock=ManualClock())

    with pytest.raises(SampleError):
        verify(objects, None, random=CountedRandom(), sample_percent=percent)


def test_only_the_newest_lease_says_whether_a_session_has_ended() -> None:
    leases = {
        ONE: {0: a_lease(ONE, 0, ended=False), 1: a_lease(ONE, 1, ended=True)},
        TWO: {0: a_lease(TWO, 0, ended=False)},
    }

    assert quiet_sessions(leases, {ONE, TWO, THREE}, ()) == {ONE}


def test_a_session_that_is_dead_or_silent_is_quiet_and_one_without_a_lease_is_not() -> None:
    leases = {TWO: {0: a_lease(TWO, 0, ended=False)}}

    assert quiet_sessions(leases, {TWO, THREE}, {TWO}) == {TWO}
    assert quiet_sessions(leases, {TWO, THREE}, (), {TWO}) == {TWO}
    assert quiet_sessions(leases, {TWO, THREE}, ()) == frozenset()
    assert quiet_sessions({}, {THREE}, {THREE, ONE}) == {THREE}


def test_gc_waits_for_silence_only_when_it_may_wait_long_enough() -> None:
    assert not Patience().waits
    assert not Patience(patience_seconds=179).waits
    assert Patience(patience_seconds=180).waits


def test_a_plan_that_only_spares_is_empty() -> None:
    assert GcPlan(spared_packs=3, spared_bytes=9, spared_sessions=(ONE,)).is_empty
    assert not GcPlan(packs=1).is_empty
