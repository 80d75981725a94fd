"""Is every error in the one table, under a code of its own?"""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from holdfast.base.errors import HoldfastError, StorageError

HERE = Path(__file__).resolve().parents[2]
LIST_ERRORS = HERE / "tools" / "list-errors"

# The command line promises these and no others (docs/design/overview.md).
EXIT_CODES = {1, 2, 3, 4, 10, 11, 12, 20, 21, 22, 130}


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    """tools/list-errors as a module, with every room imported."""
    loader = SourceFileLoader("list_errors", str(LIST_ERRORS))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    module.import_every_room()
    yield module


def errors(tool: ModuleType) -> list[type[HoldfastError]]:
    """Return every error that the house declares, without those that tests here make up."""
    found = dict.fromkeys(tool.subclasses(HoldfastError))
    return [e for e in found if getattr(sys.modules.get(e.__module__), e.__name__, None) is e]


def test_every_error_has_a_code_and_a_sentence_of_its_own(tool: ModuleType) -> None:
    """Codes are public: two meanings under one code would mislead whoever looks it up."""
    assert tool.mistakes(errors(tool)) == []


def test_every_exit_code_is_one_that_the_command_line_promises(tool: ModuleType) -> None:
    """Scripts decide by exit codes; a new one is a new promise."""
    assert {error.exit_code for error in errors(tool)} <= EXIT_CODES


def test_every_code_of_a_finding_is_in_the_table(tool: ModuleType) -> None:
    """Whoever reads a warning can look its code up."""
    listed = {code for codes in tool.FINDINGS.values() for code in codes}
    source = "\n".join(
        path.read_text(encoding="utf-8") for path in (HERE / "src" / "holdfast").rglob("*.py")
    )
    names = set(re.findall(r"\bFinding\(\s*(?:\w+\.)?([A-Z][A-Z_]+),", source))
    names |= set(re.findall(r"_differs\(([A-Z][A-Z_]+),", source))
    used = set(re.findall(r"_differs\(\"(\w+)\"", source))
    for name in names:
        used |= set(re.findall(rf'^{name}: Final = "([^"]+)"', source, re.MULTILINE))

    assert {"H630", "in-the-way", "mode", "missing"} <= used
    assert used <= listed


def test_two_errors_under_one_code_are_found(tool: ModuleType) -> None:
    """The check above can fail."""
    declare = {"__module__": "holdfast.storage.errors", "code": "H299"}
    first = type("FirstError", (StorageError,), declare | {"__doc__": "One."})
    second = type("SecondError", (StorageError,), declare | {"__doc__": "Two."})

    found = tool.mistakes([first, second])
    assert found == [
        "holdfast.storage.errors.SecondError and holdfast.storage.errors.FirstError share H299"
    ]


def test_an_error_without_a_sentence_or_in_a_foreign_block_is_found(tool: ModuleType) -> None:
    """The check above can fail in its other ways too."""
    dumb = type(
        "DumbError", (StorageError,), {"__module__": "holdfast.keys.errors", "code": "H299"}
    )

    assert tool.mistakes([dumb]) == [
        "holdfast.keys.errors.DumbError has no docstring of its own",
        "holdfast.keys.errors.DumbError: H299 is not in the block of its room",
    ]


def test_the_table_of_errors_is_fresh() -> None:
    """docs/reference/errors.md says what the code says; `make docs` writes it."""
    answer = subprocess.run(
        [sys.executable, str(LIST_ERRORS), "--check"],
        check=False,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(HERE / "src")},
    )

    assert answer.returncode == 0, answer.stderr
