"""The encoding for all items and all bytes."""

from hypothesis import given
from hypothesis import strategies as st

from holdfast.format.cbor import decode, encode
from holdfast.format.errors import EncodingError

UTF8 = st.text(st.characters(codec="utf-8"), max_size=20)
LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.binary(max_size=300) | UTF8
)
ITEMS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.integers(0, 2**64 - 1), inner, max_size=5)
    ),
    max_leaves=12,
).filter(lambda item: _depth(item) <= 16)


def _depth(item: object) -> int:
    if isinstance(item, dict):
        return 1 + max(map(_depth, item.values()), default=0)
    return 1 + max(map(_depth, item), default=0) if isinstance(item, list) else 1


def check_canonical(data: bytes) -> None:
    """Whatever is accepted re-encodes to itself; everything else raises our error."""
    try:
        item = decode(data)
    except EncodingError:
        return

    assert encode(item) == data


@given(ITEMS)
def test_every_item_comes_back(item: object) -> None:
    assert decode(encode(item)) == item  # type: ignore[arg-type]


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_canonical_or_refused(data: bytes) -> None:
    check_canonical(data)


@given(ITEMS, st.data())
def test_a_flipped_bit_or_a_cut_is_canonical_or_refused(item: object, data: st.DataObject) -> None:
    """Two byte strings never mean the same item."""
    encoded = bytearray(encode(item))  # type: ignore[arg-type]
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[bit // 8] ^= 1 << bit % 8

    check_canonical(bytes(encoded))
    check_canonical(bytes(encoded[: bit // 8]))
