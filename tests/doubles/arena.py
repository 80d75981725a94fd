"""Real processes on one repository in a folder, killed at will, and a witness of what they leave.

Every backup is tagged with the version of its source, and a copy of each version is kept. So
whatever restore point becomes visible, and whenever, it is known what has to come back from it.
"""

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from doubles.command_line import PASSWORD, CommandLine
from doubles.reach import unreferenced
from holdfast.base.clock import SystemClock
from holdfast.base.progress import Silence
from holdfast.crypto.randomness import SystemRandom
from holdfast.keys.keyring import ReadRing
from holdfast.keys.unlockers import PasswordUnlocker, Unlocker
from holdfast.operations.context import Context
from holdfast.operations.point_reader import open_point
from holdfast.recovery.files import FileRestore, RestoreWish
from holdfast.storage.address import open_backend
from holdfast.vault.local import LocalFolders
from holdfast.vault.point_loading import load_points
from holdfast.vault.points import RestorePoint
from holdfast.vault.repository import open_repository
from holdfast.vault.states import ClosedVault, ReadableVault

COMPARE = Path(__file__).resolve().parents[2] / "tools" / "compare-trees"
SPOOL_AGE_SECONDS = 2 * 24 * 3600
"""Older than what gc takes for left behind."""
_SILENCE_SECONDS = 60.0
"""A command that says nothing for so long hangs."""


