"""Local state: either what was recorded, or nothing; and what is unchanged is not opened."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from doubles.trees import build_small_tree, mutate_tree
from doubles.writing import (
    CHUNK_KEY,
    LOCATOR_KEY,
    NODE_KEY,
    VAULT,
    Desk,
    no_room_beyond,
    parameters,
)
from holdfast.base.secrets import Secret
from holdfast.core.face import NodeRule
from holdfast.core.python import content, state, tree_builder
from holdfast.core.python.entries import EXTENT_MAP, FILE, Entry
from holdfast.core.python.leaves import decode_leaf
from holdfast.core.python.owners import OwnerNames
from holdfast.core.python.state import RecordedTree, StateWriter
from holdfast.core.run_errors import SpoolError

LATER = 2_000_000_000_000_000_000
"""When the first session starts: long after all that the sources hold was changed."""


def open_state(path: Path, vault_id: bytes = VAULT) -> RecordedTree | None:
    return RecordedTree.open(path, vault_id=vault_id, node_id_key=Secret(NODE_KEY))


def small_source(folder: Path) -> Path:
    """Make a source whose tree has several leaves and an extent map."""
    source = folder / "source"
    source.mkdir()
    for number in range(300):
        (source / f"{number:03}").write_bytes(b"%d" % number * 5)
    (source / "large").write_bytes(os.urandom(500_000))
    return source


def written_state(folder: Path) -> tuple[Desk, Path, Path]:
    desk = Desk(folder)
    source = small_source(folder)
    path = desk.backup(source, started_ns=LATER).state
    assert path is not None
    return desk, source, path


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The names of all files that are opened to be read."""
    names: list[bytes] = []
    real = content.OpenFile.open

    def noted(folder_fd: int, name: bytes) -> content.OpenFile:
        names.append(name)
        return real(folder_fd, name)

    monkeypatch.setattr(content.OpenFile, "open", noted)
    return names


def recorded(tree: RecordedTree, names: list[bytes]) -> list[Entry | None]:
    entries = {entry.name: entry for one in tree.sections(b"", names) for entry in one.section}
    return [entries.get(name) for name in names]


def test_what_was_recorded_is_found_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    source = small_source(tmp_path)
    written = desk.backup(source, started_ns=LATER)
    assert written.state is not None
    tree = open_state(written.state)
    assert tree is not None
    entries = {entry.name: entry for entry in desk.entries(written.root)}
    names = [b"000", b"017", b"gone", b"large"]

    assert tree.started_ns == LATER
    assert recorded(tree, names) == [entries.get(name) for name in names]
    assert tree.extent_node(entries[b"large"].ids) == desk.chunk(entries[b"large"].ids)
    assert tree.extent_node(bytes(32)) is None
    assert tree.sections(b"folder\0", [b"x"]) == []


def test_a_file_that_is_cut_anywhere_is_no_state(tmp_path: Path) -> None:
    whole = written_state(tmp_path)[2].read_bytes()
    path = tmp_path / "cut"
    path.write_bytes(whole)
    for size in range(len(whole) - 1, -1, -1):
        os.truncate(path, size)
        if open_state(path) is not None:
            pytest.fail(f"{size} of {len(whole)} bytes count as a state")


@pytest.mark.parametrize("change", ["other vault", "longer", "no file", "other magic"])
def test_another_file_is_no_state(tmp_path: Path, change: str) -> None:
    _, _, path = written_state(tmp_path)
    data = path.read_bytes()
    if change == "longer":
        path.write_bytes(data + b"\0")
    elif change == "no file":
        path.unlink()
    elif change == "other magic":
        path.write_bytes(b"X" + data[1:])

    assert open_state(path, b"w" * 32 if change == "other vault" else VAULT) is None


def test_every_damaged_byte_leaves_only_what_is_right(tmp_path: Path) -> None:
    """Flips in each record are found by the node's id; the rest is as it was."""
    _, source, path = written_state(tmp_path)
    names = [b"", *sorted(os.fsencode(one.name) for one in source.iterdir())]
    whole = path.read_bytes()
    tree = open_state(path)
    assert tree is not None
    right = recorded(tree, names)
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        damaged = open_state(path)
        if damaged is not None and damaged.started_ns == LATER:
            for entry, known in zip(right, recorded(damaged, names), strict=True):
                assert known in {entry, None}


