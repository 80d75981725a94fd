"""Objects of section 5 and the index body of section 7 of vault-format.md."""

from dataclasses import replace
from typing import Any

import pytest

from holdfast.base.ids import (
    GroupId,
    IndexId,
    NodeId,
    ObjectHash,
    PackId,
    PointId,
    RepositoryId,
    SeriesId,
    SessionId,
    VaultId,
    WriterId,
)
from holdfast.format.cbor import decode, encode
from holdfast.format.errors import (
    FieldError,
    FormatError,
    UnencodableError,
    UnsupportedFormatError,
)
from holdfast.format.index_body import Drop, IndexBody, Owner, PositionsKey
from holdfast.format.maintenance import (
    Forget,
    ForgetReason,
    ForgottenPoint,
    Tombstone,
    quarantined_packs,
)
from holdfast.format.point import (
    Head,
    LeftOut,
    Point,
    PointKind,
    PointRecord,
    Refs,
    SessionRuns,
    Statistics,
)
from holdfast.format.session import Lease, Packlist, Session, SessionKind
from holdfast.format.slot import Slot
from holdfast.format.statement import (
    Demands,
    IndexKey,
    ReuseRule,
    SecretGroup,
    SecretsRecord,
    SlotKind,
    Statement,
    StatementGroup,
    StatementSlot,
)
from holdfast.format.tables import Body, Record
from holdfast.format.vault_object import (
    ChunkingRule,
    Compression,
    FeatureMasks,
    Marker,
    NodeRule,
    VaultObject,
)
from holdfast.format.writer import WriterCertificate, WriterClass, WriterKeys

HASH, OTHER = ObjectHash(b"h" * 32), ObjectHash(b"i" * 32)
SESSION, NEXT = SessionId(b"s" * 16), SessionId(b"t" * 16)
WRITER, SERIES, GROUP = WriterId(b"w" * 16), SeriesId(b"r" * 16), GroupId(b"g" * 16)
PACK, NEXT_PACK = PackId(b"p" * 32), PackId(b"q" * 32)
KEM = b"k" * 1216
INDEX_KEYS = (IndexKey(epoch=0, key=b"0" * 32), IndexKey(epoch=3, key=b"3" * 32))

