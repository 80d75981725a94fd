"""Who may have signed what: nobody else is believed, and nothing of theirs is used."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.rich_vaults import rotate_keys
from doubles.vaults import TestVault, make_machine, make_vault, storing
from holdfast.base.ids import IndexId, ObjectHash, PackId
from holdfast.core import Run, Writer, Written
from holdfast.format import frames, names
from holdfast.format.frames import Sign
from holdfast.format.index_body import Drop, IndexBody, PositionsKey
from holdfast.format.maintenance import Tombstone
from holdfast.format.point import Point, Refs
from holdfast.format.session import Lease, Packlist, Session
from holdfast.format.tables import Body
from holdfast.format.writer import WriterClass
from holdfast.keys.changes import new_writer
from holdfast.keys.errors import CertificateError
from holdfast.keys.writers import WriterIdentity
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.errors import DamagedObjectError, NotAllowedError, WrongSignerError
from holdfast.vault.forget import apply_forget, plan_forget
from holdfast.vault.index_cache import combine, load_condemned
from holdfast.vault.objects import Loaded, parse
from holdfast.vault.point_loading import load_points
from holdfast.vault.trust import Authority

BODIES: dict[int, type[Body]] = {
    frames.KIND_SESSION: Session,
    frames.KIND_LEASE: Lease,
    frames.KIND_PACKLIST: Packlist,
    frames.KIND_REFS: Refs,
    frames.KIND_INDEX: IndexBody,
    frames.KIND_POINT: Point,
}


@pytest.fixture
def vault(tmp_path: Path) -> TestVault:
    made = make_vault(MemoryBackend(), make_machine(tmp_path / "here"))
    made.backup(storing(b"one"))
    return made


def first(vault: TestVault, kind: int) -> Loaded[Body]:
    objects = vault.closed().objects
    return objects.load(objects.list(kind)[0].name, BODIES[kind])


def signed_again(vault: TestVault, loaded: Loaded[Body], sign: Sign) -> Loaded[Body]:
    """Return the same object, signed by somebody else, under the name of its new bytes."""
    kind, body = loaded.stored.kind, loaded.body.to_body()
    if kind == frames.KIND_LEASE:
        data = frames.build_hash_ended(kind, body, sign=sign, vault_id=vault.vault_id)
        return parse(loaded.name, data, BODIES[kind])
    data = frames.build(
        kind,
        body,
        attachment=bytes(loaded.stored.attachment),
        sign=sign,
        vault_id=vault.vault_id,
    )
    name = loaded.name.rpartition("/")[0] + "/" + frames.object_hash(data).hex()
    return parse(name, data, BODIES[kind])


@pytest.mark.parametrize("kind", BODIES)
def test_what_its_writer_signed_is_accepted(vault: TestVault, kind: int) -> None:
    vault.closed().verifier.check(first(vault, kind))


@pytest.mark.parametrize("kind", BODIES)
def test_what_another_writer_signed_is_refused(vault: TestVault, tmp_path: Path, kind: int) -> None:
    other = vault.add_writer(make_machine(tmp_path / "thief")).writable()

    forged = signed_again(vault, first(vault, kind), other.ring.sign)

    with pytest.raises(WrongSignerError):
        vault.closed().verifier.check(forged)


@pytest.mark.parametrize("kind", BODIES)
def test_what_was_signed_for_another_vault_is_refused(
    vault: TestVault, tmp_path: Path, kind: int
) -> None:
    sign = vault.writable().ring.sign
    elsewhere = replace(vault, vault_id=make_other(tmp_path))

    forged = signed_again(elsewhere, first(vault, kind), sign)

    with pytest.raises(WrongSignerError):
        vault.closed().verifier.check(forged)


def make_other(tmp_path: Path) -> bytes:
    return make_vault(MemoryBackend(), make_machine(tmp_path / "elsewhere")).vault_id


def test_nobody_else_can_stand_in_for_a_session(vault: TestVault, tmp_path: Path) -> None:
    """Another writer puts a session object of its own under the id of a session that is there."""
    other = vault.add_writer(make_machine(tmp_path / "thief")).writable()
    session = first(vault, frames.KIND_SESSION).body
    assert isinstance(session, Session)
    forged = replace(
        session,
        writer_id=other.writer_id,
        certificate_hash=other.ring.certificate.hash,
    )
    data = frames.build(
        frames.KIND_SESSION, forged.to_body(), sign=other.ring.sign, vault_id=vault.vault_id
    )
    name = names.session_name(vault.vault_id, session.session_id, frames.object_hash(data))
    vault.backend.put(name, data)

    points = load_points(vault.readable())

    assert not points.problems
    assert points.points[0].record is not None
    verifier = vault.closed().verifier
    found = verifier.session(session.session_id, session.writer_id)
    assert found.body.writer_id == session.writer_id


@pytest.mark.parametrize("kind", [frames.KIND_PACKLIST, frames.KIND_REFS, frames.KIND_INDEX])
def test_a_second_session_object_of_its_writer_revokes_nothing(vault: TestVault, kind: int) -> None:
    """It names another certificate of the writer, with another key, and sorts before the first."""
    readable, random = vault.readable(), vault.machine.random
    first_one = first(vault, frames.KIND_SESSION)
    true = first_one.body
    assert isinstance(true, Session)
    seed = WriterIdentity.fresh(vault.vault_id, random).seed
    identity = WriterIdentity(vault.vault_id, true.writer_id, seed)
    made = new_writer(
        readable.chain,
        readable.ring,
        identity.public,
        name="here",
        clock=vault.machine.clock,
        random=random,
    )
    vault.backend.put(made.name, made.data)
    certificate = ObjectHash(bytes.fromhex(made.name.rpartition("/")[2]))
    for time in count(true.time):
        body = replace(true, certificate_hash=certificate, time=time)
        data = frames.build(
            frames.KIND_SESSION, body.to_body(), sign=identity.sign, vault_id=vault.vault_id
        )
        if frames.object_hash(data) < first_one.hash:
            break
    name = names.session_name(vault.vault_id, true.session_id, frames.object_hash(data))
    vault.backend.put(name, data)

    vault.closed().verifier.check(first(vault, kind))


def test_a_writer_that_is_no_maintainer_forgets_nothing(vault: TestVault) -> None:
    writable = vault.writable()
    points = load_points(writable)

    with pytest.raises(NotAllowedError):
        apply_forget(writable, plan_forget(points, [points.points[0].id]))
    assert len(load_points(writable).points) == 1


def test_a_writer_that_is_a_maintainer_forgets(vault: TestVault, tmp_path: Path) -> None:
    terms = WriterClass.WRITER | WriterClass.MAINTAINER
    machine = make_machine(tmp_path / "upkeep")
    maintainer = vault.add_writer(machine, writer_class=terms).writable()
    points = load_points(maintainer)

    apply_forget(maintainer, plan_forget(points, [points.points[0].id]))

    listed = load_points(vault.readable())
    assert not listed.points
    assert list(listed.forgotten) == [points.points[0].id]


@pytest.mark.parametrize(
    ("signer", "counts"),
    [
        (lambda vault: vault.readable().maintainer, True),
        (lambda vault: vault.writable().ring, False),
    ],
)
def test_tombstones_count_only_when_a_maintainer_put_them(
    vault: TestVault, signer: Callable[[TestVault], object], *, counts: bool
) -> None:
    maker = signer(vault)
    body = Tombstone(
        run_id=bytes(16),
        packs=(PackId(bytes(32)),),
        refs=(),
        time=0,
        writer_id=maker.writer_id,  # type: ignore[attr-defined]
        sessions=(),
    )
    data = frames.build(
        frames.KIND_TOMBSTONE,
        body.to_body(),
        sign=maker.sign,  # type: ignore[attr-defined]
        vault_id=vault.vault_id,
    )
    name = names.tombstone_name(vault.vault_id, frames.object_hash(data))
    vault.backend.put(name, data)

    condemned = load_condemned(vault.closed())

    assert bool(condemned.packs) is counts
    assert condemned.not_signed == (() if counts else (name,))


def test_a_point_that_nobody_signed_is_a_problem_and_no_point(
    vault: TestVault, tmp_path: Path
) -> None:
    other = vault.add_writer(make_machine(tmp_path / "thief")).writable()
    forged = signed_again(vault, first(vault, frames.KIND_POINT), other.ring.sign)
    vault.backend.put(forged.name, forged.data)

    listed = load_points(vault.readable())

    assert len(listed.points) == 1
    assert [problem.name for problem in listed.problems] == [forged.name]


def test_damage_is_told_from_a_wrong_signer(vault: TestVault) -> None:
    loaded = first(vault, frames.KIND_REFS)
    turned = bytes([loaded.data[0]]) + loaded.data[1:-1] + bytes([loaded.data[-1] ^ 1])

    with pytest.raises(DamagedObjectError):
        parse(loaded.name, turned, Refs)


# --- what index objects say together --------------------------------------------------------------


def test_one_session_hides_nothing_of_another(vault: TestVault) -> None:
    """A stolen agent must not be able to make others store everything again, or lose it."""
    mine = first(vault, frames.KIND_INDEX)
    assert isinstance(mine.body, IndexBody)
    my_name, my_pack = IndexId(mine.hash), mine.body.pack_ids[0]
    assert mine.body.session_id is not None
    thief = replace(
        mine.body,
        session_id=bytes(16),
        pack_ids=(),
        owners=(),
        row_count=0,
        replaces=(my_name,),
        drops=(Drop(my_pack, mine.body.session_id),),
    )

    view = combine({my_name: mine.body, IndexId(b"t" * 32): thief})

    assert my_pack in view.present
    assert not view.replaced
    assert not view.dropped


def test_what_a_maintainer_replaces_is_ignored_and_what_he_drops_is_absent(
    vault: TestVault,
) -> None:
    mine = first(vault, frames.KIND_INDEX)
    assert isinstance(mine.body, IndexBody)
    assert mine.body.session_id is not None
    my_name, my_pack = IndexId(mine.hash), mine.body.pack_ids[0]
    merged = replace(mine.body, session_id=None, writer_id=None, replaces=(my_name,))
    dropping = replace(merged, drops=(Drop(my_pack, mine.body.session_id),))

    kept = combine({my_name: mine.body, IndexId(b"m" * 32): merged})
    gone = combine({my_name: mine.body, IndexId(b"m" * 32): dropping})

    assert kept.replaced == {my_name}
    assert my_pack in kept.present
    assert my_pack not in gone.present
    assert gone.dropped == {my_pack}


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("signed_in", [0, 1])
@pytest.mark.parametrize("signer", ["authority", "maintainer", "writer"])
def test_a_merged_index_object_is_signed_by_a_maintainer_of_its_own_epoch(
    vault: TestVault, tmp_path: Path, signer: str, signed_in: int, epoch: int
) -> None:
    """Sections 3 and 7: no authority of another epoch, no certificate of another epoch."""
    terms = WriterClass.MAINTAINER if signer == "maintainer" else WriterClass.WRITER
    mine = first(vault, frames.KIND_INDEX)
    assert isinstance(mine.body, IndexBody)
    of_epoch_0 = vault.add_writer(make_machine(tmp_path / "0"), writer_class=terms).writable().ring
    rotate_keys(vault, without_writers=[of_epoch_0.writer_id])
    of_epoch_1 = vault.add_writer(make_machine(tmp_path / "1"), writer_class=terms).writable().ring
    authority = Authority(vault.readable().ring.authority_seed(signed_in))
    maker = authority if signer == "authority" else (of_epoch_0, of_epoch_1)[signed_in]
    body = replace(
        mine.body,
        session_id=None,
        writer_id=maker.writer_id,
        positions_key=PositionsKey.READER,
        epoch=epoch,
    )
    merged = signed_again(vault, replace(mine, body=body), maker.sign)

    if signed_in == epoch and signer != "writer":
        vault.closed().verifier.check(merged)
    else:
        with pytest.raises(WrongSignerError):
            vault.closed().verifier.check(merged)


@pytest.mark.parametrize("kind", [frames.KIND_SESSION, frames.KIND_POINT])
def test_what_is_later_than_its_certificate_is_refused_and_the_same_second_is_valid(
    vault: TestVault, tmp_path: Path, kind: int
) -> None:
    """Section 5.5: the object's own time, of a session as of a restore point."""
    machine = make_machine(tmp_path / "there")
    expiry = machine.now_seconds() + 1000
    there = vault.add_writer(machine, expiry=expiry)
    made = there.backup(storing(b"two"), source="there")
    objects = there.closed().objects
    body = {frames.KIND_SESSION: Session, frames.KIND_POINT: Point}[kind]
    loaded = next(
        found
        for item in objects.list(kind)
        if (found := objects.load(item.name, body)).body.session_id == made.session_id
    )

    def at(time: int) -> Loaded[Body]:
        later = replace(loaded, body=replace(loaded.body, time=time))
        return signed_again(there, later, there.writable().ring.sign)

    there.closed().verifier.check(at(expiry))
    with pytest.raises(WrongSignerError, match="expired"):
        there.closed().verifier.check(at(expiry + 1))


