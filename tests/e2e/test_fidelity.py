"""What comes back is what was there, in everything that ``tools/compare-trees`` compares.

Nothing is ignored: sockets come back too.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from doubles.arena import copy_tree, differences, run_and_kill
from doubles.command_line import CommandLine
from doubles.mounts import mounted, needs_mounts
from doubles.trees import (
    build_hostile_tree,
    build_small_tree,
    disposable_folder,
    mutate_tree,
)

IS_ROOT = os.geteuid() == 0
MEMORY_LIMIT_BYTES = 300 << 20
"""What a backup of 100,000 files may take."""
MIB = 1 << 20


@dataclass(frozen=True)
class Measured:
    """A command that ran to its end, and the most memory that it had at once."""

    code: int
    summary: dict[str, Any]
    memory_bytes: int
    err: str


_BETWEEN = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(process.pid, 0)
open(sys.argv[1], "w").write(str(usage.ru_maxrss))
os._exit(os.waitstatus_to_exitcode(status))
"""
"""A process inherits the high-water mark of the one that starts it: this one is small."""


def measured(holdfast: CommandLine, *words: str | Path) -> Measured:
    """Run a command with ``--json``; its memory is counted by the kernel."""
    environment = {**holdfast.environment, "HOLDFAST_PASSWORD_FILE": str(holdfast.password_file)}
    out, err = holdfast.folder / "out.log", holdfast.folder / "err.log"
    cost = holdfast.folder / "cost"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        done = subprocess.run(
            [sys.executable, "-S", "-c", _BETWEEN, str(cost), *holdfast.command("--json", *words)],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            cwd=holdfast.folder,
        )
    lines = out.read_text(encoding="utf-8").splitlines()
    summary = json.loads(lines[-1]) if lines else {}
    return Measured(
        done.returncode,
        summary,
        int(cost.read_text()) * 1024,
        err.read_text(encoding="utf-8"),
    )


def tagged(holdfast: CommandLine, tag: str, *, password: bool = True) -> str:
    """Return the id of the point with a tag."""
    points = holdfast.done("points", "--json", password=password).document["points"]
    (found,) = [point["id"] for point in points if point["tags"] == [tag]]
    return str(found)


# --- trees --------------------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", ["gcm", "cbc", "none"])
def test_a_small_tree_and_its_next_version_come_back(cipher: str, holdfast: CommandLine) -> None:
    """Both points of the same series, the older one after the newer."""
    password = cipher != "none"
    holdfast.done("init", "--cipher", cipher, password=password)
    source, kept = holdfast.folder / "source", holdfast.folder / "kept"
    build_small_tree(source, seed=7)
    build_small_tree(kept, seed=7)
    holdfast.done("backup", source, "--tag", "one", password=False)
    mutate_tree(source, seed=8)
    holdfast.done("backup", source, "--tag", "two", password=False)

    for tag, original in (("two", source), ("one", kept)):
        target = holdfast.folder / tag
        point = tagged(holdfast, tag, password=password)
        holdfast.done("restore", point, "--to", target, "--verify", password=password)
        assert differences(original, Path(f"{target}{source}")) == ""


