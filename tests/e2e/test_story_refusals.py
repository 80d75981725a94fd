"""Bad input: each refusal is a sentence with a code, and leaves everything as it was."""

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from doubles.command_line import CommandLine
from doubles.mounts import mounted, needs_mounts


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_no_repository_there_is_exit_code_10(holdfast: CommandLine) -> None:
    """A folder that is not there, and one that is empty."""
    absent = holdfast("points")
    holdfast.repository.mkdir()
    empty = holdfast("points")

    assert (absent.code, empty.code) == (10, 10)
    assert "H214" in absent.err
    assert "H600" in empty.err


def test_a_folder_that_is_something_else_is_said_to_be_that(holdfast: CommandLine) -> None:
    """And it is never made a repository."""
    holdfast.repository.mkdir()
    (holdfast.repository / "letter.txt").write_text("Dear", encoding="utf-8")

    assert holdfast("points").code == 10
    refused = holdfast("init", password=True)
    assert refused.code == 10
    assert [path.name for path in holdfast.repository.iterdir()] == ["letter.txt"]


def test_init_on_a_repository_is_refused(filled: CommandLine) -> None:
    """Nothing of it changes."""
    before = snapshot(filled.repository)

    answer = filled("init", password=True)

    assert answer.code == 2
    assert "H602" in answer.err
    assert snapshot(filled.repository) == before


def test_nobody_named_a_repository(holdfast: CommandLine) -> None:
    """A usage error with a hint."""
    answer = holdfast("points", environment={"HOLDFAST_REPOSITORY": ""})

    assert answer.code == 2
    assert "-r" in answer.err


def test_an_address_with_a_password_is_refused_and_not_repeated(holdfast: CommandLine) -> None:
    """Addresses are printed and logged."""
    answer = holdfast("points", "-r", "sftp://me:hunter2@host/path")

    assert answer.code == 2
    assert "hunter2" not in answer.err


def test_a_path_that_does_not_exist_is_named(ready: CommandLine) -> None:
    """Before anything is stored."""
    answer = ready("backup", ready.folder / "nowhere")

    assert answer.code == 1
    assert "nowhere" in answer.err
    assert ready.objects("sessions") == []


def test_an_empty_source_is_refused_unless_it_is_meant(ready: CommandLine) -> None:
    """It is nearly always a disk that is not mounted."""
    empty = ready.folder / "empty"
    empty.mkdir()

    assert ready("backup", empty).code == 2
    assert ready("backup").code == 2
    assert ready("backup", "--allow-empty", empty).code == 0


def test_a_restore_target_that_is_not_empty_is_refused(filled: CommandLine) -> None:
    """Unless a rule says what becomes of what is there."""
    target = filled.folder / "target"
    target.mkdir()
    (target / "mine").write_text("mine", encoding="utf-8")

    refused = filled("restore", "latest", "--to", target, password=True)
    allowed = filled("restore", "latest", "--to", target, "--overwrite", "never", password=True)

    assert refused.code == 2
    assert "H750" in refused.err
    assert allowed.code == 0
    assert (target / "mine").read_text(encoding="utf-8") == "mine"


def test_a_point_or_path_that_is_not_there_is_named(filled: CommandLine) -> None:
    """With what to do instead."""
    assert "H611" in filled("ls", "abcdef12", password=True).err
    assert "H752" in filled("ls", "latest:nothing", password=True).err
    assert "H752" in filled("restore", "latest:/elsewhere", "--to", "x", password=True).err


def test_latest_of_several_series_is_refused_with_their_list(filled: CommandLine) -> None:
    """Which of them is meant is for people to say."""
    filled.done("backup", filled.source(), "--source", "other", password=False)

    refused = filled("ls", "latest", password=True)

    assert refused.code == 2
    assert "other" in refused.err
    assert filled("ls", "latest", "--source", "other", password=True).code == 0


def test_damage_is_named_with_the_points_that_it_touches(filled: CommandLine) -> None:
    """With and without a key; and a check that reads no contents says so."""
    pack = filled.objects("packs")[0]
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)

    verified = filled("verify", "--json", password=True)
    blind = filled("verify", "--blind")

    assert verified.code == 20
    problem = verified.document["vaults"][0]["problems"][0]
    assert problem["object"].endswith(pack.name)
    assert len(problem["points"]) == 1
    assert verified.error["code"] == "H912"
    assert blind.code == 20
    assert pack.name in blind.out


def test_a_missing_vault_object_is_damage_for_verify(filled: CommandLine) -> None:
    """Not an absence: everything else is still there."""
    next(filled.repository.glob("vaults/*/vault")).unlink()

    answer = filled("verify", "--blind")

    assert answer.code == 20


