"""``tools/soak`` for a minute: writers, gcs and prune at once, and kills."""

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).resolve().parents[2] / "tools" / "soak"


@pytest.mark.slow
def test_writers_gcs_and_prune_work_at_once_and_are_killed_and_nothing_is_lost() -> None:
    """``make soak`` does the same for five minutes."""
    done = subprocess.run(
        [sys.executable, str(SOAK), "--seconds", "60"],
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)  # noqa: T201 - what was counted
