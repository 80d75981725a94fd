"""Is the repository sound? Its structure, its bytes, or what can be seen of it without any key."""

from dataclasses import dataclass
from datetime import datetime

from holdfast.base.progress import Listener, Progress
from holdfast.vault.report import Report


@dataclass(frozen=True, slots=True)
class TouchedPoint:
    """A restore point that damage touches; times and names as far as they can be read."""

    id: str
    time: datetime | None
    series: str | None


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found."""

    report: Report
    touched: tuple[TouchedPoint, ...]


class _Telling:
    """Turns the counts of a check into progress."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def __call__(self, phase: str, done: int, total: int | None, size_bytes: int) -> None:
        self._listener.progress(
            Progress(phase, items=done, items_total=total, bytes_done=size_bytes)
        )
