"""Restores while upkeep runs: what they read stays, and not a day longer."""

import os
import signal
import subprocess
import time

import pytest

from doubles.command_line import CommandLine


@pytest.fixture
def many(ready: CommandLine) -> CommandLine:
    """A restore of the one point goes on for a second or two."""
    source = ready.folder / "many"
    source.mkdir()
    for number in range(5000):
        (source / f"{number}").write_bytes(os.urandom(2000))
    ready.done("backup", source, password=False)
    return ready


def restoring(line: CommandLine) -> subprocess.Popen[bytes]:
    """Begin a restore and return when it has said so in the repository."""
    before = set(line.objects("leases"))
    process = subprocess.Popen(
        line.command("restore", "latest", "--to", "again", "--verify"),
        cwd=line.folder,
        stderr=subprocess.PIPE,
        env={**line.environment, "HOLDFAST_PASSWORD_FILE": str(line.password_file)},
    )
    deadline = time.monotonic() + 60
    while set(line.objects("leases")) == before and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def test_a_restore_comes_to_its_end_though_its_point_is_forgotten_and_gc_runs(
    many: CommandLine,
) -> None:
    process = restoring(many)
    process.send_signal(signal.SIGSTOP)
    point = many.done("points", "--json").document["points"][0]["id"]
    many.done("forget", point, "--yes")
    meanwhile = many.done("gc", "--yes").out
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=120)

    assert process.returncode == 0, err
    assert len(list((many.folder / "again").rglob("[0-9]*"))) == 5000
    assert "1 session of backups, restores or gcs may still run" in meanwhile
    many.done("gc", "--yes")
    assert not many.objects("packs")


def test_gc_knows_at_once_that_a_killed_restore_of_this_machine_reads_no_more(
    many: CommandLine,
) -> None:
    process = restoring(many)
    process.kill()
    process.communicate(timeout=120)
    many.done("forget", "latest", "--yes")
    many.done("gc", "--yes")

    assert not many.objects("packs")
    assert not many.objects("leases")
