"""Words that several commands share: how points are named, how amounts and times are typed."""

import os
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from holdfast.base.sizes import parse_size
from holdfast.cli.errors import UsageError
from holdfast.cli.output import printable

SourceOption = Annotated[
    str | None,
    typer.Option(
        "--source",
        metavar="NAME",
        help="Only points of the source of this name, or of this HOST/NAME.",
    ),
]
HostOption = Annotated[
    str | None, typer.Option("--host", metavar="HOST", help="Only points of this machine.")
]

_PERCENT: Final = 100.0
_EARLIEST: Final = datetime(1678, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2262, 1, 1, tzinfo=UTC)
"""Nanoseconds since 1970 in 64 bits go no further."""
_SMALL_NUMBER: Final = re.compile(r"[0-9]{1,9}")


def counted(count: int, one: str) -> str:
    """Return *count* of something whose plural ends with an s, such as ``1 file``."""
    return f"{count:,} {one}" + ("" if count == 1 else "s")


def split_point(text: str) -> tuple[str, bytes]:
    """Return point and path of ``POINT[:PATH]``; the path is empty if there is none."""
    name, _, path = text.partition(":")
    return name, os.fsencode(path)


def parse_percent(text: str) -> float:
    """Read ``5%`` or ``5`` as a share of 100.

    Raises:
        UsageError: it is none.
    """
    try:
        share = float(text.removesuffix("%"))
    except ValueError:
        share = -1.0
    if not 0.0 < share <= _PERCENT:
        raise UsageError(f"'{text}' is not a percentage.", hint="Write a number: --sample 5%.")
    return share


def parse_subset(text: str) -> float:
    """Read restic's ``--read-data-subset``: ``5%`` or ``1/20``.

    Raises:
        UsageError: it is neither.
    """
    part, slash, whole = text.partition("/")
    if slash and _SMALL_NUMBER.fullmatch(part) and _SMALL_NUMBER.fullmatch(whole) and int(whole):
        return parse_percent(str(_PERCENT / int(whole)))
    return parse_percent(text)


def parse_time(text: str) -> datetime:
    """Read a time of day and date, in the local zone where none is given.

    Raises:
        UsageError: it is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"'{text}' is not a time.", hint="Write 2026-03-20 12:00 or 2026-03-20T12:00:00+01:00."
        ) from None
    try:
        utc = moment.astimezone(UTC)
    except (OverflowError, ValueError):  # at either end of the calendar
        utc = _EARLIEST
    if not _EARLIEST < utc < _LATEST:
        raise UsageError(
            f"'{text}' is too long ago, or too far in the future.",
            hint="Write a time of the years 1678 to 2261.",
        )
    return utc


def parse_tags(texts: Iterable[str]) -> tuple[str, ...]:
    """Read tags: each text is one, or several with commas between them.

    Raises:
        UsageError: one is empty, or no text.
    """
    tags = [tag.strip() for text in texts for tag in text.split(",")]
    if not all(tags):
        raise UsageError("A tag is empty.", hint="Write --tag weekly, or --tag weekly,laptop.")
    return tuple(plain_text(tag, "tag") for tag in tags)


def plain_text(text: str, what: str) -> str:
    """Return *text*, which will be stored as text.

    Raises:
        UsageError: it is empty, or has bytes in it that are none.
    """
    if not text:
        raise UsageError(
            f"The {what} is empty.",
            hint="Write one, or leave the option away; in a script, is the variable set?",
        )
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(
            f"The {what} '{printable(text)}' is not text in UTF-8.",
            hint="Write it in UTF-8; only file names may hold any bytes.",
        ) from None
    return text


def parse_rate(text: str) -> int:
    """Read ``10M`` or ``10M/s`` as bytes a second.

    Raises:
        InvalidSizeError: it is none.
        UsageError: it is nothing at all, so that no work would ever end.
    """
    rate = parse_size(text.removesuffix("/s"))
    if not rate:
        raise UsageError("At a rate of 0 nothing is ever sent.", hint="Leave the limit away.")
    return rate
