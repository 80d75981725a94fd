"""The encoding of bodies, nodes and records: a closed subset of CBOR (section 1.1).

Every value has exactly one encoding, and the decoder refuses every other one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from holdfast.format.errors import EncodingError, UnencodableError

Bytes: TypeAlias = bytes | memoryview

Encodable: TypeAlias = (
    "int | str | bytes | bytearray | memoryview | Sequence[Encodable] | Mapping[int, Encodable]"
    " | None"
)
"""What :func:`encode` takes. Tuples are written as arrays."""

MAX_DEPTH: Final = 16
"""An item that is not inside another has depth 1."""

ITEMS_LIMIT: Final = 2**22
"""Members of all arrays and maps together: bounds what a hostile object of 64 MiB can allocate."""

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP = (number << 5 for number in range(6))
_FALSE, _TRUE, _NULL = 0xF4, 0xF5, 0xF6
_CONSTANTS: Final = {_FALSE: False, _TRUE: True, _NULL: None}
_LARGEST: Final = 2**64 - 1
_DIRECT: Final = 24
"""Arguments below this stand in the first byte itself."""


def _head(major: int, argument: int) -> bytes:
    if argument < _DIRECT:
        return bytes((major | argument,))
    if argument <= 0xFF:  # noqa: PLR2004 - the largest value of one byte
        return bytes((major | 24, argument))
    width_code = 25 if argument <= 0xFFFF else 26 if argument <= 0xFFFF_FFFF else 27  # noqa: PLR2004 - largest values of two and four bytes
    return bytes((major | width_code,)) + argument.to_bytes(1 << (width_code - 24), "big")


def _spend(left: list[int], members: int, error: type[EncodingError | UnencodableError]) -> None:
    left[0] -= members
    if left[0] < 0:
        raise error(f"An item has more than {ITEMS_LIMIT} members.")


def encode(item: Encodable) -> bytes:
    """Return the one encoding of *item*.

    Raises:
        UnencodableError: *item* holds something outside the subset.
    """
    pieces: list[Bytes | bytearray] = []
    _put(item, pieces.append, 1, [ITEMS_LIMIT])
    return b"".join(pieces)


def _put(  # noqa: C901, PLR0912 - one flat branch for each type of the subset
    item: object, put: Callable[[Bytes | bytearray], None], depth: int, left: list[int]
) -> None:
    """Hand the pieces of *item* to *put*; *left* holds how many members there may still be."""
    if depth > MAX_DEPTH:
        raise UnencodableError(f"An item is nested deeper than {MAX_DEPTH} levels.")
    match item:
        case None:
            put(b"\xf6")
        case bool():
            put(b"\xf5" if item else b"\xf4")
        case int() if 0 <= item <= _LARGEST:
            put(_head(_UNSIGNED, item))
        case int() if -(2**63) <= item < 0:
            put(_head(_NEGATIVE, -1 - item))
        case bytes() | bytearray() | memoryview():
            put(_head(_BYTES, memoryview(item).nbytes))
            put(item)
        case str():
            try:
                text = item.encode()
            except UnicodeEncodeError as error:
                raise UnencodableError("A text has surrogates in it.") from error
            put(_head(_TEXT, len(text)))
            put(text)
        case list() | tuple():
            _spend(left, len(item), UnencodableError)
            put(_head(_ARRAY, len(item)))
            for member in item:
                _put(member, put, depth + 1, left)
        case dict():
            if not all(type(key) is int and 0 <= key <= _LARGEST for key in item):
                raise UnencodableError("A key of a map is not an unsigned integer.")
            _spend(left, len(item), UnencodableError)
            put(_head(_MAP, len(item)))
            for key in sorted(item):
                put(_head(_UNSIGNED, key))
                _put(item[key], put, depth + 1, left)
        case _:
            raise UnencodableError(f"The encoding has no place for this {type(item).__name__}.")


def decode(data: Bytes) -> Any:  # noqa: ANN401 - callers check the types of what they were sent
    """Return the item that *data* is the encoding of.

    Arrays come back as lists, byte strings as bytes of their own (one copy, none of the whole).

    Raises:
        EncodingError: *data* is not what :func:`encode` writes for any item.
    """
    item, end = _take(data, 0, 1, [ITEMS_LIMIT])
    if end != len(data):
        raise EncodingError(f"There are {len(data) - end} bytes after the item.")
    return item


def _argument(data: Bytes, at: int) -> tuple[int, int]:
    """Read the argument of the head at *at*; return it and the offset behind the head."""
    short = data[at] & 0x1F
    if short < _DIRECT:
        return short, at + 1
    width = 1 << (short - _DIRECT)
    end = at + 1 + width
    if width > 8 or end > len(data):  # noqa: PLR2004 - the widest argument has 8 bytes
        raise EncodingError(f"The length or integer at byte {at} is cut off or not allowed.")
    argument = int.from_bytes(data[at + 1 : end], "big")
    if argument < (_DIRECT if width == 1 else 1 << (4 * width)):
        raise EncodingError(f"The length or integer at byte {at} is not in its shortest form.")
    return argument, end


def _take(  # noqa: C901, PLR0911 - one flat branch for each type of the subset
    data: Bytes, at: int, depth: int, left: list[int]
) -> tuple[Any, int]:
    """Read one item at *at*; return it and the offset behind it. *left* is as for :func:`_put`."""
    if at >= len(data) or depth > MAX_DEPTH:
        raise EncodingError(f"At byte {at} the data ends or is nested too deep.")
    first = data[at]
    if first in _CONSTANTS:
        return _CONSTANTS[first], at + 1
    major = first & 0xE0
    if major > _MAP:
        raise EncodingError(f"At byte {at} stands a tag, float or other value that is not allowed.")
    argument, at = _argument(data, at)
    if major == _UNSIGNED:
        return argument, at
    if major == _NEGATIVE:
        if argument >= 2**63:
            raise EncodingError(f"The integer before byte {at} is below -2^63.")
        return -1 - argument, at
    # A member of an array takes at least one byte and one of a map two: nothing is allocated for
    # members that cannot be there.
    if argument * (2 if major == _MAP else 1) > len(data) - at:
        raise EncodingError(f"A length before byte {at} is larger than what is left.")
    if major == _ARRAY:
        _spend(left, argument, EncodingError)
        members = []
        for _ in range(argument):
            member, at = _take(data, at, depth + 1, left)
            members.append(member)
        return members, at
    if major == _MAP:
        _spend(left, argument, EncodingError)
        return _take_map(data, at, argument, depth, left)
    content = bytes(data[at : at + argument])
    if major == _BYTES:
        return content, at + argument
    try:
        return content.decode(), at + argument
    except UnicodeDecodeError as error:
        raise EncodingError(f"The text at byte {at} is not UTF-8.") from error


def _take_map(
    data: Bytes, at: int, count: int, depth: int, left: list[int]
) -> tuple[dict[int, Any], int]:
    members: dict[int, Any] = {}
    last = -1
    for _ in range(count):
        if at >= len(data) or data[at] & 0xE0 != _UNSIGNED:
            raise EncodingError(f"At byte {at} the key of a map is not an unsigned integer.")
        key, at = _argument(data, at)
        if key <= last:
            raise EncodingError(f"The keys of a map before byte {at} do not ascend.")
        members[key], at = _take(data, at, depth + 1, left)
        last = key
    return members, at
