r"""Patterns in gitignore's dialect that say what a backup leaves out.

Names are bytes, whatever they hold. A path is relative to the path that somebody named for the
backup, with ``/`` between names and none at its start. The dialect is gitignore(5):
``docs/reference/patterns.md`` says it in short, ``vectors/gitignore.txt`` by example.

A pattern with a ``/`` before its last byte is anchored at the named path; so with ``/home`` named,
``/home/x/cache`` leaves out ``home/x/cache`` *below it*, not the absolute path of that spelling;
:func:`anchored_spelling` finds the pattern that was meant.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.base.messages import in_message
from holdfast.policy._glob import (
    SLASH,
    NeverMatchesError,
    Stars,
    literal_of,
    name_expression,
    path_expression,
    tokenize,
)
from holdfast.policy.errors import InvalidPatternError

_UTF8_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class _Rule:
    """One pattern, sorted into the cheapest way to test it; exactly one of the five is set."""

    is_exclusion: bool
    is_folders_only: bool
    name: bytes | None = None
    suffix: bytes | None = None
    path: bytes | None = None
    name_expression: bytes | None = None
    path_expression: bytes | None = None


class _Block:
    """Neighbouring rules that agree: the order among them does not matter."""

    __slots__ = ("_match_name", "_match_path", "_names", "_paths", "_suffixes", "is_exclusion")

    def __init__(self, rules: Sequence[_Rule]) -> None:
        self.is_exclusion = rules[0].is_exclusion
        self._names = frozenset(rule.name for rule in rules if rule.name is not None)
        self._suffixes = tuple({rule.suffix for rule in rules if rule.suffix is not None})
        self._paths = frozenset(rule.path for rule in rules if rule.path is not None)
        self._match_name = _alternatives(rule.name_expression for rule in rules)
        self._match_path = _alternatives(rule.path_expression for rule in rules)

    def matches(self, path: bytes) -> bool:
        # A suffix holds no separator, so it never reaches beyond the last name.
        if path.endswith(self._suffixes) or path in self._paths:
            return True
        name = path[path.rfind(b"/") + 1 :]
        return (
            name in self._names
            or (self._match_name is not None and self._match_name(name) is not None)
            or (self._match_path is not None and self._match_path(path) is not None)
        )


def _alternatives(
    expressions: Iterable[bytes | None],
) -> Callable[[bytes], re.Match[bytes] | None] | None:
    """Return the matcher for any of *expressions*, or None where there are none."""
    present = dict.fromkeys(expression for expression in expressions if expression is not None)
    return re.compile(rb"(?s:" + rb"|".join(present) + rb")\Z").match if present else None


class Patterns:
    """Compiled patterns; made by :func:`compile_patterns`, immutable.

    Attributes:
        unmatchable: the lines that can never match anything (an open bracket, an unknown class, a
            backslash at the end, an empty name): worth a warning, as git gives none.
    """

    __slots__ = ("_for_files", "_for_folders", "unmatchable")

    def __init__(self, rules: Sequence[_Rule], unmatchable: tuple[bytes, ...]) -> None:
        self._for_folders = _blocks(rules)
        self._for_files = _blocks(rule for rule in rules if not rule.is_folders_only)
        self.unmatchable = unmatchable

    def __bool__(self) -> bool:
        """Tell whether anything can be excluded at all."""
        return bool(self._for_folders)

    def excludes(self, path: bytes, is_folder: bool) -> bool:  # noqa: FBT001 - (path, kind) is the whole question
        """Tell whether the entry at *path* itself is left out; the last matching pattern decides.

        Only this entry is judged. An excluded folder takes everything below it with it, whatever
        the patterns say of that: a walker does not enter it, and so never asks. Who has no walk
        asks :meth:`excludes_within`.
        """
        for block in self._for_folders if is_folder else self._for_files:
            if block.matches(path):
                return block.is_exclusion
        return False

    def excludes_within(self, path: bytes, is_folder: bool) -> bool:  # noqa: FBT001 - as above
        """Tell whether the entry at *path* is left out by itself or by a folder above it."""
        end = path.find(b"/")
        while end >= 0:
            if self.excludes(path[:end], is_folder=True):
                return True
            end = path.find(b"/", end + 1)
        return self.excludes(path, is_folder)


def _blocks(rules: Iterable[_Rule]) -> tuple[_Block, ...]:
    """Group *rules*, the last first; readmissions that stand before any exclusion do nothing."""
    groups: list[list[_Rule]] = []
    for rule in rules:
        if groups and groups[-1][0].is_exclusion == rule.is_exclusion:
            groups[-1].append(rule)
        elif groups or rule.is_exclusion:
            groups.append([rule])
    return tuple(_Block(group) for group in reversed(groups))


def split_pattern_file(content: bytes) -> list[bytes]:
    """Return the lines of a file of patterns; a UTF-8 byte order mark before them is dropped."""
    return content.removeprefix(_UTF8_BYTE_ORDER_MARK).split(b"\n")


def compile_patterns(lines: Sequence[bytes]) -> Patterns:
    """Compile *lines*, as they stand in a pattern file: later ones win over earlier ones.

    A line comes without its newline (see :func:`split_pattern_file`): a newline in it is a byte of
    a name. Empty lines and lines that begin with ``#`` say nothing; one carriage return at the end
    and unescaped trailing spaces are dropped.

    Raises:
        InvalidPatternError: a line holds a NUL byte.
    """
    rules: list[_Rule] = []
    unmatchable: list[bytes] = []
    for line in lines:
        if b"\0" in line:
            shown = in_message(line).replace("\0", "\\0")
            message = f"the pattern '{shown}' holds a NUL byte"
            raise InvalidPatternError(message, hint="Write one pattern per line, as plain text.")
        text = line.removesuffix(b"\r")
        if text.startswith(b"#"):
            continue
        text = _without_trailing_spaces(text)
        if not text:
            continue
        try:
            rules.append(_parse(text))
        except NeverMatchesError:
            unmatchable.append(line)
    return Patterns(rules, tuple(unmatchable))


def _without_trailing_spaces(text: bytes) -> bytes:
    """Drop trailing spaces, but not one that a backslash escapes."""
    stripped = text.rstrip(b" ")
    backslashes = len(stripped) - len(stripped.rstrip(b"\\"))
    has_escaped_space = backslashes % 2 == 1 and len(stripped) < len(text)
    return stripped + b" " if has_escaped_space else stripped


def _parse(text: bytes) -> _Rule:
    is_exclusion = not text.startswith(b"!")
    glob = text if is_exclusion else text[1:]
    is_folders_only = glob.endswith(b"/")
    glob = glob.removesuffix(b"/")
    if not glob:
        raise NeverMatchesError
    if SLASH not in glob:
        return _name_rule(glob, is_exclusion=is_exclusion, is_folders_only=is_folders_only)
    tokens = tuple(tokenize(glob.removeprefix(b"/")))
    # Also refuses what can never match because of where its separators stand.
    expression = path_expression(tokens)
    literal = literal_of(tokens)
    if literal is not None:
        return _Rule(is_exclusion, is_folders_only, path=literal)
    return _Rule(is_exclusion, is_folders_only, path_expression=expression)


def _name_rule(glob: bytes, *, is_exclusion: bool, is_folders_only: bool) -> _Rule:
    """Return the rule for a pattern without separators, which matches a name in any folder."""
    tokens = tuple(tokenize(glob))
    literal = literal_of(tokens)
    if literal is not None:
        return _Rule(is_exclusion, is_folders_only, name=literal)
    if isinstance(tokens[0], Stars):
        suffix = literal_of(tokens[1:])
        if suffix is not None:
            return _Rule(is_exclusion, is_folders_only, suffix=suffix)
    return _Rule(is_exclusion, is_folders_only, name_expression=name_expression(tokens))


def anchored_spelling(line: bytes, source_root: bytes) -> bytes | None:
    """Return the pattern that *line* probably means if it spells a path below *source_root*.

    People write ``--exclude /home/x/cache`` beside the source ``/home``: as a pattern that is
    ``/home/home/x/cache``, and leaves out nothing. The answer here is ``/x/cache``, to be offered
    as a hint. None if *line* does not begin with the source's absolute path.
    """
    root = source_root.rstrip(b"/")
    negation = line[:1] if line.startswith(b"!") else b""
    glob = line.removeprefix(negation)
    if not root or not glob.startswith(root + b"/") or not glob[len(root) :].strip(b"/ "):
        return None
    return negation + glob[len(root) :]
