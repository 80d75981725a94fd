"""Which entries of a tree are meant: paths, a prefix to strip, patterns."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from holdfast.core.python.entries import FOLDER, Entry
from holdfast.core.python.leaves import Leaf
from holdfast.core.python.node_reader import ROOT_KEY, folder_of, split_path
from holdfast.core.reader_errors import InvalidPathError
from holdfast.core.restore_rules import RestoreRules
from holdfast.policy.patterns import Patterns, compile_patterns

KeyRange = tuple[bytes, bytes | None]
"""From a key on, up to but not including another, or to the end."""


class Selection:
    """What of a tree is to be restored, and where it lands.

    Raises:
        InvalidPathError: a path is not one, or lies outside of the prefix that is stripped.
    """

    def __init__(self, below: Sequence[bytes], rules: RestoreRules) -> None:
        self.prefix: Final = folder_of(rules.strip_prefix)
        """The folder whose contents land in the target."""
        self._include: Final[Patterns | None] = (
            compile_patterns(rules.include) if rules.include else None
        )
        self._exclude: Final[Patterns | None] = (
            compile_patterns(rules.exclude) if rules.exclude else None
        )
        self._roots: Final = tuple(folder_of(root) for root in rules.roots)
        self._keep_above: Final = rules.keep_above
        self._spared: Final = tuple(rules.spared)
        self.paths: Final = tuple(dict.fromkeys(below)) or (rules.strip_prefix,)
        for path in self.paths:
            if path != rules.strip_prefix and not folder_of(path).startswith(self.prefix):
                raise InvalidPathError(
                    f"'{path.decode('utf-8', 'backslashreplace')}' is not below "
                    f"'{rules.strip_prefix.decode('utf-8', 'backslashreplace')}'"
                )
        self.ranges: Final = _merged(
            one for path in self.paths for one in _ranges(path, rules.strip_prefix)
        )

    def entries(self, leaf: Leaf, wanted: KeyRange) -> Iterator[tuple[bytes, list[Entry]]]:
        """Yield (folder, entries) of a leaf that lie in a range, the root itself left out."""
        start, stop = wanted
        for section in leaf.sections:
            first = section.folder + b"\0"
            entries = list(section)
            if first + section.names[0] < start:
                entries = [entry for entry in entries if entry.key >= start]
            if stop is not None and first + section.names[-1] >= stop:
                entries = [entry for entry in entries if entry.key < stop]
            if entries and not entries[0].name:
                entries = entries[1:]
            if entries:
                yield section.folder, entries

    def is_whole(self, folder: bytes) -> bool:
        """Say whether all that the tree has in a folder is meant, but for what is left out."""
        if not any(folder.startswith(folder_of(path)) for path in self.paths):
            return False
        if self._roots and not any(folder.startswith(root) for root in self._roots):
            return False
        if any(folder.startswith(folder_of(spared)) for spared in self._spared):
            return False
        above = folder.replace(b"\0", b"/")[:-1]
        if (
            above
            and self._exclude is not None
            and self._exclude.excludes_within(above, is_folder=True)
        ):
            return False
        return self._include is None or (
            bool(above) and self._include.excludes_within(above, is_folder=True)
        )

    def is_left_out(self, path: bytes, *, is_folder: bool) -> bool:
        """Say whether what has this path is never removed: by a pattern, or what it may hold."""
        if any((spared + b"/").startswith(path + b"/") for spared in self._spared):
            return True
        return self._exclude is not None and self._exclude.excludes(path, is_folder)

    def keeps_metadata(self, folder: bytes) -> bool:
        """Say whether a folder that is there stays as it is: it is only on the way to others."""
        return self._keep_above and any(
            root != folder and root.startswith(folder) for root in self._roots
        )

    def chosen(self, folder: bytes, entries: list[Entry]) -> list[Entry]:
        """Return those entries of a folder that the patterns leave."""
        include, exclude = self._include, self._exclude
        if include is None and exclude is None:
            return entries
        path = folder.replace(b"\0", b"/")
        above = path[:-1]
        if exclude is not None:
            if above and exclude.excludes_within(above, is_folder=True):
                return []
            entries = [
                entry
                for entry in entries
                if not exclude.excludes(path + entry.name, entry.type == FOLDER)
            ]
        if include is not None and not (above and include.excludes_within(above, is_folder=True)):
            entries = [
                entry
                for entry in entries
                if include.excludes(path + entry.name, entry.type == FOLDER)
            ]
        return entries


def _ranges(path: bytes, strip_prefix: bytes) -> Iterator[KeyRange]:
    if not path:
        yield ROOT_KEY, None
        return
    folder, name = split_path(path)
    if path != strip_prefix:
        key = folder + b"\0" + name
        yield key, key + b"\0"
    inside = folder + name
    yield inside + b"\0", inside + b"\1"


def _merged(ranges: Iterable[KeyRange]) -> list[KeyRange]:
    merged: list[KeyRange] = []
    for start, stop in sorted(ranges, key=lambda one: one[0]):
        if merged:
            before = merged[-1][1]
            if before is None:
                break
            if start <= before:
                merged[-1] = (merged[-1][0], None if stop is None else max(before, stop))
                continue
        merged.append((start, stop))
    return merged
