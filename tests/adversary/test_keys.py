"""What a storage that lies, and people who leave, can and cannot do with keys."""

import pytest

from doubles.household import PASSWORD, Household, flipped, key_file, password
from holdfast.base.errors import HoldfastError, IntegrityError, SignatureError
from holdfast.base.ids import ObjectHash, SessionId, VaultId
from holdfast.base.secrets import Secret
from holdfast.crypto.errors import AuthenticationError, BadSignatureError
from holdfast.crypto.hpke import hpke_open, hpke_seal, kem_public_key
from holdfast.crypto.signatures import sign, signing_public_key
from holdfast.format.errors import NameMismatchError
from holdfast.format.frames import (
    FRAME_BYTES,
    KIND_STATEMENT,
    SIGNATURE_BYTES,
    build,
    object_hash,
    parse,
)
from holdfast.format.names import slot_name, statement_name, writer_name
from holdfast.format.statement import Statement
from holdfast.keys.errors import (
    ChainError,
    RollbackError,
    StatementError,
    UnknownEpochError,
    WrongPasswordError,
)
from holdfast.keys.keyring import check_root
from holdfast.keys.opening import open_ring, root_info
from holdfast.keys.slots import new_slot, open_slot, read_slot
from holdfast.keys.statements import KeyChain, Link
from holdfast.keys.unlockers import OpenUnlocker, PasswordUnlocker
from holdfast.keys.writers import read_certificate

SESSION = SessionId(b"s" * 16)


def _signed(house: Household, body: Statement, *seeds: Secret) -> tuple[str, bytes]:
    """Return a statement signed by whomever the attacker has."""
    data = build(
        KIND_STATEMENT,
        body.to_body(),
        sign=lambda message: [(signing_public_key(seed), sign(seed, message)) for seed in seeds],
        vault_id=house.vault_id,
        signers=len(seeds),
    )
    return statement_name(house.vault_id, body.number, object_hash(data)), data


def _edited(link: Link, **changes: object) -> Statement:
    body = link.body
    fields = {name: getattr(body, name) for name in body.__dataclass_fields__}
    return Statement(**{**fields, **changes})


def test_an_old_root_opens_nothing_of_a_later_epoch() -> None:
    """Neither the root, nor the secrets, nor a session, nor an index key, nor a name."""
    house = Household(password("mine"), password("leaver"))
    leaver = house.open_with("leaver")
    old_seed = open_slot(
        house.slots[slot_name(house.vault_id, leaver.slot_hash)],
        house.vault_id,
        PasswordUnlocker("leaver"),
    )
    house.ring = house.open_with("mine")
    identity = house.new_writer()
    house.remove(leaver.slot_hash)
    current = house.chain.current.body
    made = house.writer_ring(identity).new_session_key(SESSION, house.random)
    assert made.sealed is not None

    for entry in current.slots:
        with pytest.raises(AuthenticationError):
            hpke_open(old_seed, root_info(house.vault_id, 1, 1, entry.slot_hash), entry.sealed_root)
    with pytest.raises(UnknownEpochError):
        leaver.root(1)
    with pytest.raises(AuthenticationError):
        hpke_open(leaver.vault_seed(0), b"", made.sealed)
    for group in leaver.groups.values():
        assert 1 not in group.index_keys
    assert leaver.root(0).reveal() not in [root.reveal() for root in (house.ring.root(1),)]
    assert kem_public_key(leaver.vault_seed(0)) != current.vault_public_key


def test_a_slot_copied_into_another_vault_does_not_make_the_password_work() -> None:
    """The storage seals a root of its own to the victim's public key: the wrap does not open."""
    victim, evil = Household(seed="victim"), Household(password("evil"), seed="evil")
    (stolen,) = victim.slots.values()
    (entry,) = victim.chain.current.body.slots
    # The attacker names the stolen slot in a statement that is perfectly signed.
    evil.objects[slot_name(evil.vault_id, entry.slot_hash)] = stolen
    body = _edited(
        evil.chain.current,
        number=1,
        predecessor=evil.chain.current.hash,
        slots=(entry,),
    )
    name, data = _signed(evil, body, evil.ring.authority_seed())
    evil.objects[name] = data
    chain = evil.read()

    assert chain.current.body.slots == (entry,)
    with pytest.raises(BadSignatureError):
        evil.open_with(PASSWORD)
    with pytest.raises(WrongPasswordError):
        open_slot(stolen, evil.vault_id, PasswordUnlocker(PASSWORD))


