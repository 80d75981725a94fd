"""Ways in: made, tried, added, changed, removed."""

import pytest

from doubles.household import Household, flipped, key_file, password
from holdfast.base.errors import IntegrityError
from holdfast.base.ids import ObjectHash
from holdfast.crypto.errors import KdfParametersError
from holdfast.crypto.passwords import KdfParameters
from holdfast.crypto.suites import SUITES
from holdfast.format.names import slot_name
from holdfast.keys import opening
from holdfast.keys.changes import WayIn, add_slot, change_password, new_vault, remove_slot
from holdfast.keys.errors import (
    KeyRequestError,
    LastWayInError,
    MissingKeyObjectError,
    NoSuchWayInError,
    SlotError,
    TooManyWaysInError,
    WrongPasswordError,
)
from holdfast.keys.slots import new_slot, shown_hint
from holdfast.keys.unlockers import KeyFileUnlocker, OpenUnlocker, PasswordUnlocker
from holdfast.keys.ways import list_ways_in


@pytest.mark.parametrize("suite", [suite.name for suite in SUITES.values()])
def test_a_new_vault_opens_with_what_it_was_made_with(suite: str) -> None:
    """Every suite; the ring after opening is the ring after making."""
    house = Household(suite=suite)

    ring = house.open(OpenUnlocker() if suite == "none" else PasswordUnlocker("correct horse"))

    assert ring.vault_name == "main"
    assert ring.suite.name == suite
    assert ring.root(0).reveal() == house.ring.root(0).reveal()
    assert ring.groups.keys() == house.ring.groups.keys()
    assert house.read().current.body.demands == (0 if suite == "none" else 1)


def test_objects_come_in_an_order_that_never_names_what_is_not_there() -> None:
    """A crash between two of them leaves nothing that points nowhere."""
    house = Household(password(), key_file())
    house.new_writer()
    removed = house.remove(house.add(password("third")))
    changed = house.change("other", rotating=True)

    for change in (removed, changed):
        kinds = [name.split("/")[2] for name, _ in change.objects]
        assert kinds == sorted(kinds, key=["slots", "writers", "keys"].index)
        assert kinds[-1] == "keys"
        assert kinds.count("keys") == 1


def test_several_ways_in_open_the_same_keys() -> None:
    """Two passwords and a key file."""
    house = Household(password("one"), password("two"), key_file())

    rings = [
        house.open_with("one"),
        house.open_with("two"),
        house.open(KeyFileUnlocker(b"\x01" * 32)),
    ]

    assert len({ring.root(0).reveal() for ring in rings}) == 1
    assert len({ring.slot_hash for ring in rings}) == 3


def test_a_password_typed_on_another_keyboard_is_the_same_password() -> None:
    """Composed or decomposed: NFC."""
    house = Household(password("Gru\u0308\u00dfe"))

    assert house.open_with("Gr\u00fc\u00dfe").epoch == 0


def test_a_wrong_password_is_told_apart_from_damage() -> None:
    """Exit 12 against exit 20."""
    house = Household()
    with pytest.raises(WrongPasswordError) as wrong:
        house.open_with("wrong horse")
    name = slot_name(house.vault_id, house.ring.slot_hash)
    house.objects[name] = flipped(house.objects[name], 100)
    with pytest.raises(SlotError) as damaged:
        house.open_with("wrong horse")

    assert wrong.value.exit_code == 12
    assert damaged.value.exit_code == 20
    assert name in str(damaged.value)


def test_a_wrong_password_of_several_lines_is_told_that_all_of_them_count() -> None:
    """The keyboard layout is not what is wrong then."""
    house = Household(password("one"))
    for text, said in (("one\n# the house", "several lines"), ("two", "keyboard")):
        with pytest.raises(WrongPasswordError) as wrong:
            house.open_with(text)
        assert said in str(wrong.value.hint)


def test_a_missing_slot_is_damage_and_other_ways_in_still_open() -> None:
    """Only when nothing else opens, what is missing could have been it."""
    house = Household(password("one"), password("two"))
    name = slot_name(house.vault_id, house.open_with("one").slot_hash)
    del house.objects[name]

    assert house.open_with("two").epoch == 0
    with pytest.raises(MissingKeyObjectError):
        house.open_with("one")


