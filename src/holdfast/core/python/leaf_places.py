"""Where the index has the chunks of recorded leaves."""

from typing import Final

from holdfast.core.python.chunk_store import ChunkStore
from holdfast.core.python.entries import ID_SIZE, Rare
from holdfast.core.python.leaves import LeafSection
from holdfast.core.python.state import RecordedLeaf, RecordedSection

_IDS: Final = 13
"""The item of a section that holds its ids (8.3)."""


class LeafPlaces:
    """Looks up all chunks of a leaf at once: sections are small, and each look-up has its price."""

    def __init__(self, store: ChunkStore) -> None:
        self._store: Final = store
        self._leaf: RecordedLeaf | None = None
        self._generation = 0
        self._answers: list[list[bytes]] = []
        """By section."""

    def of(self, recorded: RecordedSection) -> list[bytes]:
        """Return what the index answers for each chunk that a section needs."""
        if recorded.leaf is not self._leaf or self._generation != self._store.generation:
            self._leaf, self._generation = recorded.leaf, self._store.generation
            needed = [_needed(section) for section in recorded.leaf.leaf.sections]
            answers = iter(self._store.look_up(one for ids in needed for one in ids))
            self._answers = [[next(answers) for _ in ids] for ids in needed]
        return self._answers[recorded.number]


def _needed(section: LeafSection) -> list[bytes]:
    ids = split_ids(section.packed(_IDS))
    for rare in section.rare.values():
        ids += ids_in(rare)
    return ids


def split_ids(joined: bytes) -> list[bytes]:
    """Return the ids that are joined."""
    return [joined[start : start + ID_SIZE] for start in range(0, len(joined), ID_SIZE)]


def ids_in(rare: Rare) -> list[bytes]:
    """Return the ids of the chunks that long values are in."""
    return [
        one
        for _, value in rare
        if isinstance(value, tuple)
        for one in value
        if isinstance(one, bytes)
    ]
