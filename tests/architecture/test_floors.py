"""Do the rooms keep to their floors?"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
HOUSE = HERE / "src" / "holdfast"


def modules() -> list[Path]:
    """Return every module of the house."""
    return sorted(HOUSE.rglob("*.py"))


def test_a_room_imports_only_from_the_floors_below_it() -> None:
    """The contracts of pyproject.toml hold, also for imports inside functions."""
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    answer = subprocess.run(
        [sys.executable, "-c", lint, "--no-cache"],
        check=False,
        capture_output=True,
        text=True,
        cwd=HERE,
        env={"PYTHONPATH": str(HERE / "src"), "COLUMNS": "120", "LC_ALL": "C.UTF-8"},
    )

    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "0 broken" in answer.stdout


def test_the_ground_floor_needs_nothing_but_the_standard_library() -> None:
    """`holdfast.base` is what everything stands on: no distribution can break it."""
    script = (
        "import sys; before = set(sys.modules)\n"
        "import pkgutil, importlib, holdfast.base as base\n"
        "for m in pkgutil.iter_modules(base.__path__, 'holdfast.base.'):\n"
        "    importlib.import_module(m.name)\n"
        "names = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(names - sys.stdlib_module_names - {'holdfast'}))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(HERE / "src")},
    )

    assert answer.stdout.strip() == "[]"


def test_no_module_has_grown_beyond_600_lines() -> None:
    """A file that nobody reads in one sitting knows more than one thing."""
    grown = {
        str(path.relative_to(HERE)): length
        for path in modules()
        if (length := len(path.read_text(encoding="utf-8").splitlines())) > 600
    }

    assert grown == {}
