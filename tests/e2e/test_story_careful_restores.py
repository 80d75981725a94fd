"""Restores that could destroy something: what was not backed up is never touched."""

import os
from pathlib import Path

import pytest

from doubles.command_line import CommandLine


def in_place(holdfast: CommandLine, *words: str) -> None:
    """Restore the newest point where it came from, and remove what it does not have."""
    holdfast.done(
        "restore", "latest", "--in-place", "--overwrite", "always", "--delete", "--yes", *words
    )


def test_what_lies_beside_the_paths_that_were_backed_up_stays(ready: CommandLine) -> None:
    """Neither siblings go, nor do the folders above change."""
    m = ready.source(**{"a/x": b"x", "sub/b/y": b"y", "c/z": b"z", "sub/mine": b"m", "top": b"t"})
    ready.done("backup", m / "a", m / "sub" / "b", password=False)
    for folder in (m, m / "sub"):
        folder.chmod(0o751)
    (m / "a" / "new").write_bytes(b"new")
    (m / "sub" / "b" / "more").mkdir()
    (m / "sub" / "b" / "y").write_bytes(b"changed")

    in_place(ready, "--verify")

    assert not (m / "a" / "new").exists()
    assert not (m / "sub" / "b" / "more").exists()
    assert (m / "sub" / "b" / "y").read_bytes() == b"y"
    assert all((m / name).exists() for name in ("c/z", "sub/mine", "top", "a/x"))
    assert [(folder.stat().st_mode & 0o777) for folder in (m, m / "sub")] == [0o751] * 2


def test_a_part_that_comes_back_in_place_changes_nothing_above_it(ready: CommandLine) -> None:
    """Only below PATH is anything removed, and only below what was backed up."""
    m = ready.source(**{"sub/b/y": b"y", "sub/c/z": b"z", "sub/d/z": b"z"})
    ready.done("backup", m / "sub" / "b", m / "sub" / "c", password=False)
    (m / "sub").chmod(0o751)
    for name in ("b", "c"):
        (m / "sub" / name / "new").write_bytes(b"new")

    ready.done("restore", f"latest:{m}/sub/b", "--in-place", "--delete", "--yes")

    assert not (m / "sub/b/new").exists()
    assert (m / "sub/c/new").exists()
    assert (m / "sub/d/z").exists()
    assert (m / "sub").stat().st_mode & 0o777 == 0o751


def test_a_mirror_of_some_paths_keeps_what_else_is_in_it(ready: CommandLine) -> None:
    """--to DIR --delete goes by what was backed up, too."""
    m = ready.source(**{"a/x": b"x", "b/y": b"y"})
    ready.done("backup", m / "a", m / "b", password=False)
    target = ready.folder / "target"
    ready.done("restore", f"latest:{m}", "--to", target)
    (target / "mine").write_bytes(b"mine")
    (target / "a" / "new").write_bytes(b"new")
    words = ("restore", f"latest:{m}", "--to", target, "--overwrite", "always", "--delete")

    ready.done(*words, "--yes")

    assert sorted(path.name for path in target.iterdir()) == ["a", "b", "mine"]
    assert [path.name for path in (target / "a").iterdir()] == ["x"]


def test_what_the_backup_left_out_stays_in_what_it_backed_up(ready: CommandLine) -> None:
    """The plan says so, and --delete-excluded is how to be rid of it."""
    m = ready.source(**{"a/x": b"x", "a/cache/page": b"p", "b/y": b"y"})
    ready.done("backup", m / "a", m / "b", "-e", "cache/", "-e", "*.tmp", password=False)
    (m / "a" / "new").write_bytes(b"new")
    (m / "b" / "old.tmp").write_bytes(b"tmp")
    words = ("restore", "latest", "--in-place", "--overwrite", "always", "--delete", "--verify")

    plan = ready.done(*words, "-n").out
    assert "1 names" in plan
    assert "2 items kept: the backup left them out" in plan
    assert plan.splitlines()[-3:-1] == ["  a/cache/", "  b/old.tmp"]
    planned = ready.done("--json", *words, "--yes").events[0]
    assert (planned["removals"], planned["spared"]) == (1, 2)
    assert not (m / "a" / "new").exists()
    assert (m / "a" / "cache" / "page").read_bytes() == b"p"

    ready.done(*words, "--delete-excluded", "--yes")
    assert sorted(path.name for path in (m / "a").iterdir()) == ["x"]
    assert sorted(path.name for path in (m / "b").iterdir()) == ["y"]
    assert ready("restore", "latest", "--in-place", "--delete-excluded", "--yes").code == 2


def test_the_plan_of_a_removal_says_that_the_backup_had_findings(ready: CommandLine) -> None:
    """What could not be read then is not in the restore point either."""
    m = ready.source(x=b"x")
    os.utime(m / "x", (9_300_000_000, 9_300_000_000))  # beyond 2262: a finding
    assert ready("backup", m).code == 3

    plan = ready.done("restore", "latest", "--in-place", "--overwrite", "always", "--delete", "-n")
    assert "The backup had 1 finding: what it could not read" in plan.out


def test_a_restore_point_says_what_its_backup_left_out(ready: CommandLine) -> None:
    """In JSON always, for people with -v; the tool of one file reads it, too."""
    rules = ("-e", "*.tmp", "--exclude-caches", "--exclude-if-present", ".no", "-x")
    ready.done("backup", ready.source(), *rules, "--exclude-larger-than", "1K", password=False)
    said = {
        "patterns": ["*.tmp"],
        "caches": True,
        "if_present": [".no"],
        "larger_than_bytes": 1024,
        "one_file_system": True,
    }

    assert ready.done("points", "--json").document["points"][0]["left_out"] == said
    assert ready.done("ls", "latest", "--json").document["left_out"] == said
    assert "left out: *.tmp, contents of caches, contents of folders with .no, files larger" in (
        ready.done("points", "-v").out
    )
    assert ready("points", "--json").document["points"][0]["left_out"] is None


