"""Frames, names, runs, packs and index parts for all values and all bytes."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.base.ids import SessionId, VaultId
from holdfast.format import frames, names, packs
from holdfast.format.errors import FormatError
from holdfast.format.index_parts import (
    IndexRow,
    PackSegments,
    PositionsPart,
    PresencePart,
    build_parts,
)
from holdfast.format.runs import decode_runs, encode_runs

VAULT = VaultId(bytes(range(32)))
KEYS = {
    frames.KIND_VAULT: 0,
    frames.KIND_STATEMENT: 2,
    frames.KIND_SLOT: 1,
    frames.KIND_INDEX: 1,
    frames.KIND_POINT: 1,
}


def sign_with(count: int) -> Callable[[bytes], Sequence[tuple[bytes, bytes]]]:
    return lambda message: [(bytes((n,)) * 32, message[-32:] * 2) for n in range(count)]


def rebuild(kind: int, parsed: frames.StoredObject) -> bytes:
    """Build again what was parsed, with the signatures that it had."""
    made = [(one.public_key, one.signature) for one in parsed.signatures]
    if kind == frames.KIND_LEASE:
        return frames.build_hash_ended(kind, parsed.body, sign=lambda _: made, vault_id=VAULT)
    return frames.build(
        kind,
        parsed.body,
        attachment=parsed.attachment,
        sign=(lambda _: made) if made else None,
        vault_id=VAULT,
        signers=len(made),
    )


def parse(kind: int, data: bytes) -> frames.StoredObject:
    if kind == frames.KIND_LEASE:
        return frames.parse_hash_ended(kind, data)
    return frames.parse(kind, data)


@st.composite
def objects(draw: st.DrawFn) -> tuple[int, bytes]:
    body = draw(st.dictionaries(st.integers(1, 30), st.binary(max_size=40), max_size=4))
    kind = draw(st.sampled_from([*KEYS, frames.KIND_LEASE]))
    if kind == frames.KIND_LEASE:
        return kind, frames.build_hash_ended(kind, body, sign=sign_with(1), vault_id=VAULT)
    has_attachment = kind in {frames.KIND_INDEX, frames.KIND_POINT}
    attachment = draw(st.binary(min_size=1, max_size=40)) if has_attachment else b""
    signers = KEYS[kind]
    sign = sign_with(signers) if signers else None
    return kind, frames.build(
        kind, body, attachment=attachment, sign=sign, vault_id=VAULT, signers=signers
    )


@given(objects())
def test_an_object_comes_back_and_is_built_the_same_again(made: tuple[int, bytes]) -> None:
    kind, data = made

    assert rebuild(kind, parse(kind, data)) == data


@given(objects(), st.data())
def test_a_changed_object_is_refused_or_another_one(
    made: tuple[int, bytes], data: st.DataObject
) -> None:
    """Lease and attachment flips are always found; others are for the name's hash to find."""
    kind, encoded = made
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    flipped = bytearray(encoded)
    flipped[bit // 8] ^= 1 << bit % 8
    for variant in (bytes(flipped), encoded[: bit // 8], encoded + b"\0"):
        try:
            parsed = parse(kind, variant)
        except FormatError:
            continue
        assert rebuild(kind, parsed) == variant
        assert kind != frames.KIND_LEASE


@given(st.binary(max_size=200), st.sampled_from(range(24)))
def test_arbitrary_bytes_are_no_object(data: bytes, kind: int) -> None:
    for prefix in (b"", b"HOLDFAST" + bytes((kind,)) + bytes(7)):
        for take in (frames.parse, frames.parse_hash_ended):
            with pytest.raises(FormatError):
                take(kind, prefix + data)


NAMES = st.from_regex(
    r"vaults/(0a){32}/(vault|(keys|slots|leases|packs|index|points|bundles)/"
    r"([0-9a-fA-F]{2}|(c2){16}|[0-9]{1,21})?[-/]?((b1){32})?)\n?",
    fullmatch=True,
)


@given(NAMES | st.text(max_size=40))
def test_a_name_that_parses_is_made_the_same_again(name: str) -> None:
    parsed = names.parse_name(name)
    if parsed is None or parsed.vault_id is None:
        return
    parts = names.vault_name(parsed.vault_id)
    if parsed.kind != frames.KIND_VAULT:
        parts = names.prefix(parsed.vault_id, parsed.kind)
        digest = b"" if parsed.hash is None else parsed.hash
        if parsed.kind == frames.KIND_STATEMENT:
            parts += f"{parsed.number}-"
        elif parsed.kind == frames.KIND_PACK:
            parts += f"{digest[:1].hex()}/"
        elif parsed.session_id is not None or parsed.group_id is not None:
            parts += f"{(parsed.session_id or parsed.group_id or b'').hex()}/"
        parts += str(parsed.number) if parsed.kind == frames.KIND_LEASE else digest.hex()

    assert parts == name


@given(st.sets(st.integers(0, 300) | st.integers(0, 2**32 - 1), min_size=1, max_size=60))
def test_runs_come_back(positions: set[int]) -> None:
    runs = encode_runs(sorted(positions))

    assert [one for span in decode_runs(runs) for one in span] == sorted(positions)


@given(st.lists(st.integers(-1, 9), max_size=12))
def test_runs_that_are_read_are_written_the_same(runs: list[int]) -> None:
    try:
        spans = list(decode_runs(runs))
    except FormatError:
        return

    assert encode_runs(one for span in spans for one in span) == runs


@st.composite
def directories(draw: st.DrawFn) -> packs.Directory:
    rows, chunks = [], []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from([packs.KIND_DATA, packs.KIND_TREE]))
        most = 3 if kind == packs.KIND_DATA else 1
        lengths = draw(st.lists(st.integers(1, 2**20), min_size=1, max_size=most))
        stored = draw(st.integers(1, 2**20))
        packed = draw(st.integers(0, 1))
        rows.append(packs.SegmentRow(kind, packed, stored, sum(lengths), len(lengths)))
        chunks += [(draw(st.binary(min_size=32, max_size=32)), length) for length in lengths]
    return packs.Directory(rows, chunks)


HEADERS = st.builds(
    packs.PackHeader,
    st.integers(1, 6),
    st.integers(0, 4095),
    st.builds(SessionId, st.binary(min_size=16, max_size=16)),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
    st.just(b"k" * 1168),
)
TRAILERS = st.builds(
    packs.Trailer,
    st.integers(1, 2**28),
    st.integers(1, 2**28),
    st.integers(2**21, 2**26),
    st.integers(1, 65535),
)


@given(HEADERS | directories() | TRAILERS, st.data())
def test_what_a_pack_is_made_of_comes_back_and_is_canonical(
    value: packs.PackHeader | packs.Directory | packs.Trailer, data: st.DataObject
) -> None:
    encoded = value.encode()
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    flipped = bytearray(encoded)
    flipped[bit // 8] ^= 1 << bit % 8

    assert type(value).decode(encoded) == value
    for variant in (bytes(flipped), encoded[: bit // 8]):
        try:
            read = type(value).decode(variant)
        except FormatError:
            continue
        assert read.encode() == variant


@given(st.binary(max_size=150))
def test_arbitrary_bytes_are_canonical_in_a_pack_or_refused(data: bytes) -> None:
    for kind in (packs.PackHeader, packs.Directory, packs.Trailer):
        try:
            read = kind.decode(data)
        except FormatError:
            continue
        assert read.encode() == data


ROWS = st.lists(
    st.builds(
        IndexRow,
        st.binary(min_size=20, max_size=20) | st.just(b"a" * 20),
        st.integers(0, 1),
        st.integers(0, 2),
        st.integers(0, 50),
        st.integers(1, 50),
    ),
    max_size=12,
    unique_by=lambda row: row[:3],
)
PACKS = [
    PackSegments(100, [(60, 100, 1), (200, 100, 0), (1, 100, 1)]),
    PackSegments(1268, [(7, 100, 1)] * 3),
]


@given(ROWS)
def test_index_rows_are_found_where_they_were_put(rows: list[IndexRow]) -> None:
    presence_bytes, positions_bytes = build_parts(PACKS, rows)
    presence = PresencePart(presence_bytes, pack_count=2, row_count=len(rows))
    positions = PositionsPart(positions_bytes, pack_count=2, row_count=len(rows))

    for row in rows:
        found = {
            (*presence.row(number), *positions.row(number)) for number in presence.find(row.locator)
        }
        assert tuple(row) in found
    assert positions.segment(0, 2).offset == 360


@given(st.binary(max_size=120), st.integers(0, 3), st.integers(0, 3))
def test_arbitrary_index_parts_only_ever_raise_our_error(
    data: bytes, pack_count: int, row_count: int
) -> None:
    try:
        presence = PresencePart(data, pack_count=pack_count, row_count=row_count)
        list(presence.find(b"a" * 20))
        presence.check_rows()
    except FormatError:
        pass
    try:
        positions = PositionsPart(data, pack_count=pack_count, row_count=row_count)
        positions.check_rows((pack, 0) for pack in range(row_count))
    except FormatError:
        pass