@pytest.mark.slow
def test_whatever_a_file_system_holds_comes_back(ready: CommandLine) -> None:
    """Names in any bytes, paths beyond PATH_MAX, capabilities, ACLs, holes, 100,000 files.

    As root with all that only root can make; as anybody else without it. The memory of a backup is
    bounded, and a second point after changes comes back too.
    """
    with disposable_folder(ready.folder) as folder:
        source = folder / "source"
        refused = build_hostile_tree(source, privileged=IS_ROOT)
        first = measured(ready, "backup", source, "--tag", "one")
        assert first.code == (0 if IS_ROOT else 3), first.err
        assert first.memory_bytes <= MEMORY_LIMIT_BYTES
        if not IS_ROOT:
            # A file and a folder without any permission.
            assert first.summary["findings"] == 2
            _open_up(source)
            ready.done("backup", source, "--tag", "one-open", password=False)
        tag = "one" if IS_ROOT else "one-open"
        target = folder / "one"
        restored = measured(ready, "restore", tagged(ready, tag), "--to", target)
        assert restored.code == 0, restored.err
        assert differences(source, Path(f"{target}{source}")) == ""

        for name in ("sizes", "links", "names", "xattrs"):
            mutate_tree(source / name, seed=5)
        for number in range(0, 100_000, 1000):
            (source / "big" / f"file-{number:06}").write_bytes(b"changed")
            (source / "big" / f"file-{number + 1:06}").unlink()
        second = measured(ready, "backup", source, "--tag", "two")
        assert second.code == 0, second.err
        assert second.memory_bytes <= MEMORY_LIMIT_BYTES
        target = folder / "two"
        assert measured(ready, "restore", tagged(ready, "two"), "--to", target).code == 0
        assert differences(source, Path(f"{target}{source}")) == ""
        print(  # noqa: T201 - what was counted
            f"{first.summary['files']} files; memory of backups {first.memory_bytes / MIB:.0f} and "
            f"{second.memory_bytes / MIB:.0f} MiB, of a restore {restored.memory_bytes / MIB:.0f} "
            f"MiB; refused by this file system: {refused}"
        )


def _open_up(source: Path) -> None:
    """Let the owner read what nobody but root could."""
    for name in ("file-0000", "folder-without-permissions"):
        path = source / "modes" / name
        before = path.parent.stat()
        path.chmod(0o700)
        os.utime(path.parent, ns=(before.st_atime_ns, before.st_mtime_ns))


# --- a source that does not hold still ----------------------------------------------------------


