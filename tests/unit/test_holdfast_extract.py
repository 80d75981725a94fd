"""Does the second reader, written from the specification alone, agree with the vectors?

The vectors hold pieces of a vault only. `holdfast_extract_vault.py` therefore makes whole small
ones from the text.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doubles.holdfast_extract_vault import EXTRACT

Case = dict[str, Any]
VECTORS = Path(__file__).parents[2] / "vectors"
HEX = re.compile("(?:[0-9a-f]{2})*")
WORDS = {"text", "key", "id", "input", "salt", "ikm", "output", "prk", "info", "secret", "context"}
WORDS |= {"vault id", "box", "plaintext", "seed", "public key", "sealed", "node", "presence"}
WORDS |= {"positions", "password", "file", "message", "signature", "vault", "session", "raw"}
WORDS |= {"session key", "stored", "material", "associated", "attachment"}


def cases(name: str) -> Iterator[Case]:
    text = (VECTORS / f"{name}.txt").read_text()
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith("#")]
        case: Case = {}
        for line in lines:
            key, _, value = line.partition(":")
            value = value.strip()
            is_bytes = key in WORDS and HEX.fullmatch(value)
            case[key] = bytes.fromhex(value) if is_bytes else value
        if case:
            yield case


def hold(case: Case, read: Any) -> Any:
    """Call *read*, which has to accept or refuse what the case says."""
    if case["expect"] != "ok":
        error = EXTRACT.WrongKeyError if case["expect"] == "no-key" else EXTRACT.ExtractError
        with pytest.raises(error):
            read()
        return None
    return read()


def listed(*names: str) -> list[Any]:
    return [
        pytest.param(case, id=f"{name}-{number}")
        for name in names
        for number, case in enumerate(cases(name))
    ]


@pytest.mark.parametrize("case", listed("cbor"))
def test_the_encoding_is_that_of_the_vectors(case: Case) -> None:
    item = hold(case, lambda: EXTRACT.decode(case["input"]))

    if case["expect"] == "ok":
        assert EXTRACT.encode(item) == case["input"]


@pytest.mark.parametrize("case", listed("frames"))
def test_a_frame_is_taken_apart_as_the_vectors_say(case: Case) -> None:
    kind = int(case["kind"])
    stored = hold(case, lambda: EXTRACT.parse_frame(kind, "it", case["input"]))

    if stored:
        message = EXTRACT.signed_message(kind, bytes(range(32)), stored.signed_hash)
        assert message == case["message"]
        assert len(stored.signatures) == int(case["signatures"])
        assert kind in (0, 6) or stored.attachment == case["attachment"]


@pytest.mark.parametrize("case", listed("names"))
def test_a_name_says_what_the_vectors_say(case: Case) -> None:
    name = EXTRACT.parse_name(re.sub(r"^vaults/[0-9a-f]{64}/", "", case["input"].decode()))
    if case["input"] == b"holdfast-repository":
        return  # the marker is never looked at

    assert (name is not None) == (case["expect"] == "ok")
    if name is not None:
        means = dict(part.split(" ") for part in case["means"].split(", "))
        assert name.kind == int(means["kind"])
        assert name.number == int(means.get("number", 0))
        if name.kind != 1:
            assert name.hash.hex() == means.get("hash", name.hash.hex())
            assert name.folder.hex() == means.get("session", means.get("group", ""))


@pytest.mark.parametrize("case", listed("runs"))
def test_run_lengths_are_those_of_the_vectors(case: Case) -> None:
    hold(case, lambda: EXTRACT.check_runs(EXTRACT.decode(case["input"])))


@pytest.mark.parametrize("case", listed("padme"))
def test_sizes_are_padded_as_in_the_vectors(case: Case) -> None:
    assert EXTRACT.padme(int.from_bytes(case["input"])) == int(case["means"])


@pytest.mark.parametrize("case", listed("hkdf"))
def test_keys_are_derived_as_in_the_vectors(case: Case) -> None:
    if case["function"] == "extract":
        made = EXTRACT.extract(case["salt"], case["ikm"])
    elif case["function"] == "expand":
        made = EXTRACT.expand(case["prk"], case["info"], int(case["length"]))
    elif case["function"] == "derive":
        label, length = case["label"], int(case["length"])
        made = EXTRACT.derive(case["vault id"], case["secret"], label, case["context"], length)
    else:
        pytest.fail(f"the vectors have a new function: {case['function']}")

    assert made == case["output"]


@pytest.mark.parametrize("case", listed("boxes"))
def test_boxes_open_as_in_the_vectors(case: Case) -> None:
    def read() -> Any:
        plaintext = EXTRACT.open_box(case["secret"], case["context"], case["box"])
        return EXTRACT.unpad(plaintext) if case["padded"] == "yes" else plaintext

    assert hold(case, read) == (case["plaintext"] if case["expect"] == "ok" else None)


@pytest.mark.parametrize("case", listed("hpke"))
def test_keys_sealed_to_a_public_key_open_as_in_the_vectors(case: Case) -> None:
    key = EXTRACT.KemKey(case["seed"])

    assert key.public == case["public key"]
    opened = hold(case, lambda: key.open(case["info"], case["sealed"]))
    assert opened == case.get("plaintext")


@pytest.mark.parametrize("case", listed("signatures"))
def test_signatures_are_verified_as_strictly_as_the_vectors_say(case: Case) -> None:
    fine = EXTRACT.verify_signature(case["public key"], case["signature"], case["message"])

    assert fine == (case["expect"] == "ok")


@pytest.mark.parametrize("case", listed("suites"))
def test_every_suite_opens_as_in_the_vectors(case: Case) -> None:
    suite = int(case["number"])
    opened = hold(
        case,
        lambda: EXTRACT.open_sealed(suite, case["material"], case["associated"], case["stored"]),
    )

    if case["expect"] == "ok":
        assert opened == case["raw"]
        assert len(case["stored"]) == EXTRACT.stored_length(suite, len(case["raw"]))


@pytest.mark.parametrize("case", listed("segments"))
def test_segments_open_as_in_the_vectors(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exercise of the specification: from a session key to the bytes of a segment."""
    suite, kind, number = (int(case[key]) for key in ("suite", "kind", "number"))
    vault = EXTRACT.Vault.__new__(EXTRACT.Vault)
    vault.id, vault.suite = case["vault"], suite
    data, tree = (
        EXTRACT.derive(case["vault"], case["session key"], label, case["session"])
        for label in ("data", "tree")
    )
    monkeypatch.setattr(
        vault, "session_keys", lambda _: [EXTRACT.SessionKeys(b"", data, tree)], raising=False
    )
    packs = EXTRACT.Packs(vault)
    header = EXTRACT.Header(0, case["session"], b"", case["salt"], b"", 1 << 40)
    monkeypatch.setattr(packs, "header", lambda _: header)
    monkeypatch.setattr(packs, "_read", lambda *_: case["stored"])
    lengths = len(case["stored"]), int(case["compression"]), int(case["raw length"])
    segment = EXTRACT.Segment(kind, number, 100, *lengths)

    assert hold(case, lambda: packs.open(bytes(32), segment)) == (
        case["raw"] if case["expect"] == "ok" else None
    )


