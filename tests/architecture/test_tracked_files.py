"""Do the files of the project stay free of the machine they were written on?"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parents[2]

# Put together from halves, so that this file does not find itself.
FOREIGN = [
    re.compile(pattern.encode())
    for pattern in (
        r"(?<![\w.$}])/wo" + r"rk/",  # folders of one machine
        r"(?<![\w.])/tm" + r"p/w/",
        r"/opt/whe" + r"els",
        r"/ro" + r"ot/\.pyenv",
        r"pypi\.o" + r"rg",  # package registries: each machine has its own
        r"pythonhosted\.o" + r"rg",
        r"registry\.npmjs\.o" + r"rg",
        r"crates\.i" + r"o\b",
        r"proxy\.golang\.o" + r"rg",
        r"(--(extra-)?index-u" + r"rl|--find-l" + r"inks)[ =]",
    )
]


def tracked_files() -> list[Path]:
    """Return the files that belong to the project, new ones included."""
    # Root may test a tree of somebody else, which git otherwise refuses to look at.
    listing = subprocess.run(
        [
            *("git", "-c", "safe.directory=*", "ls-files", "-z"),
            *("--cached", "--others", "--exclude-standard"),
        ],
        check=True,
        capture_output=True,
        cwd=HERE,
    )
    names = [name.decode() for name in listing.stdout.split(b"\0") if name]
    return [HERE / name for name in names if (HERE / name).is_file()]


def foreign_lines(name: str, text: bytes) -> list[str]:
    """Return where *text* names a machine or a registry."""
    return [
        f"{name}:{number}: {line.decode(errors='replace').strip()}"
        for number, line in enumerate(text.splitlines(), 1)
        if any(pattern.search(line) for pattern in FOREIGN)
    ]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_no_file_names_one_machine_or_a_package_registry() -> None:
    """Lock files hold hashes; where packages come from is each machine's own affair."""
    found = [
        line
        for path in tracked_files()
        for line in foreign_lines(str(path.relative_to(HERE)), path.read_bytes())
    ]

    assert found == []


@pytest.mark.parametrize(
    "line",
    [b"see /wo" + b"rk/notes", b"https://files.pythonhosted.o" + b"rg/x", b"--index-u" + b"rl x"],
)
def test_a_machine_path_or_a_registry_is_found(line: bytes) -> None:
    """The check above can fail."""
    assert len(foreign_lines("x", b"first\n" + line + b"\n")) == 1


def test_every_locked_package_is_locked_by_hash() -> None:
    """A version without a hash would be whatever a mirror serves."""
    for lock in sorted((HERE / "requirements").glob("*.lock")):
        blocks = re.split(r"\n(?=[a-z0-9])", lock.read_text(encoding="utf-8"))
        bare = [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block]

        assert bare == [], lock.name