def test_a_slot_resigned_for_another_vault_still_does_not_open() -> None:
    """The wrap is bound to the vault id, not only the signature."""
    victim, evil = Household(seed="victim"), Household(password("evil"), seed="evil")
    (stolen,) = victim.slots.values()
    stored = parse(4, stolen)
    resigned = build(
        4,
        stored.body,
        sign=lambda message: [
            (
                signing_public_key(evil.ring.authority_seed()),
                sign(evil.ring.authority_seed(), message),
            )
        ],
        vault_id=evil.vault_id,
    )
    (entry,) = victim.chain.current.body.slots
    fake = type(entry)(
        slot_hash=ObjectHash(object_hash(resigned)),
        kind=entry.kind,
        kem_public_key=entry.kem_public_key,
        sealed_root=entry.sealed_root,
    )
    body = _edited(evil.chain.current, number=1, predecessor=evil.chain.current.hash, slots=(fake,))
    name, data = _signed(evil, body, evil.ring.authority_seed())
    evil.objects |= {name: data, slot_name(evil.vault_id, fake.slot_hash): resigned}

    with pytest.raises(WrongPasswordError):
        evil.open_with(PASSWORD)


def test_another_vault_object_under_the_same_id_is_refused() -> None:
    """The id is its hash."""
    house, other = Household(), Household(seed="other")

    with pytest.raises(NameMismatchError):
        KeyChain.read(house.vault_id, other.vault_data, house.statements)


def test_a_storage_that_goes_back_is_noticed_by_whoever_has_seen_more() -> None:
    """Exit 21."""
    house = Household()
    yesterday = house.copy()
    house.rotate()

    with pytest.raises(RollbackError) as error:
        yesterday.read(house.chain.current.seen)
    assert error.value.exit_code == 21
    assert house.read(yesterday.chain.current.seen).epoch == 1


def test_statements_of_another_vault_are_refused() -> None:
    """Under their own names and under forged ones."""
    house, other = Household(), Household(seed="other")
    ((name, data),) = other.statements.items()
    forged = statement_name(house.vault_id, 0, object_hash(data))

    for taken in (name, forged):
        with pytest.raises(SignatureError):
            KeyChain.read(house.vault_id, house.vault_data, house.statements | {taken: data})


def test_a_statement_missing_in_the_middle_is_refused() -> None:
    """What follows it hangs in the air."""
    house = Household()
    house.rotate()
    house.add(key_file())
    del house.objects[house.chain.links[1].name]

    with pytest.raises(ChainError):
        house.read()


def test_no_statement_at_all_is_refused() -> None:
    house = Household()

    with pytest.raises(ChainError):
        KeyChain.read(house.vault_id, house.vault_data, {})


@pytest.mark.parametrize("index", [0, 1])
def test_a_swapped_pair_of_statements_is_refused(index: int) -> None:
    """Name and bytes are compared first."""
    house = Household()
    house.rotate()
    first, second = house.chain.links[index], house.chain.links[1 - index]

    with pytest.raises(IntegrityError):
        KeyChain.read(
            house.vault_id,
            house.vault_data,
            {first.name: second.data, second.name: first.data},
        )


def test_a_statement_that_nobody_entitled_signed_is_refused() -> None:
    """A stranger, the own new authority alone, or the one before alone at a rotation."""
    house = Household()
    before = house.ring
    house.rotate()
    rotation = house.chain.current
    del house.objects[rotation.name]
    for seeds in (
        (Secret(b"\x01" * 32),),
        (house.ring.authority_seed(1),),
        (before.authority_seed(0),),
        (house.ring.authority_seed(1), Secret(b"\x01" * 32)),
    ):
        name, data = _signed(house, rotation.body, *seeds)
        with pytest.raises(BadSignatureError):
            KeyChain.read(house.vault_id, house.vault_data, house.statements | {name: data})


