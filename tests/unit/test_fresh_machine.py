"""``tools/fresh-machine``: what it takes along and what it refuses; using it shows the rest."""

import os
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "fresh-machine"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load the tool, whose name has no suffix, without leaving bytecode beside it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("fresh_machine", str(TOOL))
    spec = spec_from_loader("fresh_machine", loader)
    assert spec is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "fresh_machine", module)
    loader.exec_module(module)
    return module


def test_only_what_the_network_needs_is_taken_along(tool: ModuleType) -> None:
    needed = {
        "https_proxy": "http://proxy:3128",
        "NO_PROXY": "localhost",
        "PIP_CERT": "/etc/ssl/certs/ca.crt",
        "PIP_INDEX_URL": "https://index.example/simple",
        "SSL_CERT_FILE": "/etc/ssl/certs/ca.crt",
        "REQUESTS_CA_BUNDLE": "/etc/ssl/certs/ca.crt",
    }
    other = {
        "HOME": "/home/me",
        "PATH": "/somewhere/bin",
        "PYTHONPATH": "src",
        "VIRTUAL_ENV": "/venv",
        "XDG_CACHE_HOME": "/cache",
        "PIP_CACHE_DIR": "/cache/pip",
        "UV_CACHE_DIR": "/cache/uv",
        "HOLDFAST_PASSWORD": "secret",
    }
    assert tool.environment_for_commands({**needed, **other}) == needed


def test_without_a_command_the_targets_of_make_are_run(tool: ModuleType) -> None:
    options = tool.parse([])
    assert options.identity == "both"
    assert options.commands[:3] == ["make demo", "make demo", "make test"]
    assert options.commands[3].startswith("make install && ")


def test_one_word_is_a_shell_line_and_several_are_a_command(tool: ModuleType) -> None:
    assert tool.parse(["--", "echo $HOME"]).commands == ["echo $HOME"]
    assert tool.parse(["--as", "user", "--", "echo", "a b", "--verbose"]).commands == [
        "echo 'a b' --verbose"
    ]


def test_an_ordinary_user_is_told_in_one_sentence(
    tool: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["fresh-machine"])
    assert tool.main() == 2
    assert capsys.readouterr().err == "fresh-machine: needs root, for chroot and mounts.\n"


def test_files_that_variables_name_are_at_the_same_place_there(
    tool: ModuleType, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "one.whl").write_bytes(b"wheel")
    (tmp_path / "own.crt").write_bytes(b"certificate")
    for value in (tmp_path / "wheels", tmp_path / "own.crt", Path("180"), Path("/not/there")):
        tool._bring_along(value, root)
    there = root / str(tmp_path)[1:]
    assert (there / "wheels" / "one.whl").read_bytes() == b"wheel"
    assert (there / "own.crt").read_bytes() == b"certificate"
    assert not (root / "not").exists()


def test_the_status_of_a_command_is_a_shells_also_after_a_signal(tool: ModuleType) -> None:
    assert tool._follow(["/bin/sh", "-c", "exit 7"], verbose=False)[0] == 7
    assert tool._follow(["/bin/sh", "-c", "kill -9 $$"], verbose=False)[0] == 137
    assert list(tool._follow(["/bin/sh", "-c", "echo a; echo b >&2"], verbose=False)[1]) == [
        "a",
        "b",
    ]
