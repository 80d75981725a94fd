"""Mistakes that looked like success: each is refused with a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from doubles.command_line import PASSWORD, CommandLine


def unreadable(folder: Path) -> Path:
    """Return a file that whoever runs this cannot read."""
    if os.geteuid() == 0:
        return Path("/sys/bus/platform/uevent")
    path = folder / "unreadable"
    path.write_bytes(b"secret")
    path.chmod(0)
    return path


def test_a_source_of_which_nothing_can_be_read_makes_no_point(ready: CommandLine) -> None:
    """Beside something that can be read, a point is made."""
    file = unreadable(ready.folder)
    refused = ready("backup", file)
    assert refused.code == 1
    assert "H701" in refused.err
    assert ready.done("points", "--json").document["points"] == []

    assert ready("backup", file, ready.source()).code == 3
    assert len(ready.done("points", "--json").document["points"]) == 1


def test_a_source_of_which_everything_is_left_out_makes_no_point(ready: CommandLine) -> None:
    """It would push the whole ones out of the series; --allow-empty says that it is meant."""
    source = ready.source()
    for rule in (("-e", "*"), ("--exclude-larger-than", "0")):
        refused = ready("backup", source, *rule)
        assert refused.code == 2
        assert "All of" in refused.err
    assert ready.done("points", "--json").document["points"] == []

    assert ready("backup", source, "-e", "*", "--allow-empty").code == 0


@pytest.mark.parametrize("option", ["--source", "--host"])
def test_prune_of_an_unknown_series_is_refused(filled: CommandLine, option: str) -> None:
    """A typo is no success."""
    refused = filled("prune", "--keep-last", "1", option, "typo", "--yes", password=True)
    assert refused.code == 2
    assert "H611" in refused.err


def test_a_restore_of_which_the_patterns_leave_nothing_says_so(filled: CommandLine) -> None:
    """A typo is no failure, but nobody shall take it for what was asked for."""
    typo = filled.done("restore", "latest", "--to", filled.folder / "a", "-i", "nomatch")
    right = filled.done("restore", "latest", "--to", filled.folder / "b", "-i", "hello.txt")

    assert "warning: nothing in the restore point fits" in typo.err
    assert "warning" not in right.err


@pytest.mark.parametrize("tags", ["", "a,"])
def test_an_empty_tag_to_keep_is_refused(filled: CommandLine, tags: str) -> None:
    """A script whose variable is empty would drop nearly everything."""
    refused = filled("prune", "--keep-tag", tags, "--yes", password=True)
    assert refused.code == 2


@pytest.mark.parametrize("option", ["--source", "--host", "--tag"])
def test_names_that_are_no_text_are_refused_before_anything_is_read(
    ready: CommandLine, option: str
) -> None:
    """A stream may be called after any bytes; its series has them as escapes."""
    refused = ready("backup", ready.source(), option, "\udcff")
    assert (refused.code, "H900" in refused.err) == (2, True)

    assert ready("backup", "--stdin", "--name", "\udcff", stdin=b"x").code == 0
    (point,) = ready.done("points", "--json").document["points"]
    assert point["source"] == "\\xff"


def test_a_folder_whose_name_is_no_text_is_found_by_its_bytes_and_as_it_is_shown(
    ready: CommandLine,
) -> None:
    """Its series has the escapes that file names have everywhere."""
    folder = ready.source(**{"nu\udcff/a": b"a"}) / "nu\udcff"
    ready.done("backup", folder, password=False)
    ready.done("backup", ready.source(), password=False)
    shown = str(folder).replace("\udcff", "\\xff")

    for name in (str(folder), shown):
        (point,) = ready.done("points", "--source", name, "--json").document["points"]
        assert point["source"] == shown


def test_a_writer_that_takes_the_name_of_another_pushes_out_none_of_its_points(
    ready: CommandLine,
) -> None:
    """Keep rules count for each series of each writer by itself, whatever it is called."""
    words = ("backup", ready.source(), "--host", "office", "--source", "home")
    assert ready(*words).code == 0
    (first,) = ready.done("points", "--json").document["points"]
    other = {"HOME": str(ready.folder / "other")}
    for _ in range(2):
        assert ready(*words, environment=other, password=True).code == 0

    done = ready.done("prune", "--keep-last", "1", "--yes", "--json")

    assert len(done.document["dropped"]) == 1
    assert first["id"] not in done.document["dropped"]
    assert done.document["staying"] == 2


def test_prune_keeps_what_latest_names_after_a_clock_stood_in_the_past(
    filled: CommandLine,
) -> None:
    """By its time it is the oldest; by its number in the series it is the last."""
    filled.done("backup", filled.source(), "--time", "2001-01-01", password=False)
    filled.done("backup", filled.source(), "--time", "2000-01-01", password=False)
    points = filled.done("points", "--json").document["points"]
    latest = filled.done("ls", "latest", "--json").document["point"]

    pruned = filled.done("prune", "--keep-last", "1", "--yes", "-v")

    (between,) = {point["id"] for point in points if point["time"].startswith("2001")}
    left = [point["id"] for point in filled.done("points", "--json").document["points"]]
    assert sorted(left) == sorted({point["id"] for point in points} - {between})
    assert filled.done("ls", "latest", "--json").document["point"] == latest
    assert f"{latest[:8]}  2000-01-01 00:00:00  latest" in pruned.out


@pytest.mark.parametrize("words", [("-r", "x", "doctor"), ("doctor", "--repo", "x")])
def test_doctor_says_that_it_looks_at_no_repository(
    holdfast: CommandLine, words: tuple[str, ...]
) -> None:
    """It would look as if the one that was named were well. The environment's counts for others."""
    refused = holdfast(*words)
    assert (refused.code, "holdfast check" in refused.err) == (2, True)
    holdfast.done("doctor", password=False)