def test_a_rule_that_no_restore_point_can_say_is_refused(ready: CommandLine) -> None:
    """Before anything is read: a path as a marker would never have matched anything."""
    answer = ready("backup", ready.source(), "--exclude-if-present", "a/.nobackup")

    assert (answer.code, "H706" in answer.err) == (2, True)


@pytest.mark.parametrize("several", [False, True])
def test_delete_beside_a_single_file_is_refused(ready: CommandLine, *, several: bool) -> None:
    """Nothing but files was backed up: nothing can be removed."""
    m = ready.source(one=b"1", two=b"2")
    more = ["/etc/hostname"] if several else []
    ready.done("backup", m / "one", *more, password=False)

    refused = ready("restore", "latest", "--in-place", "--delete", "--yes", password=True)

    assert refused.code == 2
    assert "H753" in refused.err
    assert (m / "two").exists()


def test_the_repository_is_never_removed(ready: CommandLine) -> None:
    """It was left out of the backup, so that the restore point does not have it."""
    (ready.folder / "kept").write_bytes(b"kept")
    ready.done("backup", ready.folder, password=False)
    (ready.folder / "new").write_bytes(b"new")

    in_place(ready)

    assert not (ready.folder / "new").exists()
    ready.done("verify")


@pytest.mark.parametrize(
    "rules",
    [("always",), ("if-changed",), ("always", "--delete"), ("never", "--delete")],
)
def test_what_may_destroy_is_planned_first(filled: CommandLine, rules: tuple[str, ...]) -> None:
    """Without a terminal and without --yes it ends with 4, and nothing is done."""
    source = filled.folder / "source"
    target = filled.folder / "target"
    filled.done("restore", f"latest:{source}", "--to", target)
    (target / "hello.txt").write_bytes(b"mine")
    (target / "folder").mkdir()
    (target / "new").write_bytes(b"new")
    words = ("restore", f"latest:{source}", "--to", target, "--overwrite", *rules)

    refused = filled(*words, password=True)

    assert refused.code == 4
    assert "Plan: restore everything" in refused.out
    assert (target / "hello.txt").read_bytes() == b"mine"
    assert (target / "new").exists()
    if "--delete" in rules:
        assert "2 names" in refused.out
        assert refused.out.splitlines()[-2:] == ["  folder/", "  new"]
        done = filled.done("--json", *words, "--yes")
        assert done.document["removed"] == 2
        assert done.events[0]["removals"] == 2
        assert [path.name for path in target.iterdir()] == ["hello.txt"]


def test_into_an_empty_folder_nothing_is_asked(filled: CommandLine) -> None:
    """Nor does a plan say that files are replaced where there are none."""
    target = filled.folder / "target"
    target.mkdir()
    words = ("restore", "latest", "--to", target, "--overwrite", "always", "-i", "hello*")

    plan = filled.done(*words, "-n")
    filled.done(*words)

    assert "replaced" not in plan.out
    assert "only what matches hello*" in plan.out
    assert len(list(target.rglob("hello.txt"))) == 1


def test_the_plan_names_what_a_whole_folder_would_lose(ready: CommandLine) -> None:
    """Below empty folders too, at most twenty names, and no pattern's."""
    source = ready.source(**{"a/x": b"x", "file": b"f"})
    (source / "empty").mkdir()
    ready.done("backup", source, password=False)
    (source / "empty" / "more").write_bytes(b"")
    for number in range(25):
        (source / "a" / f"new{number:02}").write_bytes(b"")
    (source / "a" / "spared").mkdir()
    (source / "file").unlink()
    (source / "file" / "in").mkdir(parents=True)
    words = ("restore", "latest", "--in-place", "--delete", "--overwrite", "always", "-e", "spared")

    plan = ready.done(*words, "-n")
    done = ready.done("--json", *words, "--yes")

    assert "27 names" in plan.out
    assert "  and 7 more" in plan.out
    assert "spared" not in plan.out.partition("To be removed")[2]
    assert done.document["removed"] == 27
    assert (source / "a" / "spared").is_dir()
    assert Path(source / "file").read_bytes() == b"f"


def test_what_differs_in_its_bytes_alone_is_named_with_the_rule_that_replaces_it(
    ready: CommandLine,
) -> None:
    """Size and time say nothing of it, so that the usual rule would leave it for ever."""
    file = ready.source() / "hello.txt"
    ready.done("backup", file.parent, password=False)
    status = file.stat()
    file.write_bytes(b"HELLO\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    words = ("restore", "latest", "--in-place", "--verify", "--yes")

    found = ready(*words, password=True)
    assert (found.code, "H911" in found.err) == (1, True)
    assert "--overwrite always" in found.err.splitlines()[-1]

    ready.done(*words, "--overwrite", "always")
    assert file.read_bytes() == b"hello\n"


def test_more_findings_than_are_named_are_not_said_to_be_named(ready: CommandLine) -> None:
    """-v names all of them."""
    source = ready.source(**{f"file {number}": b"x" for number in range(101)})
    ready.done("backup", source, password=False)
    for file in source.iterdir():
        status = file.stat()
        file.write_bytes(b"y")
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    words = ("restore", "latest", "--in-place", "--verify", "--yes")

    assert "The first 100 are named above; -v names all." in ready(*words, password=True).err
    assert "Each is named above." in ready(*words, "-v", password=True).err