def test_a_leaf_that_cannot_be_decoded_is_as_if_it_were_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, path = written_state(tmp_path)
    real: Callable[[bytes], Any] = decode_leaf
    count = iter(range(1000))

    def half(node: bytes) -> Any:  # noqa: ANN401 - a leaf
        return real(node if next(count) % 2 else node[:-1])

    monkeypatch.setattr(state, "decode_leaf", half)
    tree = open_state(path)
    assert tree is not None
    found = recorded(tree, [b"%03d" % number for number in range(300)])

    assert 0 < found.count(None) < 300


def test_sections_are_let_go_of_as_the_names_go_by(tmp_path: Path) -> None:
    """A folder with millions of names is never held as a whole."""
    _, _, path = written_state(tmp_path)
    tree = open_state(path)
    assert tree is not None
    names = [b"%03d" % number for number in range(300)]
    for start in range(0, 300, 10):
        piece = names[start : start + 10]
        sections = [one.section for one in tree.sections(b"", piece)]

        assert {name for one in sections for name in one.names} >= set(piece)
        assert all(one.names[-1] >= piece[0] and one.names[0] <= piece[-1] for one in sections)


@pytest.mark.parametrize("room", [0, 30, 5_000, 100_000])
def test_a_full_file_system_is_a_spool_error(tmp_path: Path, room: int) -> None:
    path = tmp_path / "state"
    with no_room_beyond(room), pytest.raises(SpoolError, match="File too large"):  # noqa: PT012 - whichever call meets it
        writer = StateWriter(path, started_ns=0, vault_id=VAULT)
        for _ in range(3):
            writer.leaf(bytes(32), bytes(40_000))
        writer.finish()
    writer.abandon()

    assert not path.exists()


def test_a_state_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    """It may be the one that is being read."""
    path = tmp_path / "state"
    path.write_text("of somebody")

    with pytest.raises(SpoolError, match="File exists"):
        StateWriter(path, started_ns=0, vault_id=VAULT)
    assert path.read_text() == "of somebody"


# --- unchanged files ------------------------------------------------------------------------------


def test_unchanged_files_are_not_opened_at_all(tmp_path: Path, opens: list[bytes]) -> None:
    desk, source, path = written_state(tmp_path)
    first = desk.backup(source)
    opens.clear()
    second = desk.backup(source, path)

    assert opens == []
    assert second.root == first.root
    assert second.packs == ()
    assert second.statistics.source_bytes == first.statistics.source_bytes
    assert second.statistics.new_chunks == 0
    assert set(second.needed) <= set(desk.packs)


def test_exactly_the_changed_files_are_opened(tmp_path: Path, opens: list[bytes]) -> None:
    desk = Desk(tmp_path)
    source = tmp_path / "source"
    build_small_tree(source, 1)
    path = desk.backup(source, started_ns=LATER).state
    opens.clear()
    changes = mutate_tree(source, 1)
    touched = {*changes.changed, *changes.added, *(new for _, new in changes.renamed)}
    inodes = {(source / name).stat().st_ino for name in touched}
    expected = {os.fsencode(one.name) for one in source.rglob("*") if one.lstat().st_ino in inodes}
    desk.backup(source, path)

    # What shared an inode with a name that is gone or new was changed with it.
    assert expected <= set(opens)
    assert len(opens) < 100
    assert sum(1 for one in source.rglob("*") if one.is_file()) > 200


@pytest.mark.parametrize("rule", [NodeRule(), NodeRule(2, 2, 8, 2048), NodeRule(1, 2, 65536)])
def test_a_source_that_changed_gives_the_same_tree_with_and_without_state(
    tmp_path: Path, rule: NodeRule
) -> None:
    """Also where leaves come again as they are, among others that do not."""
    settings = parameters(node_rule=rule)
    desk = Desk(tmp_path, settings)
    source = tmp_path / "source"
    build_small_tree(source, 2)
    path = None
    for seed in range(4):
        with_state = desk.backup(source, path, started_ns=LATER + seed)
        fresh = Desk(tmp_path / f"fresh-{seed}", settings).backup(source)

        assert desk.findings == []
        assert with_state.root == fresh.root
        assert with_state.statistics.files == fresh.statistics.files
        assert with_state.statistics.others == fresh.statistics.others
        path = with_state.state
        if seed != 1:  # once nothing changes
            mutate_tree(source, seed)


