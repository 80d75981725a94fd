# ruff: noqa: ANN401  # the tool has no stubs, and cases are maps of anything
"""Does the second reader, written from the specification alone, agree with the vectors?

The vectors hold pieces of a vault only. `doubles/holdfast_extract_vault.py` therefore makes whole
small ones from the text.
"""

import contextlib
import hashlib
import os
import random
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from doubles.holdfast_extract_vault import EXTRACT, KEY_FILE, PASSWORD, TOOL, Maker

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
        errors = {"no-key": EXTRACT.WrongKeyError, "password": EXTRACT.ExtractError}
        errors["key-file"] = EXTRACT.ExtractError
        error = errors.get(case["expect"], EXTRACT.DamageError)
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


@pytest.mark.parametrize("case", listed("records"))
def test_the_records_of_the_vectors_fit(case: Case) -> None:
    """It does nothing with the rules of what was left out, and reads past them."""
    if case["expect"] == "ok":
        assert EXTRACT.fits(EXTRACT.decode(case["input"]), EXTRACT.RECORD)


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
        assert case["function"] == "authority"
        root, epoch = bytes.fromhex(case["root"]), int(case["epoch"])
        assert EXTRACT.authority_key(root, epoch) == case["public key"]
        return

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

    assert key.public == case["public key"] or case["expect"] != "ok"
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
    """A pack is `first offset stored:raw:compression …`; a row ends with its place."""
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


# Whole vaults, made from the text.

SOME = bytes(range(256)) * 100
DEEP = [b"n" * 200] * 40
FILE, FOLDER, SYMLINK, FIFO, SOCKET = 1, 2, 3, 4, 5
ENTRIES: list[dict[str, Any]] = [
    {"path": [b""], "type": FOLDER, "mode": 0o755},
    {"path": [b"empty"], "type": FILE, "mode": 0o444},
    {"path": [b"one chunk"], "type": FILE, "data": b"x", "attributes": [[b"user.a", b"\0\1"]]},
    {"path": [b"long"], "type": FILE, "data": SOME, "attributes": [[b"user.b", b"z" * 2000]]},
    {"path": [b"sparse"], "type": FILE, "data": SOME[:5500], "holes": [(0, 4096), (8192, 65536)]},
    {"path": [b"all hole"], "type": FILE, "holes": [(0, 1 << 33)]},
    {"path": [b"\xff\n\x1b[31m"], "type": FILE, "data": b"any bytes"},
    {"path": [b"folder"], "type": FOLDER, "mode": 0o500},
    {"path": [b"folder", b"a"], "type": FILE, "data": SOME[:9000], "link": b"12345678"},
    {"path": [b"zzz"], "type": FOLDER, "mode": 0o700},
    {"path": [b"zzz", b"a"], "type": FILE, "data": SOME[:9000], "link": b"12345678"},
    {"path": [b"folder", b"empty folder"], "type": FOLDER, "mode": 0o711},
    {"path": [b"link"], "type": SYMLINK, "target": b"/etc/passwd"},
    {"path": [b"long link"], "type": SYMLINK, "target": b"t" * 3000},
    {"path": [b"fifo"], "type": FIFO, "mode": 0o622},
    {"path": [b"socket"], "type": SOCKET, "mode": 0o600},
    *({"path": DEEP[: n + 1], "type": FOLDER, "mode": 0o700} for n in range(len(DEEP))),
    {"path": [*DEEP, b"bottom"], "type": FILE, "data": b"deep"},
]


@pytest.fixture
def maker(request: pytest.FixtureRequest, tmp_path: Path) -> Maker:
    suite, slot = getattr(request, "param", (3, "password"))
    return Maker(tmp_path / "repository", suite, slot)


