"""Frames and signatures (vault-format.md, section 3)."""

import hashlib
import struct
from collections.abc import Callable, Sequence

import pytest

from holdfast.base.ids import VaultId
from holdfast.format import frames
from holdfast.format.cbor import encode
from holdfast.format.errors import (
    AttachmentError,
    EncodingError,
    FormatError,
    FrameError,
    SignatureBlockError,
    UnencodableError,
    UnsupportedFormatError,
)

VAULT = VaultId(bytes(range(32)))
KEY = b"k" * 32
SIGNATURE = b"s" * 64


def one(_message: bytes) -> Sequence[tuple[bytes, bytes]]:
    return [(KEY, SIGNATURE)]


def raw(
    kind: int, body: bytes, signatures: bytes = b"", attachment: bytes = b"", version: int = 0
) -> bytes:
    lengths = (len(body), len(signatures), len(attachment))
    frame = struct.pack(">8sBBHIIQI", b"HOLDFAST", kind, version, 0, *lengths, 0)
    return frame + body + signatures + attachment


def test_an_object_is_frame_body_signatures_attachment() -> None:
    seen: list[bytes] = []

    def sign(message: bytes) -> Sequence[tuple[bytes, bytes]]:
        seen.append(message)
        return one(message)

    data = frames.build(frames.KIND_POINT, {1: b"x"}, attachment=b"att", sign=sign, vault_id=VAULT)
    body = encode({0: hashlib.sha256(b"att").digest(), 1: b"x"})

    assert data == raw(frames.KIND_POINT, body, b"\x01" + KEY + SIGNATURE, b"att")
    digest = hashlib.sha256(data[: 32 + len(body)]).digest()
    assert seen == [b"holdfast/0 signature\0\x0b" + VAULT + digest]
    assert frames.signed_message(data, VAULT) == seen[0]


def test_parsing_gives_back_what_was_built() -> None:
    data = frames.build(frames.KIND_INDEX, {1: 2}, attachment=b"a", sign=one, vault_id=VAULT)
    parsed = frames.parse(frames.KIND_INDEX, data)

    assert parsed.body == {1: 2}
    assert parsed.attachment == b"a"
    assert parsed.signatures == (frames.Signature(1, KEY, SIGNATURE),)


def test_a_lease_ends_with_the_hash_of_what_is_before() -> None:
    data = frames.build_hash_ended(frames.KIND_LEASE, {1: 2}, sign=one, vault_id=VAULT)

    assert data[-32:] == hashlib.sha256(data[:-32]).digest()
    assert frames.parse_hash_ended(frames.KIND_LEASE, data).body == {1: 2}
    with pytest.raises(AttachmentError):
        frames.parse_hash_ended(frames.KIND_LEASE, data[:-1] + b"\0")
    with pytest.raises(FrameError):
        frames.parse(frames.KIND_LEASE, data)


def test_a_key_statement_has_one_or_two_signers() -> None:
    def two(_message: bytes) -> Sequence[tuple[bytes, bytes]]:
        return [(KEY, SIGNATURE), (b"l" * 32, SIGNATURE)]

    data = frames.build(frames.KIND_STATEMENT, {}, sign=two, vault_id=VAULT, signers=2)

    assert len(frames.parse(frames.KIND_STATEMENT, data).signatures) == 2
    assert frames.build(frames.KIND_STATEMENT, {}, sign=one, vault_id=VAULT)
    with pytest.raises(UnencodableError):
        frames.build(frames.KIND_STATEMENT, {}, sign=one, vault_id=VAULT, signers=2)
    with pytest.raises(UnencodableError):
        frames.build(frames.KIND_REFS, {}, sign=two, vault_id=VAULT, signers=2)