MARKER = Marker(repository_id=RepositoryId(b"m" * 16), listing_delay_milliseconds=20, time=5)
VAULT = VaultObject(authority_public_key=b"a" * 32, nonce=b"n" * 32)
STATEMENT = Statement(
    number=1,
    predecessor=HASH,
    epoch=1,
    authority_public_key=b"a" * 32,
    vault_public_key=KEM,
    root_commitment=b"c" * 32,
    slots=(
        StatementSlot(
            slot_hash=HASH, kind=SlotKind.PASSWORD, kem_public_key=KEM, sealed_root=b"e" * 1168
        ),
    ),
    groups=(StatementGroup(group_id=GROUP, reuse=ReuseRule.GROUP),),
    certificates=(HASH, OTHER),
    demands=Demands.ENCRYPTION,
    time=7,
    secrets=b"sealed",
)
SECRETS = SecretsRecord(
    vault_name="main",
    groups=(SecretGroup(group_id=GROUP, name="main", secret=b"x" * 32, index_keys=INDEX_KEYS),),
    previous_root=None,
)
SLOT = Slot(
    kind=SlotKind.PASSWORD,
    kem_public_key=KEM,
    key_derivation=(1, 3, 65536, 4),
    salt=b"s" * 32,
    hint="the usual",
    wrapped_seed=b"w" * 112,
    time=-1,
)
CERTIFICATE = WriterCertificate(
    writer_id=WRITER,
    signing_public_key=b"p" * 32,
    kem_public_key=KEM,
    group_id=GROUP,
    writer_class=WriterClass.WRITER | WriterClass.SCRUBBER,
    expiry=0,
    statement_number=1,
    epoch=1,
    sealed_keys=b"sealed",
    sealed_name=b"name",
    time=9,
)
WRITER_KEYS = WriterKeys(group_secret=b"x" * 32, index_keys=INDEX_KEYS)
SESSION_OBJECT = Session(
    session_id=SESSION,
    writer_id=WRITER,
    certificate_hash=HASH,
    statement_number=0,
    statement_hash=OTHER,
    epoch=0,
    kind=SessionKind.BACKUP,
    commitment=b"c" * 32,
    sealed_session_key=b"e" * 1168,
    group_id=GROUP,
    series_id=SERIES,
    time=11,
)
LEASE = Lease(session_id=SESSION, number=4, ended=True, point=PointId(HASH), writer_id=None)
PACKLIST = Packlist(
    session_id=SESSION,
    writer_id=WRITER,
    first_position=2,
    pack_ids=(NEXT_PACK, PACK),
    sizes=(65536, 1),
    contents=(1, 3),
)
REFS = Refs(
    session_id=SESSION,
    writer_id=WRITER,
    sessions=(
        SessionRuns(session_id=SESSION, runs=(0, 2)),
        SessionRuns(session_id=NEXT, runs=(1, 1, 4, 9)),
    ),
    nonce=b"o" * 16,
)
POINT = Point(
    writer_id=WRITER,
    certificate_hash=HASH,
    series_id=SERIES,
    counter=2,
    predecessor=PointId(OTHER),
    refs_hash=HASH,
    sessions=(SESSION, NEXT),
    session_id=NEXT,
    statement_number=0,
    statement_hash=HASH,
    time=13,
    repository_id=RepositoryId(b"m" * 16),
)
POINT_RECORD = PointRecord(
    vault_id=VaultId(b"v" * 32),
    writer_id=WRITER,
    session_id=NEXT,
    host="büro",
    source="home",
    kind=PointKind.FILES,
    root=b"/home",
    selection=(b"a", b"b/\xff"),
    root_node=NodeId(b"n" * 32),
    started=1,
    finished=2,
    stands_for=3,
    statistics=Statistics(files=1, findings=8),
    tags=("x", "a"),
    heads=(
        Head(writer_id=WRITER, series_id=SERIES, counter=1, point=PointId(OTHER)),
        Head(writer_id=WRITER, series_id=SERIES, counter=2, point=PointId(HASH)),
    ),
    program="holdfast 0.1.0",
)
FORGET = Forget(
    points=(ForgottenPoint(point=PointId(HASH), writer_id=WRITER, series_id=SERIES, counter=1),),
    time=15,
    reason=ForgetReason.PRUNE,
    writer_id=WRITER,
)
TOMBSTONE = Tombstone(
    run_id=b"r" * 16,
    packs=(PACK, NEXT_PACK),
    refs=(HASH,),
    time=17,
    writer_id=None,
    sessions=(SESSION, NEXT),
)
INDEX = IndexBody(
    group_id=GROUP,
    epoch=2,
    session_id=None,
    writer_id=WRITER,
    pack_ids=(NEXT_PACK, PACK),
    owners=(
        Owner(session_id=NEXT, writer_id=WRITER, count=1),
        Owner(session_id=SESSION, writer_id=WRITER, count=1),
    ),
    row_count=3,
    presence_length=16464,
    replaces=(IndexId(HASH), IndexId(OTHER)),
    drops=(Drop(PackId(HASH), SESSION), Drop(PackId(HASH), NEXT)),
    positions_key=PositionsKey.READER,
    nonce=b"o" * 16,
)
BODIES: tuple[Body, ...] = (
    MARKER,
    VAULT,
    STATEMENT,
    SECRETS,
    SLOT,
    CERTIFICATE,
    WRITER_KEYS,
    SESSION_OBJECT,
    LEASE,
    PACKLIST,
    REFS,
    POINT,
    POINT_RECORD,
    FORGET,
    TOMBSTONE,
    INDEX,
)
each_body = pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)


@each_body
def test_what_is_written_is_read_back(body: Body) -> None:
    assert type(body).from_body(decode(encode(body.to_body()))) == body


def test_an_optional_key_that_is_not_there_is_none_and_is_not_written() -> None:
    """Records of older releases stay what they were, byte for byte."""
    old, new = POINT_RECORD, replace(POINT_RECORD, left_out=LeftOut(patterns=(b"*.o",)))

    assert old.left_out is None
    assert 17 not in old.to_body()
    assert PointRecord.from_bytes(new.to_bytes()) == new
    assert new.to_body()[17] == [[b"*.o"], False, [], [], False]


