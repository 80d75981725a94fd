"""A command line of its own for each story."""

from pathlib import Path

import pytest

from doubles.command_line import CommandLine


@pytest.fixture
def holdfast(tmp_path: Path) -> CommandLine:
    """``holdfast`` with an empty home; no repository yet."""
    return CommandLine(tmp_path)


@pytest.fixture
def ready(holdfast: CommandLine) -> CommandLine:
    """``holdfast`` with a repository that was just made."""
    holdfast.init()
    return holdfast


@pytest.fixture
def filled(ready: CommandLine) -> CommandLine:
    """``holdfast`` with one restore point."""
    ready.done("backup", ready.source(), password=False)
    return ready