def test_unchanged_leaves_are_not_encoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    source = tmp_path / "source"
    source.mkdir()
    for number in range(2000):
        (source / f"{number:05}").write_bytes(b"%d" % number)
    first = desk.backup(source, started_ns=LATER)
    encoded = []
    real = tree_builder.encode_leaf
    monkeypatch.setattr(
        tree_builder, "encode_leaf", lambda *given: encoded.append(1) or real(*given)
    )
    unchanged = desk.backup(source, first.state)
    last = len(encoded)
    (source / "00777").write_bytes(b"changed")
    changed = desk.backup(source, unchanged.state)

    # The first leaf begins with the root, which comes in a slice of its own; the last one ends
    # because there is no more. The change makes one or two others.
    assert last <= 2
    assert len(encoded) - last <= 4
    assert unchanged.root == first.root
    assert changed.root == Desk(tmp_path / "fresh").backup(source).root


def test_leaves_with_names_of_owners_that_changed_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, source, path = written_state(tmp_path)
    names = OwnerNames(lambda number: f"renamed-{number}")
    monkeypatch.setattr("holdfast.core.python.storing_run.user_names", lambda: names)
    written = desk.backup(source, path)

    assert written.root == Desk(tmp_path / "fresh").backup(source).root
    assert written.packs != ()


@pytest.mark.parametrize(
    ("distance_ns", "is_read"), [(2_000_000_000, False), (1_999_999_999, True), (-5, True)]
)
def test_what_changed_just_before_its_session_is_read_again(
    tmp_path: Path,
    opens: list[bytes],
    distance_ns: int,
    is_read: bool,  # noqa: FBT001 - a parameter of pytest
) -> None:
    """8.5: another change within the same tick of the clock would leave no trace."""
    desk = Desk(tmp_path)
    (tmp_path / "source").mkdir()
    file = tmp_path / "source/file"
    file.write_text("content")
    started = file.stat().st_ctime_ns + distance_ns
    path = desk.backup(tmp_path / "source", started_ns=started).state
    opens.clear()
    desk.backup(tmp_path / "source", path)

    assert opens == ([b"file"] if is_read else [])


def test_everything_is_read_when_that_is_asked_for(tmp_path: Path, opens: list[bytes]) -> None:
    desk, source, path = written_state(tmp_path)
    opens.clear()
    desk.backup(source, path, reread=True)

    assert len(opens) == 301


@pytest.mark.parametrize("field", ["st_mtime_ns", "st_ctime_ns", "st_ino", "st_size", "st_mode"])
def test_each_of_the_five_makes_a_file_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opens: list[bytes], field: str
) -> None:
    desk, source, path = written_state(tmp_path)
    opens.clear()
    real = os.stat

    class Changed:
        """A status of which one field has another value."""

        def __init__(self, status: os.stat_result) -> None:
            self._status = status

        def __getattr__(self, name: str) -> int:
            value: int = getattr(self._status, name)
            if name == field == "st_mode":
                return value ^ 0o020000 ^ 0o100000  # a character device
            return value + 1 if name == field else value

    def status(path: Any, **options: Any) -> Any:  # noqa: ANN401 - handed on
        found = real(path, **options)
        return Changed(found) if path == b"017" else found

    monkeypatch.setattr(os, "stat", status)
    written = desk.backup(source, path)

    if field == "st_mode":
        assert opens == []
        assert desk.tree(written.root)[b"017"].type != FILE
    else:
        assert opens == [b"017"]


def test_a_chunk_that_left_the_index_makes_its_file_be_read_and_stored_again(
    tmp_path: Path, opens: list[bytes]
) -> None:
    desk, source, path = written_state(tmp_path)
    first = desk.backup(source)
    entry = desk.tree(first.root)[b"042"]
    desk.index.lose(entry.ids)
    opens.clear()
    written = desk.backup(source, path)

    assert opens == [b"042"]
    assert written.root == first.root
    assert written.statistics.new_chunks == 1


