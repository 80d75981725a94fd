"""Spans of calendar time as people type them: ``7d``, ``2w``, ``6m``, ``1y``, ``36h``, ``1y6m``."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import MINYEAR, UTC, datetime, timedelta, tzinfo
from typing import Final, Self

from holdfast.policy.errors import InvalidDurationError

_PART: Final = re.compile(r"(\d{1,6})([ymwdh])", re.ASCII)
_DURATION: Final = re.compile(r"(?:\d{1,6}[ymwdh])+", re.ASCII)
_MONTHS_PER_YEAR: Final = 12
_BEGINNING: Final = datetime(MINYEAR, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Duration:
    """Years, months, weeks, days and hours: ``m`` is months, there are no minutes."""

    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a duration; each unit at most once, in any order.

        Raises:
            InvalidDurationError: *text* is not a duration, or nothing but zeros.
        """
        typed = text.strip()
        parts = {unit: int(number) for number, unit in _PART.findall(typed)}
        is_well_formed = _DURATION.fullmatch(typed) and len(parts) == len(_PART.findall(typed))
        if not is_well_formed or not any(parts.values()):
            message = f"'{text}' is not a duration"
            hint = "Write numbers with units, m being months: 7d, 2w, 6m, 1y, 36h, 1y6m."
            raise InvalidDurationError(message, hint=hint)
        return cls(
            years=parts.get("y", 0),
            months=parts.get("m", 0),
            weeks=parts.get("w", 0),
            days=parts.get("d", 0),
            hours=parts.get("h", 0),
        )

    def __str__(self) -> str:
        """Return what :meth:`parse` reads."""
        counts = zip(
            (self.years, self.months, self.weeks, self.days, self.hours), "ymwdh", strict=True
        )
        return "".join(f"{count}{unit}" for count, unit in counts if count) or "0h"

    def before(self, moment: datetime, zone: tzinfo) -> datetime:
        """Return the moment this long before *moment*, in UTC.

        Years, months, weeks and days step through *zone*'s calendar at the same time of day, so a
        day is 23 or 25 hours long where clocks change; hours are real hours. The last day of a
        shorter month stands for a day that it does not have. Never before the year 1.
        """
        local = moment.astimezone(zone)
        months = local.year * _MONTHS_PER_YEAR + local.month - 1
        months -= self.years * _MONTHS_PER_YEAR + self.months
        year, month_index = divmod(months, _MONTHS_PER_YEAR)
        if year < MINYEAR:
            return _BEGINNING
        month = month_index + 1
        day = min(local.day, monthrange(year, month)[1])
        try:
            stepped = local.replace(year=year, month=month, day=day)
            stepped -= timedelta(days=self.days + 7 * self.weeks)
            return stepped.astimezone(UTC) - timedelta(hours=self.hours)
        except OverflowError:
            return _BEGINNING
