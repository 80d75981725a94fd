"""Commands are killed at random moments of every phase, and nothing that was there is lost.

After each kill: what was visible still is, every visible point restores identically, and the next
command needs no manual unlock. In the end gc leaves nothing that no point needs.
Moments come from a fixed seed; where a process really was when it died is what it told last.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from doubles.arena import Evolving, Witness, let_days_pass, run_and_kill
from doubles.command_line import CommandLine

SEED = 20_260_301
KILLS = {"suite": 9, "campaign": 29}
"""In each of seven phases: 63 with every run of the tests, 203 in the campaign."""
FIRST_GUESS_SECONDS = 0.02
"""How long a phase takes, until one was seen to its end."""
OVER = 1.1
"""A few kills come just after the end of the phase that was aimed at."""
SOONER, LATER = 0.5, 1.25
"""How the aim is changed by a kill that came after the phase, and by one that met it."""
MOST_ROUNDS = 8
"""For each kill that is wanted: on a busy machine many come too late."""

BACKUP_PHASES = ("reading", "packs", "index", "refs", "point")
DROP_PHASES = ("forget", "prune")
GC_PHASES = ("looking", "refs", "packs", "sessions", "index")


@dataclass
class Arena:
    """One repository with one source, its owner, and what every kill has to leave."""

    folder: Path
    seed: str
    wanted: int
    deaths: Counter[str] = field(default_factory=Counter)
    escaped: int = 0
    spent: dict[str, float] = field(default_factory=dict)
    reach: dict[str, float] = field(default_factory=dict)
    """How far into each phase kills are aimed, in shares of its time."""

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.holdfast = CommandLine(self.folder)
        self.holdfast.init()
        self.source = Evolving(self.folder / "source", self.folder / "kept", "version", self.chance)
        (self.folder / "witness").mkdir()
        self.witness = Witness(self.holdfast.repository, self.source.kept, self.folder / "witness")

    @property
    def backup(self) -> tuple[str | Path, ...]:
        return "backup", self.source.folder, "--tag", self.source.tag

    def backed_up(self) -> None:
        """Back the present version up, without a kill."""
        self.holdfast.done(*self.backup, password=False)

    def kill(
        self,
        words: tuple[str | Path, ...],
        phase: str,
        *,
        password: bool = False,
        may_go: frozenset[str] = frozenset(),
    ) -> bool:
        """Kill a command at a random moment of *phase*; tell whether it died of it.

        Afterwards all points that were visible are, except some of *may_go*, and all restore.
        """
        before = self.witness.visible()
        aim = f"{words[0]} {phase}"
        reach = self.reach.get(aim, OVER)
        expected = self.spent.get(aim, FIRST_GUESS_SECONDS)
        delay = self.chance.uniform(0.0, reach * expected)
        death = run_and_kill(
            self.holdfast, words, phase=phase, delay_seconds=delay, password=password
        )
        is_met = death.is_killed and death.phase == phase
        self.reach[aim] = min(OVER, reach * (LATER if is_met else SOONER))
        for name, seconds in death.spent.items():
            self.spent[f"{words[0]} {name}"] = seconds
        assert death.code in (0, -9), death.err
        after = self.witness.check()
        assert before.keys() - may_go <= after.keys()
        if death.is_killed:
            self.deaths[f"{words[0]}: {death.phase}"] += 1
        else:
            self.escaped += 1
        return death.is_killed

    def nothing_is_left(self) -> None:
        """After one last gc, with old temporary files, nothing is there that nobody needs."""
        for _ in range(2):  # a temporary file goes first, the folder that it leaves empty later
            let_days_pass(self.holdfast.repository)
            self.holdfast.done("gc", "--yes")
        self.holdfast.done("check")
        assert self.holdfast("verify", "--blind").code == 0
        points = self.witness.check()
        assert points
        assert self.witness.left_over() == {}
        # Signs of life go when the storage has nothing of the session any more.
        stored = {path.parent.name for path in self.holdfast.objects("sessions")}
        assert {path.name for path in self.holdfast.home.rglob("alive/*")} <= stored
        assert list(self.holdfast.home.rglob("spool/*")) == []

    def report(self, begun: float) -> str:
        counts = ", ".join(f"{phase} {count}" for phase, count in sorted(self.deaths.items()))
        return (
            f"kills (seed {self.seed!r}): {sum(self.deaths.values())}: {counts}; "
            f"{self.escaped} commands were faster; {self.witness.restores} restores compared; "
            f"{time.monotonic() - begun:.0f} s"
        )


def test_a_backup_keeps_the_opened_index_and_clears_up_after_killed_ones(
    filled: CommandLine,
) -> None:
    """What a killed backup spooled goes at once; the index is not opened anew for it."""
    source = filled.source(more=b"more")
    index = [path for path in filled.home.rglob("*") if path.name == "0.lock"]
    before = [path.stat().st_ino for path in index]
    assert before
    death = run_and_kill(filled, ("backup", source), phase="packs")
    assert death.is_killed
    spools = filled.repository / ".spool"
    assert len(list(spools.iterdir())) == 1

    filled.done("backup", source, password=False)

    assert [path.stat().st_ino for path in index] == before
    assert list(spools.iterdir()) == []


Round = Callable[[Arena], bool]


def _kill_backup(*aims: str) -> Round:
    def one(arena: Arena) -> bool:
        arena.source.change()
        arena.kill(arena.backup, arena.chance.choice(aims))
        arena.backed_up()
        if arena.source.version % 4 == 0:
            arena.holdfast.done("prune", "--keep-last", "2", "--yes")
        if arena.source.version % 12 == 0:
            arena.holdfast.done("gc", "--yes")
        return sum(arena.deaths[f"backup: {aim}"] for aim in aims) >= arena.wanted

    return one


def _kill_forget(arena: Arena) -> bool:
    """Some points are dropped, by name or by rule, and the command is run again after its death."""
    for _ in range(2):
        arena.source.change()
        arena.backed_up()
    visible = list(arena.witness.visible())
    doomed = frozenset(visible[:-2])
    if arena.chance.random() < 0.5:
        words: tuple[str | Path, ...] = ("forget", *sorted(doomed), "--yes")
    else:
        words = ("prune", "--keep-last", "2", "--yes")
    arena.kill(words, str(words[0]), password=True, may_go=doomed)
    left = arena.witness.visible().keys() & doomed
    if left:
        arena.holdfast.done("forget", *sorted(left), "--yes")
    assert not arena.witness.visible().keys() & doomed
    if arena.source.version % 24 == 0:
        arena.holdfast.done("gc", "--yes")
    return arena.deaths["forget: forget"] + arena.deaths["prune: prune"] >= arena.wanted


def _kill_gc(arena: Arena) -> bool:
    """There is something to collect nearly always: dropped points, what a killed backup left."""
    arena.source.change()
    run_and_kill(arena.holdfast, arena.backup, phase=arena.chance.choice(("index", "refs")))
    arena.backed_up()
    arena.holdfast.done("prune", "--keep-last", "2", "--yes")
    arena.kill(("gc", "--yes"), arena.chance.choice(GC_PHASES), password=True)
    if arena.source.version % 5 == 0:
        arena.nothing_is_left()
    return (
        sum(count for name, count in arena.deaths.items() if name.startswith("gc: "))
        >= arena.wanted
    )


ROUNDS: dict[str, Round] = {
    "before-the-first-pack": _kill_backup("session", "reading"),
    "packs": _kill_backup("packs"),
    "index": _kill_backup("index"),
    "refs": _kill_backup("refs"),
    "point": _kill_backup("point"),
    "forget": _kill_forget,
    "gc": _kill_gc,
}


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["suite", pytest.param("campaign", marks=pytest.mark.campaign)])
@pytest.mark.parametrize("phase", ROUNDS)
def test_a_kill_at_any_moment_loses_nothing_that_was_there(
    phase: str, scope: str, tmp_path: Path
) -> None:
    """One phase after the other, each with a repository that many kills have gone over."""
    begun = time.monotonic()
    arena = Arena(tmp_path, f"{SEED} {phase}", KILLS[scope])
    arena.backed_up()

    for _ in range(MOST_ROUNDS * arena.wanted):
        if ROUNDS[phase](arena):
            break
    else:
        pytest.fail(f"too few died where they were to die: {arena.report(begun)}")

    arena.nothing_is_left()
    print(f"{phase}: {arena.report(begun)}")  # noqa: T201 - the seed and what was counted