def test_an_empty_address_is_not_that_of_the_environment(filled: CommandLine) -> None:
    """A script whose variable is empty must not meet another repository."""
    refused = filled("-r", "", "points", password=True)
    assert refused.code == 2
    assert "No restore" not in refused.out


def test_a_repository_beside_the_selected_paths_is_not_warned_of(ready: CommandLine) -> None:
    """Only where it would have been read."""
    source = ready.source()
    answer = ready("backup", source / "hello.txt", "/etc/hostname")
    assert "lies in the source" not in answer.err
    assert "--source NAME" in answer.out
    assert "lies in the source" in ready("backup", ready.folder, "/etc/hostname").err


def test_a_repository_is_not_backed_up_into_itself(filled: CommandLine) -> None:
    """Neither all of it nor a part; beside something else it is left out."""
    before = sorted(filled.repository.rglob("*"))
    (link := filled.folder / "link").symlink_to(filled.repository)
    vaults, config = filled.repository / "vaults", filled.objects("points")[0]
    for words in (
        (filled.repository,),
        (link,),
        (vaults,),
        (config,),
        (vaults, config),
        ("-n", vaults),
    ):
        refused = filled("backup", *words)
        assert (refused.code, "H707" in refused.err) == (2, True), words
    assert sorted(filled.repository.rglob("*")) == before

    assert "is left out" in filled("backup", vaults, filled.source()).err


def test_a_command_is_not_told_the_password(ready: CommandLine) -> None:
    """Neither the password nor where it is; everything else is passed on."""
    words = ("backup", "--from-command", "--name", "env", "--")
    script = "import os; print(sorted(name for name in os.environ if 'HOLDFAST' in name))"
    made = ready(*words, sys.executable, "-c", script, environment={"HOLDFAST_PASSWORD": PASSWORD})
    assert made.code == 0

    ready.done("restore", "latest", "--to", ready.folder / "target")

    assert (ready.folder / "target" / "env").read_text(encoding="utf-8") == (
        "['HOLDFAST_REPOSITORY']\n"
    )