@pytest.mark.parametrize("signature", [0, 1])
def test_the_right_names_under_wrong_signatures_are_refused(signature: int) -> None:
    """Of a statement, where each of the two counts, and of what one authority signs."""
    house = Household()
    house.new_writer()
    (data,) = house.certificates.values()
    house.rotate()
    rotation = house.chain.current
    del house.objects[rotation.name]
    position = len(rotation.data) - 1 - signature * SIGNATURE_BYTES
    forged = flipped(rotation.data, position - 40)
    name = statement_name(house.vault_id, 1, object_hash(forged))
    forged_certificate = flipped(data, len(data) - 40)
    forged_slot = flipped(next(iter(house.slots.values())), -40)

    with pytest.raises(BadSignatureError):
        KeyChain.read(house.vault_id, house.vault_data, house.statements | {name: forged})
    with pytest.raises(BadSignatureError):
        read_certificate(
            house.chain,
            writer_name(house.vault_id, object_hash(forged_certificate)),
            forged_certificate,
        )
    with pytest.raises(BadSignatureError):
        read_slot(forged_slot, house.vault_id, house.chain.authority_keys.values())


def test_signatures_in_another_order_do_not_make_a_second_statement() -> None:
    """Else the storage could choose which of two hashes stands, and cut the chain behind it."""
    house = Household()
    house.rotate()
    data = house.chain.current.data
    end = FRAME_BYTES + int.from_bytes(data[12:16], "big")
    one, two = data[end : end + SIGNATURE_BYTES], data[end + SIGNATURE_BYTES :]
    swapped = data[:end] + two + one
    name = statement_name(house.vault_id, 1, object_hash(swapped))

    with pytest.raises(BadSignatureError):
        KeyChain.read(house.vault_id, house.vault_data, house.statements | {name: swapped})


def test_of_two_statements_with_one_number_the_lower_hash_stands() -> None:
    """Two honest people at once: all clients come to the same answer."""
    house = Household()
    other = house.copy()
    for one in (house, other):
        one.add(key_file())
    merged = house.statements | other.statements
    tips = sorted((house.chain.current, other.chain.current), key=lambda link: link.hash)

    chain = KeyChain.read(house.vault_id, house.vault_data, merged)

    assert chain.current.hash == tips[0].hash
    assert chain.forks == (tips[1].name,)
    assert [link.hash for link in chain.beaten] == [tips[1].hash]


def two_at_once(*, rotating: bool = False) -> tuple[Household, Household]:
    """Return who wins and who loses; the loser begins an epoch if it is *rotating*."""
    for number in range(20):
        house = Household(seed=f"two {number}")
        other = house.copy()
        house.add(key_file())
        if rotating:
            other.rotate()
        else:
            other.add(key_file(2))
        if house.chain.current.hash < other.chain.current.hash:
            return house, other
    raise AssertionError("the hashes do not fall")


def test_who_has_seen_only_the_one_that_lost_goes_on_with_the_one_that_stands() -> None:
    """Whoever signed that could have signed what follows the other: the authority is the same."""
    winner, loser = two_at_once()
    seen = loser.chain.current.seen
    chain = KeyChain.read(
        winner.vault_id, winner.vault_data, winner.statements | loser.statements, seen=seen
    )

    assert chain.current.hash == winner.chain.current.hash
    with pytest.raises(RollbackError):
        # The one that was seen is gone: who lost fairly is still there.
        winner.read(seen)


def test_a_statement_that_began_an_epoch_is_not_taken_back_by_one_with_a_lower_hash() -> None:
    """Whoever lost his way in by it can still sign for the epoch before, and grind hashes."""
    winner, loser = two_at_once(rotating=True)
    merged = winner.statements | loser.statements

    with pytest.raises(RollbackError):
        KeyChain.read(winner.vault_id, winner.vault_data, merged, seen=loser.chain.current.seen)


