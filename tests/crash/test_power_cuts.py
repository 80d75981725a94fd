"""What if the power fails before any call that a command makes of its storage?

After each cut all earlier restore points restore identically, the same command run again succeeds,
and a gc leaves nothing that no restore point needs. `pytest -s` prints the number of calls.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from doubles.reach import unreferenced
from doubles.scenario import (
    SECOND_PASSWORD,
    Desk,
    Listing,
    Scenario,
    backend_of,
    build_scenario,
    fill,
    listing,
    noise,
    objects_of,
)
from doubles.storage import DyingBackend, PowerCut
from holdfast.base.ids import PointId
from holdfast.storage.interface import Bytes, StorageBackend
from holdfast.storage.memory import MemoryBackend

NEW_PASSWORD = "a new way"


@dataclass
class Start:
    """Where a command begins: what is stored, whose machine, and what has to survive it."""

    objects: Mapping[str, bytes]
    desk: Desk
    contents: Mapping[PointId, Listing]
    """What every restore point holds that was there before."""


@dataclass
class Command:
    """One command, and how its success is told."""

    run: Callable[[Desk], object]
    succeeded: Callable[[Desk, Path], None]
    may_go: frozenset[PointId] = frozenset()
    """Restore points that the command is to remove."""


Case = Callable[[Scenario, Path, pytest.MonkeyPatch], tuple[Start, Command]]
CASES: dict[str, Case] = {}


def case(make: Case) -> Case:
    """Add a command to those that every cut is tried with."""
    CASES[make.__name__.replace("_", "-")] = make
    return make


def _start(scenario: Scenario) -> Start:
    return Start(objects_of(scenario.memory), scenario.desk, scenario.contents)


@case
def init(scenario: Scenario, folder: Path, patch: pytest.MonkeyPatch) -> tuple[Start, Command]:
    del scenario, patch
    (folder / "empty").mkdir()
    desk = Desk(MemoryBackend(), folder / "empty")

    def run(desk: Desk) -> None:
        if "holdfast-repository" not in {item.name for item in desk.backend.list("")}:
            desk.init()

    def succeeded(desk: Desk, below: Path) -> None:
        point = desk.backup(_folder_with(below, {"file": b"content"})).point_id
        assert desk.restore(point, below / "target")["file"][2]

    return Start({}, desk, {}), Command(run, succeeded)


def _folder_with(below: Path, files: Mapping[str, bytes]) -> Path:
    source = below / "source"
    fill(source, files)
    return source


def _backs_up(source: Path) -> Command:
    wanted = listing(source)

    def succeeded(desk: Desk, below: Path) -> None:
        newest = desk.points()[-1]
        assert desk.restore(newest.id, below / "target") == wanted

    return Command(lambda desk: desk.backup(source), succeeded)


@case
def first_backup(
    scenario: Scenario, folder: Path, patch: pytest.MonkeyPatch
) -> tuple[Start, Command]:
    del patch
    desk = Desk(MemoryBackend(), folder / "new")
    desk.init()
    return Start(objects_of(desk.backend), desk, {}), _backs_up(scenario.papers)


@case
def incremental_backup(
    scenario: Scenario, folder: Path, patch: pytest.MonkeyPatch
) -> tuple[Start, Command]:
    del patch
    source = _changed(scenario.papers, folder)
    return _start(scenario), _backs_up(source)


@case
def unchanged_backup(
    scenario: Scenario, folder: Path, patch: pytest.MonkeyPatch
) -> tuple[Start, Command]:
    del patch, folder
    return _start(scenario), _backs_up(scenario.papers)


@case
def backup_with_checkpoints(
    scenario: Scenario, folder: Path, patch: pytest.MonkeyPatch
) -> tuple[Start, Command]:
    """Every pack but the last gets an index object of its own, and all are replaced at the end."""
    patch.setattr("holdfast.vault.session_packs.CHECKPOINT_BYTES", 1)
    source = _changed(scenario.papers, folder)
    fill(source, {"long": noise("long", 150_000)})
    return _start(scenario), _backs_up(source)


def _changed(source: Path, folder: Path) -> Path:
    changed = folder / source.name
    shutil.copytree(source, changed)
    fill(changed, {"letters/two.txt": noise("other", 2_000), "new": noise("new", 12_000)})
    return changed


@case
def forget(scenario: Scenario, folder: Path, patch: pytest.MonkeyPatch) -> tuple[Start, Command]:
    del folder, patch
    gone = next(iter(scenario.contents))
    return _start(scenario), _forgets(gone)


def _forgets(*gone: PointId) -> Command:
    def succeeded(desk: Desk, below: Path) -> None:
        del below
        assert not {point.id for point in desk.points()} & set(gone)

    return Command(lambda desk: desk.forget(*gone), succeeded, may_go=frozenset(gone))


@case
def prune(scenario: Scenario, folder: Path, patch: pytest.MonkeyPatch) -> tuple[Start, Command]:
    """The keep rules choose; what follows is a forget of several points at once."""
    del patch
    desk = scenario.desk
    desk.backup(_changed(scenario.papers, folder))
    contents = dict(scenario.contents)
    objects = objects_of(scenario.memory)

    def succeeded(desk: Desk, below: Path) -> None:
        del below
        assert len(desk.points()) == 2

    doomed = _outdated(desk)
    assert len(doomed) == 2
    run = lambda desk: desk.forget(*_outdated(desk))  # noqa: E731
    return Start(objects, desk, contents), Command(run, succeeded, may_go=doomed)


def _outdated(desk: Desk) -> frozenset[PointId]:
    series: dict[object, list[PointId]] = {}
    for point in desk.points():
        series.setdefault(point.series_key, []).append(point.id)
    return frozenset(point for points in series.values() for point in points[:-1])


@case
def key_add(scenario: Scenario, folder: Path, patch: pytest.MonkeyPatch) -> tuple[Start, Command]:
    del folder, patch

    def succeeded(desk: Desk, below: Path) -> None:
        del below
        assert desk.opens(NEW_PASSWORD)

    return _start(scenario), Command(lambda desk: desk.add_password(NEW_PASSWORD), succeeded)


@case
def key_remove(
    scenario: Scenario, folder: Path, patch: pytest.MonkeyPatch
) -> tuple[Start, Command]:
    """A rotation: new statement, new epoch, new certificates for the writers that remain."""
    del patch, folder

    def succeeded(desk: Desk, below: Path) -> None:
        assert not desk.opens(SECOND_PASSWORD)
        point = desk.backup(_folder_with(below, {"file": b"after"})).point_id
        assert desk.restore(point, below / "target")

    return _start(scenario), Command(lambda desk: desk.remove_password(SECOND_PASSWORD), succeeded)


@case
def writer_add(
    scenario: Scenario, folder: Path, patch: pytest.MonkeyPatch
) -> tuple[Start, Command]:
    del patch
    new = Desk(scenario.memory, folder / "third", host="third")

    def succeeded(desk: Desk, below: Path) -> None:
        point = desk.backup(_folder_with(below, {"file": b"third"})).point_id
        assert desk.restore(point, below / "target")

    start = Start(objects_of(scenario.memory), new, scenario.contents)
    return start, Command(lambda desk: desk.add_writer(), succeeded)


@case
def gc(scenario: Scenario, folder: Path, patch: pytest.MonkeyPatch) -> tuple[Start, Command]:
    """Packs, refs and sessions to collect, index objects to merge, tombstones of a dead collector.

    Among what stays is a point whose session stored nothing, and the newest one of each series.
    """
    del patch
    desk, memory = scenario.desk, scenario.memory
    source = folder / "diary"
    contents = dict(scenario.contents)
    forgotten = []
    for day in range(7):
        fill(source, {f"day {day}": noise(f"day {day}", 3_000), "last": noise(f"{day}", 500)})
        forgotten.append(desk.backup(source).point_id)
    contents[desk.backup(source).point_id] = listing(source)
    _die_in_backup(desk, source, folder)
    desk.forget(*forgotten[:-1])
    _die_between_forget_and_delete(desk, forgotten[-1])
    return Start(objects_of(memory), desk, contents), Command(
        lambda desk: desk.collect(), lambda desk, _: _nothing_is_wrong(desk)
    )


def _die_in_backup(desk: Desk, source: Path, folder: Path) -> None:
    """Leave two dead sessions: one with packs, and one that came as far as its refs."""
    for word, size in (("/index/", 9_000), ("/points/", 7_000)):
        other = folder / word.strip("/")
        shutil.copytree(source, other)
        fill(other, {"lost": noise(word, size)})
        with suppress(PowerCut):
            desk.on(_DiesAtPut(desk.backend, word)).backup(other)


def _die_between_forget_and_delete(desk: Desk, point: PointId) -> None:
    counting = DyingBackend(desk.backend, dies_before=1, kinds=("delete",))
    with suppress(PowerCut):
        desk.on(counting).forget(point)


class _DiesAtPut(DyingBackend):
    """Cuts the power before the first put of an object whose name holds a word."""

    def __init__(self, inner: StorageBackend, word: str) -> None:
        super().__init__(inner)
        self._word = word

    def put(self, name: str, data: Bytes | Sequence[Bytes]) -> bool:
        if self._word in name:
            self._die()
        return super().put(name, data)


def _nothing_is_wrong(desk: Desk) -> None:
    assert not desk.verify().problems
    assert not desk.verify_blind().problems


# --- the cuts -------------------------------------------------------------------------------------


@dataclass
class Cuts:
    """Does a command over and over, and cuts it short each time a little later."""

    start: Start
    command: Command
    folder: Path
    _restored: set[frozenset[str]] = field(default_factory=set)
    """Storages that earlier points were restored from; reading only, a cut leaves the same one."""
    _turn: int = 0

    def calls(self) -> int:
        """Return how many calls the whole command makes."""
        counting = DyingBackend(backend_of(self.start.objects))
        self.command.run(self._desk(counting, "counted"))
        return counting.calls

    def cut(self, number: int) -> None:
        """Cut the power before call *number*; see whether all is well, then and later."""
        folder = self.folder / str(number)
        folder.mkdir()
        memory = backend_of(self.start.objects)
        desk = self._desk(DyingBackend(memory, dies_before=number), f"{number}/machine")
        with pytest.raises(PowerCut):
            self.command.run(desk)
        self.check_earlier_points(memory, folder)
        self.go_on(desk.after_reboot(memory), folder)
        shutil.rmtree(folder)

    def check_earlier_points(self, memory: MemoryBackend, folder: Path) -> None:
        """Restore, on a machine that has never seen the vault, all that has to be there."""
        stored = frozenset(item.name for item in memory.list(""))
        if stored in self._restored or not self.start.contents:
            return
        self._restored.add(stored)
        stranger = Desk(memory, folder / "stranger", seed="stranger")
        _check_points(stranger, self.start.contents, self.command.may_go, folder)

    def go_on(self, desk: Desk, folder: Path) -> None:
        """Run the same command again, then a gc; nothing may be left over."""
        self.command.run(desk)
        desk.collect()
        left = unreferenced(objects_of(desk.backend))
        assert not left
        _nothing_is_wrong(desk)
        self._turn += 1
        _check_points(desk, self.start.contents, self.command.may_go, folder, turn=self._turn)
        self.command.succeeded(desk, folder)

    def _desk(self, backend: DyingBackend, name: str) -> Desk:
        return self.start.desk.moved(backend, self.folder / name)


def _check_points(
    desk: Desk,
    contents: Mapping[PointId, Listing],
    may_go: frozenset[PointId],
    folder: Path,
    *,
    turn: int | None = None,
) -> None:
    """See whether all points are there and restore them; with *turn*, one of them in turn."""
    visible = {point.id for point in desk.points()}
    assert contents.keys() - may_go <= visible
    chosen = sorted(contents.keys() & visible)
    if turn is not None and chosen:
        chosen = [chosen[turn % len(chosen)]]
    for point in chosen:
        assert desk.restore(point, folder / "restored") == contents[point]


@pytest.fixture
def cuts(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cuts:
    folder = tmp_path / "case"
    folder.mkdir()
    start, command = CASES[request.param](
        build_scenario(tmp_path / "scenario"), folder, monkeypatch
    )
    return Cuts(start, command, tmp_path)


@pytest.mark.parametrize("cuts", CASES, indirect=True, ids=str)
def test_a_power_cut_before_any_call_loses_nothing(
    cuts: Cuts, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = cuts.calls()
    with capsys.disabled():
        print(f"\n{request.node.callspec.id}: {calls} calls of the storage")
    assert calls > 3

    for number in range(1, calls + 1):
        try:
            cuts.cut(number)
        except BaseException as error:
            error.add_note(f"cut before call {number} of {calls}")
            raise