def run(maker: Maker, tmp_path: Path, *command: str) -> int:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "key").write_bytes(KEY_FILE)
    ways = {"password": ["--password-file", "password"], "file": ["--key-file", "key"], "open": []}
    way = [str(tmp_path / word) if word[0] != "-" else word for word in ways[maker.slot]]
    status: int = EXTRACT.main([str(tmp_path / "repository"), *way, *command])
    return status


def open_below(target: Path, path: list[bytes]) -> int:
    fd = os.open(target, os.O_RDONLY)
    for name in path[:-1]:
        down = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
        os.close(fd)
        fd = down
    return fd


def compare(target: Path, entry: dict[str, Any]) -> None:
    fd, name = open_below(target, entry["path"]), entry["path"][-1] or b"."
    try:
        status = os.stat(name, dir_fd=fd, follow_symlinks=False)
        assert status.st_mtime_ns == 1_600_000_000_123_456_789
        if entry["type"] == SYMLINK:
            assert os.readlink(name, dir_fd=fd) == entry["target"]
            return
        assert stat.S_IMODE(status.st_mode) == entry.get("mode", 0o640)
        assert stat.S_IFMT(status.st_mode) == EXTRACT.FORMATS[entry["type"]]
        if entry["type"] == FILE:
            compare_file(fd, name, entry)
    finally:
        os.close(fd)


def compare_file(folder: int, name: bytes, entry: dict[str, Any]) -> None:
    data, holes = entry.get("data", b""), entry.get("holes", [])
    fd = os.open(name, os.O_RDONLY, dir_fd=folder)
    try:
        assert os.fstat(fd).st_size == len(data) + sum(length for _, length in holes)
        for attribute, value in entry.get("attributes", []):
            assert os.getxattr(fd, attribute) == value
        position = 0
        for offset, length in [*holes, (os.fstat(fd).st_size, 0)]:
            part, data = data[: offset - position], data[offset - position :]
            assert os.pread(fd, len(part), position) == part
            assert not any(os.pread(fd, min(length, 100_000), offset))
            position = offset + length
    finally:
        os.close(fd)


WAYS = [(suite, "password") for suite in range(7)] + [(0, "open"), (3, "file")]