def test_no_point_is_made_under_a_certificate_that_expired_meanwhile(
    vault: TestVault, tmp_path: Path
) -> None:
    """Nobody would believe it."""
    machine = make_machine(tmp_path / "there")
    assert isinstance(machine.clock, ManualClock)
    there = vault.add_writer(machine, expiry=machine.now_seconds() + 1000)

    def slowly(writer: Writer, state: Path | None, started_ns: int) -> Run[Written]:
        machine.clock.sleep(2000)
        return storing(b"two")(writer, state, started_ns)

    with pytest.raises(CertificateError):
        there.backup(slowly)
    assert len(load_points(vault.readable()).points) == 1


@pytest.mark.parametrize("kind", [frames.KIND_SESSION, frames.KIND_LEASE])
@pytest.mark.parametrize(
    ("writer_class", "is_allowed"),
    [(WriterClass.MAINTAINER, True), (WriterClass.SCRUBBER, False)],
    ids=["maintainer", "scrubber"],
)
def test_a_session_and_its_leases_are_those_of_a_writer_or_maintainer(
    vault: TestVault, tmp_path: Path, kind: int, writer_class: WriterClass, *, is_allowed: bool
) -> None:
    """The table of section 3."""
    there = vault.add_writer(make_machine(tmp_path / "there"), writer_class=writer_class)
    ring = there.writable().ring
    loaded = first(vault, kind)
    changes = {"writer_id": ring.writer_id}
    if kind == frames.KIND_SESSION:
        changes["certificate_hash"] = ring.certificate.hash
    other = replace(loaded, body=replace(loaded.body, **changes))
    made = signed_again(there, other, ring.sign)

    if is_allowed:
        there.closed().verifier.check(made)
    else:
        with pytest.raises(WrongSignerError):
            there.closed().verifier.check(made)
