"""What somebody named is backed up, whatever the rules say of the folders that lead to it."""

import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from doubles.command_line import CommandLine
from doubles.mounts import mounted, needs_mounts


def files(holdfast: CommandLine, root: Path) -> set[str]:
    """Return the files of the newest restore point, below *root*."""
    entries = holdfast.done("ls", "latest", "--recursive", "--json").document["entries"]
    return {os.path.relpath(entry["path"], root) for entry in entries if entry["kind"] == "file"}


@needs_mounts
def test_named_paths_on_file_systems_of_their_own_are_taken(ready: CommandLine) -> None:
    """Side by side, all on others than the folder above, and one below another."""
    m = ready.source(**{"etc/x": b"x"})
    with ExitStack() as stack:
        for folder in ("home", "srv", "home/usb"):
            stack.enter_context(mounted(m / folder))
            (m / folder / "y").write_bytes(b"y")

        ready.done("backup", "-x", m / "etc", m / "home", password=False)
        assert files(ready, m) == {"etc/x", "home/y"}
        ready.done("backup", "-x", m / "etc", m / "home", m / "srv", password=False)
        assert files(ready, m) == {"etc/x", "home/y", "srv/y"}
        ready.done("backup", "-x", m / "home", m / "srv", "--source", "two", password=False)
        ready.done("backup", "-x", m, m / "home", "--source", "nested", password=False)
        nested = ready.done("points", "--json").document["points"][-1]["id"]
        listed = ready.done("ls", nested, "--recursive", "--json").document["entries"]
        assert [entry["path"] for entry in listed if entry["kind"] == "file"] == [
            f"{m}/etc/x",
            f"{m}/home/y",
        ]


@pytest.mark.parametrize(
    "words",
    [
        ("--exclude-if-present", ".nobackup"),
        ("--exclude-caches",),
        ("-e", "m"),
        ("-e", "q", "-e", "r/", "-e", "one.tmp", "-e", "*.tmp"),
        ("--exclude-larger-than", "1"),
    ],
)
def test_no_rule_leaves_out_what_was_named(ready: CommandLine, words: tuple[str, ...]) -> None:
    """A marker, a tag or a pattern that meets the folder above says nothing about it."""
    source = ready.source(
        **{
            "m/.nobackup": b"",
            "m/CACHEDIR.TAG": b"Signature: 8a477f597d28d172789f06886806bc55\n",
            "m/q/x": b"x",
            "m/r/y": b"y",
            "m/one.tmp": b"one",
        }
    )
    m = source / "m"
    listing = ready.folder / "listing"
    listing.write_text(f"{m}/r\n{m}/one.tmp\n", encoding="utf-8")

    ready.done("backup", *words, m / "q", "--files-from", listing, password=False)

    assert files(ready, m) == {"q/x", "r/y", "one.tmp"}


def test_patterns_are_seen_from_each_named_path_in_restores_too(ready: CommandLine) -> None:
    """What such a pattern left out stays where a restore removes; what lies elsewhere does not."""
    m = ready.source(
        **{"a/tmp/x": b"x", "a/b/tmp": b"x", "b/tmp/x": b"x", "b/y": b"y", "n/in/tmp": b"n"}
    )
    named = (m / "a", m / "b", m / "n", m / "n" / "in")
    said = ready.done("backup", *named, "-e", "/tmp", "-e", "/a/b", password=False).err

    assert files(ready, m) == {"a/b/tmp", "b/y"}
    assert "'/a/b' is seen from each path that was named" in said
    assert "'/b' was probably meant" in said

    (m / "a" / "b" / "new").write_bytes(b"new")
    words = ("restore", "latest", "--in-place", "--overwrite", "always", "--delete", "--yes")
    ready.done(*words)
    assert not (m / "a" / "b" / "new").exists()
    kept = ("a/tmp/x", "b/tmp/x", "n/in/tmp")
    assert [path for path in kept if not (m / path).exists()] == []


