"""For all inputs: what was sealed opens, what was changed does not, nothing else is ever raised."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.base.errors import HoldfastError
from holdfast.base.secrets import Secret
from holdfast.crypto.boxes import open_box, open_padded_box, seal_box, seal_padded_box
from holdfast.crypto.errors import AuthenticationError, KeyMaterialError, WrongKeyError
from holdfast.crypto.hpke import hpke_open
from holdfast.crypto.randomness import SystemRandom
from holdfast.crypto.signatures import verify
from holdfast.crypto.suites import SUITES, Suite, open_sealed, seal

KEY = Secret(bytes(range(32)))
ANY_SUITE = st.sampled_from(list(SUITES.values()))
SEALING_SUITE = st.sampled_from([suite for suite in SUITES.values() if suite.key_bytes])


def _material(suite: Suite) -> bytes:
    return bytes(range(suite.material_bytes))


@given(ANY_SUITE, st.binary(max_size=40), st.binary(max_size=200))
def test_what_a_suite_sealed_opens(suite: Suite, associated: bytes, data: bytes) -> None:
    """In the stated length."""
    stored = seal(suite, _material(suite), associated, data)

    assert len(stored) == suite.stored_length(len(data))
    assert open_sealed(suite, _material(suite), associated, stored) == data


@given(SEALING_SUITE, st.binary(max_size=100), st.data())
def test_one_changed_bit_anywhere_is_noticed(
    suite: Suite, data: bytes, draw: st.DataObject
) -> None:
    """Every bit of what is stored is authenticated."""
    stored = bytearray(seal(suite, _material(suite), b"place", data))
    bit = draw.draw(st.integers(0, len(stored) * 8 - 1))
    stored[bit // 8] ^= 1 << bit % 8

    with pytest.raises(AuthenticationError):
        open_sealed(suite, _material(suite), b"place", bytes(stored))


@given(ANY_SUITE, st.binary(max_size=120))
def test_material_of_another_length_is_a_defect(suite: Suite, material: bytes) -> None:
    """It never reaches a primitive."""
    if len(material) != suite.material_bytes:
        with pytest.raises(KeyMaterialError):
            seal(suite, material, b"", b"")


@given(st.binary(max_size=200), st.booleans(), st.booleans())
def test_what_a_box_sealed_opens(plaintext: bytes, padded: bool, sealed: bool) -> None:  # noqa: FBT001 - hypothesis passes by position
    """With and without padding, also in a vault without encryption."""
    seal_it, open_it = (seal_padded_box, open_padded_box) if padded else (seal_box, open_box)
    box = seal_it(KEY, b"place", plaintext, SystemRandom(), sealed=sealed)

    assert open_it(KEY, b"place", box, sealed=sealed) == plaintext


@given(st.binary(max_size=300), st.booleans())
def test_arbitrary_bytes_never_open_and_never_surprise(data: bytes, sealed: bool) -> None:  # noqa: FBT001 - hypothesis passes by position
    """Only our own errors come out of hostile bytes."""
    for attempt in (open_box, open_padded_box):
        try:
            attempt(KEY, b"place", data, sealed=sealed)
        except (AuthenticationError, WrongKeyError):
            pass
    for call in (
        lambda: hpke_open(KEY, b"place", data),
        lambda: verify(data[:32], b"message", data[32:96]),
    ):
        with pytest.raises(HoldfastError):
            call()


@settings(max_examples=20)
@given(st.integers(16_300, 70_000))
def test_padding_hides_the_length_within_an_eighth(length: int) -> None:
    """Padme, with a floor of 16 KiB."""
    box = seal_padded_box(KEY, b"place", bytes(length), SystemRandom())

    assert len(box) <= (length + 4) * 1.125 + 80
    assert open_padded_box(KEY, b"place", box) == bytes(length)
