"""Is ``holdfast --help`` light? Counted in modules, never by a clock."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "src"
COUNT = """
import json, sys
before = set(sys.modules)
from holdfast.main import execute
execute(json.loads(sys.argv[1]))
print(json.dumps(sorted(set(sys.modules) - before)), file=sys.stderr)
"""
HEAVY = {
    "rich", "pydantic", "cryptography", "blake3", "pyfastcdc", "segno", "backports", "asyncio",
    "concurrent", "http", "socket", "sqlite3", "ssl", "multiprocessing",
}  # fmt: skip
# Measured: 110 to 140 modules with Python 3.11 to 3.14, nearly all of them Typer's.
MOST = 180


def modules_of(*words: str) -> list[str]:
    """Return the modules that a command imports."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT, json.dumps(words)],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(SOURCE), "HOME": "/nonexistent"},
    )
    found: list[str] = json.loads(done.stderr.splitlines()[-1])
    return found


@pytest.mark.parametrize("words", [("--help",), ("--version",), ()])
def test_help_and_version_import_no_more_than_they_need(words: tuple[str, ...]) -> None:
    """No cryptography, no engine, no operation; and not many modules at all."""
    modules = modules_of(*words)

    assert {name.partition(".")[0] for name in modules} & HEAVY == set()
    rooms = {name.split(".")[1] for name in modules if name.startswith("holdfast.")}
    assert rooms == {"base", "cli", "main"}
    assert len(modules) < MOST


def test_the_help_of_one_command_does_not_import_rich() -> None:
    """Only progress on a terminal does."""
    modules = modules_of("backup", "--help")

    assert not any(name.partition(".")[0] in {"rich", "segno"} for name in modules)