@pytest.mark.parametrize("command", [("check",), ("verify",), ("verify", "--blind")])
def test_a_vault_that_is_not_there_is_not_called_sound(
    filled: CommandLine, command: tuple[str, ...]
) -> None:
    """A mistyped id looked at nothing and found no damage."""
    answer = filled(*command, "--vault", "0123456789abcdef", password=True)

    assert answer.code == 2
    assert "H800" in answer.err


def test_an_option_that_is_empty_is_refused(filled: CommandLine) -> None:
    """An empty path would be the current folder: a script whose variable is not set."""
    before = sorted(filled.folder.iterdir())
    for words in (
        ("restore", "latest", "--to", ""),
        ("restore", "latest", "--target", ""),
        ("restore", "latest", "--to=", "--overwrite", "always", "--delete", "--yes"),
        ("recovery-kit", "-o", ""),
        ("recovery-kit", "--html", ""),
        ("writer", "add", "-o", ""),
        ("init", "other", "--kit", ""),
        ("init", ""),
        ("probe", ""),
        ("doctor", "--forget-address", ""),
        ("backup", "source", "--files-from", ""),
        ("backup", "source", "--exclude-from", ""),
        ("key", "add", "--new-key-file", ""),
        ("key", "add", "--new-password-file", ""),
        ("points", "--key-file", ""),
        ("--password-file", "", "points"),
        ("points", "--vault", ""),
        ("prune", "--keep-last", "1", "--source", "", "--yes"),
    ):
        refused = filled(*words, password=words[0].isalpha() and "--key-file" not in words)
        assert refused.code == 2, (words, refused.err)
        assert "hint: " in refused.err, words
    assert sorted(filled.folder.iterdir()) == before


def test_the_current_folder_is_written_as_a_dot(filled: CommandLine) -> None:
    """It is there for those who mean it."""
    assert filled("restore", "latest", "--to", ".", password=True).code == 2
    filled.done("restore", "latest", "--to", ".", "--overwrite", "never")


def test_a_current_folder_that_is_gone_is_no_defect(filled: CommandLine) -> None:
    command = filled.command("restore", "latest", "--to", ".")
    program = (
        "import os, sys; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone');"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program, *map(str, command)],
        check=False,
        capture_output=True,
        text=True,
        cwd=filled.folder,
        env={**filled.environment, "HOLDFAST_PASSWORD_FILE": str(filled.password_file)},
    )

    assert answer.returncode == 2, answer.stderr
    assert "The current folder has been removed." in answer.stderr


def test_no_kit_and_no_key_is_put_into_the_repository(filled: CommandLine) -> None:
    """A check would find a foreign file there."""
    link = filled.folder / "link"
    link.symlink_to(filled.repository / "vaults")
    for words in (
        ("recovery-kit", "-o", filled.repository / "kit.txt"),
        ("recovery-kit", "--html", link / "kit.html"),
        ("writer", "add", "-o", filled.repository / "other.key"),
    ):
        refused = filled(*words, password=True)
        assert (refused.code, "H807" in refused.err, "hint" in refused.err) == (1, True, True)
        assert "lies in the repository" in refused.err
    filled.done("check")


@pytest.mark.parametrize("kit", ["new", "new/repository", "new/repository/kit.txt", "empty/kit"])
def test_no_kit_takes_the_place_of_its_repository(holdfast: CommandLine, kit: str) -> None:
    """Nothing is made before it is known where the kit goes."""
    (holdfast.folder / "empty").mkdir()
    where = "empty" if kit.startswith("empty") else "new/repository"

    refused = holdfast("init", where, "--kit", kit, password=True)

    assert (refused.code, "H807" in refused.err, "hint" in refused.err) == (1, True, True)
    assert not (holdfast.folder / "new").exists()
    assert not list((holdfast.folder / "empty").iterdir())
