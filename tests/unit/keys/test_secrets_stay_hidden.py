"""No representation, message or traceback of this room shows a secret."""

import traceback

import pytest

from doubles.household import Household, flipped, key_file
from holdfast.base.errors import HoldfastError
from holdfast.crypto.errors import KeyFileError, PasswordError
from holdfast.format.names import slot_name
from holdfast.keys.kit import recovery_kit
from holdfast.keys.statements import KeyChain
from holdfast.keys.unlockers import KeyFileUnlocker, PasswordUnlocker


def test_nothing_that_holds_secrets_shows_them() -> None:
    """Roots, seeds, group secrets, passwords: neither as hexadecimal nor as bytes."""
    house = Household()
    identity = house.new_writer()
    ring = house.writer_ring(identity)
    unlocker = PasswordUnlocker("correct horse")
    group = next(iter(house.ring.groups.values()))
    shown = " ".join(
        repr(item)
        for item in (house.ring, ring, identity, unlocker, group, ring.group, house.last, house)
    )
    shown += str(vars(house.ring)) + str(vars(ring)) + str(vars(identity)) + str(vars(unlocker))
    secrets = [
        house.ring.root(0),
        house.ring.authority_seed(),
        house.ring.vault_seed(0),
        identity.seed,
        group.secret,
        ring.index_key,
    ]

    for secret in [*(secret.reveal() for secret in secrets), b"correct horse"]:
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


def test_a_refused_password_is_not_in_the_message() -> None:
    """Nor in the chain of causes."""
    house = Household()
    name = slot_name(house.vault_id, house.ring.slot_hash)
    texts: list[str] = []
    # Assigned here, because tracebacks quote the line of the call.
    wrong = "battery-staple"
    for data in (house.objects[name], flipped(house.objects[name], 99)):
        house.objects[name] = data
        with pytest.raises(HoldfastError) as error:
            house.open_with(wrong)
        texts.append("".join(traceback.format_exception(error.value, chain=True)))
        texts.append(f"{error.value!r} {error.value.hint}")

    assert not [text for text in texts if wrong in text]


@pytest.mark.parametrize("text", ["", "a\x00b", "\ud800"])
def test_what_cannot_be_a_password_is_refused_at_once(text: str) -> None:
    with pytest.raises(PasswordError):
        PasswordUnlocker(text)


def test_a_password_file_may_end_with_a_newline() -> None:
    house = Household()

    assert house.open(PasswordUnlocker.from_file_bytes(b"correct horse\n")).epoch == 0
    with pytest.raises(KeyFileError):
        KeyFileUnlocker(b"short")


def test_the_recovery_kit_holds_what_is_needed_and_no_secret() -> None:
    """Its objects alone and a password open the vault again."""
    house = Household()
    house.add(key_file())
    house.rotate()
    kit = recovery_kit(house.chain, house.ring, house.slots)
    objects = dict(kit.objects)
    house.objects = objects
    chain = KeyChain.read(kit.vault_id, house.vault_data, house.statements, seen=kit.statement)

    assert chain.epoch == kit.epoch == 1
    assert house.open_with("correct horse").roots.keys() == {0, 1}
    assert len(kit.ways_in) == 2
    assert kit.vault_name == "main"
    assert house.ring.root(1).reveal() not in b"".join(objects.values())


def test_no_kit_is_made_of_damaged_slots() -> None:
    house = Household()
    name = slot_name(house.vault_id, house.ring.slot_hash)

    with pytest.raises(HoldfastError):
        recovery_kit(house.chain, house.ring, {name: flipped(house.objects[name], 77)})
    with pytest.raises(HoldfastError):
        recovery_kit(house.chain, house.ring, {})
