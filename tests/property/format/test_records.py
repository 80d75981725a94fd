"""Every table of section 5 for random values: strategies are made from the rules themselves."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.format import runs, tables
from holdfast.format.cbor import decode, encode
from holdfast.format.errors import FormatError
from holdfast.format.index_body import IndexBody
from holdfast.format.maintenance import Forget, Tombstone
from holdfast.format.point import Point, PointRecord, Refs
from holdfast.format.session import Lease, Packlist, Session
from holdfast.format.slot import Slot
from holdfast.format.statement import SecretsRecord, Statement
from holdfast.format.tables import Body
from holdfast.format.vault_object import Marker, VaultObject
from holdfast.format.writer import WriterCertificate, WriterKeys

BODIES: tuple[type[Body], ...] = (
    Marker,
    VaultObject,
    Statement,
    SecretsRecord,
    Slot,
    WriterCertificate,
    WriterKeys,
    Session,
    Lease,
    Packlist,
    Refs,
    Point,
    PointRecord,
    Forget,
    Tombstone,
    IndexBody,
)


def filled(length: int) -> st.SearchStrategy[bytes]:
    """Bytes of a length, mostly alike: it is the structure that matters."""
    return st.integers(0, 255).map(lambda number: bytes((number,)) * length)


def encoded_values(rule: tables.Rule) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911, PLR0912 - one branch for each rule
    """Return decoded values that *rule* allows, nearly always."""
    match rule:
        case tables.Integer(low, high):
            return st.integers(low, high)
        case tables.Choice(members):
            return st.sampled_from([int(member) for member in members])
        case tables.Flag():
            return st.booleans()
        case tables.Blob(low, high):
            return st.integers(low, min(high, low + 200)).flatmap(filled)
        case tables.Optionally(inner):
            return encoded_values(inner)
        case tables.FixedOrEmpty(length):
            return st.just(b"") | filled(length)
        case tables.Text(high):
            return st.text(st.characters(codec="utf-8"), max_size=min(high, 12))
        case tables.ListOf(inner, low, high, ascending):
            lists = st.lists(encoded_values(inner), min_size=low, max_size=min(high, 3))
            return lists if ascending is None else lists.map(_sorted)
        case tables.Joined(width, low, high, _):
            items = st.sets(filled(width), min_size=low, max_size=min(high, 3))
            return items.map(lambda members: b"".join(sorted(members)))
        case tables.JoinedNumbers(width, low, high):
            numbers = st.lists(st.integers(low, high), min_size=1, max_size=1)
            return numbers.map(lambda ns: b"".join(n.to_bytes(width, "big") for n in ns))
        case tables.RowOf(row):
            places = tables._places(row)
            return st.tuples(*(encoded_values(one) for _, one in places.values())).map(list)
    if type(rule).__name__ == "_Drops":
        return encoded_values(tables.Joined(48, ascending=True))
    if type(rule).__name__ == "_Runs":
        return st.sets(st.integers(0, 20), min_size=1).map(
            lambda positions: runs.encode_runs(sorted(positions))
        )
    return st.sampled_from([[0], [1, 3, 65536, 4], [2, 600000], [3]])


def _sorted(items: list[Any]) -> list[Any]:
    """Sort rows by their first place, dropping those that repeat it."""
    if items and isinstance(items[0], list):
        firsts = {item[0]: item for item in items}
        return [firsts[first] for first in sorted(firsts)]
    return sorted(set(items))


each_body = pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.__name__)


@each_body
@given(data=st.data())
def test_what_is_read_is_written_the_same_and_changes_are_refused_or_another_value(
    kind: type[Body], data: st.DataObject
) -> None:
    """Canonicity, for random bodies and each with one bit flipped."""
    places = tables._places(kind)
    body = {
        key: data.draw(encoded_values(rule))
        for key, (_, rule) in places.items()
        if not isinstance(rule, tables.Optionally) or data.draw(st.booleans())
    }
    encoded = encode(body)
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    flipped = bytearray(encoded)
    flipped[bit // 8] ^= 1 << bit % 8
    for variant in (encoded, bytes(flipped), encoded[: bit // 8]):
        try:
            item = decode(variant)
            if not isinstance(item, dict):
                continue
            read = kind.from_body(item)
        except FormatError:
            continue
        assert encode(read.to_body()) == variant
        assert kind.from_body(decode(variant)) == read


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.binary(max_size=40)
    | st.text(st.characters(codec="utf-8"), max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)


@each_body
@given(data=st.data())
def test_arbitrary_values_under_the_right_keys_only_ever_raise_our_error(
    kind: type[Body], data: st.DataObject
) -> None:
    body = {key: data.draw(ANYTHING) for key in tables._places(kind)}
    try:
        read = kind.from_body(body)
    except FormatError:
        return
    assert encode(read.to_body()) == encode(body)
