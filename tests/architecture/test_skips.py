"""Does the judge of skipped tests judge?"""

import json
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

CHECK_SKIPS = Path(__file__).resolve().parents[2] / "tools" / "check-skips"


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """tools/check-skips with a list, a record and a machine of its own."""
    loader = SourceFileLoader("check_skips", str(CHECK_SKIPS))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    for name in ("RECORD", "EXPECTED", "PACKAGES"):
        monkeypatch.setattr(module, name, tmp_path / name)
    (tmp_path / "PACKAGES").write_text("acl  why\n")
    (tmp_path / "EXPECTED").write_text("[always]\nt.py::a  reason\n[without acl]\nt.py::b  acl\n")
    monkeypatch.setattr(module, "is_installed", lambda _package: True)
    monkeypatch.setattr(sys, "argv", ["check-skips"])
    return module


def run(judge: ModuleType, *skipped: str) -> None:
    """Judge a run that skipped these tests."""
    record = {"passed": 5, "failed": 1, "skipped": dict.fromkeys(skipped, "because")}
    judge.RECORD.write_text(json.dumps(record))
    judge.main()


def test_exactly_the_listed_skips_are_accepted(judge: ModuleType) -> None:
    """Nothing hidden, nothing out of date."""
    run(judge, "t.py::a")


def test_a_skip_that_is_not_listed_fails(judge: ModuleType) -> None:
    """A test that silently stops running is the way in which suites rot."""
    with pytest.raises(SystemExit):
        run(judge, "t.py::a", "t.py::c")


def test_a_listed_skip_that_ran_fails(judge: ModuleType) -> None:
    """The list is the truth or it is nothing."""
    with pytest.raises(SystemExit):
        run(judge)


def test_a_section_counts_only_where_its_condition_holds(
    judge: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the package acl, its tests may be skipped, and must be."""
    with pytest.raises(SystemExit):
        run(judge, "t.py::a", "t.py::b")
    monkeypatch.setattr(judge, "is_installed", lambda _package: False)
    run(judge, "t.py::a", "t.py::b")


def test_the_totals_are_one_line(
    judge: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `.ci/run` ends with."""
    monkeypatch.setattr(sys, "argv", ["check-skips", "--totals"])
    run(judge, "t.py::a")

    assert capsys.readouterr().out == "5 passed, 1 failed, 1 skipped\n"