def test_a_newer_format_is_refused_with_a_clear_sentence(filled: CommandLine) -> None:
    """Not taken for damage."""
    # Version byte of the marker's frame, and the hash at its end to fit: else it is only damaged.
    marker = filled.repository / "holdfast-repository"
    data = bytearray(marker.read_bytes())
    data[9] = 1
    data[-32:] = hashlib.sha256(data[:-32]).digest()
    marker.chmod(0o600)
    marker.write_bytes(data)

    answer = filled("points")

    assert answer.code in {1, 20}
    assert "newer" in answer.err


def test_an_unknown_command_gets_one_clear_sentence(holdfast: CommandLine) -> None:
    """What is not built yet does not pretend to be."""
    answer = holdfast("mount", "/mnt")

    assert answer.code == 2
    assert answer.out == ""
    assert "no command 'mount'" in answer.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_repository_that_takes_no_writes_refuses_a_backup(filled: CommandLine) -> None:
    """And can still be restored from."""
    for folder in [*filled.repository.rglob("*"), filled.repository]:
        if folder.is_dir():
            folder.chmod(0o500)
    try:
        answer = filled("backup", filled.source())
        restored = filled("restore", "latest", "--to", filled.folder / "x", password=True)
    finally:
        for folder in [filled.repository, *filled.repository.rglob("*")]:
            if folder.is_dir():
                folder.chmod(0o700)

    assert answer.code == 1
    assert restored.code == 0


def fill(path: Path, but_for_bytes: int) -> None:
    """Let the file *path* take what is left of its file system, *but_for_bytes*."""
    found = os.statvfs(path.parent)
    path.write_bytes(bytes(found.f_bavail * found.f_frsize - but_for_bytes))


@needs_mounts
def test_a_full_disk_is_said_and_leaves_everything_readable(holdfast: CommandLine) -> None:
    """The point before is whole, and after making room the same command succeeds."""
    with mounted(holdfast.repository, "size=12m"):
        holdfast.init()
        source = holdfast.source()
        holdfast.done("backup", source, password=False)
        (source / "big").write_bytes(os.urandom(20_000_000))

        full = holdfast("backup", source)
        assert full.code == 1
        assert f"The repository at '{holdfast.repository}' has no room left. [H210]" in full.err
        assert ".spool" not in full.err
        assert len(holdfast.done("points", "--json").document["points"]) == 1
        holdfast.done("verify")
        (source / "big").unlink()
        holdfast.done("gc", "--yes")
        holdfast.done("backup", source, password=False)


@needs_mounts
def test_a_full_disk_takes_no_repository_and_nothing_is_left_of_it(holdfast: CommandLine) -> None:
    """However far it came; with room the same command makes one."""
    with mounted(holdfast.folder / "disk", "size=12m") as disk:
        repository = disk / "deep" / "repository"
        for free_bytes in (0, 4096, 8192, 12288):
            fill(disk / "other", free_bytes)
            full = holdfast("init", "-r", repository, password=True)
            assert full.code == 1
            assert f"There is no room for a repository at '{repository}'. [H210]" in full.err
            assert [path.name for path in disk.iterdir()] == ["other"]
            assert not list(holdfast.home.glob(".config/holdfast/writers/*"))
            (disk / "other").unlink()

        holdfast.done("init", "-r", repository)


@needs_mounts
def test_a_disk_that_others_filled_needs_little_room_for_upkeep(holdfast: CommandLine) -> None:
    """Each command that finds none says so and changes nothing; 64 KiB are enough here."""
    with mounted(holdfast.folder / "disk", "size=12m") as disk:
        holdfast.environment["HOLDFAST_REPOSITORY"] = str(disk / "repository")
        holdfast.init()
        for name in ("first", "second"):
            source = holdfast.source(only=name.encode() + os.urandom(3_000_000))
            holdfast.done("backup", source, password=False)
        fill(disk / "other", 0)
        before = snapshot(disk)
        for words in (["backup", source], ["forget", "latest", "--yes"]):
            full = holdfast(*words, password=True)
            assert full.code == 1
            assert "has no room left. [H210]" in full.err
            assert snapshot(disk) == before
        assert holdfast("prune", "--keep-last", "1", "--yes", password=True).code == 1
        assert snapshot(disk) == before

        os.truncate(disk / "other", (disk / "other").stat().st_size - 65_536)
        holdfast.done("prune", "--keep-last", "1", "--yes")
        assert holdfast.done("gc", "--yes", "--json").document["packs"] == 1
        holdfast.done("verify")


