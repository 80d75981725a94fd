"""What a machine's own key can and cannot do, whoever has stolen it."""

import os
from pathlib import Path

import pytest

from doubles.command_line import CommandLine
from holdfast.format import frames
from holdfast.format.writer import WriterCertificate, WriterClass


@pytest.fixture
def second(ready: CommandLine, tmp_path: Path) -> CommandLine:
    """Another machine with a key of its own for the repository of *ready*."""
    other = CommandLine(
        tmp_path / "other", environment={"HOLDFAST_REPOSITORY": str(ready.repository)}
    )
    other.done("writer", "add")
    return other


def test_the_keys_that_init_and_writer_add_make_write_points_and_nothing_else(
    ready: CommandLine, second: CommandLine
) -> None:
    """Else whoever steals one signs that others' points are dropped, and the next gc obeys."""
    certificates = [
        WriterCertificate.from_body(frames.parse(frames.KIND_WRITER, path.read_bytes()).body)
        for path in ready.objects("writers")
    ]

    assert second.home != ready.home
    assert [item.writer_class for item in certificates] == [WriterClass.WRITER] * 2


def test_a_machine_relies_only_on_what_it_stored_itself(
    ready: CommandLine, second: CommandLine
) -> None:
    """What another one says to be a chunk may be rubbish, and only a restore would show it."""
    content = os.urandom(300_000)
    first = ready("backup", ready.source(data=content), "--json").document
    own = second("backup", ready.source(), "--source", "same", "--json").document
    again = second("backup", ready.source(), "--source", "more", "--json").document

    assert own["new_stored_bytes"] >= first["new_stored_bytes"] // 2 > 0
    assert again["new_raw_bytes"] < len(content)
    assert len(ready.objects("packs")) > 1
