"""For all names: what is accepted stays inside the root and is found again."""

from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.base.errors import HoldfastError
from holdfast.storage.address import LocalAddress, parse_address
from holdfast.storage.errors import InvalidNameError, PasswordInAddressError
from holdfast.storage.memory import MemoryBackend
from holdfast.storage.names import check_name, check_prefix, is_valid_name

_COMPONENTS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20)
_VALID = st.lists(_COMPONENTS, min_size=1, max_size=5).map("/".join)
_NEAR_MISSES = st.text("ab/.-\\\0~ A\n:é", max_size=12)


@given(_VALID)
def test_lower_case_components_are_a_name_and_each_folder_is_a_prefix(name: str) -> None:
    check_name(name)
    check_prefix(name + "/")


@given(st.one_of(st.text(max_size=30), _NEAR_MISSES))
@example("a\n")
@example("a/..")
def test_whatever_is_accepted_cannot_leave_the_root(name: str) -> None:
    try:
        check_name(name)
    except InvalidNameError:
        assert not is_valid_name(name)
        return
    path = PurePosixPath("/place") / name
    assert str(path) == f"/place/{name}"
    assert path.is_relative_to("/place")
    assert not any(part.startswith(".") for part in path.parts)
    assert name.isascii()
    assert name == name.lower()


@pytest.mark.parametrize(
    ("name", "is_valid"),
    [
        ("a" * 200, True),
        ("a" * 201, False),
        ("/".join(["a" * 127] * 4), True),
        ("/".join(["a" * 127] * 4) + "/a", False),
    ],
)
def test_the_length_of_names_is_bounded(name: str, *, is_valid: bool) -> None:
    assert is_valid_name(name) == is_valid


@given(st.dictionaries(_VALID, st.binary(max_size=9), max_size=6), _VALID)
def test_a_listing_is_exactly_the_names_below_the_folder(
    objects: dict[str, bytes], folder: str
) -> None:
    backend = MemoryBackend()
    for name, data in objects.items():
        backend.put(name, data)

    listed = {found.name: found.size_bytes for found in backend.list(folder + "/")}

    assert listed == {
        name: len(data) for name, data in objects.items() if name.startswith(folder + "/")
    }


@given(st.one_of(st.text(max_size=40), st.text("s3:/@fileptdrv.a?=&%2", max_size=30)))
def test_an_address_is_a_path_or_refused_with_our_own_error(text: str) -> None:
    try:
        address = parse_address(text)
    except HoldfastError:
        return
    assert isinstance(address, LocalAddress)


@given(
    st.sampled_from(
        ["sftp://", "sftp:", "s3:https://", "s3://", "depot://", "x://", "file://", ""]
    ),
    st.text("abc!$%+-_é", min_size=1, max_size=20),
)
def test_a_password_in_an_address_is_refused_and_never_repeated(start: str, middle: str) -> None:
    password = f"QQ{middle}QQ"
    with pytest.raises(PasswordInAddressError) as caught:
        parse_address(f"{start}user:{password}@host/path")

    assert password not in str(caught.value)
    assert "QQ" not in (caught.value.hint or "")
