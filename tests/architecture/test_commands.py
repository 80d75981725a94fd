"""Does the page about the command line say what the command line has?"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]


def test_the_page_of_commands_is_fresh() -> None:
    """docs/reference/cli.md says what the code says; `make docs` writes it."""
    answer = subprocess.run(
        [sys.executable, str(HERE / "tools" / "list-commands"), "--check"],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(HERE / "src")},
    )

    assert answer.returncode == 0, answer.stderr
