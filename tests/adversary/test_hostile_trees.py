"""A tree may lie, and the target may change under a restore: nothing outside is ever touched."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from doubles.engine_store import EVERYTHING, EngineStore
from doubles.trees import build_small_tree
from holdfast.base.errors import IntegrityError
from holdfast.base.ids import NodeId
from holdfast.base.secrets import Secret
from holdfast.core.python import segment_reader
from holdfast.core.python.branches import Extents, Inner, encode_extents, encode_inner
from holdfast.core.python.entries import (
    EXTENT_MAP,
    FILE,
    FOLDER,
    SYMLINK,
    Entry,
    LongValue,
    rare_values,
)
from holdfast.core.python.leaf_columns import Columns
from holdfast.core.python.leaves import encode_leaf
from holdfast.core.python.tree_builder import TreeBuilder
from holdfast.core.reader_errors import PathNotFoundError, TreeShapeError
from holdfast.core.restore_rules import RestoreRules

ALWAYS = RestoreRules("always", delete=True, sparse=True, numeric_ids=True)


def entry(folder: bytes, name: bytes, kind: int = FILE, **values: Any) -> Entry:  # noqa: ANN401 - any field of an entry
    """Return an entry of this user."""
    owner = (os.geteuid(), os.getegid())
    return Entry(
        folder, name, kind, 0o755, *owner, 10**18, 10**18, 7, values.pop("size", 0), **values
    )


ROOT = entry(b"", b"", FOLDER)


@pytest.fixture
def places(tmp_path: Path) -> tuple[EngineStore, Path, Path]:
    """A store, a target, and a folder beside it that must never change."""
    target, outside = tmp_path / "target", tmp_path / "outside"
    target.mkdir()
    outside.mkdir()
    (outside / "precious").write_bytes(b"precious")
    (outside / "folder").mkdir()
    return EngineStore(tmp_path / "spool"), target, outside


def picture(folder: Path) -> list[tuple[object, ...]]:
    """Return all that can be seen of a folder."""
    found: list[tuple[object, ...]] = []
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found.append(
            (str(path), status.st_mode, status.st_mtime_ns, status.st_uid, status.st_nlink, content)
        )
    return found


@pytest.mark.parametrize(
    ("plain", "hostile"), [(b"XX", b".."), (b"aXb", b"a/b"), (b"X", b"."), (b"aXb", b"a\0b")]
)
def test_a_name_that_leads_elsewhere_is_refused(
    places: tuple[EngineStore, Path, Path], plain: bytes, hostile: bytes
) -> None:
    store, target, outside = places
    before = picture(outside)
    columns = Columns(b"")
    for one in (ROOT, entry(b"", plain)):
        columns.append(one)
    node = encode_leaf([columns], {}, {}).replace(plain, hostile, 1)
    (root,) = store.add_nodes(node)

    with pytest.raises(IntegrityError):
        store.restore(root, target, ALWAYS)
    assert picture(outside) == before
    assert list(target.iterdir()) == []


def test_a_name_that_stands_twice_is_refused(places: tuple[EngineStore, Path, Path]) -> None:
    store, target, _ = places
    columns = Columns(b"")
    for one in (ROOT, entry(b"", b"aa"), entry(b"", b"ab")):
        columns.append(one)
    (root,) = store.add_nodes(encode_leaf([columns], {}, {}).replace(b"aaab", b"aaaa", 1))

    with pytest.raises(IntegrityError):
        store.restore(root, target)


def test_entries_below_a_file_or_a_symlink_are_not_restored(
    places: tuple[EngineStore, Path, Path],
) -> None:
    """The classic: a symlink to the outside, and then an entry below it."""
    store, target, outside = places
    before = picture(outside)
    to_outside = rare_values(link_target=LongValue.of(bytes(outside)))
    root = store.add_tree(
        [
            ROOT,
            entry(b"", b"file"),
            entry(b"", b"link", SYMLINK, rare=to_outside),
            entry(b"file\0", b"below"),
            entry(b"ghost\0", b"below"),
            entry(b"link\0", b"precious"),
        ]
    )

    store.restore(root, target, ALWAYS)

    assert {finding.code for finding in store.findings} == {TreeShapeError.code}
    assert sorted(one.name for one in target.iterdir()) == ["file", "link"]
    assert picture(outside) == before
    with pytest.raises(TreeShapeError):
        store.pump(store.reader.walk(root, None, 100))


@pytest.mark.parametrize("rules", [EVERYTHING, ALWAYS])
def test_symlinks_in_the_target_are_never_followed(
    places: tuple[EngineStore, Path, Path], rules: RestoreRules
) -> None:
    store, target, outside = places
    before = picture(outside)
    (chunk,) = store.add_chunks(b"new")
    root = store.add_tree(
        [
            ROOT,
            entry(b"", b"folder", FOLDER),
            entry(b"", b"precious", size=3, extent_count=1, ids=chunk),
            entry(b"folder\0", b"inside", size=3, extent_count=1, ids=chunk),
        ]
    )
    (target / "folder").symlink_to(outside / "folder")
    (target / "precious").symlink_to(outside / "precious")

    store.restore(root, target, rules)

    assert picture(outside) == before
    if rules.overwrite == "always":
        assert (target / "folder/inside").read_bytes() == b"new"
        assert not (target / "precious").is_symlink()
    else:
        assert {finding.code for finding in store.findings} == {"in-the-way"}


def test_a_folder_swapped_for_a_symlink_meanwhile_leads_nowhere(tmp_path: Path) -> None:
    """After every step another folder of the target becomes a symlink to the outside."""
    source, outside = tmp_path / "source", tmp_path / "outside"
    build_small_tree(source, 7)
    outside.mkdir()
    (outside / "precious").write_bytes(b"precious")
    before = picture(outside)
    store = EngineStore(tmp_path / "spool", memory_bytes=1 << 18)
    written = store.write(source)
    for number in range(3):
        target = tmp_path / f"target-{number}"
        target.mkdir()
        fd = os.open(target, os.O_RDONLY)
        run = store.reader.restore(written.root, (), fd, ALWAYS)
        step = 0
        while run.result() is None and step < 400:
            store.pump(run, steps=1)
            step += 1
            folders = sorted(
                one for one in target.rglob("*") if one.is_dir() and not one.is_symlink()
            )
            if folders and step % 5 == number:
                victim = folders[step % len(folders)]
                victim.rename(tmp_path / f"moved-{number}-{step}")
                victim.symlink_to(outside)
        os.close(fd)
        assert run.result() is not None

    assert picture(outside) == before


def test_the_first_name_of_a_hard_link_swapped_for_a_symlink_is_not_linked(
    places: tuple[EngineStore, Path, Path],
) -> None:
    store, target, outside = places
    before = picture(outside)
    (chunk,) = store.add_chunks(b"linked")
    group = rare_values(hard_link_group=b"12345678")
    shape = {"size": 6, "extent_count": 1, "ids": chunk, "rare": group}
    root = store.add_tree([ROOT, entry(b"", b"a", **shape), entry(b"", b"b", **shape)])
    placed: list[str] = []
    original = os.link

    def swapping(*args: Any, **options: Any) -> None:  # noqa: ANN401 - whatever os.link takes
        placed.append("linked")
        (target / "a").unlink()
        (target / "a").symlink_to(outside / "precious")
        original(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "link", swapping)
        store.restore(root, target)

    assert placed == ["linked"]
    assert picture(outside) == before
    assert (target / "b").read_bytes() == b"linked"
    assert not (target / "b").is_symlink()


def test_files_whose_extents_lie_are_reported_and_leave_nothing(
    places: tuple[EngineStore, Path, Path],
) -> None:
    store, target, _ = places
    ids = store.add_chunks(b"a" * 100, b"b" * 50)
    short = encode_extents(Extents(0, ids, [100, 49]))
    (short_id,) = store.add_nodes(short)
    (deep_id,) = store.add_nodes(encode_extents(Extents(3, [short_id], [149])))
    (wrong_sum,) = store.add_nodes(encode_extents(Extents(1, [short_id], [150])))
    values = LongValue(2000, None, (ids[0],))
    root = store.add_tree(
        [
            ROOT,
            entry(b"", b"deep", size=149, extent_count=EXTENT_MAP, ids=deep_id),
            entry(b"", b"good", size=150, extent_count=2, ids=b"".join(ids), lengths=(100, 50)),
            entry(b"", b"long", SYMLINK, rare=rare_values(link_target=values)),
            entry(b"", b"node", size=150, extent_count=EXTENT_MAP, ids=wrong_sum),
            entry(b"", b"size", size=99, extent_count=1, ids=ids[0]),
            entry(b"", b"sum", size=151, extent_count=EXTENT_MAP, ids=short_id),
            entry(b"", b"swap", size=150, extent_count=2, ids=b"".join(ids), lengths=(50, 100)),
            entry(b"", b"wrong", size=149, extent_count=EXTENT_MAP, ids=short_id),
        ]
    )

    store.restore(root, target)

    assert [one.name for one in target.iterdir()] == ["good"]
    assert sorted(finding.path for finding in store.findings) == sorted(
        [b"deep", b"long", b"node", b"size", b"sum", b"swap", b"wrong"]
    )
    with pytest.raises(IntegrityError):
        store.pump(store.reader.read_at(root, b"swap", [(0, 10)]))


def test_nodes_that_contradict_their_parents_are_refused(
    places: tuple[EngineStore, Path, Path],
) -> None:
    """A node that is its own grandchild, a wrong count, a wrong first key."""
    store, _, _ = places
    nodes: list[tuple[int, bytes, bytes]] = []
    builder = TreeBuilder(
        Secret(b"n" * 32), store.parameters.node_rule, lambda *node: nodes.append(node)
    )
    for one in [ROOT, *(entry(b"", b"%05d" % number) for number in range(600))]:
        builder.add(one)
    builder.finish()
    store.add_nodes(*(node for _, node, _ in nodes))
    leaves = [identity for level, _, identity in nodes if level == 0]
    for keys, ids, entries in (
        ([b"\0", b"\0zzz"], [leaves[0], leaves[1]], [16, 16]),
        ([b"\0"], [nodes[-1][2]], [601]),
        ([b"\0"], [leaves[0]], [999]),
    ):
        (root,) = store.add_nodes(encode_inner(Inner(1, keys, ids, entries, [0] * len(keys))))
        with pytest.raises(IntegrityError):
            store.pump(store.reader.walk(root, None, 10_000))


def test_damaged_data_is_named_and_the_rest_comes_back(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    build_small_tree(source, 8)
    target.mkdir()
    store = EngineStore(tmp_path / "spool")
    written = store.write(source)
    data = next(pack for pack in written.packs if pack.kind == "data")
    body = bytearray(store.packs[data.pack_id])
    body[data.first_offset + 20] ^= 1
    store.packs[data.pack_id] = bytes(body)

    result = store.restore(written.root, target)

    assert result is not None
    assert store.findings
    for finding in store.findings:
        assert finding.code.startswith("H")
        assert data.pack_id.hex() in finding.detail
        assert not (target / os.fsdecode(finding.path)).exists()
    packs = [(pack.pack_id, pack.stored_bytes) for pack in written.packs]
    verified = store.pump(store.reader.verify(packs))
    assert [(pack, segment) for pack, segment, _ in verified.damaged] == [(data.pack_id, 0)]


def two_packs(store: EngineStore) -> tuple[NodeId, bytes, bytes]:
    """Store a tree of two files and return its root and the pack of each file."""
    ids, packs = [], []
    for content in (b"one", b"two"):
        ids += store.add_chunks(content)
        packs.append(next(reversed(store.packs)))
    files = [
        entry(b"", name, size=3, extent_count=1, ids=chunk)
        for name, chunk in zip((b"one", b"two"), ids, strict=True)
    ]
    return store.add_tree([ROOT, *files]), packs[0], packs[1]


def test_a_missing_pack_costs_what_is_in_it_and_nothing_else(
    places: tuple[EngineStore, Path, Path],
) -> None:
    store, target, _ = places
    root, first, _ = two_packs(store)
    del store.packs[first]

    store.restore(root, target)

    assert [(finding.code, finding.path) for finding in store.findings] == [("H540", b"one")]
    assert [one.name for one in target.iterdir()] == ["two"]


def test_a_flipped_session_id_in_a_pack_is_damage_of_that_pack(
    places: tuple[EngineStore, Path, Path],
) -> None:
    """No key of another session is missing: exit code 12 would send people to look for one."""
    store, target, _ = places
    root, first, _ = two_packs(store)
    body = bytearray(store.packs[first])
    body[20] ^= 1
    store.packs[first] = bytes(body)

    store.restore(root, target)

    assert [(finding.code, finding.path) for finding in store.findings] == [("H543", b"one")]
    assert (target / "two").read_bytes() == b"two"


def test_a_pack_whose_header_was_driven_out_of_the_cache_is_no_damage(
    places: tuple[EngineStore, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the request, which leaves out a header that is known, and the answer."""
    store, target, _ = places
    monkeypatch.setattr(segment_reader, "_CIPHERS_KEPT", 1)
    root, _, _ = two_packs(store)
    assert store.pump(store.reader.read_at(root, b"two", [(0, 3)])) == [b"two"]
    store.reader.close()

    store.restore(root, target)

    assert store.findings == []
    assert (target / "one").read_bytes() == b"one"
    assert (target / "two").read_bytes() == b"two"


def test_a_missing_chunk_and_a_missing_path_are_named(
    places: tuple[EngineStore, Path, Path],
) -> None:
    store, target, _ = places
    root = store.add_tree([ROOT, entry(b"", b"gone", size=5, extent_count=1, ids=b"g" * 32)])

    store.restore(root, target)

    assert [(finding.code, finding.path) for finding in store.findings] == [("H540", b"gone")]
    with pytest.raises(PathNotFoundError):
        store.restore(root, target, below=[b"nowhere"])
