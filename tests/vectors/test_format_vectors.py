"""The format accepts and refuses, byte for byte, what the files in vectors/ say."""

import runpy
from pathlib import Path
from typing import Any, Final

import pytest

from holdfast.base.ids import VaultId
from holdfast.base.sizes import padme
from holdfast.format import errors, frames
from holdfast.format.cbor import decode
from holdfast.format.names import parse_name
from holdfast.format.point import PointRecord
from holdfast.format.runs import decode_runs

PROJECT: Final = Path(__file__).resolve().parents[2]
VECTORS: Final = PROJECT / "vectors"
TOOL: Final = runpy.run_path(str(PROJECT / "tools" / "make-vectors"))
VAULT: Final = VaultId(bytes(range(32)))
WORDS: Final[dict[str, type[errors.FormatError]]] = {
    "encoding": errors.EncodingError,
    "frame": errors.FrameError,
    "unsupported": errors.UnsupportedFormatError,
    "signatures": errors.SignatureBlockError,
    "attachment": errors.AttachmentError,
    "runs": errors.RunsError,
    "record": errors.FieldError,
}

Case = dict[str, str]


def load(file: str) -> list[Case]:
    lines = (VECTORS / file).read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    return [
        {
            key: value.strip()
            for key, _, value in (line.partition(":") for line in block.split("\n"))
        }
        for block in text.strip().replace("\n\n\n", "\n\n").split("\n\n")
    ]


def cases_of(file: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "case", [pytest.param(case, id=case["name"]) for case in load(file)]
    )


def notation(item: Any) -> str:  # noqa: ANN401 - whatever was decoded
    return str(TOOL["notation"](item))


@pytest.mark.parametrize("file", sorted(TOOL["generated"]()))
def test_names_of_cases_are_unique_and_both_outcomes_are_there(file: str) -> None:
    cases = load(file)
    outcomes = {case["expect"] == "ok" for case in cases}

    assert len({case["name"] for case in cases}) == len(cases)
    assert outcomes == ({True} if file == "padme.txt" else {True, False})


@pytest.mark.parametrize(("file", "text"), TOOL["generated"]().items())
def test_the_good_vectors_are_what_the_tool_writes(file: str, text: str) -> None:
    written = (VECTORS / file).read_text(encoding="utf-8")

    assert written.partition(TOOL["BY_HAND"])[0] == text


@cases_of("cbor.txt")
def test_encoding(case: Case) -> None:
    data = bytes.fromhex(case["input"])
    if case["expect"] != "ok":
        with pytest.raises(WORDS[case["expect"]]):
            decode(data)
        return

    assert notation(decode(data)) == case["means"]


@cases_of("frames.txt")
def test_frames(case: Case) -> None:
    data, kind = bytes.fromhex(case["input"]), int(case["kind"])
    hash_ended = kind in {frames.KIND_MARKER, frames.KIND_LEASE}
    parse = frames.parse_hash_ended if hash_ended else frames.parse
    if case["expect"] != "ok":
        with pytest.raises(WORDS[case["expect"]]):
            parse(kind, data)
        return
    parsed = parse(kind, data)

    assert notation(parsed.body) == case["body"]
    assert bytes(parsed.attachment).hex() == case["attachment"]
    assert len(parsed.signatures) == int(case["signatures"])
    assert frames.signed_message(data, VAULT).hex() == case["message"]


@cases_of("names.txt")
def test_names(case: Case) -> None:
    name = bytes.fromhex(case["input"]).decode()
    parsed = parse_name(name)
    if case["expect"] != "ok":
        assert case["expect"] == "name"
        assert parsed is None
        return
    assert parsed is not None
    says = {
        "kind": str(parsed.kind),
        "number": str(parsed.number),
        "session": (parsed.session_id or b"").hex(),
        "group": (parsed.group_id or b"").hex(),
        "hash": (parsed.hash or b"").hex(),
    }

    assert case["text"] == name
    for claim in case["means"].split(", "):
        key, _, value = claim.partition(" ")
        assert says[key] == value


@cases_of("records.txt")
def test_records(case: Case) -> None:
    data = bytes.fromhex(case["input"])
    if case["expect"] != "ok":
        with pytest.raises(WORDS[case["expect"]]):
            PointRecord.from_bytes(data)
        return
    record = PointRecord.from_bytes(data)

    assert notation(record.to_body().get(17)) == case["means"]
    assert record.to_bytes() == data


@cases_of("runs.txt")
def test_runs(case: Case) -> None:
    runs = decode(bytes.fromhex(case["input"]))
    if case["expect"] != "ok":
        with pytest.raises(WORDS[case["expect"]]):
            decode_runs(runs)
        return

    assert notation([place for span in decode_runs(runs) for place in span]) == case["means"]


@cases_of("padme.txt")
def test_padding(case: Case) -> None:
    assert padme(int.from_bytes(bytes.fromhex(case["input"]), "big")) == int(case["means"])
