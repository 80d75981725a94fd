"""What lies beside the key statements keeps nobody out, unless it may be the newest of them."""

from dataclasses import replace

import pytest

from doubles.household import Household, key_file
from holdfast.base.errors import HoldfastError, IntegrityError, SignatureError
from holdfast.base.secrets import Secret
from holdfast.crypto.signatures import sign, signing_public_key
from holdfast.format import frames
from holdfast.format.names import statement_name
from holdfast.format.statement import Statement
from holdfast.keys.doubts import find_doubt, read_chain
from holdfast.keys.errors import ChainError, RollbackError
from holdfast.keys.statements import KeyChain

STRANGER = Secret(b"\x01" * 32)
LOW, HIGH = bytes(32), b"\xff" * 32


def made_house() -> Household:
    """Two statements, the second by another authority than the first."""
    house = Household()
    house.rotate()
    return house


def read(house: Household, **objects: bytes) -> KeyChain:
    return read_chain(house.vault_id, house.vault_data, house.statements | objects)


def named(
    house: Household, number: int, data: bytes, name: bytes | None = None
) -> dict[str, bytes]:
    """Return an object by the name of a statement; that of its bytes unless another is given."""
    wanted = frames.object_hash(data) if name is None else name
    return {statement_name(house.vault_id, number, wanted): data}


def signed(house: Household, body: Statement, *seeds: Secret) -> bytes:
    return frames.build(
        frames.KIND_STATEMENT,
        body.to_body(),
        sign=lambda message: [(signing_public_key(seed), sign(seed, message)) for seed in seeds],
        vault_id=house.vault_id,
        signers=len(seeds),
    )


def strangers(house: Household) -> dict[str, dict[str, bytes]]:
    """Return objects that are no statements of the vault, by what is odd about them."""
    last = house.chain.current
    following = replace(last.body, number=2, predecessor=last.hash)
    skipping = replace(following, number=7)
    again = replace(last.body, number=1, predecessor=house.chain.links[0].hash)
    elsewhere = replace(again, predecessor=HIGH)
    cut = last.data[:-1]
    return {
        "nothing": named(house, 2, b""),
        "noise": named(house, 9, b"noise" * 100),
        "a part of a statement": named(house, 2, cut),
        "signed by a stranger": named(house, 2, signed(house, following, STRANGER)),
        "a stranger's that skips numbers": named(house, 7, signed(house, skipping, STRANGER)),
        "a stranger's beside the last": named(house, 1, signed(house, again, STRANGER)),
        "after nothing, and not ahead": named(house, 0, signed(house, elsewhere, STRANGER)),
        "damaged, where another one has won": named(house, 0, b"rotten", LOW),
        "damaged, and loses by its hash": named(house, 1, b"rotten", HIGH),
    }


def doubtful(house: Household) -> dict[str, dict[str, bytes]]:
    """Return objects that may be the statement that counts, by why."""
    last = house.chain.current
    stranded = replace(last.body, number=3, predecessor=HIGH)
    newer = bytearray(signed(house, replace(stranded, number=2), STRANGER))
    newer[9] = 1
    odd = replace(last.body, number=5, predecessor=last.hash)
    authority = house.ring.authority_seed()
    return {
        "damaged, and follows": named(house, 2, b"rotten", LOW),
        "damaged, far ahead": named(house, 65_535, b"", HIGH),
        "damaged, and would win by its hash": named(house, 1, b"rotten", LOW),
        "of a newer format": named(house, 2, bytes(newer)),
        "follows what is not there": named(house, 3, signed(house, stranded, STRANGER)),
        "the authority signed it": named(house, 5, signed(house, odd, authority)),
    }


@pytest.mark.parametrize("what", strangers(made_house()))
def test_an_object_that_is_no_statement_changes_nothing_and_is_named(what: str) -> None:
    house = made_house()
    objects = strangers(house)[what]

    chain = read(house, **objects)

    assert chain.current == house.chain.current
    assert [problem.name for problem in chain.problems] == list(objects)
    assert find_doubt(chain, house.statements | objects) is None
    # Strictly, as whoever changes keys reads what he has made, it is refused as ever.
    with pytest.raises(HoldfastError):
        KeyChain.read(house.vault_id, house.vault_data, house.statements | objects)


@pytest.mark.parametrize("what", doubtful(made_house()))
def test_an_object_that_may_be_the_newest_statement_is_never_passed_over(what: str) -> None:
    """Also by a machine that has never seen the vault."""
    house = made_house()
    objects = doubtful(house)[what]

    with pytest.raises((IntegrityError, SignatureError)):
        read(house, **objects)

    chain = KeyChain.read(
        house.vault_id, house.vault_data, house.statements | objects, report_problems=True
    )
    problem = find_doubt(chain, house.statements | objects)
    assert problem is not None
    assert [problem.name] == list(objects)


def test_a_damaged_statement_is_named_before_what_only_follows_it() -> None:
    house = made_house()
    house.add(key_file())
    name = house.chain.links[1].name
    rotten = house.statements | {name: b"rotten"}

    with pytest.raises(IntegrityError, match=name):
        read_chain(house.vault_id, house.vault_data, rotten)


def test_without_any_chain_the_damage_is_said_and_not_that_there_is_none() -> None:
    house = Household()
    name = house.chain.current.name

    with pytest.raises(IntegrityError, match=name):
        read_chain(house.vault_id, house.vault_data, {name: b"rotten"})
    with pytest.raises(ChainError):
        read_chain(house.vault_id, house.vault_data, {})


def test_rubbish_beside_the_chain_hides_no_rollback() -> None:
    house = made_house()
    yesterday = {house.chain.links[0].name: house.chain.links[0].data}
    rubbish = named(house, 0, b"rotten", HIGH)

    with pytest.raises(RollbackError):
        read_chain(
            house.vault_id, house.vault_data, yesterday | rubbish, seen=house.chain.current.seen
        )
    assert read_chain(house.vault_id, house.vault_data, yesterday | rubbish).epoch == 0