def test_a_node_of_an_extent_map_that_left_the_index_is_stored_again(
    tmp_path: Path, opens: list[bytes]
) -> None:
    desk, source, path = written_state(tmp_path)
    first = desk.backup(source)
    entry = desk.tree(first.root)[b"large"]
    assert entry.extent_count == EXTENT_MAP
    desk.index.lose(entry.ids)
    opens.clear()
    written = desk.backup(source, path)

    assert opens == [b"large"]
    assert written.statistics.new_chunks == 0
    assert len(written.packs) == 1


def test_extent_maps_are_carried_from_state_to_state(tmp_path: Path, opens: list[bytes]) -> None:
    desk, source, path = written_state(tmp_path)
    opens.clear()
    for number in range(3):
        written = desk.backup(source, path, started_ns=LATER + number)
        path = written.state

    assert opens == []
    entry = desk.tree(written.root)[b"large"]
    assert desk.stored(entry) == (source / "large").read_bytes()


def test_a_damaged_leaf_makes_its_files_be_read_and_changes_nothing(
    tmp_path: Path, opens: list[bytes]
) -> None:
    desk, source, path = written_state(tmp_path)
    first = desk.backup(source)
    data = bytearray(path.read_bytes())
    place = data.index(struct.pack("<H", 3) * 20)  # lengths of names, in a leaf
    data[place] ^= 1
    path.write_bytes(data)
    opens.clear()
    written = desk.backup(source, path)

    assert 10 <= len(opens) < 301
    assert written.root == first.root
    assert written.packs == ()


def test_unchanged_folders_are_looked_up_in_the_index_leaf_by_leaf(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    source = tmp_path / "source"
    for folder in range(200):
        (source / f"{folder:03}").mkdir(parents=True)
        for number in range(3):
            (source / f"{folder:03}" / f"{number}").write_bytes(b"%d" % (folder * 3 + number))
    first = desk.backup(source, started_ns=LATER)
    assert first.state is not None
    state_file = open_state(first.state)
    assert state_file is not None
    leaves = len(state_file._leaves)
    asked = desk.index.asked
    second = desk.backup(source, first.state)

    assert second.root == first.root
    assert leaves < 60
    # Each leaf once for its chunks; the nodes of the tree in a few batches.
    assert desk.index.asked - asked <= leaves + 10


def test_only_what_is_taken_over_is_relied_on(tmp_path: Path) -> None:
    """The look-up of a leaf sees chunks of changed files too; the point does not need those."""
    desk = Desk(tmp_path)
    source = tmp_path / "source"
    for folder in (b"a", b"b"):
        (source / os.fsdecode(folder)).mkdir(parents=True)
        (source / os.fsdecode(folder) / "file").write_bytes(folder * 1000)
        state_path = desk.backup(source, started_ns=LATER).state
    (source / "a" / "file").write_bytes(b"another content")
    written = desk.backup(source, state_path)

    place = desk.index.rows[
        blake3(blake3(b"a" * 1000, key=CHUNK_KEY).digest(), key=LOCATOR_KEY).digest(length=20)
    ]
    assert place[0] not in written.needed


def test_parameters_decide_nothing_about_the_state(tmp_path: Path) -> None:
    """A state is of a vault; another suite is another vault, and has another id."""
    desk = Desk(tmp_path, parameters(suite="none"))
    source = small_source(tmp_path)
    path = desk.backup(source, started_ns=LATER).state

    assert desk.backup(source, path).statistics.new_chunks == 0


@pytest.mark.slow
def test_a_hundred_thousand_files_in_one_folder_are_taken_over(
    tmp_path: Path, opens: list[bytes]
) -> None:
    desk = Desk(tmp_path)
    source = tmp_path / "source"
    source.mkdir()
    for number in range(100_000):
        os.mknod(source / f"{number:x}")
    first = desk.backup(source, started_ns=LATER)
    opened = len(opens)
    second = desk.backup(source, first.state)

    assert opened == first.statistics.files == 100_000
    assert len(opens) == opened
    assert second.root == first.root