def test_a_statement_is_settled_when_no_other_lies_beside_it() -> None:
    """What is remembered never turns out to have lost later."""
    winner, loser = two_at_once()
    before = winner.chain.links[0].seen
    assert winner.read().settled == winner.chain.current.seen
    winner.objects |= loser.statements

    assert winner.read().settled == before
    winner.add(key_file(3))
    assert winner.read().settled == winner.chain.current.seen


def test_a_statement_that_began_an_epoch_is_settled_whatever_lies_beside_it() -> None:
    """Whoever lost his way in by it may put one that loses, and wait with the one that wins."""
    for number in range(20):
        house = Household(seed=f"rotated {number}")
        other = house.copy()
        house.rotate()
        other.add(key_file())
        if house.chain.current.hash < other.chain.current.hash:
            break
    house.objects |= other.statements

    chain = house.read()

    assert len(chain.beaten) == 1
    assert chain.settled == chain.current.seen


def test_what_follows_the_statement_that_lost_is_lost_too() -> None:
    """A longer branch does not win against the lower hash."""
    house = Household()
    other = house.copy()
    for one in (house, other):
        one.add(key_file())
    loser = max((house, other), key=lambda one: one.chain.current.hash)
    winner = house if loser is other else other
    loser.add(key_file(3))

    chain = KeyChain.read(house.vault_id, house.vault_data, house.statements | other.statements)

    assert chain.current.hash == winner.chain.current.hash
    assert set(chain.forks) == {link.name for link in loser.chain.links[1:]}


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 2},
        {"epoch": 1},
        {"vault_public_key": bytes(1216)},
        {"root_commitment": bytes(32)},
        {"authority_public_key": signing_public_key(Secret(b"\x01" * 32))},
        {"certificates": (ObjectHash(b"c" * 32),)},
    ],
    ids=["number", "epoch", "vault key", "commitment", "authority", "certificates"],
)
def test_a_statement_cannot_skip_or_change_keys_within_an_epoch(
    changes: dict[str, object],
) -> None:
    """Even when the authority itself signs it."""
    house = Household()
    body = _edited(
        house.chain.current,
        **{"number": 1, "predecessor": house.chain.current.hash, **changes},
    )
    name, data = _signed(house, body, house.ring.authority_seed())

    with pytest.raises(SignatureError):
        KeyChain.read(house.vault_id, house.vault_data, house.statements | {name: data})


def test_a_root_that_does_not_fit_its_statement_is_refused() -> None:
    """A colleague seals another root to your slot: commitment and keys are recomputed."""
    house = Household()
    house.add(password("two"))
    entries = house.chain.current.body.slots
    mixed = tuple(
        type(entry)(
            slot_hash=entry.slot_hash,
            kind=entry.kind,
            kem_public_key=entry.kem_public_key,
            sealed_root=_sealed_elsewhere(house, entry.slot_hash, entry.kem_public_key),
        )
        for entry in entries
    )
    body = _edited(house.chain.current, number=2, predecessor=house.chain.current.hash, slots=mixed)
    name, data = _signed(house, body, house.ring.authority_seed())
    house.objects[name] = data

    with pytest.raises(StatementError):
        house.open_with(PASSWORD)


@pytest.mark.parametrize("field", ["root_commitment", "authority_public_key", "vault_public_key"])
def test_a_root_is_held_against_all_that_a_statement_says_of_it(field: str) -> None:
    """In a vault without encryption nothing else would notice."""
    house, other = Household(suite="none"), Household(suite="none", seed="other")
    body = house.chain.current.body
    check_root(house.vault_id, house.ring.root(0), body)
    foreign = _edited(house.chain.current, **{field: getattr(other.chain.current.body, field)})

    with pytest.raises(StatementError):
        check_root(house.vault_id, house.ring.root(0), foreign)
    with pytest.raises(StatementError):
        check_root(house.vault_id, Secret(bytes(31)), body)


