"""The paths that somebody named for a backup, relative to the root of the source.

None at all means the root, and so does ``.`` among others. One may lie below another: that matters
to the rules of what is left out, which are seen from the deepest named path above something.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

ROOT: Final = b"."
ROOTS: Final = frozenset((ROOT, b""))
"""Ways to name the root."""

_SLASH: Final = ord("/")


class NamedPaths:
    """Answers from where something is seen.

    Points come from whoever may write, so that nothing here takes more than the paths themselves:
    the folders above a path are not kept one by one.
    """

    def __init__(self, paths: Sequence[bytes]) -> None:
        self._named: Final = frozenset(b"" if path in ROOTS else path for path in paths)
        self._sorted: Final = sorted(self._named)
        self._lengths: Final = sorted({len(path) for path in self._named if path}, reverse=True)

    def leads(self, path: bytes) -> bool:
        """Say whether a path was named, or leads to one that was; the root does not count."""
        if path in self._named:
            return True
        below = path + b"/"
        place = bisect_left(self._sorted, below)
        return place < len(self._sorted) and self._sorted[place].startswith(below)

    def above(self, path: bytes) -> bytes | None:
        """Return the deepest named path that *path* lies below; None if it lies below none."""
        for length in self._lengths:
            if length < len(path) and path[length] == _SLASH and path[:length] in self._named:
                return path[:length]
        return b"" if path and b"" in self._named else None

    def seen(self, path: bytes) -> bytes | None:
        """Return a path as it is seen from the deepest named path above it.

        None for one that was named itself. What lies below none is seen from the root.
        """
        if path in self._named:
            return None
        above = self.above(path)
        return path[len(above) + 1 :] if above else path


def outermost(paths: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return those paths that do not lie below another one; none where the root is among them."""
    if not ROOTS.isdisjoint(paths):
        return ()
    named = NamedPaths(paths)
    return tuple(path for path in dict.fromkeys(paths) if named.above(path) is None)