def test_what_was_left_out_has_bounds() -> None:
    """So that nobody who lists restore points has to read more."""
    half = bytes(2**20).replace(b"\0", b"x")
    fits = LeftOut(patterns=(half,), if_present=(half,))
    too_long = LeftOut(patterns=(half,), if_present=(half, b"x"))
    too_many = LeftOut(patterns=(b"x",) * 65_537)

    assert PointRecord.from_bytes(replace(POINT_RECORD, left_out=fits).to_bytes()).left_out == fits
    for rules in (too_long, too_many):
        with pytest.raises(UnencodableError):
            replace(POINT_RECORD, left_out=rules).to_bytes()


@each_body
def test_every_key_must_be_there_and_no_other(body: Body) -> None:
    fields = body.to_body()

    for key in fields:
        with pytest.raises(FieldError):
            type(body).from_body({other: fields[other] for other in fields if other != key})
    for key in (0, len(fields) + 1, 2**64 - 1):
        with pytest.raises(FieldError):
            type(body).from_body({**fields, key: 0})


@each_body
@pytest.mark.parametrize("value", [None, 1.5, "\0" * 5000, [[]], {}, -(2**63), 2**64 - 1, [b""]])
def test_a_value_of_another_type_is_refused_or_written_back_the_same(
    body: Body, value: object
) -> None:
    """No value, wherever it stands, surprises the reader."""
    fields = body.to_body()
    for key in fields:
        changed: dict[int, Any] = {**fields, key: value}
        try:
            read = type(body).from_body(changed)
        except FormatError:
            continue
        assert read.to_body() == changed


@each_body
def test_every_cut_and_a_flip_in_every_byte_is_refused_or_another_value(body: Body) -> None:
    encoded = encode(body.to_body())
    assert len(encoded) < 5000
    variants = [encoded[:end] for end in range(0, len(encoded), 7)]
    for place in range(len(encoded)):
        flipped = bytearray(encoded)
        flipped[place] ^= 1 << (place * 5 % 8)
        variants.append(bytes(flipped))

    for variant in variants:
        try:
            read = (
                type(body).from_body(decoded)
                if isinstance(decoded := decode(variant), dict)
                else None
            )
        except FormatError:
            continue
        if read is not None:
            assert encode(read.to_body()) == variant
            assert read != body


@pytest.mark.parametrize("record", [SECRETS, WRITER_KEYS, POINT_RECORD])
def test_a_record_is_bytes_of_its_own(record: Record) -> None:
    assert type(record).from_bytes(record.to_bytes()) == record
    with pytest.raises(FieldError):
        type(record).from_bytes(encode([]))


def test_no_secret_shows_in_a_repr() -> None:
    for record in (SECRETS, replace(SECRETS, previous_root=b"root" * 8), WRITER_KEYS):
        shown = repr(record)
        for secret in (b"x" * 32, b"0" * 32, b"3" * 32, b"root" * 8):
            assert repr(secret) not in shown


def test_a_newer_format_or_feature_is_named_as_such() -> None:
    for body, key in ((MARKER, 2), (VAULT, 1)):
        fields: dict[int, Any] = {**body.to_body(), key: 1, 99: "unknown"}
        with pytest.raises(UnsupportedFormatError):
            type(body).from_body(fields)
    with pytest.raises(UnsupportedFormatError):
        VaultObject.from_body({**VAULT.to_body(), 13: [1, 0, 0]})
    readable = VaultObject.from_body({**VAULT.to_body(), 13: [0, 4, 9]})
    with pytest.raises(UnsupportedFormatError):
        readable.check_writable()
    VAULT.check_writable()