def differences(one: Path, other: Path, *ignored: str) -> str:
    """Return what compare-trees says of two folders; empty if they are the same."""
    options = [word for field_name in ignored for word in ("--ignore", field_name)]
    answer = subprocess.run(
        [sys.executable, str(COMPARE), *options, str(one), str(other)],
        check=False,
        capture_output=True,
        text=True,
        errors="backslashreplace",
    )
    return "" if answer.returncode == 0 else answer.stdout + answer.stderr


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder with all that cp can copy, holes and hard links among it."""
    subprocess.run(["cp", "-a", "--sparse=always", f"{source}/.", str(target)], check=True)


@dataclass
class Evolving:
    """A small folder that changes from version to version, with a copy of each that counts.

    A part of it is the same in all folders of one *family*, so that their writers share packs.
    """

    folder: Path
    kept: Path
    name: str
    chance: random.Random
    version: int = 0

    def __post_init__(self) -> None:
        self.kept.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(parents=True)
        common = random.Random("in every source")
        for number in range(4):
            (self.folder / f"common-{number}").write_bytes(common.randbytes(40_000))
        for number in range(16):
            below = self.folder / f"folder-{number % 4}"
            below.mkdir(exist_ok=True)
            self._write(below / f"file-{number}")
        (self.folder / "folder-0" / "link").symlink_to("file-0")
        os.link(self.folder / "folder-1" / "file-1", self.folder / "folder-2" / "hard-link")
        os.mkfifo(self.folder / "fifo")
        with (self.folder / "holes").open("wb") as sparse:
            sparse.truncate(300_000)
            sparse.seek(150_000)
            sparse.write(b"in the middle")
        self.keep()

    @property
    def tag(self) -> str:
        """What a backup of the present version is tagged with."""
        return f"{self.name}-{self.version}"

    def change(self) -> None:
        """Change, remove and add a few files, and keep a copy."""
        self.version += 1
        files = sorted(
            path
            for path in self.folder.rglob("file-*")
            if path.is_file() and not path.is_symlink() and path.stat().st_nlink == 1
        )
        for path in self.chance.sample(files, min(3, len(files))):
            self._write(path)
        if len(files) > 12:
            self.chance.choice(files).unlink()
        self._write(self.folder / f"folder-{self.version % 4}" / f"file-new-{self.version}")
        self.keep()

    def keep(self) -> None:
        """Keep a copy of the present version, for ever."""
        copy_tree(self.folder, self.kept / self.tag)

    def _write(self, path: Path) -> None:
        path.write_bytes(self.chance.randbytes(self.chance.choice((0, 100, 3_000, 60_000))))


@dataclass(frozen=True)
class Death:
    """How a process ended.

    *phase* is the last that it told; *code* is its exit status, negative for a signal; *spent* says
    for each phase that came to its end how many seconds it took.
    """

    phase: str
    code: int
    spent: Mapping[str, float]
    err: str

    @property
    def is_killed(self) -> bool:
        """Whether the signal came before the end."""
        return self.code == -signal.SIGKILL


def run_and_kill(
    holdfast: CommandLine,
    words: tuple[str | Path, ...],
    *,
    phase: str | None,
    delay_seconds: float = 0.0,
    password: bool = False,
) -> Death:
    """Start a command with ``--json``; kill it *delay_seconds* after it tells that *phase* begins.

    With None it is not killed.
    """
    environment = dict(holdfast.environment)
    if password:
        environment["HOLDFAST_PASSWORD_FILE"] = str(holdfast.password_file)
    process = subprocess.Popen(
        holdfast.command("--json", *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=holdfast.folder,
        env=environment,
    )
    told: list[tuple[str, float]] = []
    try:
        for event in _events(process):
            if event.get("type") != "progress":
                continue
            if not told or told[-1][0] != event["phase"]:
                told.append((event["phase"], time.monotonic()))
            if event["phase"] == phase:
                time.sleep(delay_seconds)
                process.kill()
        ended = time.monotonic()
        assert process.stderr is not None
        err = process.stderr.read().decode("utf-8", "replace")
        code = process.wait(_SILENCE_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    after = [*(moment for _, moment in told[1:]), ended]
    spent: dict[str, float] = {}
    # A command that has nothing to do tells no phase.
    for (name, begun), end in zip(told, after, strict=False):
        if code == 0 or end is not ended:
            spent[name] = spent.get(name, 0.0) + end - begun
    return Death(told[-1][0] if told else "", code, spent, err)


def _events(process: "subprocess.Popen[bytes]") -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    descriptor, waiting = process.stdout.fileno(), b""
    while True:
        ready, _, _ = select.select([descriptor], [], [], _SILENCE_SECONDS)
        assert ready, f"a command has been silent for {_SILENCE_SECONDS} s: {process.args!r}"
        data = os.read(descriptor, 65536)
        *lines, waiting = (waiting + data).split(b"\n")
        for line in lines:
            yield json.loads(line)
        if not data:
            return


@dataclass
class Witness:
    """Looks at the repository from a machine of its own, and knows what every point has to hold.

    It asks for the password once, so that looking is cheap.
    """

    repository: Path
    kept: Path
    folder: Path
    _ring: ReadRing | None = None
    restores: int = 0
    compared: dict[str, int] = field(default_factory=dict)

    def visible(self) -> dict[str, str]:
        """Return the visible points, oldest first, each with the tag of its version."""
        with self._opened() as (vault, _):
            return {point.id.hex(): _tag(point) for point in load_points(vault).points}

    def check(self) -> dict[str, str]:
        """Restore every visible point and compare it with the version kept; return the points."""
        with self._opened() as (vault, context):
            listed = load_points(vault)
            assert not listed.problems, listed.problems
            for point in listed.points:
                target = self.folder / "restored"
                wish = RestoreWish(target=target)
                restore = FileRestore.planned(wish, point.opened().root)
                with (
                    open_point(vault, point, context, Silence()) as reader,
                    restore.open_target() as (descriptor, rules),
                ):
                    reader.pumped(
                        reader.engine.restore(reader.root, restore.below, descriptor, rules)
                    )
                found = differences(self.kept / _tag(point), Path(os.fsdecode(restore.folder)))
                assert found == "", f"point {point.id.hex()}, {_tag(point)}: {found}"
                shutil.rmtree(target)
                self.restores += 1
            return {point.id.hex(): _tag(point) for point in listed.points}

    def left_over(self) -> dict[str, str]:
        """Return what the repository holds and nobody needs, each with the reason."""
        objects: dict[str, bytes] = {}
        found: dict[str, str] = {}
        for path in sorted(self.repository.rglob("*")):
            name = str(path.relative_to(self.repository))
            if path.is_file() and not name.startswith(".") and "/." not in name:
                objects[name] = path.read_bytes()
            elif not path.is_dir():
                found[name] = "temporary file"
            elif name != ".spool" and next(path.iterdir(), None) is None:
                found[name] = "empty folder"
        return {**found, **unreferenced(objects)}

    @contextmanager
    def _opened(self) -> Iterator[tuple[ReadableVault, Context]]:
        context = Context(
            clock=SystemClock(),
            random=SystemRandom(),
            folders=LocalFolders(*(self.folder / name for name in ("config", "state", "cache"))),
            host="witness",
            secrets=_Nobody(),
            warn=lambda _text: None,
        )
        backend = open_backend(str(self.repository), clock=context.clock, random=context.random)
        try:
            repository = open_repository(backend, context.clock)
            (vault_id,) = repository.vaults
            closed = ClosedVault.load(repository, vault_id, context.machine)
            if self._ring is None:
                self._ring = closed.unlock([PasswordUnlocker(PASSWORD)]).ring
            yield closed.opened(self._ring), context
        finally:
            backend.close()


class _Nobody:
    """Knows no secret: whoever looks has opened the vault already."""

    is_given = False
    can_ask = False

    def given(self) -> Sequence[Unlocker]:
        return ()

    def attempts(
        self, hints: Sequence[str], *, may_skip: bool = False
    ) -> Iterator[Sequence[Unlocker]]:
        raise AssertionError(hints, may_skip)

    def new_unlocker(self, what: str) -> Unlocker:
        raise AssertionError(what)


def _tag(point: RestorePoint) -> str:
    (tag,) = point.opened().tags
    return tag


def let_days_pass(*folders: Path) -> None:
    """Make everything below *folders* look as old as what gc sweeps if it is temporary or empty."""
    then = time.time() - SPOOL_AGE_SECONDS
    for folder in folders:
        for path in folder.rglob("*"):
            os.utime(path, (then, then), follow_symlinks=False)
