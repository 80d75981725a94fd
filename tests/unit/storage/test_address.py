"""Repository addresses: what is understood, and what is refused with which sentence."""

from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from holdfast.storage.address import create_backend, holds_nothing, open_backend, parse_address
from holdfast.storage.errors import (
    AddressNotBuiltError,
    InvalidAddressError,
    PasswordInAddressError,
    RepositoryMissingError,
)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/mnt/drive/repo", "/mnt/drive/repo"),
        ("repo", "repo"),
        ("./s3:odd", "s3:odd"),
        ("with:colon", "with:colon"),
        ("/a:b@c", "/a:b@c"),
        ("file:///mnt/a%20b%23", "/mnt/a b#"),
        ("file:/mnt/a", "/mnt/a"),
        ("FILE://localhost/mnt/a", "/mnt/a"),
        ("file:///a:b@c", "/a:b@c"),
    ],
)
def test_a_path_or_a_file_address_is_a_folder(text: str, path: str) -> None:
    assert parse_address(text).path == Path(path)


def test_a_file_address_can_name_any_bytes() -> None:
    assert bytes(parse_address("file:///a%FF").path) == b"/a\xff"


@pytest.mark.parametrize(
    "text",
    [
        "sftp://user@host/path",
        "sftp://user@host:22/path@home",
        "sftp:user@host:/path",
        "s3://bucket/prefix?endpoint=https://host:9000&region=x",
        "s3:https://host/bucket",
        "depot://host:1234/tenant",
        "drive:LABEL",
    ],
)
def test_a_kind_to_come_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(AddressNotBuiltError, match=r"^[^.]* not built yet in this release\.$"):
        parse_address(text)


@pytest.mark.parametrize(
    "text", ["", "a\0b", "ftp://host/x", "file://host/x", "file:x", "file:///a?b", "file:///%00"]
)
def test_what_is_no_address_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(InvalidAddressError) as caught:
        parse_address(text)

    assert caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "sftp://user:QQ@host/path",
        "sftp://user:Q/Q@host/path",
        "s3:https://id:QQ@host/bucket",
        "user:QQ@host:/path",
        "s3://bucket?secret_access_key=QQ",
        "depot://host/tenant?token=QQ",
    ],
)
def test_a_password_in_an_address_is_refused_and_never_repeated(text: str) -> None:
    with pytest.raises(PasswordInAddressError) as caught:
        parse_address(text)

    assert "Q" not in f"{caught.value} {caught.value.hint}"


def test_a_folder_that_is_not_there_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryMissingError, match="does not exist") as caught:
        open_backend(str(tmp_path / "none"), clock=ManualClock(), random=CountedRandom())

    assert caught.value.exit_code == 10
    assert not (tmp_path / "none").exists()


def test_a_file_is_no_repository_and_is_not_made_one(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"mine")
    for address in (str(file), str(file / "below")):
        for act in (open_backend, create_backend):
            with pytest.raises(RepositoryMissingError):
                act(address, clock=ManualClock(), random=CountedRandom())
    assert file.read_bytes() == b"mine"


def test_a_single_file_backup_is_recognised(tmp_path: Path) -> None:
    file = tmp_path / "a.holdfast"
    file.write_bytes(b"")
    with pytest.raises(AddressNotBuiltError, match="Single-file"):
        open_backend(str(file), clock=ManualClock(), random=CountedRandom())


def test_creating_makes_missing_parents_for_this_user_only(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b"
    backend = create_backend(str(root), clock=ManualClock(), random=CountedRandom())

    assert holds_nothing(backend)
    assert backend.address == str(root)
    assert root.stat().st_mode & 0o077 == 0
    backend.close()


@pytest.mark.parametrize("name", ["README", "photo.jpg", ".hidden"])
def test_a_folder_with_anything_in_it_does_not_count_as_unused(tmp_path: Path, name: str) -> None:
    """Also with files that no listing shows, because they cannot be objects."""
    (tmp_path / name).write_bytes(b"")
    backend = create_backend(str(tmp_path), clock=ManualClock(), random=CountedRandom())

    assert not holds_nothing(backend)
    backend.close()


def test_a_fresh_drive_counts_as_unused(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    backend = create_backend(str(tmp_path), clock=ManualClock(), random=CountedRandom())

    assert holds_nothing(backend)
    backend.close()