@pytest.mark.parametrize(
    "wrong",
    [
        replace(VAULT, suite=7),
        replace(VAULT, profile=2),
        replace(VAULT, pack_bytes=2**20),
        replace(VAULT, pack_bytes=2**28 + 1),
        replace(VAULT, is_test=True, pack_bytes=2**16, small_session_bytes=0),
        replace(VAULT, small_session_bytes=2**26),
        replace(VAULT, compression=Compression(number=0, level=1)),
        replace(VAULT, compression=Compression(number=1, level=0)),
        replace(VAULT, chunking=ChunkingRule(minimum=65, centre=256, maximum=1024)),
        replace(VAULT, chunking=ChunkingRule(minimum=256, centre=256, maximum=1024)),
        replace(VAULT, node_rule=NodeRule(minimum_entries=256)),
        replace(VAULT, features=FeatureMasks(may_ignore=-1)),
        replace(VAULT, nonce=b""),
        replace(STATEMENT, number=0),
        replace(STATEMENT, predecessor=None),
        replace(STATEMENT, epoch=2),
        replace(STATEMENT, slots=()),
        replace(STATEMENT, slots=STATEMENT.slots * 2),
        replace(STATEMENT, certificates=(OTHER, HASH)),
        replace(SECRETS, groups=SECRETS.groups * 2),
        replace(SECRETS, previous_root=b""),
        replace(SLOT, kind=SlotKind.OPEN),
        replace(SLOT, key_derivation=(1, 3, 65536)),
        replace(SLOT, key_derivation=(3,)),
        replace(SLOT, hint="x" * 101),
        replace(SLOT, wrapped_seed=b"w" * 32),
        replace(CERTIFICATE, writer_class=WriterClass(0)),
        replace(WRITER_KEYS, index_keys=tuple(reversed(INDEX_KEYS))),
        replace(SESSION_OBJECT, commitment=None),
        replace(SESSION_OBJECT, series_id=None),
        replace(SESSION_OBJECT, kind=SessionKind.MAINTENANCE),
        replace(PACKLIST, sizes=(1,)),
        replace(PACKLIST, contents=(1, 4)),
        replace(PACKLIST, pack_ids=(PACK, PACK)),
        replace(PACKLIST, pack_ids=(), sizes=(), contents=()),
        replace(PACKLIST, first_position=2**32 - 1),
        replace(REFS, sessions=tuple(reversed(REFS.sessions))),
        replace(REFS, sessions=(SessionRuns(session_id=SESSION, runs=(1,)),)),
        replace(POINT, counter=0),
        replace(POINT, counter=1),
        replace(POINT, sessions=(NEXT, SESSION)),
        replace(POINT_RECORD, root=b"home"),
        replace(POINT_RECORD, selection=(b"/a",)),
        replace(POINT_RECORD, selection=(b"a\0",)),
        replace(POINT_RECORD, heads=tuple(reversed(POINT_RECORD.heads))),
        replace(FORGET, points=()),
        replace(TOMBSTONE, packs=(NEXT_PACK, PACK)),
        replace(INDEX, owners=INDEX.owners[:1]),
        replace(INDEX, drops=tuple(reversed(INDEX.drops))),
        replace(TOMBSTONE, sessions=(NEXT, SESSION)),
        replace(REFS, nonce=b""),
        replace(INDEX, positions_key=PositionsKey.SESSION),
        replace(INDEX, session_id=SESSION),
        replace(INDEX, session_id=SESSION, writer_id=None),
        replace(LEASE, ended=1),  # type: ignore[arg-type]
    ],
    ids=lambda wrong: type(wrong).__name__,
)
def test_what_the_tables_forbid_is_never_written(wrong: Body) -> None:
    with pytest.raises(UnencodableError):
        wrong.to_body()


def test_a_record_of_another_point_is_refused() -> None:
    POINT_RECORD.check_against(VaultId(b"v" * 32), POINT)
    with pytest.raises(FieldError):
        POINT_RECORD.check_against(VaultId(b"u" * 32), POINT)
    with pytest.raises(FieldError):
        POINT_RECORD.check_against(VaultId(b"v" * 32), replace(POINT, session_id=SESSION))


def test_the_hash_that_binds_a_seed_leaves_the_seed_out() -> None:
    assert SLOT.bound_hash() == replace(SLOT, wrapped_seed=bytes(112)).bound_hash()
    assert SLOT.bound_hash() != replace(SLOT, time=0).bound_hash()


def test_a_quarantine_names_its_packs_in_key_1() -> None:
    assert quarantined_packs({1: PACK + NEXT_PACK, 2: "later"}) == (PACK, NEXT_PACK)
    for body in ({}, {1: b"x"}, {1: 1}):
        with pytest.raises(FieldError):
            quarantined_packs(body)
