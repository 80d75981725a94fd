"""Tables of keys: how a dataclass says which field is which key and what it may hold (section 5).

A class beside its table in the specification reads::

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Lease(Body, what="lease"):
        session_id: Annotated[SessionId, At(1, Fixed(16))]
        number: Annotated[int, At(2, Unsigned())]

Reading refuses missing and unknown keys and every value that its rule does not allow. Writing holds
the result against reading, so that nothing is written that would be refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from itertools import pairwise
from typing import Any, ClassVar, Final, Protocol, Self, get_type_hints

from holdfast.format.cbor import Bytes, decode, encode
from holdfast.format.errors import FieldError, UnencodableError

U16: Final = 2**16 - 1
U32: Final = 2**32 - 1
U64: Final = 2**64 - 1


class Rule(Protocol):
    """What one place of a table may hold."""

    def read(self, value: object, place: str) -> Any:  # noqa: ANN401 - the annotation beside the rule says the type
        """Return the field's value for a decoded one; *place* is for the message.

        Raises:
            FieldError: the rule does not allow it.
        """
        ...

    def write(self, value: Any) -> Any:  # noqa: ANN401 - the same
        """Return what is encoded for the field's value."""
        ...


@dataclass(frozen=True, slots=True)
class At:
    """The key (or, in an array, the position) of a field, and its rule."""

    key: int
    rule: Rule


class _AsItIs:
    """Values that are encoded as they are."""

    __slots__ = ()

    def write(self, value: Any) -> Any:  # noqa: ANN401 - see Rule
        return value


@dataclass(frozen=True, slots=True)
class Integer(_AsItIs):
    """An integer from *low* to *high*."""

    low: int
    high: int

    def read(self, value: object, place: str) -> int:
        """See :class:`Rule`."""
        if type(value) is not int or not self.low <= value <= self.high:
            raise FieldError(f"The {place} is not a number from {self.low} to {self.high}.")
        return value


def unsigned(high: int = U64) -> Integer:
    """Return the rule for an integer from 0."""
    return Integer(0, high)


TIME: Final = Integer(-(2**63), 2**63 - 1)
"""Seconds in clear, nanoseconds where sealed; since 1970-01-01 UTC."""


@dataclass(frozen=True, slots=True)
class Optionally:
    """A key of a map that need not be there: then the field is None."""

    rule: Rule

    def read(self, value: object, place: str) -> Any:  # noqa: ANN401 - see Rule
        """See :class:`Rule`."""
        return self.rule.read(value, place)

    def write(self, value: Any) -> Any:  # noqa: ANN401 - see Rule
        """See :class:`Rule`."""
        return self.rule.write(value)


@dataclass(frozen=True, slots=True)
class Choice:
    """A number that is a member of an enumeration, or a sum of members of a flag."""

    members: type[IntEnum | IntFlag]

    def read(self, value: object, place: str) -> IntEnum | IntFlag:
        """See :class:`Rule`."""
        if type(value) is int and value >= 0:
            try:
                return self.members(value)
            except ValueError:
                pass
        raise FieldError(f"The {place} is none of the known numbers.")

    def write(self, value: int) -> int:
        """See :class:`Rule`."""
        return int(value)


@dataclass(frozen=True, slots=True)
class Flag(_AsItIs):
    """True or false."""

    def read(self, value: object, place: str) -> bool:
        """See :class:`Rule`."""
        if not isinstance(value, bool):
            raise FieldError(f"The {place} is neither true nor false.")
        return value


@dataclass(frozen=True, slots=True)
class Blob(_AsItIs):
    """Bytes, from *low* to *high* of them."""

    low: int
    high: int

    def read(self, value: object, place: str) -> bytes:
        """See :class:`Rule`."""
        if not isinstance(value, bytes) or not self.low <= len(value) <= self.high:
            raise FieldError(f"The {place} has not the right number of bytes.")
        return value


def fixed(length: int) -> Blob:
    """Return the rule for exactly *length* bytes."""
    return Blob(length, length)


