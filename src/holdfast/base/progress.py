"""How far long work has come: plain numbers, shown by whoever speaks to people."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Progress:
    """One look at a running job. Totals are None while they are unknown."""

    phase: str
    items: int = 0
    items_total: int | None = None
    bytes_done: int = 0
    bytes_total: int | None = None
    bytes_stored: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about one item of a source, a target or a repository; the work goes on."""

    code: str
    path: bytes
    detail: str


class Listener(Protocol):
    """Whoever wants to know. Called often and from the working thread: be quick, never raise."""

    def progress(self, progress: Progress) -> None:
        """Take note of how far the work is."""
        ...

    def finding(self, finding: Finding) -> None:
        """Take note of something that went wrong with one item."""
        ...


class Silence:
    """Listens to nothing."""

    def progress(self, progress: Progress) -> None:
        """Ignore *progress*."""

    def finding(self, finding: Finding) -> None:
        """Ignore *finding*."""
