"""Writers: what they hold, what they do not, and how they live through rotations."""

from dataclasses import replace

import pytest

from doubles.household import Household, flipped, password
from holdfast.base.ids import SessionId
from holdfast.base.secrets import Secret
from holdfast.crypto.signatures import verify
from holdfast.crypto.suites import SUITES
from holdfast.format.frames import (
    KIND_SESSION,
    KIND_WRITER,
    build,
    object_hash,
    parse,
    signed_message,
)
from holdfast.format.names import writer_name
from holdfast.format.packs import EPOCHS_LIMIT, PackHeader
from holdfast.format.session import Session, SessionKind
from holdfast.format.statement import ReuseRule
from holdfast.format.writer import WriterCertificate, WriterClass
from holdfast.keys.changes import new_writer, rotate
from holdfast.keys.errors import (
    CertificateError,
    KeyRequestError,
    SessionKeyError,
    UnknownEpochError,
    WriterSeedError,
)
from holdfast.keys.keyring import SessionKeys
from holdfast.keys.writers import (
    CertificateTerms,
    ValidCertificate,
    WriterIdentity,
    WriterRing,
    certificate_for_writing,
    make_certificate,
    read_certificate,
)

SESSION = SessionId(b"s" * 16)


def _session(house: Household, ring: WriterRing) -> tuple[SessionKeys, Session]:
    made = ring.new_session_key(SESSION, house.random)
    session = Session(
        session_id=SESSION,
        writer_id=ring.writer_id,
        certificate_hash=ring.certificate.hash,
        statement_number=ring.statement.number,
        statement_hash=ring.statement.hash,
        epoch=ring.epoch,
        kind=SessionKind.BACKUP,
        commitment=made.commitment,
        sealed_session_key=made.sealed,
        group_id=ring.group_id,
        series_id=ring.series_id("host/home"),
        time=0,
    )
    return made.keys, session


@pytest.mark.parametrize("suite", [suite.name for suite in SUITES.values()])
def test_a_reader_opens_the_session_that_a_writer_began(suite: str) -> None:
    """From the session object and from any pack's header."""
    house = Household(suite=suite)
    keys, session = _session(house, house.writer_ring(house.new_writer()))
    header = PackHeader(
        suite=house.chain.suite.number,
        epoch=session.epoch,
        session_id=SESSION,
        commitment=session.commitment or bytes(32),
        salt=bytes(32),
        sealed_session_key=session.sealed_session_key or b"",
    )

    for opened in (house.ring.session_keys(session), house.ring.pack_session_keys(header)):
        assert opened.data.reveal() == keys.data.reveal()
        assert opened.tree.reveal() == keys.tree.reveal()
    assert (keys.data.reveal() == keys.tree.reveal()) == (suite == "none")


def test_a_certificate_holds_the_index_keys_of_as_many_epochs_as_there_may_be() -> None:
    """Otherwise there would come a rotation that cannot be made."""
    house = Household()
    (group,) = house.ring.groups.values()
    keys = {epoch: Secret(bytes(32)) for epoch in range(EPOCHS_LIMIT)}
    identity = WriterIdentity.fresh(house.vault_id, house.random)

    data = make_certificate(
        identity.public,
        CertificateTerms("laptop", WriterClass.WRITER, 0),
        replace(group, index_keys=keys),
        house.ring,
        statement_number=0,
        time=0,
        random=house.random,
    )

    found = read_certificate(house.chain, writer_name(house.vault_id, object_hash(data)), data)
    assert WriterRing(house.chain, found, identity).group.index_keys.keys() == keys.keys()


def test_a_session_key_that_is_not_the_committed_one_is_refused() -> None:
    """Nothing is derived from it."""
    house = Household()
    _, session = _session(house, house.writer_ring(house.new_writer()))
    body = session.to_body()
    body[8] = bytes(32)

    with pytest.raises(SessionKeyError):
        house.ring.session_keys(Session.from_body(body))
    with pytest.raises(SessionKeyError):
        Household(suite="none").ring.session_keys(session)


def test_writer_and_reader_derive_the_same_group_keys() -> None:
    """Or nothing would deduplicate."""
    house = Household()
    ring = house.writer_ring(house.new_writer())
    group = house.ring.group(ring.group_id)

    for one, other in (
        (ring.group.chunk_id_key, group.chunk_id_key),
        (ring.group.node_id_key, group.node_id_key),
        (ring.group.locator_key, group.locator_key),
        (ring.group.chunker_key, group.chunker_key),
        (ring.group.boundary_key, group.boundary_key),
        (ring.group.link_key, group.link_key),
        (ring.index_key, group.index_keys[0]),
    ):
        assert one.reveal() == other.reveal()


def test_what_a_writer_holds_opens_no_session() -> None:
    """Every secret that its ring holds is tried as the vault's private seed and as the root."""
    house = Household()
    identity = house.new_writer()
    ring = house.writer_ring(identity)
    _, session = _session(house, ring)
    held = [identity.seed, identity.kem_seed, ring.index_key, ring.group.chunk_id_key]
    opened = {house.ring.root(0).reveal(), house.ring.vault_seed(0).reveal()}

    assert opened.isdisjoint(secret.reveal() for secret in held)
    assert not hasattr(ring, "session_keys")
    assert session.sealed_session_key is not None