def test_the_repository_among_several_paths_is_left_out_there_alone(ready: CommandLine) -> None:
    """Something of its name in another of them is taken."""
    other = ready.source(**{"repository/x": b"x"})
    inside = ready.folder / "inside"
    ready.repository.rename(inside.with_name("moved"))
    inside.mkdir()
    (inside / "y").write_bytes(b"y")
    inside.with_name("moved").rename(inside / "repository")
    ready.environment["HOLDFAST_REPOSITORY"] = str(inside / "repository")

    said = ready.done("backup", inside, other).err

    assert "the repository itself lies in the source" in said
    assert files(ready, ready.folder) == {"inside/y", "source/repository/x"}
    (inside / "new").write_bytes(b"new")
    ready.done("restore", "latest", "--in-place", "--delete", "--yes")
    assert not (inside / "new").exists()
    ready.done("verify")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_folders_that_lead_to_named_paths_need_not_be_readable(ready: CommandLine) -> None:
    """Of a home in a folder of root's, mode 711, everything is taken; attributes cost nothing."""
    m = ready.source(**{"mid/a/x": b"x", "mid/b": b"b", "c/y": b"y"})
    os.setxattr(m / "mid", "user.note", b"of somebody else")
    for folder in (m / "mid", m):
        folder.chmod(0o111)
    try:
        answer = ready("backup", m / "mid" / "a", m / "mid" / "b", m / "c")
    finally:
        for folder in (m, m / "mid"):
            folder.chmod(0o755)

    assert (answer.code, "cannot" in answer.err) == (0, False), answer.err
    assert files(ready, m) == {"mid/a/x", "mid/b", "c/y"}


@needs_mounts
def test_a_repository_that_is_seen_at_two_places_is_neither_stored_nor_removed(
    ready: CommandLine,
) -> None:
    """A bind mount of what is above it is the same place."""
    view = ready.folder / "view"
    view.mkdir()
    real = ready.folder / "real"
    real.mkdir()
    (real / "data").write_bytes(b"1")
    repository = real / "repo"
    shutil.move(ready.repository, repository)
    subprocess.run(["mount", "--bind", str(real), str(view)], check=True)
    try:
        ready.done("backup", "-r", repository, view, password=False)
        assert files_of(ready, repository) == [f"{view}/data"]
        assert ready("backup", "-r", repository, view / "repo").code == 2
        for words in (
            ("--in-place", "--delete", "--delete-excluded"),
            ("--to", real, "--overwrite", "if-changed", "--delete", "--delete-excluded"),
        ):
            ready.done("restore", "-r", view / "repo", f"latest:{view}", *words, "--yes")
            assert ready.done("check", "-r", repository).code == 0
    finally:
        subprocess.run(["umount", str(view)], check=True)


def files_of(holdfast: CommandLine, repository: Path) -> list[str]:
    listed = holdfast.done("ls", "-r", repository, "latest", "--recursive", "--json").document
    return [entry["path"] for entry in listed["entries"] if entry["kind"] == "file"]


def test_an_empty_folder_among_several_is_said(ready: CommandLine) -> None:
    """It is where a disk should be; alone it is refused."""
    (empty := ready.folder / "disk").mkdir()

    made = ready.done("backup", ready.source(), empty, password=False)

    assert f"'{empty}' is empty; is its disk mounted?" in made.err


def test_a_file_with_holes_is_as_large_as_it_shows_read_or_taken_over(ready: CommandLine) -> None:
    source = ready.source(x=b"x")
    with (source / "sparse").open("wb") as file:
        file.truncate(1 << 20)
    os.utime(source / "sparse", (1, 1))
    sizes = []
    for name in ("a", "b"):
        (source / name).write_bytes(b"x")
        made = ready.done("backup", source, "--json", password=False).document
        sizes.append(made["source_bytes"])

    assert sizes == [(1 << 20) + 2, (1 << 20) + 3]
