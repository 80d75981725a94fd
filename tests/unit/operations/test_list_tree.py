"""Finding what people name in a restore point."""

from dataclasses import dataclass
from typing import Any

import pytest

from doubles.engine_store import EngineStore
from holdfast.core.python.entries import FILE, FOLDER, Entry
from holdfast.operations.list_tree import find
from holdfast.recovery.errors import PathNotInPointError

DEPTH = 1200
"""More than Python lets a function recurse."""


@dataclass(frozen=True)
class Reader:
    """All that a listing wants of a point that is open."""

    engine: Any
    root: bytes
    pumped: Any


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: ANN401 - stands for a PointReader
    store = EngineStore(tmp_path_factory.mktemp("deep") / "spool")
    numbers = (0, 0, 10**18, 10**18, 1, 0)
    entries = [Entry(b"", b"", FOLDER, 0o755, *numbers)]
    entries += [Entry(b"a\0" * level, b"a", FOLDER, 0o755, *numbers) for level in range(DEPTH)]
    entries.append(Entry(b"a\0" * DEPTH, b"file", FILE, 0o644, *numbers))
    return Reader(store.reader, store.add_tree(entries), store.pump)


def test_paths_of_any_depth_are_found(reader: Any) -> None:  # noqa: ANN401 - as above
    folder = b"/".join([b"a"] * DEPTH)

    assert find(reader, folder + b"/file").kind == "file"
    assert find(reader, folder).kind == "folder"


@pytest.mark.parametrize("path", [b"b", b"a/b/c", b"a/" * DEPTH + b"file/below", b"a/fil"])
def test_a_path_that_is_not_there_is_named(reader: Any, path: bytes) -> None:  # noqa: ANN401 - as above
    with pytest.raises(PathNotInPointError, match=path.decode()):
        find(reader, path)
