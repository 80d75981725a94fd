"""The primitives do what ``vectors/`` says, and refuse what it says under the name it says."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from holdfast.base.errors import HoldfastError
from holdfast.base.secrets import Secret
from holdfast.crypto.boxes import BOX_OVERHEAD, open_box, open_padded_box, seal_box, seal_padded_box
from holdfast.crypto.errors import (
    AuthenticationError,
    BadSignatureError,
    KdfParametersError,
    KeyFileError,
    PasswordError,
    WrongKeyError,
)
from holdfast.crypto.hkdf import authority_seed, derive, expand, extract
from holdfast.crypto.hpke import hpke_open, kem_public_key
from holdfast.crypto.passwords import (
    KdfParameters,
    check_parameters,
    normalise_password,
    password_from_file_bytes,
    run_kdf,
)
from holdfast.crypto.signatures import signing_public_key, verify
from holdfast.crypto.suites import SUITES, open_sealed, seal, suite_named, suite_numbered

FOLDER = Path(__file__).parents[2] / "vectors"
ERRORS: Mapping[str, type[HoldfastError]] = {
    "auth": AuthenticationError,
    "no-key": WrongKeyError,
    "signature": BadSignatureError,
    "password": PasswordError,
    "key-file": KeyFileError,
    "kdf": KdfParametersError,
}
Block = dict[str, str]


class FixedRandom:
    """Gives the salt that a vector was made with."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def take(self, count: int) -> bytes:
        """Return the one value."""
        assert count == len(self._value)
        return self._value


def _blocks(name: str) -> list[Block]:
    blocks: list[Block] = [{}]
    for line in FOLDER.joinpath(name).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        if not line:
            blocks.append({})
            continue
        key, _, value = line.partition(":")
        blocks[-1][key] = value.strip()
    return [block for block in blocks if block]


def _vectors(name: str) -> pytest.MarkDecorator:
    blocks = _blocks(name)
    ids = [f"{number}-{block['expect']}" for number, block in enumerate(blocks)]
    return pytest.mark.parametrize("block", blocks, ids=ids)


def _bytes(block: Block, key: str) -> bytes:
    return bytes.fromhex(block[key])


def test_the_files_are_what_the_tool_writes(tmp_path: Path) -> None:
    """From the specification, without Holdfast; only encapsulation is random."""
    tool = FOLDER.parent / "tools" / "make-crypto-vectors"
    subprocess.run([sys.executable, tool, tmp_path], check=True, capture_output=True)

    for made in tmp_path.iterdir():
        if made.name != "hpke.txt":
            assert made.read_bytes() == (FOLDER / made.name).read_bytes()


def _expect(block: Block, call: Callable[[], object], wanted: object = None) -> None:
    if block["expect"] == "ok":
        assert call() == wanted
        return
    with pytest.raises(ERRORS[block["expect"]]):
        call()


@_vectors("suites.txt")
def test_a_suite_opens_what_it_should_and_nothing_else(block: Block) -> None:
    """And sealing again gives the same bytes."""
    suite = suite_named(block["suite"])
    material, associated = _bytes(block, "material"), _bytes(block, "associated")
    stored = _bytes(block, "stored")

    assert suite is suite_numbered(int(block["number"]))
    _expect(
        block,
        lambda: open_sealed(suite, material, associated, memoryview(stored)),
        bytes.fromhex(block.get("raw", "")),
    )
    if block["expect"] == "ok":
        raw = _bytes(block, "raw")
        assert seal(suite, material, associated, memoryview(raw)) == stored
        assert suite.stored_length(len(raw)) == len(stored)


def test_every_suite_has_vectors() -> None:
    """Seven suites, none forgotten."""
    assert {block["suite"] for block in _blocks("suites.txt")} == {
        suite.name for suite in SUITES.values()
    }


@_vectors("hkdf.txt")
def test_keys_are_derived_as_the_specification_says(block: Block) -> None:
    """Each function of sections 1 and 4.4."""
    output = _bytes(block, "output")
    match block["function"]:
        case "extract":
            assert extract(_bytes(block, "salt"), _bytes(block, "ikm")) == output
        case "expand":
            length = int(block["length"])
            assert expand(_bytes(block, "prk"), _bytes(block, "info"), length) == output
        case "derive":
            found = derive(
                Secret(_bytes(block, "secret")),
                _bytes(block, "vault id"),
                block["label"],
                _bytes(block, "context"),
                int(block["length"]),
            )
            assert found == output
        case _:
            seed = authority_seed(Secret(_bytes(block, "root")), int(block["epoch"]))
            assert seed.reveal() == output
            assert signing_public_key(seed) == _bytes(block, "public key")


@_vectors("boxes.txt")
def test_a_box_opens_or_says_whether_key_or_box_is_wrong(block: Block) -> None:
    """And sealing again with the same salt gives the same bytes."""
    padded = block["padded"] == "yes"
    open_it, seal_it = (open_padded_box, seal_padded_box) if padded else (open_box, seal_box)
    secret, context, box = (
        Secret(_bytes(block, "secret")),
        _bytes(block, "context"),
        _bytes(block, "box"),
    )
    plaintext = bytes.fromhex(block.get("plaintext", ""))

    _expect(block, lambda: open_it(secret, context, memoryview(box)), plaintext)
    if block["expect"] == "ok":
        assert seal_it(secret, context, plaintext, FixedRandom(box[:32])) == box
        assert padded or len(box) == len(plaintext) + BOX_OVERHEAD


@_vectors("hpke.txt")
def test_hpke_opens_what_was_sealed_to_this_key_for_this_place(block: Block) -> None:
    """Sealing is random: only opening has vectors."""
    seed = Secret(_bytes(block, "seed"))

    _expect(
        block,
        lambda: hpke_open(seed, _bytes(block, "info"), _bytes(block, "sealed")),
        bytes.fromhex(block.get("plaintext", "")),
    )
    if block["expect"] == "ok":
        assert kem_public_key(seed) == _bytes(block, "public key")


@_vectors("signatures.txt")
def test_a_signature_is_accepted_in_one_encoding_only(block: Block) -> None:
    """Small order, encodings that are not canonical, the equation with a cofactor: refused."""
    public, message = _bytes(block, "public key"), _bytes(block, "message")

    _expect(block, lambda: verify(public, message, _bytes(block, "signature")))


@_vectors("passwords.txt")
def test_passwords_and_parameters_are_read_as_the_specification_says(block: Block) -> None:
    """Text, files, derivations, bounds: by what the block holds."""
    if "text" in block:
        text = _bytes(block, "text").decode()
        _expect(block, lambda: normalise_password(text).hex(), block.get("password"))
        return
    if "file" in block:
        data = _bytes(block, "file")
        _expect(block, lambda: password_from_file_bytes(data).hex(), block.get("password"))
        return
    array = [int(number) for number in block["parameters"].split()]
    if "memory" in block:
        _expect(
            block,
            lambda: check_parameters(
                KdfParameters.from_array(array),
                available_memory_bytes=int(block["memory"]),
                test_vault=block["test vault"] == "yes",
            ),
        )
        return
    parameters = KdfParameters.from_array(array)
    salt, secret_input = _bytes(block, "salt"), _bytes(block, "input")
    _expect(
        block,
        lambda: run_kdf(parameters, salt, secret_input).reveal().hex(),
        block.get("output"),
    )
