"""The example at the end of the specification is what the code computes."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]


def test_the_worked_example_of_the_specification_is_fresh() -> None:
    """Whoever follows it step by step must end with our bytes."""
    answer = subprocess.run(
        [sys.executable, str(HERE / "tools" / "make-worked-example"), "--check"],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(HERE / "src")},
    )

    assert answer.returncode == 0, answer.stderr
