"""Folders of this machine that are full, read-only or no folders: said, and worked around."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from doubles.command_line import CommandLine
from doubles.mounts import mounted, needs_mounts


@contextmanager
def full(folder: Path) -> Iterator[Path]:
    """Mount a file system that has no room left."""
    with mounted(folder, "size=64k,mode=700"):
        (folder / "ballast").write_bytes(bytes(64 << 10))
        yield folder


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """Show *folder* through a mount that takes no writes."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_refused_init_leaves_no_folder(holdfast: CommandLine) -> None:
    """Neither the repository's nor one above it."""
    inner = holdfast.folder / "a" / "b"

    refused = holdfast("init", inner)

    assert refused.code == 12
    assert not (holdfast.folder / "a").exists()


@needs_mounts
def test_a_read_only_repository_refuses_a_backup_and_gives_restores(filled: CommandLine) -> None:
    """H211, before anything is read."""
    with read_only(filled.repository):
        refused = filled("backup", filled.source())
        restored = filled("restore", "latest", "--to", filled.folder / "x", password=True)

    assert refused.code == 1
    assert "H211" in refused.err
    assert restored.code == 0


@contextmanager
def nowhere(folder: Path) -> Iterator[Path]:
    """Name a folder that cannot be made."""
    yield folder.with_name("password") / "below-a-file"


SPOILT = [
    pytest.param(full, marks=needs_mounts),
    pytest.param(read_only, marks=needs_mounts),
    nowhere,
]
Spoiler = Callable[[Path], AbstractContextManager[Path]]


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_cache_that_cannot_be_used_stops_nothing(filled: CommandLine, spoilt: Spoiler) -> None:
    """One warning that names the setting, and no temporary folder left."""
    temporary = filled.folder / "tmp"
    temporary.mkdir()
    place = filled.folder / "cache"
    place.mkdir()
    with spoilt(place) as cache:
        filled.environment |= {"HOLDFAST_CACHE_DIR": str(cache), "TMPDIR": str(temporary)}
        for words in (
            ["backup", str(filled.source())],
            ["restore", "latest", "--to", str(filled.folder / "x")],
            ["verify"],
            ["check"],
            ["ls", "latest"],
            ["gc", "--yes"],
        ):
            answer = filled.done(*words)
            if words[0] != "gc":
                assert answer.err.count("HOLDFAST_CACHE_DIR") == 1, words

    assert (filled.folder / "x").is_dir()
    assert list(temporary.iterdir()) == []


@needs_mounts
def test_a_cache_that_fills_up_while_an_index_is_opened_stops_nothing(filled: CommandLine) -> None:
    """The folder and its lock could still be made; what goes into them could not."""
    with mounted(filled.folder / "cache", "size=16k,mode=700") as cache:
        filled.environment["HOLDFAST_CACHE_DIR"] = str(cache)
        (cache / "ballast").write_bytes(bytes(4096))
        for words in (["ls", "latest"], ["backup", str(filled.source())], ["verify"]):
            filled.done(*words)
        assert not list(cache.rglob("*.new"))


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_state_that_cannot_be_written_is_a_warning(ready: CommandLine, spoilt: Spoiler) -> None:
    """The point is made and counts; nothing half written is left."""
    place = ready.folder / "state"
    place.mkdir(mode=0o700)
    with spoilt(place) as state:
        ready.environment["HOLDFAST_STATE_DIR"] = str(state)
        answer = ready.done("backup", ready.source(), password=False)
        restored = ready("restore", "latest", "--to", ready.folder / "x", password=True)
        left = list(place.rglob("*.new")) if place.exists() else []

    assert answer.err.count("H638") == 1
    assert "HOLDFAST_STATE_DIR" in answer.err
    assert restored.code == 0
    assert left == []
    assert len(ready.done("points", "--json").document["points"]) == 1


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_configuration_that_cannot_be_written_is_h913(
    holdfast: CommandLine, spoilt: Spoiler
) -> None:
    """And init leaves nothing behind."""
    place = holdfast.folder / "config"
    place.mkdir(mode=0o700)
    with spoilt(place) as config:
        answer = holdfast("init", password=True, environment={"HOLDFAST_CONFIG_DIR": str(config)})

    assert answer.code == 1
    assert "H913" in answer.err
    assert "HOLDFAST_CONFIG_DIR" in answer.err
    assert not holdfast.repository.exists()