@contextmanager
def meddling(meddle: Callable[[], None]) -> Iterator[None]:
    """Do something again and again, as fast as it goes, in a thread."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            meddle()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_files_that_change_shrink_or_vanish_while_they_are_read_are_findings(
    ready: CommandLine,
) -> None:
    """The point is made with the rest, exit status 3 names them, and nothing is ever aborted."""
    source = ready.source(calm=b"calm", **{"deep/calm": b"calm too"})
    grows, shrinks, leaves = source / "grows", source / "shrinks", source / "leaves"
    names = [leaves / f"{number:04}" for number in range(400)]
    chance = random.Random("meddling")
    noise = chance.randbytes(6 * MIB)
    leaves.mkdir()
    grows.write_bytes(noise)

    def meddle() -> None:
        with grows.open("ab") as file:
            file.write(b"more")
        shrinks.write_bytes(noise)
        os.truncate(shrinks, chance.randrange(2 * MIB))
        for path in chance.sample(names, 40):
            with suppress(FileNotFoundError):
                path.unlink()
        for path in chance.sample(names, 80):
            path.write_bytes(b"here for a moment")

    seen: set[str] = set()
    with meddling(meddle):
        deadline = time.monotonic() + 60
        while not seen >= {"changed", "vanished"} and time.monotonic() < deadline:
            answer = ready("--json", "backup", source)
            findings = [event for event in answer.events if event["type"] == "finding"]
            assert answer.code == (3 if findings else 0), answer.err
            assert answer.document["findings"] == len(findings)
            for finding in findings:
                assert finding["path"].partition("/")[0] in {"grows", "shrinks", "leaves"}
                seen.add(finding["code"])

    assert seen == {"changed", "vanished"}
    ready.done("verify")
    for point in ready.done("points", "--json").document["points"]:
        target = ready.folder / point["id"]
        ready.done("restore", point["id"], "--to", target, "--verify")
        assert (Path(f"{target}{source}") / "calm").read_bytes() == b"calm"
        assert (Path(f"{target}{source}") / "deep" / "calm").read_bytes() == b"calm too"


def test_a_command_that_dies_of_a_signal_makes_no_point(ready: CommandLine) -> None:
    """Its output was whole until then; that is no reason to believe it."""
    script = f"head -c {3 * MIB} /dev/urandom; kill -KILL $$"

    answer = ready("backup", "--name", "dump", "--from-command", "--", "sh", "-c", script)

    assert answer.code == 1
    assert "signal" in answer.err
    assert ready.done("points", "--json").document["points"] == []


def test_a_long_stream_comes_back_byte_for_byte(ready: CommandLine) -> None:
    """Through a pipe, from a command and from standard input; the second time nothing is new."""
    data = random.Random("stream").randbytes(20 * MIB + 1)
    (ready.folder / "data").write_bytes(data)
    words = ("backup", "--name", "dump", "--from-command", "--", "cat", ready.folder / "data")
    ready.done(*words, password=False)
    again = ready("--json", "backup", "--stdin", "--name", "dump", stdin=data)
    assert again.code == 0
    assert again.document["new_raw_bytes"] < 100_000

    ready.done("restore", "latest:dump", "--to", ready.folder / "x")

    assert (ready.folder / "x" / "dump").read_bytes() == data


# --- what is taken ------------------------------------------------------------------------------


def listed(holdfast: CommandLine, source: Path) -> set[str]:
    """Return the paths below *source* in the newest point."""
    entries = holdfast.done("ls", "latest", "--recursive", "--json").document["entries"]
    return {
        os.path.relpath(entry["path"], source)
        for entry in entries
        if Path(entry["path"]) != source and Path(entry["path"]).is_relative_to(source)
    }


def test_patterns_and_marks_leave_out_what_they_name(ready: CommandLine) -> None:
    """As in .gitignore, by CACHEDIR.TAG, by another mark, and by size."""
    source = ready.source(
        **{
            "a.log": b"1",
            "keep.log": b"2",
            "sub/b.log": b"3",
            "sub/b.txt": b"4",
            "cache/CACHEDIR.TAG": b"Signature: 8a477f597d28d172789f06886806bc55\n",
            "cache/made": b"5",
            "marked/.nobackup": b"",
            "marked/secret": b"6",
            "huge": b"7" * 2_000_000,
            "build/x": b"8",
            "sub/build/x": b"9",
        }
    )
    patterns = ready.folder / "patterns"
    patterns.write_text("# a remark\n*.log\n!keep.log\n", encoding="utf-8")
    words = ["--exclude-from", patterns, "--exclude", "/build/", "--exclude-caches"]
    words += ["--exclude-if-present", ".nobackup", "--exclude-larger-than", "1M"]

    ready.done("backup", source, *words, password=False)

    found = listed(ready, source)
    files = {name for name in found if (source / name).is_file()}
    assert files - {"cache/CACHEDIR.TAG", "marked/.nobackup"} == {
        "keep.log",
        "sub/b.txt",
        "sub/build/x",
    }


def test_several_paths_and_a_single_file_come_back_with_what_leads_to_them(
    ready: CommandLine,
) -> None:
    """The folders on the way keep their metadata; what was not named stays away."""
    source = ready.source(**{"a/x": b"x", "b/deep/y": b"y", "c/z": b"z"})
    (source / "b").chmod(0o750)
    os.utime(source / "b", ns=(1, 1_234_567_890_123_456_789))
    ready.done("backup", source / "a" / "x", source / "b", password=False)
    ready.done("backup", source / "c" / "z", "--source", "one", password=False)

    ready.done("restore", "latest", "--source", "one", "--to", ready.folder / "one")
    other = ready.done("points", "--json").document["points"][0]["id"]
    ready.done("restore", other, "--to", ready.folder / "two")

    assert Path(f"{ready.folder}/one{source}/c/z").read_bytes() == b"z"
    assert not Path(f"{ready.folder}/one{source}/a").exists()
    assert differences(source / "b", Path(f"{ready.folder}/two{source}/b")) == ""
    assert not Path(f"{ready.folder}/two{source}/c").exists()


@needs_mounts
def test_other_file_systems_are_left_out_when_asked(ready: CommandLine) -> None:
    """The folder on which one is mounted is there, and empty."""
    source = ready.source(**{"here/x": b"x", "mounted/below": b"hidden by the mount"})
    with mounted(source / "mounted") as other:
        (other / "elsewhere").write_bytes(b"y")
        ready.done("backup", "-x", source, password=False)
        assert listed(ready, source) == {"here", "here/x", "mounted"}
        ready.done("backup", source, password=False)
        assert listed(ready, source) == {"here", "here/x", "mounted", "mounted/elsewhere"}


# --- putting back -------------------------------------------------------------------------------


def test_overwrite_rules_decide_what_becomes_of_files_that_are_there(ready: CommandLine) -> None:
    """Never, if-changed, always; --delete takes away what the point does not have."""
    source = ready.source(same=b"same", changed=b"right", gone=b"gone")
    ready.done("backup", source, password=False)
    before = ready.folder / "before"
    copy_tree(source, before)
    same_inode = (source / "same").stat().st_ino

    def spoil() -> None:
        (source / "changed").write_bytes(b"wrong")
        (source / "gone").unlink(missing_ok=True)
        (source / "extra").write_bytes(b"extra")

    spoil()
    ready.done("restore", "latest", "--in-place", "--overwrite", "never", "--yes")
    assert (source / "changed").read_bytes() == b"wrong"
    assert (source / "gone").read_bytes() == b"gone"

    spoil()
    ready.done("restore", "latest", "--in-place", "--overwrite", "if-changed", "--yes")
    assert (source / "changed").read_bytes() == b"right"
    assert (source / "same").stat().st_ino == same_inode
    assert (source / "extra").exists()

    # As long as before and as old: only reading it can tell.
    stamp = (source / "changed").stat().st_mtime_ns
    (source / "changed").write_bytes(b"WRONG")
    os.utime(source / "changed", ns=(stamp, stamp))
    ready.done("restore", "latest", "--in-place", "--overwrite", "always", "--delete", "--yes")
    assert differences(before, source) == ""


def test_a_restore_that_was_killed_is_finished_by_the_next(ready: CommandLine) -> None:
    """At ten moments; without a rule for what is there already it is refused, with a hint.

    On a busy machine a kill may come too late: then the next one is aimed sooner, from the start.
    """
    source = ready.folder / "source"
    build_small_tree(source, seed=3)
    (source / "big").write_bytes(random.Random("big").randbytes(30 * MIB))
    ready.done("backup", source, password=False)
    target = ready.folder / "target"
    began = time.monotonic()
    ready.done("restore", "latest", "--to", ready.folder / "measure")
    chance, killed = random.Random("restore"), 0
    latest_seconds = 0.6 * (time.monotonic() - began)
    for _ in range(40):
        words: tuple[str | Path, ...] = ("restore", "latest", "--to", target)
        if target.exists():
            words += ("--overwrite", "if-changed", "--yes")
        delay = chance.uniform(0.0, latest_seconds)
        death = run_and_kill(ready, words, phase="restore", delay_seconds=delay, password=True)
        assert death.code in (0, -signal.SIGKILL), death.err
        killed += death.is_killed
        if killed == 10:
            break
        if not death.is_killed:
            shutil.rmtree(target)
            latest_seconds /= 2
    assert killed == 10

    refused = ready("restore", "latest", "--to", target, password=True)
    assert refused.code == 2
    assert "--overwrite" in refused.err
    words = ("restore", "latest", "--to", target, "--overwrite", "if-changed", "--verify", "--yes")
    ready.done(*words)
    assert differences(source, Path(f"{target}{source}")) == ""


@needs_mounts
def test_a_restore_onto_a_full_disk_says_so_and_goes_on_when_there_is_room(
    ready: CommandLine,
) -> None:
    """One clear error; what is whole stays, and the next run does the rest."""
    source = ready.folder / "source"
    build_small_tree(source, seed=4)
    (source / "big").write_bytes(random.Random("big").randbytes(12 * MIB))
    ready.done("backup", source, password=False)
    with mounted(ready.folder / "disk", "size=12m") as disk:
        target = disk / "target"
        full = ready("restore", "latest", "--to", target, password=True)
        assert full.code in (1, 3)
        assert "No space left" in full.err
        assert "Traceback" not in full.err

        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        words = ("restore", "latest", "--to", target, "--overwrite", "if-changed", "--verify")
        ready.done(*words, "--yes")
        assert differences(source, Path(f"{target}{source}")) == ""
