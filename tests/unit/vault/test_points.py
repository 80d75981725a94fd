"""Restore points are found by what people type, and chains say what is missing."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from doubles.storage import WrappedBackend
from doubles.vaults import Notes, TestVault, make_machine, make_vault, storing
from holdfast.base.ids import PointId, SeriesId
from holdfast.format import names
from holdfast.operations.points import describe
from holdfast.storage.interface import ObjectInfo
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.errors import (
    AmbiguousPointError,
    NoSuchPointError,
    PointsInDoubtError,
    PointUnreadableError,
    StalePlanError,
)
from holdfast.vault.forget import apply_forget, plan_forget
from holdfast.vault.local import LocalFolders
from holdfast.vault.point_loading import load_points
from holdfast.vault.points import PointList, of_series
from holdfast.vault.seen_points import see_points
from holdfast.vault.sessions import FINDING_FORK


@pytest.fixture
def vault(tmp_path: Path) -> TestVault:
    return make_vault(MemoryBackend(), make_machine(tmp_path / "here"))


def test_latest_of_one_series_needs_no_name_and_of_several_does(vault: TestVault) -> None:
    with pytest.raises(NoSuchPointError):
        load_points(vault.readable()).select("latest")
    vault.backup(storing(b"one"))
    second = vault.backup(storing(b"two"))
    assert load_points(vault.readable()).select("latest").id == second.point_id

    vault.backup(storing(b"three"), source="other")

    points = load_points(vault.readable())
    with pytest.raises(AmbiguousPointError, match="here/home, here/other"):
        points.select("latest")
    assert points.select("latest", source="home").id == second.point_id
    with pytest.raises(NoSuchPointError):
        points.select("latest", host="elsewhere")


def test_latest_is_refused_where_two_machines_have_series_of_one_name(
    vault: TestVault, tmp_path: Path
) -> None:
    """A machine that only writes must not have its files restored as those of another one."""
    vault.backup(storing(b"old"))
    mine = vault.backup(storing(b"mine"))
    thief = vault.add_writer(make_machine(tmp_path / "thief"))
    theirs = thief.backup(storing(b"theirs"))
    points = load_points(vault.readable())

    with pytest.raises(AmbiguousPointError, match="of which machine") as caught:
        points.select("latest", source="home", host="here")

    said = caught.value.message
    assert "here/home" in said
    for result, writer in ((mine, vault.key.writer_id), (theirs, thief.key.writer_id)):
        assert f"{result.point_id.hex()[:8]} (writer {writer.hex()})" in said
        assert points.select(result.point_id.hex()[:8]).id == result.point_id
    assert "by its id" in (caught.value.hint or "")


def test_latest_of_a_series_is_refused_where_another_machine_has_a_source_called_so(
    vault: TestVault, tmp_path: Path
) -> None:
    """That source would go before; of one machine it does."""
    mine = vault.backup(storing(b"mine"), source="home")
    own = vault.backup(storing(b"own"), source="here/home")
    assert load_points(vault.readable()).select("latest", source="here/home").id == own.point_id
    apply_forget(vault.readable(), plan_forget(load_points(vault.readable()), [own.point_id]))
    thief = vault.add_writer(make_machine(tmp_path / "thief"))
    theirs = thief.backup(storing(b"theirs"), source="here/home")
    points = load_points(vault.readable())

    with pytest.raises(AmbiguousPointError, match="here/here/home, here/home"):
        points.select("latest", source="here/home")
    assert points.select("latest", source="home").id == mine.point_id
    assert points.select("latest", source="here/here/home").id == theirs.point_id


def test_two_series_of_one_machine_with_one_name_are_joined(vault: TestVault) -> None:
    vault.backup(storing(b"one"))
    second = vault.backup(storing(b"two"))
    listed = load_points(vault.readable())
    first = listed.points[0]
    apart = replace(first, body=replace(first.body, series_id=SeriesId(b"x" * 16)))

    joined = replace(listed, points=(apart, listed.points[1]))

    assert joined.select("latest").id == second.point_id


def _storage_without_session(vault: TestVault, point: PointId) -> None:
    (body,) = (item.body for item in load_points(vault.readable()).points if item.id == point)
    for item in vault.backend.list(names.sessions_prefix(vault.vault_id, body.session_id)):
        vault.backend.delete(item.name)


def test_an_older_point_that_cannot_be_opened_is_no_series_of_its_own(vault: TestVault) -> None:
    """What stands outside tells that it is of the same series as one that can be."""
    first = vault.backup(storing(b"one"))
    second = vault.backup(storing(b"two"))
    _storage_without_session(vault, first.point_id)

    listed = load_points(vault.readable())

    assert [point.record is None for point in listed.points] == [True, False]
    assert listed.select("latest").id == second.point_id
    vault.backup(storing(b"three"), source="other")
    listed = load_points(vault.readable())
    with pytest.raises(AmbiguousPointError, match="here/home, here/other"):
        listed.select("latest")


def test_when_no_point_of_a_series_can_be_opened_the_damage_is_named(vault: TestVault) -> None:
    first = vault.backup(storing(b"one"), source="other")
    vault.backup(storing(b"two"))
    _storage_without_session(vault, first.point_id)

    with pytest.raises(PointsInDoubtError, match=first.point_id.hex()):
        load_points(vault.readable()).select("latest")


def test_a_clock_that_was_wrong_once_does_not_make_a_point_the_latest(vault: TestVault) -> None:
    """Within a series the counter tells the order; series stand by time."""
    clock = vault.machine.clock
    day = 86_400.0
    clock.sleep(1500 * day)
    first = vault.backup(storing(b"one"))
    clock.sleep(-1400 * day)
    second = vault.backup(storing(b"two"))
    clock.sleep(day)
    other = vault.backup(storing(b"three"), source="other")

    listed = load_points(vault.readable())

    assert listed.select("latest", source="home").id == second.point_id
    order = [first.point_id, second.point_id, other.point_id]
    assert [point.id for point in listed.points] == order


def test_a_series_is_named_as_it_is_shown_or_by_its_source_alone(vault: TestVault) -> None:
    """For whatever takes a name of a source."""
    first = vault.backup(storing(b"one"), source="/home")
    second = vault.backup(storing(b"two"), source="/etc")
    points = load_points(vault.readable())

    for name, result in (("/home", first), ("here//home", first), ("here//etc", second)):
        assert points.select("latest", source=name).id == result.point_id
        (only,) = of_series(points.points, name, None)
        assert only.id == result.point_id
    assert not of_series(points.points, "elsewhere//home", None)
    assert not of_series(points.points, "here//home", "elsewhere")


def test_a_source_that_is_called_like_another_series_is_the_one_that_is_meant(
    vault: TestVault,
) -> None:
    """A text means one of them: prune of a source does not reach into another one."""
    vault.backup(storing(b"one"), source="home")
    misleading = vault.backup(storing(b"two"), source="here/home")

    (only,) = of_series(load_points(vault.readable()).points, "here/home", None)

    assert only.id == misleading.point_id


@pytest.mark.parametrize("text", ["/nu\udcff", "/nu\\xff", "here//nu\udcff"])
def test_a_series_of_a_name_that_is_no_text_is_found_by_its_bytes_and_as_it_is_shown(
    vault: TestVault, text: str
) -> None:
    """Bytes come from the command line as halves of surrogates."""
    vault.backup(storing(b"one"), source="/nu\\xff")

    assert len(of_series(load_points(vault.readable()).points, text, None)) == 1


@pytest.mark.parametrize("text", ["abc", "xyzw", "../..", "", "0000000000"])
def test_what_names_no_point_is_refused(vault: TestVault, text: str) -> None:
    vault.backup(storing(b"one"))

    with pytest.raises(NoSuchPointError):
        load_points(vault.readable()).select(text)


def test_a_point_is_found_by_four_characters_of_its_id(vault: TestVault) -> None:
    result = vault.backup(storing(b"one"))

    found = load_points(vault.readable()).select(result.point_id.hex()[:4].upper())

    assert found.id == result.point_id


def test_who_cannot_read_sees_points_and_opens_none(vault: TestVault) -> None:
    vault.backup(storing(b"one"))

    (point,) = load_points(vault.writable()).points

    assert point.series == point.body.series_id.hex()
    with pytest.raises(PointUnreadableError):
        point.opened()


def test_the_loss_of_a_point_that_is_back_is_not_accepted(vault: TestVault) -> None:
    lost = vault.backup(storing(b"one")).point_id
    vault.backup(storing(b"two"))
    readable = vault.readable()
    name = names.point_name(readable.vault_id, lost)
    data = vault.backend.get(name)
    vault.backend.delete(name)
    listed = see_points(readable)
    plan = plan_forget(listed, [lost])
    vault.backend.put(name, data)

    found = listed.find_lost(lost.hex()[:6].upper())

    assert found is not None
    assert (found.point, found.counter) == (lost, 1)
    assert listed.find_lost(lost.hex()[:3]) is None
    assert list(listed.damage()) == [
        f"point {lost.hex()[:8]}, number 1 of its series, is gone and nobody dropped it"
    ]
    with pytest.raises(StalePlanError):
        apply_forget(readable, plan)
    assert not see_points(readable).lost


def test_a_plan_to_forget_from_another_state_is_refused(vault: TestVault) -> None:
    result = vault.backup(storing(b"one"))
    kept = vault.backup(storing(b"two"))
    readable = vault.readable()
    plan = plan_forget(load_points(readable), [result.point_id, kept.point_id])
    apply_forget(readable, plan_forget(load_points(readable), [result.point_id]))

    with pytest.raises(StalePlanError):
        apply_forget(readable, plan)
    assert [point.id for point in load_points(readable).points] == [kept.point_id]


def test_a_machine_that_was_set_back_makes_a_fork_that_is_named(
    vault: TestVault, tmp_path: Path
) -> None:
    """Two machines with one writer key: both made a second point after the first."""
    vault.backup(storing(b"one"))
    backend = vault.backend
    assert isinstance(backend, MemoryBackend)
    before = dict(backend._objects)
    vault.backup(storing(b"two"))
    after = dict(backend._objects)
    backend._objects.clear()
    backend._objects.update(before)
    folders = LocalFolders(tmp_path / "b", tmp_path / "c", tmp_path / "d")
    copy = replace(vault, machine=replace(vault.machine, folders=folders))
    copy.backup(storing(b"three"))
    backend._objects.update(after)
    notes = Notes()

    third = vault.backup(storing(b"four"), listener=notes)

    assert notes.codes == [FINDING_FORK]
    assert third.counter == 3
    assert [len(same) for same in third.forks] == [2]


def test_a_point_whose_refs_are_gone_is_not_visible(vault: TestVault) -> None:
    vault.backup(storing(b"one"))
    (item,) = vault.backend.list(names.refs_prefix(vault.vault_id))
    vault.backend.delete(item.name)

    listed = load_points(vault.readable())

    assert not listed.points
    assert len(listed.incomplete) == 1


class _BackupMeanwhile(WrappedBackend):
    """Lets another backup end between the first two listings of points and refs."""

    meanwhile: Callable[[], object] | None = None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        listed = super().list(prefix)
        if self.meanwhile is not None and prefix.endswith(("/points/", "/refs/")):
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return listed


def test_a_point_that_is_made_while_others_are_listed_is_no_damage(vault: TestVault) -> None:
    """Its refs were put before it: whoever sees the point finds them."""
    vault.backup(storing(b"one"))
    backend = _BackupMeanwhile(vault.backend)
    readable = vault.on(backend).readable()
    backend.meanwhile = lambda: vault.backup(storing(b"two"))

    listed = load_points(readable)

    assert backend.meanwhile is None
    assert not listed.incomplete
    assert listed.select("latest") in listed.points


def test_refs_that_a_listing_does_not_show_yet_are_asked_for_by_name(tmp_path: Path) -> None:
    memory = MemoryBackend()
    vault = make_vault(memory, make_machine(tmp_path / "here"))
    result = vault.backup(storing(b"one"))
    refs = next(item.name for item in memory.list("") if "/refs/" in item.name)
    lagging = _HidingBackend(memory, refs)

    listed = load_points(vault.on(lagging).readable())

    assert [point.id for point in listed.points] == [result.point_id]
    assert not listed.incomplete


class _HidingBackend(WrappedBackend):
    """Has an object, and does not list it yet."""

    def __init__(self, inner: MemoryBackend, name: str) -> None:
        super().__init__(inner)
        self._name = name

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter([item for item in super().list(prefix) if item.name != self._name])


def test_a_gap_of_any_length_is_told(vault: TestVault) -> None:
    """A hostile writer chooses its own counters, up to 64 bits."""
    vault.backup(storing(b"one"))
    (point,) = load_points(vault.readable()).points
    far = replace(point, body=replace(point.body, counter=2**64 - 1))

    said = list(PointList((far,)).damage())

    assert f"{2**64 - 2} points are missing" in said[0]


@pytest.mark.parametrize("seconds", [2**63 - 1, -(2**63)])
def test_a_point_of_any_time_is_listed(vault: TestVault, seconds: int) -> None:
    """What a hostile writer writes must not hide the points of others."""
    vault.backup(storing(b"one"))
    (point,) = load_points(vault.writable()).points

    shown = describe(replace(point, body=replace(point.body, time=seconds)), "none", "anybody")

    assert shown.time.astimezone(timezone(timedelta(hours=14))).year in {1, 9999}
