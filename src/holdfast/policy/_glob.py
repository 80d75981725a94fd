"""One gitignore pattern, from its text to a regular expression over bytes.

The meaning is that of git's ``wildmatch`` with ``WM_PATHNAME``, as gitignore(5) documents it. The
expressions use atomic groups: after a star, the leftmost match of what follows is never worse than
a later one, so that no pattern makes matching exponential.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

SLASH: Final = 0x2F
_BACKSLASH: Final = 0x5C
_STAR: Final = 0x2A
_QUESTION: Final = 0x3F
_OPEN: Final = 0x5B
_CLOSE: Final = 0x5D
_DASH: Final = 0x2D
_COLON: Final = 0x3A
_NEGATIONS: Final = frozenset(b"!^")

_UPPER: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_LOWER: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz")
_DIGIT: Final = frozenset(b"0123456789")
_GRAPH: Final = frozenset(range(0x21, 0x7F))
_CLASSES: Final = {
    b"alnum": _UPPER | _LOWER | _DIGIT,
    b"alpha": _UPPER | _LOWER,
    b"blank": frozenset(b" \t"),
    b"cntrl": frozenset(range(0x20)) | {0x7F},
    b"digit": _DIGIT,
    b"graph": _GRAPH,
    b"lower": _LOWER,
    b"print": _GRAPH | {0x20},
    b"punct": _GRAPH - _UPPER - _LOWER - _DIGIT,
    b"space": frozenset(b" \t\n\r\v\f"),
    b"upper": _UPPER,
    b"xdigit": _DIGIT | frozenset(b"abcdefABCDEF"),
}
_NAME_BYTES: Final = frozenset(range(1, 256)) - {SLASH}


class NeverMatchesError(Exception):
    """The pattern is malformed in a way that git takes as: it matches nothing."""


@dataclass(frozen=True, slots=True)
class Stars:
    """A run of ``*``: one stays inside a name, more may cross folders where they stand alone."""

    count: int


@dataclass(frozen=True, slots=True)
class Slash:
    """A separator; escaped, it does not let ``**`` before it stand for no folder at all."""

    is_escaped: bool


Token = int | frozenset[int] | Stars | Slash
"""A literal byte, a set of bytes (``?`` and brackets), stars, or a separator."""
Component = tuple[Token, ...]


def tokenize(glob: bytes) -> Iterator[Token]:
    """Yield the tokens of *glob*.

    Raises:
        NeverMatchesError: an open bracket, an unknown class, or a backslash at the end.
    """
    position = 0
    while position < len(glob):
        byte = glob[position]
        position += 1
        if byte == _STAR:
            start = position - 1
            while position < len(glob) and glob[position] == _STAR:
                position += 1
            yield Stars(position - start)
        elif byte == _QUESTION:
            yield _NAME_BYTES
        elif byte == _OPEN:
            members, position = _read_bracket(glob, position)
            yield members
        elif byte == _BACKSLASH:
            literal = _byte_at(glob, position)
            position += 1
            yield Slash(is_escaped=True) if literal == SLASH else literal
        elif byte == SLASH:
            yield Slash(is_escaped=False)
        else:
            yield byte


def _byte_at(glob: bytes, position: int) -> int:
    if position >= len(glob):
        raise NeverMatchesError
    return glob[position]


def _read_bracket(glob: bytes, position: int) -> tuple[frozenset[int], int]:
    """Read a bracket expression whose ``[`` stands before *position*; return it and where it ends.

    A ``]`` that comes first is a member; ``-`` first or last is a member; a separator is never one.
    """
    members: set[int] = set()
    is_negated = _byte_at(glob, position) in _NEGATIONS
    position += is_negated
    previous = 0
    is_first = True
    while is_first or _byte_at(glob, position) != _CLOSE:
        is_first = False
        byte = _byte_at(glob, position)
        following = glob[position + 1] if position + 1 < len(glob) else 0
        if byte == _BACKSLASH:
            position += 1
            previous = _byte_at(glob, position)
            members.add(previous)
        elif byte == _DASH and previous and following not in {0, _CLOSE}:
            position += 1
            if following == _BACKSLASH:
                position += 1
            members.update(range(previous, _byte_at(glob, position) + 1))
            previous = 0
        elif byte == _OPEN and following == _COLON:
            end = glob.find(b"]", position + 2)
            if end < 0:
                raise NeverMatchesError
            if end > position + 2 and glob[end - 1] == _COLON:
                members.update(_class_members(glob[position + 2 : end - 1]))
                position = end
                previous = 0
            else:
                members.add(byte)
                previous = byte
        else:
            members.add(byte)
            previous = byte
        position += 1
    found = _NAME_BYTES - members if is_negated else _NAME_BYTES & members
    if not found:
        raise NeverMatchesError
    return frozenset(found), position + 1


def _class_members(name: bytes) -> frozenset[int]:
    if name not in _CLASSES:
        raise NeverMatchesError
    return _CLASSES[name]


def literal_of(tokens: Iterable[Token]) -> bytes | None:
    """Return the bytes that *tokens* stand for if there is only one such name, else None."""
    found = bytearray()
    for token in tokens:
        if isinstance(token, Slash):
            found.append(SLASH)
        elif isinstance(token, int):
            found.append(token)
        else:
            return None
    return bytes(found)


def name_expression(tokens: Iterable[Token]) -> bytes:
    """Return an expression for one name; it must be followed by a separator or the end."""
    # Grown in place: points may bring patterns of megabytes.
    segments = [bytearray()]
    for token in tokens:
        if isinstance(token, Stars):
            segments.append(bytearray())
        elif isinstance(token, int):
            segments[-1] += re.escape(bytes([token]))
        elif isinstance(token, frozenset):
            segments[-1] += _set_expression(token)
    if len(segments) == 1:
        return bytes(segments[0])
    middle = b"".join(b"(?>[^/]*?" + bytes(segment) + b")" for segment in segments[1:-1] if segment)
    return b"".join((segments[0], middle, b"[^/]*", segments[-1]))


def _set_expression(members: frozenset[int]) -> bytes:
    if members == _NAME_BYTES:
        return b"[^/]"
    return b"[" + b"".join(b"\\x%02x" % member for member in sorted(members)) + b"]"


def path_expression(tokens: Iterable[Token]) -> bytes:
    """Return an expression for a whole path from the source root; it must be followed by the end.

    Raises:
        NeverMatchesError: two separators meet, or one stands at either end.
    """
    components, escapes = _split(tokens)
    if not all(components):
        raise NeverMatchesError
    *folders, last = components
    expression = b""
    run = b""
    # Levels that "**" must and may skip before the run of names after it.
    skipped: int | None = None
    for component, is_escaped in zip(folders, escapes, strict=True):
        if _is_globstar(component):
            if run:
                expression += _join(skipped, run, is_last=False)
                run, skipped = b"", None
            skipped = (skipped or 0) + is_escaped
        else:
            run += name_expression(component) + b"/"
    if not _is_globstar(last):
        return expression + _join(skipped, run + name_expression(last), is_last=True)
    if run or skipped:
        expression += _join(skipped, run, is_last=False)
    return expression + b".+"


def _split(tokens: Iterable[Token]) -> tuple[list[Component], list[bool]]:
    components: list[list[Token]] = [[]]
    escapes: list[bool] = []
    for token in tokens:
        if isinstance(token, Slash):
            components.append([])
            escapes.append(token.is_escaped)
        else:
            components[-1].append(token)
    return [tuple(component) for component in components], escapes


def _is_globstar(component: Component) -> bool:
    match component:
        case (Stars(count=count),):
            return count > 1
        case _:
            return False


def _join(skipped: int | None, run: bytes, *, is_last: bool) -> bytes:
    """Put a run of names behind the ``**`` before it, which skips at least *skipped* levels."""
    if skipped is None:
        return run
    must = b"(?:[^/]+/){%d}" % skipped if skipped else b""
    if is_last:
        return must + b"(?:.*/)?" + run
    return must + b"(?>(?:.*?/)??" + run + b")"
