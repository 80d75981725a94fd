"""Listings against a plain list: for all trees."""

from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.engine_store import EngineStore
from holdfast.core.face import NodeRule
from holdfast.core.python.contents import data_runs
from holdfast.core.python.entries import FILE, FOLDER, Entry
from holdfast.core.python.pages import DiffPage
from holdfast.core.python.segment_reader import merge_ranges

NAMES = st.sampled_from([b"a", b"a!", b"b", b"ab", b"\xff", b"\x01", b"c c", b"zz"])
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=60)


def tree(paths: list[list[bytes]], changed: set[bytes]) -> list[Entry]:
    """Return the entries of a tree that has all *paths*, in key order; *changed* have a size."""
    kinds: dict[tuple[bytes, bytes], int] = {(b"", b""): FOLDER}
    for path in paths:
        for depth in range(1, len(path) + 1):
            folder = b"".join(one + b"\0" for one in path[: depth - 1])
            place = (folder, path[depth - 1])
            if depth < len(path):
                kinds[place] = FOLDER
            else:
                kinds.setdefault(place, FILE)
    return [
        Entry(
            folder, name, kind, 0o700, 1, 1, len(name) if folder + name in changed else 5, 6, 7, 0
        )
        for (folder, name), kind in sorted(
            kinds.items(), key=lambda item: item[0][0] + b"\0" + item[0][1]
        )
    ]


def store_in(folder: str) -> EngineStore:
    """Return a store with small nodes, so that small trees are high."""
    rule = NodeRule(bits=1, minimum_entries=2, maximum_entries=4, maximum_cost=65536)
    return EngineStore(Path(folder), node_rule=rule)


@given(PATHS, st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_pages_of_a_walk_and_of_listings_are_the_tree(paths: list[list[bytes]], limit: int) -> None:
    with TemporaryDirectory() as folder:
        store = store_in(folder)
        entries = tree(paths, set())
        root = store.add_tree(entries)

        walked: list[Entry] = []
        after = None
        while True:
            page = store.pump(store.reader.walk(root, after, limit))
            assert len(page) <= limit
            walked += page  # type: ignore[arg-type]  # entries of this engine
            after = page.next_key
            if after is None:
                break

        assert walked == entries
        for one in entries:
            if one.type == FOLDER:
                inside = one.folder + one.name + b"\0" if one.name else b""
                path = inside[:-1].replace(b"\0", b"/")
                listed = []
                after = None
                while True:
                    page = store.pump(store.reader.list(root, path, after, limit))
                    listed += page.names()
                    after = page.next_key
                    if after is None:
                        break
                assert listed == [e.name for e in entries if e.folder == inside and e.name]


@given(PATHS, PATHS, st.sets(NAMES, max_size=3), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_pages_of_a_diff_are_what_differs(
    old_paths: list[list[bytes]], new_paths: list[list[bytes]], changed: set[bytes], limit: int
) -> None:
    with TemporaryDirectory() as folder:
        store = store_in(folder)
        old_entries = tree(old_paths, set())
        new_entries = tree([*old_paths[1:], *new_paths], changed)
        old, new = store.add_tree(old_entries), store.add_tree(new_entries)

        found: list[tuple[bytes, str]] = []
        after = None
        while True:
            page = store.pump(store.reader.diff(old, new, after, limit))
            assert isinstance(page, DiffPage)
            found += [(e.key, change) for e, change in zip(page.entries, page.changes, strict=True)]
            after = page.next_key
            if after is None:
                break

        before = {e.key: e for e in old_entries}
        now = {e.key: e for e in new_entries}
        expected = []
        for key in sorted(before.keys() | now.keys()):
            if key not in now:
                expected.append((key, "removed"))
            elif key not in before:
                expected.append((key, "added"))
            elif before[key] != now[key]:
                expected.append((key, "changed"))
        assert found == expected


def test_what_two_trees_share_is_not_read(tmp_path: Path) -> None:
    store = EngineStore(tmp_path, memory_bytes=16)
    plain = [Entry(b"", b"", FOLDER, 0o700, 1, 1, 5, 6, 7, 0)]
    plain += [Entry(b"", b"%06d" % n, FILE, 0o600, 1, 1, 5, 6, 7, 0) for n in range(20_000)]
    old = store.add_tree(plain)
    plain[10_000] = plain[10_000]._replace(mtime_ns=9)
    new = store.add_tree(plain)

    page = store.pump(store.reader.diff(old, new, None, 100))

    assert [e.name for e in page] == [b"%06d" % 9_999]
    assert len(store.fetches) < 12


@given(
    st.binary(min_size=1, max_size=60_000),
    st.lists(st.tuples(st.integers(0, 70_000), st.integers(0, 70_000)), max_size=4),
)
@settings(max_examples=25, deadline=None)
def test_any_span_of_a_file_can_be_read(seed: bytes, spans: list[tuple[int, int]]) -> None:
    with TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.mkdir()
        store = EngineStore(Path(folder) / "spool", chunk_min=64, chunk_average=256, chunk_max=1024)
        data = seed * (60_000 // len(seed)) + b"\0" * 5000 + seed
        file = source / "file"
        with file.open("wb") as out:
            out.write(data)
            out.truncate(len(data) + 40_000)
            out.seek(len(data) + 40_000)
            out.write(b"end")
        data += bytes(40_000) + b"end"
        root = store.write(source).root

        answers = store.pump(store.reader.read_at(root, b"file", spans))

        assert answers == [data[offset : offset + length] for offset, length in spans]


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 1000)), max_size=20))
def test_runs_of_data_and_holes_fill_a_file(pairs: list[tuple[int, int]]) -> None:
    holes, position = [], 0
    for gap, length in pairs:
        holes.append((position + gap + 1, length))
        position += gap + 1 + length
    runs = data_runs(position, holes)

    whole = sorted([*runs, *holes])
    assert all(one[0] + one[1] == other[0] for one, other in pairwise(whole))
    assert sum(length for _, length in [*runs, *holes]) == position
    assert all(length > 0 for _, length in runs)


@given(
    st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 1 << 18)), min_size=1, max_size=20)
)
def test_merged_ranges_cover_what_was_asked_for(ranges: list[tuple[int, int]]) -> None:
    ranges.sort()
    merged = merge_ranges(ranges)

    assert all(
        any(start <= offset and offset + length <= start + size for start, size in merged)
        for offset, length in ranges
    )
    assert all(other[0] - (one[0] + one[1]) >= 65536 for one, other in pairwise(merged))
