"""The encoding: one item, one encoding (vault-format.md, section 1.1)."""

import pytest

from holdfast.format.cbor import MAX_DEPTH, decode, encode
from holdfast.format.errors import EncodingError, UnencodableError


@pytest.mark.parametrize(
    ("item", "encoded"),
    [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (255, "18ff"),
        (256, "190100"),
        (65536, "1a00010000"),
        (2**32, "1b0000000100000000"),
        (2**64 - 1, "1bffffffffffffffff"),
        (-1, "20"),
        (-(2**63), "3b7fffffffffffffff"),
        (b"", "40"),
        (b"\x01", "4101"),
        ("ü", "62c3bc"),
        ([], "80"),
        ([1, [2]], "82018102"),
        ({}, "a0"),
        ({0: None, 300: True}, "a200f619012cf5"),
        (False, "f4"),
    ],
)
def test_an_item_has_exactly_this_encoding(item: object, encoded: str) -> None:
    assert encode(item).hex() == encoded  # type: ignore[arg-type]
    assert decode(bytes.fromhex(encoded)) == item
    assert decode(memoryview(bytes.fromhex(encoded))) == item


def test_map_keys_are_written_in_ascending_order_however_they_came() -> None:
    assert encode({2: 0, 1: 0}) == encode({1: 0, 2: 0})


def test_memoryviews_and_tuples_are_written_as_bytes_and_arrays() -> None:
    assert decode(encode((memoryview(b"ab").cast("H"), bytearray(b"c")))) == [b"ab", b"c"]


def test_a_byte_string_comes_back_as_bytes_of_its_own() -> None:
    """A leaf's arrays must not keep a whole opened segment alive."""
    buffer = bytearray(encode([b"abc"]))
    item = decode(memoryview(buffer))
    buffer[2:] = b"xyz"

    assert item == [b"abc"]
    assert type(item[0]) is bytes


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1])
def test_sixteen_levels_are_the_deepest(depth: int) -> None:
    item: list[object] = []
    for _ in range(depth - 1):
        item = [item]
    raw = b"\x81" * (depth - 1) + b"\x80"

    if depth <= MAX_DEPTH:
        assert encode(item) == raw  # type: ignore[arg-type]
        assert decode(raw) == item
    else:
        with pytest.raises(UnencodableError):
            encode(item)  # type: ignore[arg-type]
        with pytest.raises(EncodingError):
            decode(raw)


@pytest.mark.parametrize(
    "item",
    [2**64, -(2**63) - 1, 1.5, {"a": 1}, {-1: 1}, {True: 1}, "\ud800", object(), {1, 2}],
)
def test_what_the_subset_lacks_is_never_written(item: object) -> None:
    with pytest.raises(UnencodableError):
        encode(item)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [
        "",
        "1817",
        "1900ff",
        "1a0000ffff",
        "1b00000000ffffffff",
        "18",
        "1c",
        "1f",
        "5f4100ff",
        "9f00ff",
        "4201",
        "5bffffffffffffffff",
        "61ff",
        "63eda080",
        "81",
        "9bffffffffffffffff",
        "a100",
        "a201000100",
        "a202000100",
        "a1410000",
        "a120f6",
        "a1f500",
        "bb8000000000000000",
        "c000",
        "e0",
        "f7",
        "f820",
        "f90000",
        "ff",
        "0000",
        "3b8000000000000000",
    ],
)
def test_any_other_form_is_refused(data: str) -> None:
    with pytest.raises(EncodingError):
        decode(bytes.fromhex(data))


def test_an_item_of_very_many_members_is_refused_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An empty array takes one byte stored and over fifty in memory."""
    monkeypatch.setattr("holdfast.format.cbor.ITEMS_LIMIT", 5)

    assert decode(encode([[1, 2], {1: 2}])) == [[1, 2], {1: 2}]
    for item in ([[1, 2], [1, 2]], [{1: 2, 3: 4}, {5: 6, 7: 8}], [[]] * 6):
        with pytest.raises(UnencodableError):
            encode(item)
    for data in ("82820102820102", "82a201020304a205060708", "86808080808080"):
        with pytest.raises(EncodingError):
            decode(bytes.fromhex(data))