def test_a_named_slot_is_the_only_one_tried() -> None:
    """--slot saves the time of all the others."""
    house = Household(password("one"), password("two"))
    one = house.open_with("one").slot_hash

    assert house.open(PasswordUnlocker("one"), one).slot_hash == one
    with pytest.raises(WrongPasswordError):
        house.open(PasswordUnlocker("two"), one)
    with pytest.raises(NoSuchWayInError):
        house.open(PasswordUnlocker("two"), ObjectHash(bytes(32)))
    with pytest.raises(NoSuchWayInError):
        house.open(KeyFileUnlocker(bytes(32)))


def test_the_newest_way_in_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changed his password does not wait for the old slots."""
    house = Household(password("one"))
    added = [house.add(password(text)) for text in ("two", "three")]
    tried: list[bytes] = []
    real = opening.open_slot

    def watched(data: bytes, vault_id: object, unlocker: object) -> object:
        tried.append(data)
        return real(data, vault_id, unlocker)  # type: ignore[arg-type]

    monkeypatch.setattr(opening, "open_slot", watched)
    house.open_with("one")

    names = [slot_name(house.vault_id, slot) for slot in reversed(added)]
    assert tried[:2] == [house.objects[name] for name in names]
    assert len(tried) == 3


def test_bounds_are_checked_for_all_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slot that this machine cannot afford is named; it is never begun."""
    house = Household(password("one"))
    expensive = new_slot(
        PasswordUnlocker("two"),
        hint="",
        vault_id=house.vault_id,
        authority_seed=house.ring.authority_seed(),
        parameters=KdfParameters.argon2id(1, 64 * 1024, 1),
        clock=house.clock,
        random=house.random,
    )
    monkeypatch.setattr("holdfast.keys._making.new_slot", lambda *_args, **_named: expensive)
    house.add(password("two"))
    memory = 100 * 2**20

    def attempt(text: str) -> int:
        unlocker = PasswordUnlocker(text)
        return opening.open_ring(house.read(), house.slots, unlocker, memory_bytes=memory).epoch

    assert attempt("one") == 0
    monkeypatch.setattr(opening, "open_slot", lambda *_: pytest.fail("work was done"))
    monkeypatch.setattr(opening, "check_parameters", _refuse)
    with pytest.raises(KdfParametersError):
        attempt("two")


def _refuse(*_args: object, **_named: object) -> None:
    raise KdfParametersError("a slot asks for too much")


def test_production_vaults_never_get_cheap_slots() -> None:
    """Nothing is written that a reader would refuse."""
    house = Household()
    cheap = WayIn(PasswordUnlocker("x"), "", KdfParameters.argon2id(1, 4096, 1))

    with pytest.raises(KdfParametersError):
        add_slot(house.chain, house.ring, cheap, clock=house.clock, random=house.random)


def test_a_changed_password_leaves_the_old_one_without_a_door() -> None:
    """Same epoch: the statement no longer names the old slot."""
    house = Household(password("old"))
    house.change("new")

    assert house.chain.epoch == 0
    assert house.open_with("new").root(0).reveal() == house.ring.root(0).reveal()
    assert house.ring.slot_hash == house.open_with("new").slot_hash
    with pytest.raises(WrongPasswordError):
        house.open_with("old")


def test_a_changed_password_has_a_key_pair_of_its_own() -> None:
    """With the same seed the old slot's bytes, which stay readable, would open what comes."""
    house = Household(password("old"))
    before = house.chain.current.body.slots
    house.change("new")
    after = house.chain.current.body.slots

    assert {slot.kem_public_key for slot in before}.isdisjoint(
        slot.kem_public_key for slot in after
    )


def test_a_password_can_be_changed_with_a_rotation() -> None:
    """For whoever fears that the old one is known."""
    house = Household(password("old"))
    house.change("new", rotating=True)

    assert house.chain.epoch == 1
    assert house.open_with("new").roots.keys() == {0, 1}
    with pytest.raises(WrongPasswordError):
        house.open_with("old")


