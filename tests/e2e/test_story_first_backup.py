"""Somebody makes a repository, backs up twice, looks, restores and throws away."""

import os
import subprocess
import sys
from pathlib import Path

from doubles.command_line import PASSWORD, CommandLine

COMPARE = Path(__file__).resolve().parents[2] / "tools" / "compare-trees"


def differences(one: Path, other: Path) -> str:
    """Return what compare-trees says, empty if the trees are the same."""
    answer = subprocess.run(
        [sys.executable, str(COMPARE), str(one), str(other)],
        check=False,
        capture_output=True,
        text=True,
    )
    return "" if answer.returncode == 0 else answer.stdout + answer.stderr


def test_what_was_backed_up_comes_back_as_it_was(holdfast: CommandLine) -> None:
    """The whole way once: init, backup, backup, points, ls, verify, restore, prune, gc."""
    made = holdfast.done("init", "--hint", "the horse")
    assert "RECOVERY KIT" in made.out
    assert "the horse" in made.out

    source = holdfast.source(**{"a/hello.txt": b"hello\n", "a/big": os.urandom(3_000_000)})
    (source / "link").symlink_to("a/hello.txt")
    assert holdfast("backup", source).code == 0
    (source / "a" / "hello.txt").write_bytes(b"hello again\n")
    second = holdfast("--json", "backup", source)
    assert second.code == 0
    assert second.document["type"] == "summary"
    assert second.document["new_raw_bytes"] < 1_000_000

    points = holdfast.done("points", "--json").document
    assert points["schema"] == 1
    assert [point["source"] for point in points["points"]] == [str(source)] * 2

    listed = holdfast.done("ls", "latest", "--recursive")
    assert f"{source}/a/hello.txt" in listed.out.splitlines()
    assert "No damage found" in holdfast.done("verify").out
    assert "Contents were not read" in holdfast.done("check").out
    assert "No damage found" in holdfast.done("verify", "--blind", password=False).out

    target = holdfast.folder / "again"
    restored = holdfast.done("restore", "latest", "--to", target, "--verify")
    assert "no difference" in restored.out
    assert differences(source, Path(f"{target}{source}")) == ""

    assert "Dropped 1" in holdfast.done("prune", "--keep-last", "1", "--yes").out
    holdfast.done("gc", "--yes")
    assert "No damage found" in holdfast.done("verify").out
    assert len(holdfast.done("points", "--json").document["points"]) == 1
    assert holdfast("restore", "latest", "--to", target, password=True).code == 2


def test_a_path_of_a_point_lands_in_the_target_itself(filled: CommandLine) -> None:
    """Restic's rule: with PATH, what PATH holds; a file lands under its own name."""
    source = filled.folder / "source"
    filled.source(**{"sub/deep/x": b"x", "sub/y": b"y"})
    filled.done("backup", source, password=False)

    filled.done("restore", "latest:sub", "--to", filled.folder / "one")
    filled.done("restore", f"latest:{source}/sub/y", "-t", filled.folder / "two")
    filled.done("restore", f"latest:{filled.folder}", "--to", filled.folder / "three")

    assert (filled.folder / "one" / "deep" / "x").read_bytes() == b"x"
    assert [path.name for path in (filled.folder / "two").iterdir()] == ["y"]
    assert (filled.folder / "three" / "source" / "sub" / "y").read_bytes() == b"y"


def test_restoring_in_place_brings_back_what_was_changed(filled: CommandLine) -> None:
    """With a plan first, and nothing more than was there with --delete."""
    source = filled.folder / "source"
    (source / "hello.txt").write_bytes(b"broken")
    (source / "new").write_bytes(b"new")

    refused = filled("restore", "latest", "--in-place", password=True)
    assert refused.code == 4
    assert "Plan" in refused.out
    assert (source / "hello.txt").read_bytes() == b"broken"
    filled.done("restore", "latest", "--in-place", "--delete", "--yes")

    assert (source / "hello.txt").read_bytes() == b"hello\n"
    assert not (source / "new").exists()


def test_one_file_and_several_paths_are_backed_up_below_their_common_folder(
    ready: CommandLine,
) -> None:
    """Only what was named is taken."""
    source = ready.source(**{"a/x": b"x", "b/y": b"y", "c/z": b"z"})
    ready.done("backup", source / "a" / "x", source / "b", "--source", "some", password=False)

    listed = ready.done("ls", "latest", "--recursive", "--json").document["entries"]

    files = [entry["path"] for entry in listed if entry["kind"] == "file"]
    assert files == [f"{source}/a/x", f"{source}/b/y"]


def test_no_secret_is_ever_printed(filled: CommandLine) -> None:
    """Neither in results, nor with -vv, nor in what a refusal says."""
    said = ""
    for words in (
        ("points",),
        ("key", "list"),
        ("recovery-kit",),
        ("doctor",),
        ("key", "verify", "-vv"),
        ("restore", "nothing", "--to", "x"),
        ("writer", "list", "--json"),
    ):
        answer = filled(*words, password=True)
        said += answer.out + answer.err
    key = next((filled.home / ".config" / "holdfast" / "writers").glob("*.key"))
    seed = next(
        line.partition(": ")[2]
        for line in key.read_text(encoding="utf-8").splitlines()
        if line.startswith("seed")
    )

    assert PASSWORD not in said
    assert seed not in said


def test_every_command_says_that_the_format_is_not_final(filled: CommandLine) -> None:
    """One line on stderr, nothing with -q, a field in JSON."""
    assert "format 0" in filled("points").err
    assert "format 0" not in filled("-q", "points").err
    answer = filled("points", "--json")
    assert answer.err == ""
    assert answer.document["format"] == 0


def test_a_series_of_several_paths_says_what_it_is_called_after(ready: CommandLine) -> None:
    """A backup of the first path alone would continue it, which nobody expects."""
    paths = [ready.source(a=b"a", b=b"b") / name for name in ("a", "b")]
    note = "called after the first path"

    assert note in ready.done("backup", *paths, password=False).out
    assert note in ready.done("backup", "-n", *paths, password=False).out
    assert note not in ready.done("backup", "--source", "ab", *paths, password=False).out
    assert note not in ready.done("backup", paths[0], password=False).out


def test_a_repository_may_lie_in_a_folder_whose_name_is_no_text(holdfast: CommandLine) -> None:
    """Keys of machines and what is remembered of repositories name it by its bytes."""
    repository = holdfast.folder / "drive\udcff"
    source = holdfast.source()
    holdfast.done("init", repository)
    holdfast.done("-r", repository, "backup", source, password=False)
    holdfast.done("-r", repository, "writer", "add", "-o", holdfast.folder / "other.key")
    holdfast.done("-r", repository, "recovery-kit", "--html", holdfast.folder / "kit.html")
    holdfast.done("-r", repository, "check")
    assert b"drive\xff\n" in (holdfast.folder / "other.key").read_bytes()
    assert "drive\\xff" in (holdfast.folder / "kit.html").read_text(encoding="utf-8")

    other = CommandLine(holdfast.folder / "elsewhere")
    other.done("-r", repository, "backup", source)
    other.done("-r", repository, "backup", source, password=False)
    points = other.done("-r", repository, "points", "--json").document["points"]
    assert len(points) == 3
