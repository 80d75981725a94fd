"""Does the record of a run hold everything that a run can do?"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"

OF_EVERY_KIND = """
import pytest

def test_passes(): pass
def test_fails(): assert False
@pytest.mark.xdist_group("together")
@pytest.mark.parametrize("name", ["a@b"])
def test_skips(name): pytest.skip("no reason at all")
@pytest.mark.xfail
def test_is_known_to_fail(): assert False
@pytest.fixture
def broken(): raise RuntimeError
def test_has_a_broken_fixture(broken): pass
"""


@pytest.mark.parametrize("spread", [("-p", "no:xdist"), ("-n", "2", "--dist", "loadgroup")])
def test_every_outcome_is_on_record(spread: tuple[str, ...], tmp_path: Path) -> None:
    """In one process and spread over two, files that are skipped as a whole included."""
    shutil.copy(CONFTEST, tmp_path / "conftest.py")
    marks = "" if "-n" in spread else "[pytest]\nmarkers = xdist_group: not known without xdist\n"
    (tmp_path / "pytest.ini").write_text(marks or "[pytest]\n")
    (tmp_path / "test_kinds.py").write_text(OF_EVERY_KIND)
    (tmp_path / "test_whole.py").write_text("import pytest\npytest.importorskip('nonesuch')\n")

    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--record=record.json", *spread],
        check=False,
        capture_output=True,
        cwd=tmp_path,
        env={"PYTHONDONTWRITEBYTECODE": "1"},
    )

    record = json.loads((tmp_path / "record.json").read_text())
    assert (record["passed"], record["failed"]) == (2, 2)
    assert record["skipped"] == {
        "test_kinds.py::test_skips[a@b]": "no reason at all",
        "test_whole.py": "could not import 'nonesuch': No module named 'nonesuch'",
    }