@pytest.mark.parametrize("maker", WAYS, indirect=True)
def test_a_whole_vault_is_listed_checked_and_restored(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = maker.back_up(ENTRIES[:9], 1)
    maker.rotate()
    second = maker.back_up(ENTRIES, 2)

    assert run(maker, tmp_path, "list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:16] for line in lines] == [first.hex()[:16], second.hex()[:16]]
    assert run(maker, tmp_path, "ls", second.hex()[:8]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(ENTRIES)
    assert run(maker, tmp_path, "check") == 0
    assert run(maker, tmp_path, "restore", second.hex(), str(tmp_path / "target")) == 0
    assert capsys.readouterr().err == ""
    for entry in ENTRIES:
        compare(tmp_path / "target", entry)
    names = [tmp_path / "target" / name / "a" for name in ("folder", "zzz")]
    assert names[0].stat().st_ino == names[1].stat().st_ino


@pytest.mark.parametrize("maker", [(0, "open"), (4, "password")], indirect=True)
def test_packs_alone_suffice_beside_keys_and_points(maker: Maker, tmp_path: Path) -> None:
    """Neither index nor sessions: the directories and headers of the packs say the same."""
    point = maker.back_up(ENTRIES)
    for folder in ("index", "sessions", "packlists"):
        shutil.rmtree(maker.folder / folder)

    assert run(maker, tmp_path, "check") == 0
    assert run(maker, tmp_path, "restore", point.hex(), str(tmp_path / "target")) == 0
    for entry in ENTRIES:
        compare(tmp_path / "target", entry)


@pytest.mark.usefixtures("maker")
def test_a_wrong_password_is_said_with_its_own_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("something else")

    repository = str(tmp_path / "repository")
    assert EXTRACT.main([repository, "--password-file", str(wrong), "list"]) == 12
    assert "does not open the vault" in capsys.readouterr().err
    assert EXTRACT.main([repository, "list"]) == 1
    assert EXTRACT.main([repository, "--vault", "ffff", "list"]) == 1
    assert EXTRACT.main(["no repository"]) == 1


def test_any_changed_byte_of_any_object_is_found(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Name against bytes: the object is named, whatever it is."""
    maker.back_up(ENTRIES[:3])
    for path in sorted(maker.folder.rglob("*")):
        if path.is_file():
            sound = path.read_bytes()
            path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))

            assert run(maker, tmp_path, "check") == 20, path
            assert path.name[-16:] in capsys.readouterr().err
            path.write_bytes(sound)
    assert run(maker, tmp_path, "check") == 0
    marker = tmp_path / "repository" / "holdfast-repository"
    marker.write_bytes(marker.read_bytes()[:-1])
    assert run(maker, tmp_path, "check") == 20


def test_other_files_are_restored_when_a_pack_is_damaged(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [{"path": [b"%03d" % n], "type": FILE, "data": os.urandom(2500)} for n in range(60)]
    point = maker.back_up([ENTRIES[0], *files])
    damaged = max(maker.folder.glob("packs/*/*"), key=lambda path: path.stat().st_size)
    data = bytearray(damaged.read_bytes())
    data[10_000] ^= 1
    damaged.write_bytes(data)

    assert run(maker, tmp_path, "restore", point.hex(), str(tmp_path / "target")) == 20
    left = {path.name for path in (tmp_path / "target").iterdir()}
    assert 0 < len(left) < 60
    assert damaged.name in capsys.readouterr().err
    for entry in files:
        if entry["path"][-1].decode() in left:
            compare(tmp_path / "target", entry)
    salvaged = str(tmp_path / "salvaged")
    assert run(maker, tmp_path, "--salvage", "restore", point.hex(), salvaged) == 20
    bad = [
        entry
        for entry in files
        if (tmp_path / "salvaged" / entry["path"][-1].decode()).read_bytes() != entry["data"]
    ]
    assert len(bad) == 1


def test_nothing_is_written_into_a_folder_that_is_not_empty(maker: Maker, tmp_path: Path) -> None:
    point = maker.back_up(ENTRIES[:2])
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "mine").write_text("mine")

    assert run(maker, tmp_path, "restore", point.hex(), str(tmp_path / "target")) == 1
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["mine"]


def test_an_entry_cannot_lie_below_a_symlink(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hostile tree is refused before anything of its leaf is made."""
    link = {"path": [b"out"], "type": SYMLINK, "target": bytes(tmp_path)}
    below = {"path": [b"out", b"escaped"], "type": FILE, "data": b"!"}
    point = maker.back_up([ENTRIES[0], link, below])

    assert run(maker, tmp_path, "restore", point.hex(), str(tmp_path / "target")) == 20
    assert "lies in no folder" in capsys.readouterr().err
    assert not (tmp_path / "escaped").exists()


def test_a_statement_that_a_stranger_signed_changes_nothing(
    maker: Maker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    point = maker.back_up(ENTRIES[:3])
    monkeypatch.setattr(
        maker,
        "authority",
        lambda epoch=None: Ed25519PrivateKey.from_private_bytes(
            bytes([9 if epoch is None else 8]) * 32
        ),
    )
    maker.rotate()

    assert run(maker, tmp_path, "list") == 20
    output = capsys.readouterr()
    assert output.out.startswith(point.hex()[:16])
    assert "not signed by the authorities" in output.err


OTHER = Ed25519PrivateKey.from_private_bytes(bytes([7]) * 32)


@pytest.mark.parametrize("key", [4, 5, 6, 10])
def test_a_statement_that_changes_keys_within_an_epoch_does_not_follow(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: int
) -> None:
    """Section 5.3, also where everybody who must has signed it."""
    point = maker.back_up(ENTRIES[:3])
    values = {4: OTHER.public_key().public_bytes_raw(), 5: bytes(1216), 6: bytes(32)}
    values[10] = [bytes(32)]
    signers = [maker.authority(), OTHER] if key == 4 else None

    maker.put_statement({key: values[key]}, by=signers)

    assert run(maker, tmp_path, "list") == 20
    output = capsys.readouterr()
    assert output.out.startswith(point.hex()[:16])
    assert "it changes keys or certificates within an epoch" in output.err


def test_a_statement_that_begins_an_epoch_has_another_authority(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    point = maker.back_up(ENTRIES[:3])
    authority = maker.authority()
    maker.epoch = 1

    maker.put_statement({4: authority.public_key().public_bytes_raw()}, by=[authority])

    assert run(maker, tmp_path, "list") == 20
    output = capsys.readouterr()
    assert output.out.startswith(point.hex()[:16])
    assert "it begins an epoch with the authority of the one before" in output.err


def test_a_first_statement_of_another_authority_than_the_vault_object_is_none(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maker.back_up(ENTRIES[:3])
    shutil.rmtree(maker.folder / "keys")
    maker.statements.clear()

    maker.put_statement({4: OTHER.public_key().public_bytes_raw()}, by=[maker.authority(), OTHER])

    assert run(maker, tmp_path, "list") == 20
    assert "it changes keys or certificates within an epoch" in capsys.readouterr().err


def test_a_statement_of_the_same_epoch_that_repeats_the_keys_follows(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maker.back_up(ENTRIES[:3])
    maker.put_statement()
    maker.rotate()
    maker.put_statement()

    assert run(maker, tmp_path, "list") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("name", "doubts"),
    [
        (f"1-{'0' * 64}", 1),
        (f"9-{'f' * 64}", 1),
        (f"0-{'0' * 64}", 0),
        (f"1-{hashlib.sha256(b'rubbish').hexdigest()}", 0),
    ],
)
def test_what_may_be_a_newer_statement_is_said_and_rubbish_is_only_named(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, doubts: int
) -> None:
    """Either way what the chain opens can be had, and the exit status is that of damage."""
    point = maker.back_up(ENTRIES[:3])
    maker.write(f"keys/{name}", b"rubbish")

    assert run(maker, tmp_path, "list") == 20
    output = capsys.readouterr()
    assert output.out.startswith(point.hex()[:16])
    assert f"keys/{name}" in output.err
    assert output.err.count("may be a newer key statement") == doubts


def test_what_a_writer_without_certificate_signed_does_not_count(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maker.back_up(ENTRIES[:3])
    shutil.rmtree(maker.folder / "writers")

    assert run(maker, tmp_path, "list") == 20
    output = capsys.readouterr()
    assert output.out == ""
    assert "names a certificate that is not there" in output.err


def test_a_point_without_refs_counts_only_for_salvage(maker: Maker, tmp_path: Path) -> None:
    point = maker.back_up(ENTRIES[:3])
    shutil.rmtree(maker.folder / "refs")

    target = str(tmp_path / "target")
    assert run(maker, tmp_path, "restore", point.hex(), target) == 20
    assert not (tmp_path / "target").exists()
    assert run(maker, tmp_path, "--salvage", "restore", point.hex(), target) == 20
    compare(tmp_path / "target", ENTRIES[2])


def test_two_points_with_one_counter_are_named_as_a_fork(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    series = maker.random(16)
    for _ in range(2):
        maker.back_up(ENTRIES[:2], series=series)

    assert run(maker, tmp_path, "list") == 0
    assert capsys.readouterr().out.count("(fork)") == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_restores_owners_and_devices_where_it_may(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    null = {"path": [b"null"], "type": 6, "device": [1, 3], "mode": 0o666}
    owned = {"path": [b"owned"], "type": FILE, "data": b"x", "mode": 0o4755, "owner": (12, 34)}
    point = maker.back_up([ENTRIES[0], null, owned])

    status = run(maker, tmp_path, "restore", point.hex(), str(tmp_path / "target"))
    compare(tmp_path / "target", owned)
    made = (tmp_path / "target" / "owned").stat()
    assert (made.st_uid, made.st_gid) == (12, 34)
    if status == 0:
        assert (tmp_path / "target" / "null").stat().st_rdev == os.makedev(1, 3)
    else:  # a container may not make devices
        assert status == 1
        assert "null" in capsys.readouterr().err


@pytest.mark.parametrize("maker", [(0, "open"), (3, "password")], indirect=True)
def test_a_merged_index_takes_the_place_of_those_that_it_replaces(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directories are kept out of sight, so that only the merged index can tell."""
    point = maker.back_up(ENTRIES)
    packs = maker.last_packs
    maker.last_session.put_index(packs, replaces=maker.index, merged=True)
    monkeypatch.setattr(EXTRACT.Packs, "_read_directory", lambda *_: [])

    assert run(maker, tmp_path, "restore", point.hex(), str(tmp_path / "target")) == 0
    for entry in ENTRIES:
        compare(tmp_path / "target", entry)


def test_a_merged_index_object_that_the_authority_of_another_epoch_signed_is_named(
    maker: Maker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the engine does it: key 2 names the epoch, and its authority has to sign."""
    point = maker.back_up(ENTRIES[:4])
    maker.rotate()
    old = maker.authority(0)
    monkeypatch.setattr(maker, "authority", lambda: old)
    forged = maker.last_session.put_index(maker.last_packs, merged=True)

    assert run(maker, tmp_path, "restore", point.hex(), str(tmp_path / "target")) == 20
    said = capsys.readouterr().err
    assert f"{forged.hex()} is not signed by the one that it names" in said
    for entry in ENTRIES[:4]:
        compare(tmp_path / "target", entry)


def test_a_pack_that_an_index_object_drops_is_read_for_as_long_as_it_is_there(
    maker: Maker, tmp_path: Path
) -> None:
    """What is found proves itself by its ids; gc has no say in a rescue (9, W4)."""
    point = maker.back_up(ENTRIES[:4])
    drops = maker.last_packs[0] + maker.last_session.id
    maker.last_session.put_index(maker.last_packs, drops=drops, merged=True)

    assert run(maker, tmp_path, "restore", point.hex(), str(tmp_path / "target")) == 0
    for entry in ENTRIES[:4]:
        compare(tmp_path / "target", entry)


def test_a_damaged_index_object_is_named_and_the_directories_of_the_packs_tell(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    point = maker.back_up(ENTRIES)
    (damaged,) = maker.folder.glob("index/*/*")
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")

    assert run(maker, tmp_path, "restore", point.hex(), str(tmp_path / "target")) == 20
    assert damaged.name in capsys.readouterr().err
    for entry in ENTRIES:
        compare(tmp_path / "target", entry)


def test_rows_of_a_stranger_are_not_looked_at(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index object that the named writer did not sign is a finding; the packs still tell."""
    point = maker.back_up(ENTRIES[:4])
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    monkeypatch.setattr(maker, "signer", stranger)
    maker.last_session.put_index(maker.last_packs, replaces=maker.index)

    assert run(maker, tmp_path, "restore", point.hex(), str(tmp_path / "target")) == 20
    for entry in ENTRIES[:4]:
        compare(tmp_path / "target", entry)


def test_it_runs_as_a_program_of_its_own(maker: Maker, tmp_path: Path) -> None:
    """Nothing but one file: it is copied away from the project first."""
    point = maker.back_up(ENTRIES[:7])
    program = shutil.copy(TOOL, tmp_path / "extract")
    (tmp_path / "password").write_text(PASSWORD)
    way = [str(tmp_path / "repository"), "--password-file", str(tmp_path / "password")]

    def started(*command: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-I", str(program), *way, *command]
        return subprocess.run(line, capture_output=True, text=True, check=False, cwd="/")

    listed = started("list")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert listed.stdout.startswith(point.hex()[:16])
    assert "\\n" in started("ls", point.hex()).stdout
    refused = started("restore", "nothing", "nowhere")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("seed", range(4))
def test_changed_nodes_and_frames_only_ever_raise_our_own_error(seed: int) -> None:
    """A hostile repository cannot make the parsers fail in a surprising way."""
    chance = random.Random(seed)
    nodes = [case["node"] for case in cases("nodes")]
    frames = [case["input"] for case in cases("frames")]
    for _ in range(1000):
        node, frame = bytearray(chance.choice(nodes)), bytearray(chance.choice(frames))
        for data in (node, frame):
            for _ in range(chance.randint(1, 3) if data else 0):
                data[chance.randrange(len(data))] = chance.choice([0, 1, 0x44, 0x80, 0x83, 0xFF])
        with contextlib.suppress(EXTRACT.ExtractError):
            EXTRACT.parse_node(bytes(node))
        with contextlib.suppress(EXTRACT.ExtractError):
            EXTRACT.parse_frame(chance.choice([0, 1, 2, 4, 6, 11, 15]), "it", bytes(frame))


def test_a_session_drops_and_replaces_only_what_is_its_own(maker: Maker, tmp_path: Path) -> None:
    """Otherwise one writer could make the packs of another one vanish."""
    point = maker.back_up(ENTRIES[:4])
    packs, index, victim = maker.last_packs, maker.index, maker.last_session
    maker.back_up([ENTRIES[0]])
    drops = b"".join(sorted(pack + maker.last_session.id for pack in packs))
    maker.last_session.put_index(maker.last_packs, index, drops)
    drops = b"".join(sorted(pack + victim.id for pack in packs))
    maker.last_session.put_index(maker.last_packs, index, drops)

    assert run(maker, tmp_path, "restore", point.hex(), str(tmp_path / "target")) == 0
    for entry in ENTRIES[:4]:
        compare(tmp_path / "target", entry)


def test_a_path_is_restored_alone_below_the_folders_above_it(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    point = maker.back_up(ENTRIES).hex()
    target = tmp_path / "target"

    assert run(maker, tmp_path, "restore", point, str(target), "/folder/") == 0
    assert {path.relative_to(target).as_posix() for path in target.rglob("*")} == {
        "folder",
        "folder/a",
        "folder/empty folder",
    }
    for entry in ENTRIES:
        if entry["path"][0] in (b"", b"folder"):
            compare(target, entry)
    assert run(maker, tmp_path, "restore", point, str(tmp_path / "file"), "zzz/a") == 0
    assert [path.name for path in (tmp_path / "file").rglob("*")] == ["zzz", "a"]
    capsys.readouterr()
    assert run(maker, tmp_path, "ls", point, "zzz") == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == [
        ".",
        "zzz",
        "zzz/a",
    ]
    assert run(maker, tmp_path, "restore", point, str(tmp_path / "none"), "folder/b") == 1
    assert "there is no 'folder/b'" in capsys.readouterr().err


def test_a_key_that_is_optional_may_be_missing_and_an_unknown_one_is_refused() -> None:
    shape = {1: EXTRACT.U, 2: (None, [EXTRACT.T])}

    assert all(EXTRACT.fits(value, shape) for value in ({1: 0}, {1: 0, 2: ["a"]}))
    assert not any(EXTRACT.fits(value, shape) for value in ({2: []}, {1: 0, 2: 1}, {1: 0, 3: 0}))


def test_a_node_that_reaches_beyond_what_comes_next_is_refused(
    maker: Maker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise a small hostile tree could be walked for ever, the same nodes in many places."""

    def overlapping(session: Any, entries: list[dict[str, Any]]) -> Any:
        root, *files = map(session.entry, entries)
        leaves = [
            session.node([1, [], [], [session.section(b"", some)]])
            for some in ([root, files[0], files[2]], [files[1]])
        ]
        keys, counts = root["key"] + files[1]["key"], b"\3" + bytes(7) + b"\1" + bytes(7)
        lengths = b"\1" + bytes(3) + b"\2" + bytes(3)
        return session.node([2, 1, lengths, keys, b"".join(leaves), counts, bytes(16)])

    monkeypatch.setattr("doubles.holdfast_extract_vault.Session.tree", overlapping)
    files = [{"path": [name], "type": FILE} for name in (b"a", b"b", b"c")]
    point = maker.back_up([ENTRIES[0], *files])

    assert run(maker, tmp_path, "restore", point.hex(), str(tmp_path / "target")) == 20
    assert "it is not what its parent says" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["b"]


def test_a_medium_that_cannot_be_read_in_one_place_costs_only_what_lies_there(
    maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of the disk below a node does not end the restore."""
    point = maker.back_up([*ENTRIES[:1], *({"path": [b"%d" % n], "type": FILE} for n in range(9))])
    read, opened = EXTRACT.Packs.open, []

    def unreadable(packs: Any, pack: bytes, segment: Any) -> Any:
        if segment.kind == 2:
            opened.append(segment.number)
            if segment.number == 1:
                raise OSError(5, "Input/output error")
        return read(packs, pack, segment)

    monkeypatch.setattr(EXTRACT.Packs, "open", unreadable)

    assert run(maker, tmp_path, "restore", point.hex(), str(tmp_path / "target")) == 20
    assert set(opened) == {0, 1, 2}
    assert {path.name for path in (tmp_path / "target").iterdir()} == {"0", "1", "2", "3"}


def test_a_pack_may_be_larger_than_the_packs_of_the_vault(maker: Maker, tmp_path: Path) -> None:
    """One segment alone may need more (6)."""
    big = {"path": [b"big"], "type": FILE, "attributes": [[b"user.a", os.urandom(90_000)]]}
    maker.back_up([ENTRIES[0], big])

    assert max(path.stat().st_size for path in maker.folder.glob("packs/*/*")) > 65_536
    assert run(maker, tmp_path, "check") == 0


def test_what_is_no_file_in_a_repository_is_not_waited_for(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    point = maker.back_up(ENTRIES[:2])
    os.mkfifo(maker.folder / "points" / ("ab" * 32))

    assert run(maker, tmp_path, "list") == 20
    output = capsys.readouterr()
    assert output.out.startswith(point.hex()[:16])
    assert "ab is missing" in output.err


def test_latest_is_the_newest_point_by_time(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    series = maker.random(16)
    maker.back_up(ENTRIES[:3], 2, series)
    maker.back_up(ENTRIES[:2], 1, series)

    assert run(maker, tmp_path, "ls", "latest") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_latest_is_the_point_that_was_made_last_though_a_clock_was_wrong_once(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    series = maker.random(16)
    first = maker.back_up(ENTRIES[:2], 1, series, time_ns=10**18)
    second = maker.back_up(ENTRIES[:3], 2, series)

    assert run(maker, tmp_path, "ls", "latest") == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert run(maker, tmp_path, "list") == 0
    listed = [line[:16] for line in capsys.readouterr().out.splitlines()]
    assert listed == [first.hex()[:16], second.hex()[:16]]


def test_latest_of_several_series_is_refused_with_one_sentence_that_lists_them(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maker.back_up(ENTRIES[:2], 1)
    newest = maker.back_up(ENTRIES[:2], 2).hex()
    other = maker.back_up(ENTRIES[:2], 1, source="other").hex()

    assert run(maker, tmp_path, "restore", "latest", str(tmp_path / "target")) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"host/source ({newest[:16]})" in said
    assert f"host/other ({other[:16]})" in said
    assert not (tmp_path / "target").exists()


def test_latest_is_refused_where_two_writers_have_series_of_one_name(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A writer must not have its files restored as those of another machine."""
    maker.back_up(ENTRIES[:2], 1)
    mine, first_writer = maker.back_up(ENTRIES[:2], 2).hex(), maker.writer.hex()
    maker.writer, maker.signer = maker.random(16), OTHER
    maker.certificate = maker.put_certificate()
    theirs = maker.back_up(ENTRIES[:2], 3).hex()

    assert run(maker, tmp_path, "restore", "latest", str(tmp_path / "target")) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "host/source" in said
    assert f"{mine[:16]} (writer {first_writer})" in said
    assert f"{theirs[:16]} (writer {maker.writer.hex()})" in said
    assert not (tmp_path / "target").exists()


def test_latest_never_means_an_older_point_because_the_newest_is_damaged(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older, newest = (maker.back_up(ENTRIES[:2], counter) for counter in (1, 2))
    damaged = maker.folder / "points" / newest.hex()
    damaged.write_bytes(damaged.read_bytes()[:-1])
    target = tmp_path / "target"

    assert run(maker, tmp_path, "restore", "latest", str(target)) == 20
    said = capsys.readouterr().err
    assert damaged.name in said
    assert "nobody can tell the latest" in said
    assert not target.exists()
    assert run(maker, tmp_path, "restore", older.hex(), str(target)) == 20
    compare(target, ENTRIES[1])


@pytest.mark.parametrize("words", ["latest:zzz/a", "latest:/zzz/a", "latest:/home/zzz/a"])
def test_a_path_may_follow_its_point_after_a_colon_and_be_absolute(
    maker: Maker, tmp_path: Path, words: str
) -> None:
    """As `holdfast` takes it; /home is what was backed up."""
    maker.back_up(ENTRIES)
    target = tmp_path / "target"

    assert run(maker, tmp_path, "restore", words, str(target)) == 0
    assert [path.name for path in target.rglob("*")] == ["zzz", "a"]


def test_two_paths_are_refused(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    maker.back_up(ENTRIES)

    assert run(maker, tmp_path, "ls", "latest:zzz", "folder") == 1
    assert "two paths, 'zzz' and 'folder'" in capsys.readouterr().err


@pytest.mark.parametrize("before", [[], ["a repository"], ["--key-file", "key", "a repository"]])
def test_the_help_of_a_command_describes_what_it_takes(
    before: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        EXTRACT.main([*before, "restore", "--help"])

    assert left.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "POINT TARGET [PATH]" in said
    assert "latest, or a hash" in said
    assert "TARGET becomes the folder that was backed up" in said


def test_a_restore_says_how_many_items_of_which_point_went_where(
    maker: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folders above a path are not counted, nor what could not be made."""
    point = f"of point {maker.back_up(ENTRIES).hex()[:16]} (1970-01-01 00:00:05 UTC)"
    all_, one = str(tmp_path / "all"), str(tmp_path / "one")

    assert run(maker, tmp_path, "restore", "latest", all_) == 0
    assert capsys.readouterr().out == f"Restored {len(ENTRIES) - 1} items {point} into {all_}\n"
    assert run(maker, tmp_path, "restore", "latest", one, "zzz/a") == 0
    assert capsys.readouterr().out == f"Restored 1 item {point} into {one}\n"
    shutil.rmtree(maker.folder / "packs")
    assert run(maker, tmp_path, "restore", "latest", str(tmp_path / "none")) == 20


def test_without_its_modules_it_says_which_lines_help() -> None:
    line = [sys.executable, "-I", "-S", str(TOOL), "--help"]
    started = subprocess.run(line, capture_output=True, text=True, check=False)

    assert started.returncode == 1
    assert "No module named 'blake3'" in started.stderr
    assert "python3 -m venv v && v/bin/pip install cryptography blake3" in started.stderr
    assert f"v/bin/python {TOOL}" in started.stderr
    assert ".venv/bin/python" in started.stderr