@dataclass(frozen=True, slots=True)
class FixedOrEmpty:
    """Exactly *length* bytes, or none: then the field is None."""

    length: int

    def read(self, value: object, place: str) -> bytes | None:
        """See :class:`Rule`."""
        return None if value == b"" else fixed(self.length).read(value, place)

    def write(self, value: bytes | None) -> bytes:
        """See :class:`Rule`."""
        return b"" if value is None else value


@dataclass(frozen=True, slots=True)
class Text(_AsItIs):
    """Text of at most *high* characters."""

    high: int = U64

    def read(self, value: object, place: str) -> str:
        """See :class:`Rule`."""
        if not isinstance(value, str) or len(value) > self.high:
            raise FieldError(f"The {place} is not a text, or too long.")
        return value


@dataclass(frozen=True, slots=True)
class ListOf:
    """An array of *low* to *high* values of one rule, read as a tuple.

    With *ascending* the values (or what it returns for them) strictly ascend.
    """

    rule: Rule
    low: int = 0
    high: int = U64
    ascending: Callable[[Any], Any] | None = None

    def read(self, value: object, place: str) -> tuple[Any, ...]:
        """See :class:`Rule`."""
        if not isinstance(value, list) or not self.low <= len(value) <= self.high:
            raise FieldError(f"The {place} is not an array with the right number of items.")
        items = tuple(self.rule.read(item, f"item of the {place}") for item in value)
        if self.ascending is not None:
            keys = [self.ascending(item) for item in items]
            if not all(one < other for one, other in pairwise(keys)):
                raise FieldError(f"The {place} is not in ascending order.")
        return items

    def write(self, value: Sequence[Any]) -> list[Any]:
        """See :class:`Rule`."""
        return [self.rule.write(item) for item in value]


def itself(value: Any) -> Any:  # noqa: ANN401 - whatever is compared
    """Return *value*: the order of a list by its items themselves."""
    return value


EMPTY: Final = ListOf(unsigned(), high=0)
"""An array that is empty because its key is reserved."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Byte strings of *width* each, joined; *low* to *high* of them, read as a tuple.

    They are distinct, and with *ascending* in ascending order.
    """

    width: int
    low: int = 0
    high: int = U64
    ascending: bool = False

    def read(self, value: object, place: str) -> tuple[bytes, ...]:
        """See :class:`Rule`."""
        if not isinstance(value, bytes) or len(value) % self.width:
            raise FieldError(f"The {place} is not made of {self.width} bytes each.")
        starts = range(0, len(value), self.width)
        items = tuple(value[start : start + self.width] for start in starts)
        if not self.low <= len(items) <= self.high:
            raise FieldError(f"The {place} has not the right number of items.")
        if self.ascending and not all(one < other for one, other in pairwise(items)):
            raise FieldError(f"The {place} is not in ascending order.")
        if len(set(items)) != len(items):
            raise FieldError(f"The {place} names something twice.")
        return items

    def write(self, value: Sequence[bytes]) -> bytes:
        """See :class:`Rule`."""
        if any(len(item) != self.width for item in value):
            raise UnencodableError(f"An item to be joined has not {self.width} bytes.")
        return b"".join(value)


@dataclass(frozen=True, slots=True)
class JoinedNumbers:
    """Unsigned big-endian integers of *width* bytes from *low* to *high*, joined."""

    width: int
    low: int
    high: int

    def read(self, value: object, place: str) -> tuple[int, ...]:
        """See :class:`Rule`."""
        if not isinstance(value, bytes) or len(value) % self.width:
            raise FieldError(f"The {place} is not made of {self.width} bytes each.")
        starts = range(0, len(value), self.width)
        numbers = tuple(int.from_bytes(value[at : at + self.width], "big") for at in starts)
        if not all(self.low <= number <= self.high for number in numbers):
            raise FieldError(f"The {place} has a number out of range.")
        return numbers

    def write(self, value: Sequence[int]) -> bytes:
        """See :class:`Rule`."""
        if not all(self.low <= number <= self.high for number in value):
            raise UnencodableError("A number to be joined is out of range.")
        return b"".join(number.to_bytes(self.width, "big") for number in value)


