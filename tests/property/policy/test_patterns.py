"""Patterns, for all bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.policy.errors import InvalidPatternError
from holdfast.policy.patterns import compile_patterns, split_pattern_file

special = st.lists(st.sampled_from(b"ab/*?[]!\\-:^ #\n"), max_size=20).map(bytes)
lines = st.lists(special | st.binary(max_size=20), max_size=5)
without_zero = lines.map(lambda drawn: [line.replace(b"\0", b"") for line in drawn])
names = st.binary(min_size=1, max_size=5).filter(lambda name: not set(name) & set(b"/\0"))
paths = st.lists(names, min_size=1, max_size=5).map(b"/".join)
bounded = settings(max_examples=200, deadline=None)


@bounded
@given(drawn=lines, path=paths, is_folder=st.booleans())
def test_any_bytes_compile_or_are_refused_by_our_own_error(
    *, drawn: list[bytes], path: bytes, is_folder: bool
) -> None:
    """A pattern file is whatever somebody wrote into it."""
    if any(b"\0" in line for line in drawn):
        with pytest.raises(InvalidPatternError):
            compile_patterns(drawn)
    else:
        compile_patterns(drawn).excludes(path, is_folder)


@bounded
@given(drawn=without_zero, path=paths, is_folder=st.booleans())
def test_everything_excluded_last_is_excluded_and_everything_readmitted_last_is_not(
    *, drawn: list[bytes], path: bytes, is_folder: bool
) -> None:
    """The last pattern that matches decides, whatever stands before it."""
    assert compile_patterns([*drawn, b"*"]).excludes(path, is_folder)
    assert not compile_patterns([*drawn, b"!*"]).excludes(path, is_folder)


@bounded
@given(path=paths, is_folder=st.booleans())
def test_an_escaped_path_excludes_itself_and_nothing_beside_it(
    *, path: bytes, is_folder: bool
) -> None:
    """Any name can be spelt as a pattern."""
    quoted = b"/" + b"".join(b"\\%c" % byte if byte != 0x2F else b"/" for byte in path)

    # One carriage return at the end of a line belongs to the line's end.
    patterns = compile_patterns([quoted + b"\r"])
    assert patterns.excludes(path, is_folder)
    assert not patterns.excludes(path + b"x", is_folder)
    assert not patterns.excludes(b"x/" + path, is_folder)


@bounded
@given(without_zero)
def test_a_pattern_file_gives_back_its_lines(drawn: list[bytes]) -> None:
    """Splitting at newlines is all that happens to them."""
    content = b"\n".join(drawn)

    assert split_pattern_file(b"\xef\xbb\xbf" + content) == content.split(b"\n")