def test_keys_and_state_that_others_can_write_are_refused(filled: CommandLine) -> None:
    """The file, or the folder in which it could be replaced."""
    config, state = filled.home / ".config/holdfast", filled.home / ".local/state/holdfast"
    (tree,) = state.rglob("tree.state")
    assert tree.stat().st_mode & 0o777 == 0o600
    for path in (tree, tree.parent, config / "writers", state):
        mode = path.stat().st_mode
        path.chmod(0o777 if path.is_dir() else 0o666)
        answer = filled("backup", filled.source())
        path.chmod(mode)
        assert (answer.code, "H609" in answer.err) == (12, True), path
    filled.done("backup", filled.source(), password=False)


@needs_mounts
def test_a_state_on_another_file_system_is_for_its_owner_only(ready: CommandLine) -> None:
    """It comes there as a copy."""
    with mounted(ready.folder / "state", "size=4m,mode=700") as state:
        ready.environment["HOLDFAST_STATE_DIR"] = str(state)
        ready.done("backup", ready.source(), password=False)
        (tree,) = state.rglob("tree.state")
        assert tree.stat().st_mode & 0o777 == 0o600


def test_a_writer_key_that_cannot_be_written_makes_no_writer(ready: CommandLine) -> None:
    """No certificate is stored for a key that nobody has."""
    before = ready.objects("writers")

    answer = ready("writer", "add", "-o", ready.password_file / "x", password=True)

    assert answer.code == 1
    assert "H807" in answer.err
    assert ready.objects("writers") == before


@pytest.mark.parametrize("umask", ["0", "0002"])
def test_folders_of_this_machine_are_for_their_owner_whatever_the_umask(
    holdfast: CommandLine, umask: str
) -> None:
    """Names of keys and repositories lie there, and contents of small files."""
    source = holdfast.source()
    for words in (
        ("init",),
        ("backup", source),
        ("restore", "latest", "--to", "again"),
        ("check",),
        ("verify",),
        ("prune", "--keep-last", "1", "--yes"),
        ("gc", "--yes"),
    ):
        done = subprocess.run(
            ["sh", "-c", f'umask {umask}; exec "$@"', "sh", *holdfast.command(*words)],
            check=False,
            capture_output=True,
            text=True,
            cwd=holdfast.folder,
            env={**holdfast.environment, "HOLDFAST_PASSWORD_FILE": str(holdfast.password_file)},
        )
        assert done.returncode == 0, done.stderr

    made = [path for path in holdfast.home.rglob("*") if path.is_dir()]
    assert {path.name for path in made} >= {"holdfast", "writers", ".cache", ".config", ".local"}
    assert [path for path in made if path.stat().st_mode & 0o077] == []


def test_a_backup_of_a_home_leaves_out_the_cache_of_the_program(ready: CommandLine) -> None:
    """Each run would store what the one before has put there; named, it is stored."""
    cache = ready.home / ".cache" / "holdfast"
    (ready.home / ".cache" / "other").mkdir(parents=True)
    (ready.home / ".cache" / "other" / "file").write_bytes(b"x")
    ready.done("points")
    for _ in range(2):
        ready.done("backup", ready.home, password=False)
    assert list(cache.iterdir())

    listed = ready.done("ls", "latest", "-R").out
    assert ".cache/other/file" in listed
    assert ".cache/holdfast" not in listed
    assert ".local/state/holdfast" not in listed
    assert ".config/holdfast/writers" in listed
    again = ready.done("backup", ready.home, "--json", password=False).document
    assert again["new_raw_bytes"] == 0

    ready.done("backup", cache, "--source", "named", password=False)
    assert "CACHEDIR.TAG" in ready.done("ls", "latest", "-R", "--source", "named").out
    ready.done("backup", cache, ready.source(), "--source", "both", password=False)
    assert "CACHEDIR.TAG" in ready.done("ls", "latest", "-R", "--source", "both").out


def test_a_cache_folder_that_holds_other_things_is_backed_up(ready: CommandLine) -> None:
    """A variable that names the wrong folder must not empty the backups of it."""
    source = ready.source()
    ready.environment["HOLDFAST_CACHE_DIR"] = str(source)
    ready.done("points")

    ready.done("backup", ready.folder, "--source", "all", password=False)

    assert "source/hello.txt" in ready.done("ls", "latest", "-R").out