class _Table:
    """What maps and arrays have in common."""

    __slots__ = ()

    what: ClassVar[str]

    def __init_subclass__(cls, *, what: str = "", **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        if what:
            cls.what = what

    @classmethod
    def _read(cls, values: Mapping[int, object], what: str) -> Self:
        places = _places(cls)
        absent = {
            key: name
            for key, (name, rule) in places.items()
            if key not in values and isinstance(rule, Optionally)
        }
        if values.keys() | absent.keys() != places.keys():
            odd = min((values.keys() | absent.keys()) ^ places.keys())
            lacks = "lacks its" if odd in places else "has an unknown"
            raise FieldError(f"The {what} {lacks} key {odd}.")
        fields = {
            name: rule.read(values[key], f"{name.replace('_', ' ')} of the {what}")
            for key, (name, rule) in places.items()
            if key not in absent
        } | dict.fromkeys(absent.values())
        table = cls(**fields)
        fault = table.fault()
        if fault:
            raise FieldError(f"The {what} is wrong: {fault}.")
        return table

    def _write(self) -> dict[int, Any]:
        return {
            key: rule.write(getattr(self, name))
            for key, (name, rule) in _places(type(self)).items()
            if getattr(self, name) is not None or not isinstance(rule, Optionally)
        }

    def fault(self) -> str:
        """Return what speaks against the fields together, each being right alone, or nothing."""
        return ""


_PLACES: Final[dict[type[_Table], dict[int, tuple[str, Rule]]]] = {}
"""Filled on first use: type hints are resolved once for each class."""


def _places(table: type[_Table]) -> dict[int, tuple[str, Rule]]:
    """Return name and rule of each key."""
    if table in _PLACES:
        return _PLACES[table]
    hints = get_type_hints(table, include_extras=True)
    found = {
        mark.key: (name, mark.rule)
        for name, hint in hints.items()
        for mark in getattr(hint, "__metadata__", ())
        if isinstance(mark, At)
    }
    return _PLACES.setdefault(table, dict(sorted(found.items())))


class Body(_Table):
    """A map: the body of an object, without key 0 (see ``frames``), or a sealed record."""

    __slots__ = ()

    @classmethod
    def from_body(cls, body: Mapping[int, Any]) -> Self:
        """Return what a decoded map says.

        Raises:
            FieldError: a key is missing or unknown, or a value is not allowed.
            UnsupportedFormatError: the vault needs what this release does not know.
        """
        return cls._read(body, cls.what)

    def to_body(self) -> dict[int, Any]:
        """Return the map to encode.

        Raises:
            UnencodableError: a field holds what reading would refuse.
        """
        try:
            body = self._write()
            same = self.from_body(decode(encode(body))) == self
        except (FieldError, TypeError) as error:
            raise UnencodableError(f"A {self.what} cannot be written: {error}") from error
        if not same:
            raise UnencodableError(f"A {self.what} would be read as something else.")
        return body


class Record(Body):
    """A map that is sealed and encoded on its own."""

    __slots__ = ()

    @classmethod
    def from_bytes(cls, data: Bytes) -> Self:
        """Read an opened record.

        Raises:
            FormatError: it is none that :meth:`to_bytes` writes.
        """
        body = decode(data)
        if not isinstance(body, dict):
            raise FieldError(f"The {cls.what} is not a map.")
        return cls.from_body(body)

    def to_bytes(self) -> bytes:
        """Return the record's encoding.

        Raises:
            UnencodableError: a field holds what reading would refuse.
        """
        return encode(self.to_body())


class Row(_Table):
    """An array with a fixed number of places, numbered from 0."""

    __slots__ = ()

    @classmethod
    def from_row(cls, row: object, place: str) -> Self:
        """Return what a decoded array says.

        Raises:
            FieldError: it is none, or an item is not allowed.
        """
        if not isinstance(row, list):
            raise FieldError(f"The {place} is not an array.")
        return cls._read(dict(enumerate(row)), place)

    def to_row(self) -> list[Any]:
        """Return the array to encode."""
        return list(self._write().values())


@dataclass(frozen=True, slots=True)
class RowOf:
    """An array that is a :class:`Row`."""

    row: type[Row]

    def read(self, value: object, place: str) -> Row:
        """See :class:`Rule`."""
        return self.row.from_row(value, place)

    def write(self, value: Row) -> list[Any]:
        """See :class:`Rule`."""
        return value.to_row()