def test_gc_clears_what_a_killed_backup_left_before_all_else(filled: CommandLine) -> None:
    """Packs that were growing when it died take room that upkeep may need."""
    (vault,) = filled.repository.glob("vaults/*")
    for session in ("dead", "of another machine"):
        name = hashlib.sha256(session.encode()).hexdigest()[:32]
        left = filled.repository / ".spool" / name / "pack-1"
        left.parent.mkdir(parents=True)
        left.write_bytes(b"half a pack")
        if session == "dead":
            alive = filled.home / ".local/state/holdfast" / vault.name / "alive" / name
            alive.parent.mkdir(parents=True, exist_ok=True)
            alive.touch()

    filled.done("gc", "--yes")

    assert [path.parent.name for path in filled.repository.glob(".spool/*/*")] == [name]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_ends_in_one_sentence_and_the_next_run_goes_on(
    ready: CommandLine, number: signal.Signals
) -> None:
    """Exit code 130, as when the system ends or the terminal goes; no point is half made."""
    with slow_backup(ready) as process:
        process.send_signal(number)
        _, err = process.communicate(timeout=20)

    assert process.returncode == 130
    assert "Interrupted" in err
    assert "Traceback" not in err
    assert ready.done("points", "--json").document["points"] == []
    assert ready("backup", ready.source()).code == 0


def test_a_backup_under_nohup_outlives_its_terminal(ready: CommandLine) -> None:
    """Whoever started it so wants that."""
    with slow_backup(ready, "nohup", seconds=2) as process:
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=30)

    assert process.returncode == 0
    assert len(ready.done("points", "--json").document["points"]) == 1


@contextmanager
def slow_backup(
    holdfast: CommandLine, *before: str, seconds: int = 30
) -> Iterator[subprocess.Popen[str]]:
    """Run a backup that takes *seconds*, and has begun."""
    slow = ["sh", "-c", f"echo begun; sleep {seconds}"]
    with subprocess.Popen(
        [*before, *holdfast.command("backup", "--name", "x", "--from-command", "--", *slow)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=holdfast.environment,
        text=True,
    ) as process:
        deadline = time.monotonic() + 20
        while not holdfast.objects("leases") and time.monotonic() < deadline:
            time.sleep(0.05)
        yield process


def test_a_plan_without_anybody_to_ask_ends_with_4(filled: CommandLine) -> None:
    """The plan is shown, nothing is done; -n is a success."""
    filled.done("backup", filled.source(), password=False)
    refused = filled("prune", "--keep-last", "1", password=True)
    dry = filled("-n", "prune", "--keep-last", "1", password=True)

    assert refused.code == 4
    assert dry.code == 0
    assert "Plan: drop 1" in refused.out
    assert len(filled.done("points", "--json").document["points"]) == 2


def test_prune_without_a_keep_rule_is_refused_and_names_gc(filled: CommandLine) -> None:
    """Nobody is asked for a password for it."""
    answer = filled("prune")

    assert answer.code == 2
    assert "gc" in answer.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_named_and_the_rest_is_stored(ready: CommandLine) -> None:
    """Exit code 3."""
    source = ready.source(a=b"a", secret=b"s")
    (source / "secret").chmod(0)

    answer = ready("backup", source)

    assert answer.code == 3
    assert "secret" in answer.err
    assert "a" in ready.done("ls", "latest").out


def test_a_refusal_says_what_to_do(ready: CommandLine) -> None:
    """There is a hint below the sentence, whatever was typed."""
    for code, *words in (
        ("H108", "points", "--password-file", "/dev/null"),
        ("H214", "points", "-r", "nowhere"),
        ("H214", "points", "-r", "password"),
        ("H214", "init", "-r", "password/repository"),
        ("H214", "init", "-r", "/proc/repository"),
        ("H700", "backup", "--files-from", "password"),
        ("H703", "backup", "home", "--exclude-from", "nowhere"),
        ("H705", "backup", "--from-command", "--name", "x", "--", "no-such-program"),
        ("H900", "backup", "--stdin", "--name", "x", "home"),
        ("H900", "backup", "--stdin", "--name", "x", "--from-command", "true"),
        ("H900", "backup", "home", "--name", "x"),
        ("H900", "backup", "home", "--files-from", "-", "--exclude-from", "-"),
        ("H900", "backup", "home", "--source", ""),
        ("H900", "backup", "home", "--time", "0001-01-01"),
        ("H900", "restore", "latest"),
        ("H900", "restore", "latest", "--to", "new", "--in-place"),
        ("H900", "verify", "--blind", "--sample", "5%"),
        ("H903", "points", "--password-file", "nowhere"),
        ("H903", "points", "--key-file", "home"),
        ("H905", "points", "--password-command", "cat /dev/zero"),
        ("H905", "points", "--password-command", "no-such-program"),
    ):
        refused = ready(*words)
        assert f"[{code}]\nholdfast: hint: " in refused.err, (words, refused.err)