@pytest.mark.parametrize("case", listed("index"))
def test_index_parts_are_read_as_in_the_vectors(case: Case) -> None:
    """A pack is `first offset stored:raw:compression …`, a row `locator:pack:segment:offset:length`."""
    packs = [pack.split() for pack in case["packs"].split(" / ")]
    ids = [bytes([n]) * 32 for n in range(len(packs))]
    rows = [row.split(":") for row in case["rows"].split()]
    part = hold(
        case, lambda: EXTRACT.IndexPart(ids, len(rows), case["presence"], case["positions"])
    )

    for locator, pack, number, at, length in rows if part else ():
        first, *segments = packs[int(pack)]
        stored, raw, compression = segments[int(number)].split(":")
        before = sum(int(one.split(":")[0]) for one in segments[: int(number)])
        lengths = int(first) + before, int(stored), int(compression), int(raw)
        segment = EXTRACT.Segment(1, int(number), *lengths)
        place = (ids[int(pack)], segment, int(at), int(length))
        assert list(part.places(1, bytes.fromhex(locator))) == [place]


@pytest.mark.parametrize("case", listed("nodes"))
def test_nodes_are_read_as_in_the_vectors(case: Case) -> None:
    hold(case, lambda: EXTRACT.parse_node(case["node"]))

    assert EXTRACT.keyed(case["key"], case["node"]) == case["id"] or case["expect"] != "ok"


@pytest.mark.parametrize("case", listed("passwords"))
def test_passwords_and_key_files_are_taken_as_in_the_vectors(case: Case) -> None:
    if "text" in case:
        made = hold(case, lambda: EXTRACT.normal_password(case["text"].decode()))
        assert made == case.get("password")
    elif "file" in case:
        assert hold(case, lambda: EXTRACT.read_password(case["file"])) == case.get("password")
    else:
        numbers = [int(number) for number in case["parameters"].split()]
        if "memory" in case:
            memory, is_test = int(case["memory"]), case["test vault"] == "yes"
            hold(case, lambda: EXTRACT.check_derivation(numbers, memory, test_vault=is_test))
        else:
            made = hold(case, lambda: EXTRACT.slot_key(numbers, case["salt"], case["input"]))
            assert made == case.get("output")