def test_removing_a_way_in_begins_an_epoch_for_all_others() -> None:
    """One person does it; nobody else's secret is needed."""
    house = Household(password("mine"), password("hers"), key_file())
    hers = house.open_with("hers").slot_hash
    mine = house.open_with("mine")
    house.ring = mine
    house.remove(hers)

    assert house.open_with("mine").roots.keys() == {0, 1}
    assert house.open(KeyFileUnlocker(b"\x01" * 32)).epoch == 1
    with pytest.raises(WrongPasswordError):
        house.open_with("hers")


def test_the_last_way_in_is_protected() -> None:
    """Nothing is changed."""
    house = Household()
    before = dict(house.objects)

    with pytest.raises(LastWayInError):
        house.remove(house.ring.slot_hash)
    assert house.objects == before
    with pytest.raises(LastWayInError):
        new_vault(house.chain.vault, name="x", ways_in=(), clock=house.clock, random=house.random)


def test_there_are_at_most_64_ways_in() -> None:
    """So that a wrong password is answered in a minute."""
    house = Household(*(key_file(number) for number in range(64)))

    with pytest.raises(TooManyWaysInError):
        house.add(key_file(64))


def test_an_open_way_in_is_for_vaults_without_encryption_only() -> None:
    """And they have no other."""
    house, plain = Household(), Household(suite="none")

    with pytest.raises(KeyRequestError):
        house.add(WayIn(OpenUnlocker()))
    with pytest.raises(KeyRequestError):
        plain.add(password())
    with pytest.raises(KeyRequestError):
        plain.change("x")
    with pytest.raises(KeyRequestError):
        Household(password(), suite="none")
    with pytest.raises(KeyRequestError):
        Household(WayIn(OpenUnlocker()), WayIn(OpenUnlocker()), suite="none")


def test_keys_of_an_earlier_epoch_change_nothing() -> None:
    """Whoever was overtaken opens the vault again first."""
    house = Household()
    stale = house.ring
    house.rotate()

    with pytest.raises(KeyRequestError):
        add_slot(house.chain, stale, password("x"), clock=house.clock, random=house.random)


def test_what_is_not_named_cannot_be_removed_or_changed() -> None:
    """A slot object that merely lies in the storage is no way in."""
    house = Household()
    stray = ObjectHash(b"\x05" * 32)

    with pytest.raises(NoSuchWayInError):
        remove_slot(house.chain, house.ring, stray, {}, clock=house.clock, random=house.random)
    with pytest.raises(NoSuchWayInError):
        change_password(
            house.chain,
            house.ring,
            password("x"),
            clock=house.clock,
            random=house.random,
            slot_hash=stray,
        )


@pytest.mark.parametrize("hint", ["x" * 101, "line\nbreak", "\x1b[31mred"])
def test_a_hint_is_short_and_printable(hint: str) -> None:
    """It is shown before anything is proved."""
    with pytest.raises(KeyRequestError):
        Household(password(hint=hint))


def test_a_hint_of_others_is_shown_harmless() -> None:
    """Whatever is written there, a terminal sees quoted text."""
    assert shown_hint("a\x1b[2Jb\n" + "c" * 200) == '"a?[2Jb?' + "c" * 93 + '"'


def test_ways_in_are_listed_without_a_key_and_with_what_is_wrong() -> None:
    """Kind, hint, age; damaged and missing ones are named, after those with an age."""
    house = Household(password(hint="the usual"), key_file(), key_file(2))
    names = [slot_name(house.vault_id, slot.slot_hash) for slot in house.chain.current.body.slots]
    kinds = {listing.kind for listing in list_ways_in(house.chain, house.slots)}
    slots = house.slots
    del slots[names[0]]
    slots[names[1]] = flipped(slots[names[1]], 50)
    sound, *broken = list_ways_in(house.chain, slots)

    assert kinds == {"password", "key file"}
    assert all(isinstance(way.problem, IntegrityError) for way in broken)
    assert [isinstance(way.problem, MissingKeyObjectError) for way in broken].count(True) == 1
    assert sound.problem is None
    assert sound.hint in {'"the usual"', '"on the stick"'}
    assert sound.time is not None


def test_a_password_slot_may_use_pbkdf2() -> None:
    """For machines where Argon2id is not to be had."""
    house = Household(WayIn(PasswordUnlocker("one"), "", KdfParameters.pbkdf2(600_000)))

    assert house.open_with("one").epoch == 0
    with pytest.raises(WrongPasswordError):
        house.open_with("two")
