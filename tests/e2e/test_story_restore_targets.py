"""Where a restore may go, and what becomes of the folder that it makes."""

import os
from pathlib import Path

import pytest

from doubles.command_line import CommandLine


def everything(folder: Path) -> dict[str, bytes | None]:
    """Return the paths below a folder, with what files hold."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("inside", ["", "vaults", ".spool/new", "new/deeper"])
@pytest.mark.parametrize(
    "words",
    [(), ("--overwrite", "always", "--delete", "--yes"), ("--overwrite", "always", "-n")],
)
def test_the_repository_is_no_target(
    filled: CommandLine, inside: str, words: tuple[str, ...]
) -> None:
    """--delete would remove it, for it is not in its own restore point."""
    before = everything(filled.repository)

    for point in ("latest", f"latest:{filled.source()}"):
        refused = filled(
            "restore", point, "--to", filled.repository / inside, *words, password=True
        )
        assert refused.code == 2
        assert "H754" in refused.err
        assert "hint: " in refused.err
        assert refused.out == ""
    assert everything(filled.repository) == before


def test_a_link_hides_no_repository(filled: CommandLine) -> None:
    """Nobody is asked for a password in vain, either."""
    link = filled.folder / "link"
    link.symlink_to(filled.repository)
    before = everything(filled.repository)

    refused = filled("restore", "latest", "--to", link / "new")

    assert (refused.code, "H754" in refused.err) == (2, True)
    assert everything(filled.repository) == before


def test_a_target_beside_or_above_the_repository_is_taken(filled: CommandLine) -> None:
    """The repository is spared where it lies in the target."""
    before = everything(filled.repository)
    words = ("--overwrite", "always", "--delete", "--yes")

    filled.done("restore", f"latest:{filled.source()}", "--to", filled.folder, *words)

    assert (filled.folder / "hello.txt").read_bytes() == b"hello\n"
    assert before.items() <= everything(filled.repository).items()


def test_a_private_folder_stays_private_wherever_it_is_restored_to(ready: CommandLine) -> None:
    """Its content relies on it: a file in it may be for everybody who gets there."""
    private = ready.source(**{"private/letter": b"dear", "private/inner/x": b"x"}) / "private"
    private.chmod(0o700)
    os.utime(private, ns=(10**18, 10**18))
    ready.done("backup", ready.source(), password=False)
    old = ready.folder / "old"
    old.mkdir(mode=0o755)
    old.chmod(0o755)

    for target, words in (
        ("new", ()),
        ("deeper/new", ("--overwrite", "never", "--verify")),
        ("old", ()),
    ):
        ready.done("restore", "latest:private", "--to", target, *words)
    made = [(ready.folder / name).stat() for name in ("new", "deeper/new")]

    assert [(status.st_mode & 0o777, status.st_mtime_ns) for status in made] == [
        (0o700, 10**18)
    ] * 2
    assert old.stat().st_mode & 0o777 == 0o755
    for name in ("new", "deeper/new", "old"):
        assert (ready.folder / name / "letter").read_bytes() == b"dear"