@pytest.mark.parametrize(
    "build",
    [
        lambda: frames.build(frames.KIND_REFS, {}),
        lambda: frames.build(frames.KIND_VAULT, {}, sign=one, vault_id=VAULT),
        lambda: frames.build(frames.KIND_VAULT, {0: b""}),
        lambda: frames.build(frames.KIND_VAULT, {}, attachment=b"a"),
        lambda: frames.build(frames.KIND_INDEX, {}, sign=one, vault_id=VAULT),
        lambda: frames.build(frames.KIND_VAULT, {1: bytes(64 * 1024)}),
        lambda: frames.build(frames.KIND_MARKER, {}),
        lambda: frames.build_hash_ended(frames.KIND_VAULT, {}),
        lambda: frames.build(
            frames.KIND_POINT, {1: bytes(2**22)}, attachment=b"a", sign=one, vault_id=VAULT
        ),
        lambda: frames.build(
            frames.KIND_SLOT, {}, sign=lambda _: [(KEY, b"short")], vault_id=VAULT
        ),
    ],
)
def test_what_section_3_forbids_is_never_built(build: Callable[[], bytes]) -> None:
    with pytest.raises(UnencodableError):
        build()


BLOCK = b"\x01" + KEY + SIGNATURE
EMPTY = encode({})
ATTACHED = encode({0: hashlib.sha256(b"a").digest()})
GOOD = raw(frames.KIND_SLOT, EMPTY, BLOCK)


@pytest.mark.parametrize(
    ("kind", "data", "error"),
    [
        (frames.KIND_SLOT, b"", FrameError),
        (frames.KIND_SLOT, GOOD[:-1], FrameError),
        (frames.KIND_SLOT, GOOD + b"\0", FrameError),
        (frames.KIND_SLOT, b"HOLDFASX" + GOOD[8:], FrameError),
        (frames.KIND_WRITER, GOOD, FrameError),
        (frames.KIND_SLOT, GOOD[:11] + b"\1" + GOOD[12:], FrameError),
        (frames.KIND_SLOT, GOOD[:31] + b"\1" + GOOD[32:], FrameError),
        (frames.KIND_SLOT, raw(frames.KIND_SLOT, EMPTY, BLOCK, version=1), UnsupportedFormatError),
        (frames.KIND_PACK, GOOD, UnsupportedFormatError),
        (frames.KIND_GRANT, GOOD, UnsupportedFormatError),
        (frames.KIND_SLOT, raw(frames.KIND_SLOT, encode([]), BLOCK), FrameError),
        (frames.KIND_SLOT, raw(frames.KIND_SLOT, EMPTY + EMPTY, BLOCK), EncodingError),
        (frames.KIND_SLOT, raw(frames.KIND_SLOT, bytes(2**22), BLOCK), FrameError),
        (frames.KIND_SLOT, raw(frames.KIND_SLOT, EMPTY), SignatureBlockError),
        (frames.KIND_SLOT, raw(frames.KIND_SLOT, EMPTY, BLOCK[:-1]), SignatureBlockError),
        (frames.KIND_SLOT, raw(frames.KIND_SLOT, EMPTY, b"\2" + BLOCK[1:]), SignatureBlockError),
        (frames.KIND_VAULT, raw(frames.KIND_VAULT, EMPTY, BLOCK), SignatureBlockError),
        (frames.KIND_STATEMENT, raw(frames.KIND_STATEMENT, EMPTY, BLOCK * 2), SignatureBlockError),
        (frames.KIND_SLOT, raw(frames.KIND_SLOT, ATTACHED, BLOCK, b"a"), AttachmentError),
        (frames.KIND_SLOT, raw(frames.KIND_SLOT, ATTACHED, BLOCK), AttachmentError),
        (frames.KIND_INDEX, raw(frames.KIND_INDEX, EMPTY, BLOCK, b"a"), AttachmentError),
        (frames.KIND_INDEX, raw(frames.KIND_INDEX, ATTACHED, BLOCK, b"b"), AttachmentError),
        (frames.KIND_INDEX, raw(frames.KIND_INDEX, EMPTY, BLOCK), AttachmentError),
        (
            frames.KIND_POINT,
            raw(frames.KIND_POINT, encode({1: bytes(2**22)}), BLOCK, b"a"),
            FrameError,
        ),
    ],
)
def test_what_is_wrong_with_an_object_has_its_own_error(
    kind: int, data: bytes, error: type[FormatError]
) -> None:
    with pytest.raises(error):
        frames.parse(kind, data)
