"""From words to suites."""

import pytest

from holdfast.operations.ciphers import EncryptionWish
from holdfast.operations.errors import CipherError


@pytest.mark.parametrize(
    ("wish", "suite"),
    [
        (EncryptionWish(), "aes-256-gcm"),
        (EncryptionWish("gcm", 128), "aes-128-gcm"),
        (EncryptionWish("cbc", 192), "aes-192-cbc-hmac-sha256"),
        (EncryptionWish("cbc"), "aes-256-cbc-hmac-sha256"),
        (EncryptionWish(level="low"), "aes-128-gcm"),
        (EncryptionWish(level="normal"), "aes-192-gcm"),
        (EncryptionWish("cbc", level="high"), "aes-256-cbc-hmac-sha256"),
        (EncryptionWish("none"), "none"),
    ],
)
def test_every_cipher_and_length_has_its_suite(wish: EncryptionWish, suite: str) -> None:
    """The words of Xopero's levels too."""
    assert wish.suite().name == suite
    assert wish.vault_object().suite == wish.suite().number


@pytest.mark.parametrize(
    "wish",
    [
        EncryptionWish("des"),
        EncryptionWish("gcm", 512),
        EncryptionWish(level="extreme"),
        EncryptionWish("gcm", 128, level="high"),
        EncryptionWish("none", 256),
        EncryptionWish(compression="lzma"),
        EncryptionWish(compression="zstd:99"),
        EncryptionWish(compression="none:3"),
    ],
)
def test_what_does_not_exist_is_refused(wish: EncryptionWish) -> None:
    """Before anything is made."""
    with pytest.raises(CipherError):
        wish.vault_object()


def test_compression_has_levels() -> None:
    """And can be left out."""
    assert EncryptionWish(compression="zstd").vault_object().compression.level == 3
    assert EncryptionWish(compression="zstd:19").vault_object().compression.level == 19
    assert EncryptionWish(compression="none").vault_object().compression.number == 0
