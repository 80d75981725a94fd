"""The index, held against a plain dictionary."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.base.errors import HoldfastError
from holdfast.base.ids import GroupId, IndexId, PackId, SessionId, WriterId
from holdfast.base.secrets import Secret
from holdfast.core import IndexKeys
from holdfast.core.errors import IndexCacheError, IndexContentError, IndexKeyMissingError
from holdfast.core.python.index import ABSENT, PythonIndex
from holdfast.core.python.index_tables import IndexTableBuilder
from holdfast.crypto import hkdf
from holdfast.crypto.boxes import seal_padded_box
from holdfast.format import frames
from holdfast.format.index_body import Drop, IndexBody, Owner, PositionsKey

VAULT = bytes(range(32))
GROUP = GroupId(b"g" * 16)
SESSION = SessionId(b"s" * 16)
WRITER = WriterId(b"w" * 16)
INDEX_KEY = Secret(b"i" * 32)
SESSION_KEY = Secret(b"k" * 32)
KEYS = IndexKeys(VAULT, GROUP, {0: INDEX_KEY}, {SESSION: (SESSION_KEY,)}, {})
WRITER_KEYS = IndexKeys(VAULT, GROUP, {0: INDEX_KEY}, {}, {})


class FixedRandom:
    """Gives the same bytes again and again."""

    def take(self, count: int) -> bytes:
        """Return *count* bytes."""
        return b"r" * count


def seal(
    packs: bytes,
    count: int,
    presence: bytes,
    positions: bytes,
    *,
    drops: tuple[PackId, ...] = (),
    replaces: tuple[IndexId, ...] = (),
    session: SessionId | None = SESSION,
) -> tuple[IndexId, bytes]:
    """Make an index object of a session, or a merged one without packs; drops name SESSION."""
    tail = VAULT + GROUP + bytes(4)
    tree_key = hkdf.derive_secret(SESSION_KEY, VAULT, "tree", session or SESSION)
    one = seal_padded_box(INDEX_KEY, b"index presence\0" + tail, presence, FixedRandom())
    two = seal_padded_box(tree_key, b"index positions\0" + tail, positions, FixedRandom())
    ids = tuple(PackId(packs[at : at + 32]) for at in range(0, len(packs), 32))
    owner = Owner(session_id=SESSION, writer_id=WRITER, count=len(ids))
    body = IndexBody(
        group_id=GROUP,
        epoch=0,
        session_id=session,
        writer_id=WRITER,
        pack_ids=ids,
        owners=(owner,) if ids else (),
        row_count=count,
        presence_length=len(one),
        replaces=tuple(sorted(replaces)),
        drops=tuple(sorted(Drop(pack, SESSION) for pack in drops)),
        positions_key=PositionsKey.READER if session is None else PositionsKey.SESSION,
        nonce=b"n" * 16,
    )
    data = frames.build(
        frames.KIND_INDEX,
        body.to_body(),
        attachment=one + two,
        sign=lambda _message: [(b"p" * 32, b"s" * 64)],
        vault_id=VAULT,
    )
    return IndexId(bytes(frames.object_hash(data))), data


def locator(number: int) -> bytes:
    """Return the locator of chunk *number*."""
    return sha256(b"%d" % number).digest()[:20]


def pack_id(number: int) -> PackId:
    """Return the id of pack *number*."""
    return PackId(sha256(b"pack %d" % number).digest())


chunk_sets = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 2), st.integers(0, 3)), max_size=40
)
"""(chunk, segment, which pack of the object) of the rows of one object."""


def build(rows: list[tuple[int, int, int]], packs: list[int]) -> IndexTableBuilder:
    """Collect *rows*; the chunk says its offset and length."""
    builder = IndexTableBuilder()
    for number in packs:
        builder.add_pack(pack_id(number), 100, [(50, 1000, 0), (60, 2000, 1), (70, 3000, 1)])
    for chunk, segment, pack in rows:
        builder.add(pack % len(packs), segment, locator(chunk), chunk, chunk + 1)
    return builder


@contextmanager
def folder() -> Iterator[Path]:
    """Make a folder for one example."""
    path = Path(tempfile.mkdtemp())
    try:
        yield path
    finally:
        shutil.rmtree(path)


def answers(index: PythonIndex) -> dict[int, tuple[bytes, int] | None]:
    """Ask for all chunks, by both ways."""
    asked = b"".join(map(locator, range(32)))
    found = index.look_up(asked)
    result: dict[int, tuple[bytes, int] | None] = {}
    for chunk, place in enumerate(index.locate(asked)):
        answer = found[8 * chunk : 8 * chunk + 8]
        if place is None:
            assert answer == ABSENT
            result[chunk] = None
            continue
        number, pack, segment = answer[:2], answer[2:6], answer[6:]
        assert int.from_bytes(segment, "big") == place.segment
        assert index.pack_at(int.from_bytes(number, "big"), int.from_bytes(pack, "big")) == (
            place.pack_id,
            SESSION,
        )
        assert (place.offset, place.length) == (chunk, chunk + 1)
        assert (
            place[3:7]
            == (
                (100, 50, 1000, 0),
                (150, 60, 2000, 1),
                (210, 70, 3000, 1),
            )[place.segment]
        )
        result[chunk] = place.pack_id, place.segment
    return result


@given(
    st.lists(
        st.tuples(chunk_sets, st.lists(st.integers(0, 6), min_size=1, max_size=3, unique=True)),
        max_size=4,
    ),
    st.sets(st.integers(0, 6), max_size=2),
    st.sets(st.integers(0, 6), max_size=2),
    st.none() | st.sets(st.integers(0, 6)),
)
@settings(max_examples=60, deadline=None)
def test_the_index_answers_like_a_dictionary(
    objects: list[tuple[list[tuple[int, int, int]], list[int]]],
    dropped: set[int],
    condemned: set[int],
    trusted: set[int] | None,
) -> None:
    """What is dropped, condemned or not trusted is absent, now and after opening it anew."""
    model: dict[int, set[tuple[bytes, int]]] = {chunk: set() for chunk in range(32)}
    absent = dropped | condemned | (set() if trusted is None else set(range(7)) - trusted)
    sealed = [seal(b"", 0, b"", b"", drops=tuple(map(pack_id, dropped)))]
    for rows, packs in objects:
        sealed.append(seal(*build(rows, packs).finish()))
        for chunk, segment, pack in rows:
            if packs[pack % len(packs)] not in absent:
                model[chunk].add((pack_id(packs[pack % len(packs)]), segment))
    with folder() as path:
        PythonIndex(path, KEYS).add(sealed)
        index = PythonIndex(path, KEYS)
        index.condemn([pack_id(number) for number in condemned])
        index.trust(None if trusted is None else [pack_id(number) for number in trusted])

        assert index.names() == {name for name, _ in sealed}
        for chunk, answer in answers(index).items():
            assert answer in model[chunk] if model[chunk] else answer is None


@given(
    st.lists(
        st.tuples(chunk_sets, st.lists(st.integers(0, 6), min_size=1, max_size=3, unique=True)),
        min_size=1,
        max_size=4,
    ),
    st.sets(st.integers(0, 6), max_size=2),
)
@settings(max_examples=60, deadline=None)
def test_a_merged_object_answers_like_those_that_it_replaces(
    objects: list[tuple[list[tuple[int, int, int]], list[int]]], dropped: set[int]
) -> None:
    with folder() as path:
        index = PythonIndex(path, KEYS)
        sealed = dict(seal(*build(rows, packs).finish()) for rows, packs in objects)
        drop = seal(b"", 0, b"", b"", drops=tuple(map(pack_id, dropped)))
        index.add([*sealed.items(), drop])
        before = answers(index)
        marks = index.marks()
        marks.mark_locators(b"".join(map(locator, range(32))))
        merged = index.merge([*sealed, drop[0]])
        name, data = seal(
            merged.packs,
            merged.row_count,
            merged.presence,
            merged.positions,
            drops=tuple(PackId(pack) for pack, _ in merged.drops),
            replaces=(*sealed, drop[0]),
        )
        index.add([(name, data)])
        after = answers(index)

        assert {chunk for chunk, answer in before.items() if answer} == {
            chunk for chunk, answer in after.items() if answer
        }
        assert set(merged.drops) == {(pack_id(number), SESSION) for number in dropped}
        index.drop([*sealed, drop[0]])
        assert answers(index) == after
        assert index.sessions() <= {SESSION}
        index.condemn_sessions([SESSION])
        assert not any(answers(index).values())


@pytest.mark.parametrize("other", [SessionId(b"o" * 16), SessionId(bytes(16))])
def test_the_object_of_a_session_hides_nothing_of_another_session(
    tmp_path: Path, other: SessionId
) -> None:
    """It replaces objects of its own session only, and drops its own packs only (section 7)."""
    name, data = seal(*build([(1, 0, 0)], [1]).finish())
    hostile = seal(b"", 0, b"", b"", drops=(pack_id(1),), replaces=(name,), session=other)
    keys = replace(KEYS, session_keys={SESSION: (SESSION_KEY,), other: (SESSION_KEY,)})
    index = PythonIndex(tmp_path, keys)
    index.add([(name, data), hostile])

    for one in (index, PythonIndex(tmp_path, keys)):
        assert one.locate(locator(1))[0] is not None
        assert one.look_up(locator(1)) != ABSENT
        merged = one.merge([name, hostile[0]])
        assert (merged.packs, merged.drops) == (pack_id(1), ())

    index.add([seal(b"", 0, b"", b"", drops=(pack_id(1),), session=None)])

    assert index.look_up(locator(1)) == ABSENT


def test_a_writer_without_session_keys_learns_presence_and_no_positions(tmp_path: Path) -> None:
    """It may reuse chunks; where in a segment they stand is for readers."""
    name, data = seal(*build([(1, 0, 0)], [1]).finish())
    index = PythonIndex(tmp_path, WRITER_KEYS)
    index.add([(name, data)])

    assert index.look_up(locator(1)) != ABSENT
    assert index.without_positions() == {name}
    with pytest.raises(IndexKeyMissingError):
        index.locate(locator(1))

    reader = PythonIndex(tmp_path, KEYS)
    reader.add([(name, data)])

    assert reader.locate(locator(1))[0] is not None


def test_marks_count_live_bytes_by_pack(tmp_path: Path) -> None:
    index = PythonIndex(tmp_path, KEYS)
    index.add([seal(*build([(0, 0, 0), (2, 1, 0), (5, 0, 1)], [1, 2]).finish())])
    marks = index.marks()

    assert marks.mark_locators(locator(2) + locator(2) + locator(9)) == [True, False, None]
    assert dict(marks.live_share()) == {pack_id(1): 0.75, pack_id(2): 0.0}


def test_eight_objects_of_one_size_are_due_for_merging(tmp_path: Path) -> None:
    index = PythonIndex(tmp_path, KEYS)
    for number in range(8):
        assert index.merge_due() == []
        index.add([seal(*build([(number, 0, 0)], [number]).finish())])

    assert set(index.merge_due()[0]) == index.names()


@pytest.mark.parametrize("change", ["order", "pack", "zero", "length", "position"])
def test_an_object_that_contradicts_itself_is_refused_and_not_kept(
    tmp_path: Path, change: str
) -> None:
    packs, count, presence, positions = build([(1, 0, 0), (2, 1, 0)], [1]).finish()
    match change:
        case "order":
            presence = presence[28:] + presence[:28]
        case "pack":
            presence = presence[:23] + b"\x01" + presence[24:]
        case "zero":
            presence = presence[:27] + b"\x01" + presence[28:]
        case "length":
            presence += bytes(28)
        case _:
            positions = positions[:-4] + b"\x00\x10\x00\x00"
    index = PythonIndex(tmp_path, KEYS)

    with pytest.raises(IndexContentError):
        index.add([seal(packs, count, presence, positions)])
    assert index.look_up(locator(3)) == ABSENT
    assert change == "position" or not index.names()


@given(st.binary(max_size=300))
@settings(max_examples=50, deadline=None)
def test_arbitrary_objects_only_ever_raise_our_own_error(data: bytes) -> None:
    """Nothing of them is kept."""
    with folder() as path:
        index = PythonIndex(path, KEYS)
        with pytest.raises(HoldfastError):
            index.add([(IndexId(sha256(data).digest()), data)])
        assert not index.names()


@pytest.mark.parametrize("suffix", ["packs", "presence"])
def test_a_damaged_part_is_dropped_and_can_be_added_again(tmp_path: Path, suffix: str) -> None:
    """These files are a cache: what a crash leaves of them is never trusted."""
    name, data = seal(*build([(1, 0, 0)], [1]).finish())
    PythonIndex(tmp_path, KEYS).add([(name, data)])
    path = tmp_path / f"{name.hex()}.{suffix}"
    path.write_bytes(path.read_bytes()[:-1])
    index = PythonIndex(tmp_path, KEYS)

    assert not index.names()
    assert not list(tmp_path.iterdir())
    index.add([(name, data)])
    assert index.locate(locator(1))[0] is not None


def test_damaged_positions_are_opened_again(tmp_path: Path) -> None:
    name, data = seal(*build([(1, 0, 0)], [1]).finish())
    PythonIndex(tmp_path, KEYS).add([(name, data)])
    (tmp_path / f"{name.hex()}.positions").write_bytes(b"cut off ")
    index = PythonIndex(tmp_path, KEYS)
    with pytest.raises(IndexCacheError):
        index.locate(locator(1))

    assert index.without_positions() == {name}
    index.add([(name, data)])
    assert index.locate(locator(1))[0] is not None
