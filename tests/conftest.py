"""What all tests share: the record of a run, which `make test` judges."""

import json
from collections import Counter
from pathlib import Path

import pytest


class RunRecord:
    """Counts outcomes and remembers each skipped test with its reason.

    Lives in the process that reports, so that it sees everything whether pytest-xdist spreads the
    tests over processes or not.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._passed: set[str] = set()
        self._failed: set[str] = set()
        self._skipped: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of one phase of one test."""
        name = _test_id(report.nodeid)
        if report.failed:
            self._failed.add(name)
        elif report.skipped:
            if hasattr(report, "wasxfail"):
                self._passed.add(name)
            else:
                self._skipped[name] = _reason(report.longrepr)
        elif report.when == "call":
            self._passed.add(name)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take note of files that are skipped or broken as a whole."""
        if report.failed:
            self._failed.add(report.nodeid)
        elif report.skipped:
            self._skipped[report.nodeid] = _reason(report.longrepr)

    def pytest_sessionfinish(self) -> None:
        """Write the record."""
        record = {
            "passed": len(self._passed - self._failed),
            "failed": len(self._failed),
            "skipped": dict(sorted(self._skipped.items())),
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


class Figures:
    """Adds up what campaigns have counted, in whatever processes, and says it in the end.

    A test hands its counts over with ``record_property("figures", ...)``.
    """

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the counts of one test to those of its neighbours."""
        if report.when != "call":
            return
        name = _test_id(report.nodeid).partition("[")[0]
        for key, counts in report.user_properties:
            if key == "figures" and isinstance(counts, dict):
                self._counts.setdefault(name, Counter()).update({"parts": 1, **counts})

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the sums."""
        for name, counts in sorted(self._counts.items()):
            terminalreporter.section(name)
            for what, count in counts.items():
                terminalreporter.write_line(f"{count:12,.12g}  {what}")


def _test_id(name: str) -> str:
    """Return *name* without the "@group" that `--dist loadgroup` adds to tests of a group."""
    test, _, group = name.rpartition("@")
    return test if "::" in test and not group.endswith("]") else name


def _reason(detail: object) -> str:
    """Return why a test was skipped; pytest hands over (file, line, reason)."""
    text = str(detail[2]) if isinstance(detail, tuple) else str(detail)
    return text.removeprefix("Skipped: ")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option that asks for the record."""
    parser.addoption("--record", metavar="FILE", help="write counts and skipped tests to FILE")


def pytest_configure(config: pytest.Config) -> None:
    """Keep record and figures in the reporting process only."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Figures(), "figures")
    path = config.getoption("--record")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(RunRecord(Path(path)), "run-record")
