"""A retention plan as a picture: months down, days across, for a terminal of 78 columns.

People see at a glance what stays, what goes, and where nobody made a backup.
"""

import unicodedata
from calendar import monthrange
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Final

from holdfast.policy.retention import Decision, RetentionPlan

WIDTH: Final = 78
_DAYS: Final = 31
_RULER: Final = "".join(
    f"{day:>2}" if day == 1 or day % 5 == 0 else "  " for day in range(1, _DAYS + 1)
)
_MONTHS_PER_YEAR: Final = 12
_NARROW: Final = frozenset({"N", "Na", "H", "A"})
_Month = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Marks:
    """The characters of the picture."""

    kept: str
    forgotten: str
    both: str
    nothing: str
    ellipsis: str


UNICODE_MARKS: Final = Marks(kept="●", forgotten="○", both="◐", nothing="·", ellipsis="…")
ASCII_MARKS: Final = Marks(kept="#", forgotten="o", both="+", nothing=".", ellipsis="~")


def render_calendar(
    plan: RetentionPlan,
    *,
    marks: Marks = UNICODE_MARKS,
    show: Callable[[str], str] = lambda name: name,
) -> str:
    """Draw *plan*, one block per series, one row per month, one column per day.

    Days are those of the plan's time zone. Months without any point are drawn as one line. No line
    is wider than :data:`WIDTH`. *show* makes a name printable; what it leaves comes out as ``?``.
    """
    legend = f"{marks.kept} kept   {marks.forgotten} forgotten   {marks.nothing} no point"
    lines = [f"{legend}   {marks.both} some of the day's points kept"]
    for series, decisions in plan.by_series():
        kept = sum(decision.is_kept for decision in decisions)
        counts = f"  {kept} kept, {len(decisions) - kept} forgotten"
        lines += ["", _clip(show(series), WIDTH - len(counts), marks.ellipsis) + counts]
        lines.append(" " * 7 + _RULER)
        lines += _months(decisions, plan.zone, marks)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _months(decisions: Sequence[Decision], zone: tzinfo, marks: Marks) -> Iterator[str]:
    """Yield the rows, the oldest month first."""
    kept: Counter[tuple[_Month, int]] = Counter()
    forgotten: Counter[tuple[_Month, int]] = Counter()
    for decision in decisions:
        local = decision.candidate.taken_at.astimezone(UTC).astimezone(zone)
        day = ((local.year, local.month), local.day)
        (kept if decision.is_kept else forgotten)[day] += 1
    previous: int | None = None
    for month in sorted({month for month, _ in (kept | forgotten)}):
        number = month[0] * _MONTHS_PER_YEAR + month[1]
        missing = 0 if previous is None else number - previous - 1
        if missing:
            yield " " * 8 + f"({missing} {'month' if missing == 1 else 'months'} without a point)"
        previous = number
        row = f"{month[0]:04}-{month[1]:02}"
        for day_number in range(1, monthrange(*month)[1] + 1):
            day = (month, day_number)
            row += " " + _mark(kept[day], forgotten[day], marks)
        yield row


def _mark(kept: int, forgotten: int, marks: Marks) -> str:
    if kept and forgotten:
        return marks.both
    if kept:
        return marks.kept
    return marks.forgotten if forgotten else marks.nothing


def _clip(name: str, width: int, ellipsis: str) -> str:
    """Make *name* printable and at most *width* columns wide; wide characters count as two."""
    shown = "".join(character if character.isprintable() else "?" for character in name)
    if _columns(shown) <= width:
        return shown
    while _columns(shown) > width - len(ellipsis):
        shown = shown[:-1]
    return shown + ellipsis


def _columns(text: str) -> int:
    return sum(1 if unicodedata.east_asian_width(c) in _NARROW else 2 for c in text)