def test_a_root_of_another_is_refused_also_without_encryption() -> None:
    """The open slot is everybody's; its root is still the one that signs."""
    house = Household(suite="none")
    (entry,) = house.chain.current.body.slots
    mixed = type(entry)(
        slot_hash=entry.slot_hash,
        kind=entry.kind,
        kem_public_key=entry.kem_public_key,
        sealed_root=hpke_seal(
            entry.kem_public_key, root_info(house.vault_id, 1, 0, entry.slot_hash), b"r" * 32
        ),
    )
    body = _edited(
        house.chain.current, number=1, predecessor=house.chain.current.hash, slots=(mixed,)
    )
    name, data = _signed(house, body, house.ring.authority_seed())
    house.objects[name] = data

    with pytest.raises(StatementError):
        house.open(OpenUnlocker())


def _sealed_elsewhere(house: Household, slot_hash: ObjectHash, public_key: bytes) -> bytes:
    return hpke_seal(public_key, root_info(house.vault_id, 2, 0, slot_hash), b"r" * 32)


def test_a_slot_that_the_storage_adds_is_never_given_a_root() -> None:
    """Only what the authenticated statement names is carried over."""
    house = Household()
    added = new_slot(
        PasswordUnlocker("evil"),
        hint="harmless",
        vault_id=house.vault_id,
        authority_seed=Secret(b"\x02" * 32),
        parameters=password().parameters,
        clock=house.clock,
        random=house.random,
    )
    house.objects[slot_name(house.vault_id, added.hash)] = added.data
    house.rotate()

    assert added.hash not in {slot.slot_hash for slot in house.chain.current.body.slots}
    with pytest.raises(WrongPasswordError):
        house.open_with("evil")


def test_a_certificate_made_with_an_old_root_is_not_for_the_new_epoch() -> None:
    """Whoever left can still sign for the epoch that he knew, and for no other."""
    house = Household(password("mine"), password("leaver"))
    leaver_house = house.copy()
    leaver_house.ring = house.open_with("leaver")
    house.ring = house.open_with("mine")
    house.remove(leaver_house.ring.slot_hash)
    leaver_house.new_writer("intruder")
    ((name, data),) = leaver_house.certificates.items()

    assert read_certificate(house.chain, name, data).body.epoch == 0
    stored = parse(3, data)
    body = {**stored.body, 8: 1}
    seed = leaver_house.ring.authority_seed()
    forged = build(
        3,
        body,
        sign=lambda message: [(signing_public_key(seed), sign(seed, message))],
        vault_id=house.vault_id,
    )
    with pytest.raises(BadSignatureError):
        read_certificate(house.chain, writer_name(house.vault_id, object_hash(forged)), forged)


def test_damaged_statements_can_be_listed_instead_of_refused() -> None:
    """For reading what is left: the chain is what the others give."""
    house = Household()
    house.add(key_file())
    name = house.chain.current.name
    statements = house.statements | {name: flipped(house.objects[name], 200)}
    with pytest.raises(IntegrityError):
        KeyChain.read(house.vault_id, house.vault_data, statements)
    chain = KeyChain.read(house.vault_id, house.vault_data, statements, report_problems=True)

    assert chain.current.body.number == 0
    assert [problem.name for problem in chain.problems] == [name]
    assert open_ring(chain, house.slots, PasswordUnlocker(PASSWORD)).epoch == 0


@pytest.mark.parametrize("which", ["vault", "keys", "slots", "writers"])
def test_every_flip_in_a_key_object_is_noticed(which: str) -> None:
    """One bit in every 7th byte: refused, and never an error that is not ours."""
    house = Household()
    house.new_writer()
    (name,) = (name for name in house.objects if f"/{which}" in name)
    good = house.objects[name]
    for position in range(0, len(good), 7):
        house.objects[name] = flipped(good, position)
        with pytest.raises(HoldfastError) as error:
            _use_everything(house)
        assert error.value.exit_code == 20


def _use_everything(house: Household) -> None:
    chain = house.read()
    for name, data in house.certificates.items():
        read_certificate(chain, name, data)
    house.open_with(PASSWORD)


def test_a_vault_without_id_pin_still_cannot_be_given_an_unknown_format() -> None:
    """A newer format is one clear sentence."""
    house = Household()
    body = {**parse(1, house.vault_data).body, 1: 1}
    data = build(1, body)

    with pytest.raises(IntegrityError, match="format 1"):
        KeyChain.read(VaultId(object_hash(data)), data, {})