def test_a_writers_signature_holds_under_its_certificate() -> None:
    """As every reader checks it."""
    house = Household()
    ring = house.writer_ring(house.new_writer())
    _, session = _session(house, ring)
    data = build(KIND_SESSION, session.to_body(), sign=ring.sign, vault_id=house.vault_id)
    (signature,) = parse(KIND_SESSION, data).signatures

    assert signature.public_key == ring.certificate.body.signing_public_key
    verify(signature.public_key, signed_message(data, house.vault_id), signature.signature)


def test_series_are_the_same_for_the_same_source_and_differ_between_writers() -> None:
    """The storage sees pseudonyms."""
    house = Household()
    one, other = house.new_writer(), house.new_writer()

    assert one.series_id("host/home") == one.series_id("host/home")
    assert one.series_id("host/home") != one.series_id("host/root")
    assert one.series_id("host/home") != other.series_id("host/home")


def test_writers_live_through_a_rotation_without_a_visit() -> None:
    """New keys come sealed in the certificate that the new statement names."""
    house = Household(password("one"), password("two"))
    identity = house.new_writer("laptop")
    before = house.writer_ring(identity)
    change = house.remove(house.open_with("two").slot_hash)
    after = house.writer_ring(identity)

    assert change.writers == (identity.writer_id,)
    assert after.epoch == 1
    assert after.certificate.hash in house.chain.current.body.certificates
    assert after.group.index_keys.keys() == {0, 1}
    assert after.group.chunk_id_key.reveal() == before.group.chunk_id_key.reveal()
    assert after.index_key.reveal() != before.index_key.reveal()
    assert house.ring.writer_name(after.certificate.body) == "laptop"


def test_only_writers_that_are_valid_now_are_carried_over() -> None:
    """Not expired ones, not those left out, not damaged certificates: these are named."""
    house = Household()
    stays, expired, leaves = (
        house.new_writer("stays"),
        house.new_writer("expired", expiry=1_767_225_600 + 150),
        house.new_writer("leaves"),
    )
    damaged = house.new_writer("damaged")
    house.clock.advance(1000)
    certificates = house.certificates
    for name, data in certificates.items():
        if read_certificate(house.chain, name, data).body.writer_id == damaged.writer_id:
            certificates[name] = flipped(data, 60)
    change = rotate(
        house.chain,
        house.ring,
        certificates,
        clock=house.clock,
        random=house.random,
        without_writers={leaves.writer_id},
    )
    house.apply(change)

    assert change.writers == (stays.writer_id,)
    assert [problem.error.exit_code for problem in change.problems] == [20]
    assert house.writer_ring(stays).epoch == 1
    for gone in (expired, leaves, damaged):
        with pytest.raises(CertificateError):
            house.writer_ring(gone)


def test_a_certificate_of_an_earlier_epoch_is_good_for_reading_only() -> None:
    """What a writer signed while it was valid stays valid."""
    house = Household()
    identity = house.new_writer()
    (name,) = house.certificates
    old = read_certificate(house.chain, name, house.objects[name])
    house.apply(rotate(house.chain, house.ring, {}, clock=house.clock, random=house.random))

    assert read_certificate(house.chain, name, house.objects[name]) == old
    assert house.ring.writer_name(old.body) == "laptop"
    with pytest.raises(CertificateError):
        certificate_for_writing(house.chain, house.certificates, identity.writer_id, 0)
    with pytest.raises(CertificateError):
        WriterRing(house.chain, old, identity)


def test_an_expired_certificate_is_not_good_for_writing() -> None:
    """Expiry is in seconds."""
    house = Household()
    identity = house.new_writer(expiry=2_000_000_000)

    valid = certificate_for_writing(
        house.chain, house.certificates, identity.writer_id, 1_999_999_999
    )
    assert isinstance(valid, ValidCertificate)
    with pytest.raises(CertificateError):
        certificate_for_writing(house.chain, house.certificates, identity.writer_id, 2_000_000_000)


def test_the_seed_of_another_writer_does_not_fit() -> None:
    """Exit 12: a key is wrong, nothing is damaged."""
    house = Household()
    identity = house.new_writer()
    stranger = WriterIdentity(house.vault_id, identity.writer_id, Secret(bytes(32)))

    with pytest.raises(WriterSeedError) as error:
        house.writer_ring(stranger)
    assert error.value.exit_code == 12


def test_a_writer_needs_a_group_that_is_there() -> None:
    """And keys that are current."""
    house = Household()
    identity = WriterIdentity.fresh(house.vault_id, house.random)

    with pytest.raises(KeyRequestError):
        new_writer(
            house.chain,
            house.ring,
            identity.public,
            name="x",
            clock=house.clock,
            random=house.random,
            group_id=house.ring.groups.keys().__iter__().__next__()[:-1] + b"!",  # type: ignore[arg-type]
        )
    with pytest.raises(KeyRequestError):
        house.ring.group(b"nowhere")  # type: ignore[arg-type]


def test_a_session_of_a_later_epoch_does_not_open() -> None:
    """The ring says which epochs it opens."""
    house = Household()
    old = house.ring
    identity = house.new_writer()
    house.rotate()
    _, session = _session(house, house.writer_ring(identity))

    with pytest.raises(UnknownEpochError):
        old.session_keys(session)


def test_a_new_vault_lets_nobody_rely_on_what_others_say() -> None:
    """Its writers write points and nothing else, and reuse what is attested."""
    house = Household()
    house.new_writer()
    (data,) = house.certificates.values()
    body = WriterCertificate.from_body(parse(KIND_WRITER, data).body)

    assert body.writer_class == WriterClass.WRITER
    assert [group.reuse for group in house.chain.current.body.groups] == [ReuseRule.ATTESTED]
