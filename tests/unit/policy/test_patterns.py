"""Patterns beyond what the vectors say."""

from pathlib import Path

import pytest

from holdfast.policy.errors import InvalidPatternError
from holdfast.policy.patterns import anchored_spelling, compile_patterns, split_pattern_file

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "patterns.md"


def test_no_patterns_exclude_nothing_and_say_so() -> None:
    """The walker may skip the question altogether."""
    patterns = compile_patterns([b"", b"# nothing", b"!readmits", b"!"])

    assert not patterns
    assert not patterns.excludes(b"readmits", is_folder=False)


def test_excludes_judges_the_entry_alone_and_excludes_within_its_folders_too() -> None:
    """A walker prunes and asks the cheap question; others need the whole one."""
    patterns = compile_patterns([b"build/"])

    assert patterns.excludes(b"build", is_folder=True)
    assert not patterns.excludes(b"build/x", is_folder=False)
    assert patterns.excludes_within(b"build/x", is_folder=False)
    assert patterns.excludes_within(b"a/build", is_folder=True)


def test_a_pattern_with_a_nul_byte_is_refused() -> None:
    """Git would silently cut it there."""
    with pytest.raises(InvalidPatternError, match=r"a\\0b"):
        compile_patterns([b"a\0b"])


def test_a_pattern_of_megabytes_is_cut_in_the_refusal() -> None:
    """It comes from a file that is no list."""
    with pytest.raises(InvalidPatternError) as caught:
        compile_patterns([b"a\0" + b"b" * 3_000_000])
    assert len(caught.value.message) < 300
    assert "3,000,002 bytes" in caught.value.message


def test_lines_that_can_never_match_are_named() -> None:
    """A typing error in an exclusion should not stay unseen for years."""
    lines = [b"a[b", b"ok", b"x\\", b"/", b"a//b", b"[/]x", b"[[:no:]]", b"//", b"*/"]
    expected = (b"a[b", b"x\\", b"/", b"a//b", b"[/]x", b"[[:no:]]", b"//")

    assert compile_patterns(lines).unmatchable == expected


def test_a_pattern_file_may_begin_with_a_byte_order_mark_and_have_any_line_ends() -> None:
    """Editors write them."""
    patterns = compile_patterns(split_pattern_file(b"\xef\xbb\xbfa\r\nb\n\nc"))

    assert [patterns.excludes(name, is_folder=False) for name in (b"a", b"b", b"c")] == [True] * 3


@pytest.mark.parametrize(
    ("line", "root", "meant"),
    [
        (b"/home/x/cache", b"/home", b"/x/cache"),
        (b"!/home/x", b"/home/", b"!/x"),
        (b"/home/", b"/home", None),
        (b"/homes/x", b"/home", None),
        (b"home/x", b"/home", None),
        (b"/etc", b"/", None),
    ],
)
def test_an_absolute_spelling_below_the_source_finds_the_pattern_that_was_meant(
    line: bytes, root: bytes, meant: bytes | None
) -> None:
    """So that the command line can say what would have worked."""
    assert anchored_spelling(line, root) == meant


def test_hostile_patterns_do_not_make_matching_slow() -> None:
    """Counted in the expression, not by a clock: these would not end with naive backtracking."""
    lines = [b"a*" * 40 + b"b", b"/" + b"**/*a*/" * 20 + b"x", b"/" + b"*a*a*a/**/" * 20 + b"x"]
    path = b"/".join([b"a" * 200] * 20) + b"/y"

    assert not compile_patterns(lines).excludes(path, is_folder=False)


def test_the_table_of_the_reference_page_is_true() -> None:
    """Every row: pattern, what it leaves out, what it does not."""
    rows = [line for line in REFERENCE.read_text().splitlines() if line.startswith("| `")]
    assert len(rows) >= 10
    for row in rows:
        pattern, excluded, included = ([*cell.split("`")[1::2]] for cell in row.split("|")[1:4])
        patterns = compile_patterns([line.encode() for line in pattern])
        for cell, expected in ((excluded, True), (included, False)):
            assert cell, row
            for path in cell:
                name = path.encode()
                answer = patterns.excludes_within(name.removesuffix(b"/"), name.endswith(b"/"))
                assert answer is expected, (row, path)
