"""Answers to listings, page by page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from holdfast.core.python.entries import Entry

Change = Literal["added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class EntriesPage:
    """Entries in key order."""

    entries: Sequence[Entry]
    next_key: bytes | None
    """Where the next page goes on: the key of the last entry, or None when this is the last."""

    def __len__(self) -> int:
        return len(self.entries)

    def names(self) -> Sequence[bytes]:
        """Return the names of all entries in order."""
        return [entry.name for entry in self.entries]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)


@dataclass(frozen=True, slots=True)
class DiffPage(EntriesPage):
    """Entries that differ; what was removed, as it was, and everything else as it is now."""

    changes: Sequence[Change]
    """What happened to each entry."""
