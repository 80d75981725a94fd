"""Segments: what is compressed, what is sealed, and what is refused."""

import hashlib

import pytest

from holdfast.base.errors import IntegrityError
from holdfast.base.secrets import Secret
from holdfast.core.errors import CompressedFrameError, SegmentError
from holdfast.core.python.pure import PureCalls
from holdfast.core.python.segments import Compressor, PackCipher, SessionKeys, decompress
from holdfast.crypto import hkdf
from holdfast.crypto.suites import SUITES, Suite
from holdfast.format.packs import segment_associated

VAULT, SESSION, SALT = bytes(32), b"s" * 16, b"t" * 32
SESSION_KEY = Secret(b"k" * 32)
RANDOM_LOOKING = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(64))


def cipher(suite: Suite) -> PackCipher:
    keys = SessionKeys.derive(SESSION_KEY, VAULT, SESSION)
    return PackCipher(suite, keys, vault_id=VAULT, session_id=SESSION, salt=SALT)


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_a_compressed_segment_comes_back_in_every_suite(suite: Suite) -> None:
    raw = b"the same again, " * 1000
    compression, body = Compressor(3).compress(raw)
    stored = cipher(suite).seal(1, 4, body, raw_length=len(raw), compression=compression)

    assert compression == 1
    assert len(stored) == suite.stored_length(len(body))
    assert cipher(suite).open(1, 4, stored, raw_length=len(raw), compression=1) == raw


@pytest.mark.parametrize(
    "wrong", [{"kind": 2}, {"number": 5}, {"raw_length": 1999}, {"compression": 1}]
)
@pytest.mark.parametrize("suite", list(SUITES.values())[1:], ids=lambda suite: suite.name)
def test_a_segment_opens_only_in_its_own_place(suite: Suite, wrong: dict[str, int]) -> None:
    stored = cipher(suite).seal(1, 4, b"x" * 2000, raw_length=2000, compression=0)
    place = {"kind": 1, "number": 4, "raw_length": 2000, "compression": 0} | wrong

    with pytest.raises(IntegrityError):
        cipher(suite).open(
            place["kind"],
            place["number"],
            stored,
            raw_length=place["raw_length"],
            compression=place["compression"],
        )


def test_what_hardly_shrinks_is_stored_raw() -> None:
    """The limit is 3 per cent (1.3)."""
    assert Compressor(3).compress(RANDOM_LOOKING) == (0, RANDOM_LOOKING)
    assert Compressor(3).compress(RANDOM_LOOKING + bytes(200))[0] == 1


def test_a_compressor_can_be_used_again_and_each_frame_states_its_size() -> None:
    compressor = Compressor(3)
    for size in (100, 5000, 300_000, 70):
        data = b"ab" * size
        _, frame = compressor.compress(data)

        assert decompress(frame, len(data)) == data
        with pytest.raises(CompressedFrameError):
            decompress(frame, len(data) + 1)
        with pytest.raises(CompressedFrameError):
            decompress(bytes(frame) + b"\0", len(data))


@pytest.mark.parametrize(("length", "compression"), [(0, 0), ((8 << 20) + 1, 0), (10, 2)])
def test_impossible_segments_are_refused_before_they_are_opened(
    length: int, compression: int
) -> None:
    with pytest.raises(SegmentError):
        cipher(SUITES[3]).open(1, 0, b"", raw_length=length, compression=compression)


def test_the_pure_calls_seal_what_a_pack_cipher_opens() -> None:
    keys = SessionKeys.derive(SESSION_KEY, VAULT, SESSION)
    pack_key = Secret(hkdf.extract(SALT, keys.tree_key.reveal()))
    bound = [
        segment_associated(3, VAULT, SESSION, 2, SALT, number, 100, 0)  # type: ignore[arg-type]
        for number in (7, 8)
    ]
    engine = PureCalls()
    sealed = engine.seal(pack_key, "aes-256-gcm", 7, [b"a" * 100, b"b" * 100], bound)

    assert engine.open(pack_key, "aes-256-gcm", 7, sealed, bound) == [b"a" * 100, b"b" * 100]
    assert cipher(SUITES[3]).open(2, 8, sealed[1], raw_length=100, compression=0) == b"b" * 100
