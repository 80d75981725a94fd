"""Listings: one folder, a whole tree, or what differs between two."""

from typing import Final

from holdfast.base.ids import NodeId
from holdfast.core.face import Page
from holdfast.core.python.branches import Inner
from holdfast.core.python.entries import FOLDER, Entry
from holdfast.core.python.leaves import Leaf
from holdfast.core.python.node_reader import (
    ROOT_KEY,
    LeafCursor,
    NodeReader,
    Work,
    entries_after,
    folder_of,
)
from holdfast.core.python.pages import Change, DiffPage, EntriesPage
from holdfast.core.python.reading_run import ReadingRun
from holdfast.core.reader_errors import TreeShapeError


class ListRun(ReadingRun[Page]):
    """The entries of one folder."""

    def __init__(
        self, nodes: NodeReader, root: NodeId, path: bytes, after: bytes | None, limit: int
    ) -> None:
        super().__init__(nodes.segments)
        self._nodes = nodes
        self._root = root
        self._path = path
        self._after = after
        self._limit = max(1, limit)

    def _work(self) -> Work[Page]:
        yield from self._nodes.require_folder(self, self._root, self._path)
        folder = folder_of(self._path)
        first = folder + b"\0"
        after = first if self._after is None else max(self._after, first)
        stop = folder + b"\1"
        cursor = LeafCursor(self._nodes, self._root, after)
        found: list[Entry] = []
        while (leaf := (yield from cursor.next(self, stop))) is not None:
            section = leaf.section(folder)
            if section is not None:
                name = after[len(first) :]
                if section.names[0] > name:
                    found.extend(section)
                elif section.names[-1] > name:
                    found.extend(entry for entry in section if entry.name > name)
            if len(found) > self._limit:
                return EntriesPage(found[: self._limit], found[self._limit - 1].key)
            if leaf.last_key >= stop:
                break
            yield True
        return EntriesPage(found, None)


class WalkRun(ReadingRun[Page]):
    """The entries of a whole tree in key order."""

    def __init__(self, nodes: NodeReader, root: NodeId, after: bytes | None, limit: int) -> None:
        super().__init__(nodes.segments)
        self._nodes = nodes
        self._root = root
        self._after = after
        self._limit = max(1, limit)

    def _work(self) -> Work[Page]:
        cursor = LeafCursor(self._nodes, self._root, self._after or ROOT_KEY)
        found: list[Entry] = []
        after = self._after
        folder = b""
        while (leaf := (yield from cursor.next(self))) is not None:
            check_root(leaf)
            for section in leaf.sections:
                if section.folder != folder:
                    folder = section.folder
                    yield from self._nodes.check_folder(self, self._root, folder)
            found.extend(entries_after(leaf, after))
            after = None
            if len(found) > self._limit:
                return EntriesPage(found[: self._limit], found[self._limit - 1].key)
            yield True
        return EntriesPage(found, None)


def check_root(leaf: Leaf) -> None:
    """Make sure that the entry of the root, if it is in this leaf, is a folder.

    Raises:
        TreeShapeError: it is something else.
    """
    section = leaf.sections[0]
    if not section.folder and not section.names[0] and section.types[0] != FOLDER:
        raise TreeShapeError("the root of a tree is no folder")


class _Side:
    """One of two trees that are walked in step."""

    def __init__(self, nodes: NodeReader, root: NodeId) -> None:
        self._nodes: Final = nodes
        self._root: Final = root
        self._stack: list[tuple[Inner, int]] = []
        self._entries: list[Entry] = []
        """What is left of the leaf where the walk stands, the next one last."""
        self._whole: Leaf | Inner | None = None
        """The root, as long as nothing of it was taken."""

    def start(self, run: ReadingRun[Page]) -> Work[None]:
        self._whole = yield from self._nodes.load_root(run, self._root)

    @property
    def is_in_leaf(self) -> bool:
        return bool(self._entries)

    @property
    def is_over(self) -> bool:
        return not self._entries and self._whole is None and not self._stack

    @property
    def entry(self) -> Entry:
        return self._entries[-1]

    def head(self) -> tuple[bytes, int, bytes]:
        """Return (id, level, first key) of the node that comes next; not inside a leaf."""
        if self._whole is not None:
            level = self._whole.level if isinstance(self._whole, Inner) else 0
            return self._root, level, ROOT_KEY
        inner, number = self._stack[-1]
        return inner.ids[number], inner.level - 1, inner.keys[number]

    def skip(self) -> None:
        """Leave out the node that comes next, or the entry where the walk stands."""
        if self._entries:
            self._entries.pop()
        elif self._whole is not None:
            self._whole = None
        else:
            inner, number = self._stack.pop()
            self._stack.append((inner, number + 1))
        self._leave()

    def descend(self, run: ReadingRun[Page]) -> Work[None]:
        """Go into the node that comes next."""
        if self._whole is not None:
            node, self._whole = self._whole, None
        else:
            inner, number = self._stack.pop()
            node = yield from self._nodes.load_child(run, inner, number)
            self._stack.append((inner, number + 1))
        if isinstance(node, Leaf):
            check_root(node)
            self._entries = list(node)
            self._entries.reverse()
        else:
            self._stack.append((node, 0))

    def _leave(self) -> None:
        while (
            not self._entries and self._stack and self._stack[-1][1] >= len(self._stack[-1][0].ids)
        ):
            self._stack.pop()


class DiffRun(ReadingRun[Page]):
    """What differs between two trees; nodes that both have are not read."""

    def __init__(
        self, nodes: NodeReader, old: NodeId, new: NodeId, after: bytes | None, limit: int
    ) -> None:
        super().__init__(nodes.segments)
        self._old = _Side(nodes, old)
        self._new = _Side(nodes, new)
        self._after = after
        self._limit = max(1, limit)
        self._found: list[Entry] = []
        self._changes: list[Change] = []

    def _work(self) -> Work[Page]:
        old, new = self._old, self._new
        yield from old.start(self)
        yield from new.start(self)
        while not (old.is_over and new.is_over):
            if len(self._found) > self._limit:
                last = self._found[self._limit - 1].key
                return DiffPage(
                    self._found[: self._limit], last, changes=self._changes[: self._limit]
                )
            if old.is_in_leaf and new.is_in_leaf:
                self._compare()
            elif old.is_over or new.is_over:
                yield from self._alone(new if old.is_over else old)
            elif old.is_in_leaf:
                yield from self._against(old, new)
            elif new.is_in_leaf:
                yield from self._against(new, old)
            else:
                yield from self._step_down()
            yield True
        return DiffPage(self._found, None, changes=self._changes)

    def _step_down(self) -> Work[None]:
        """Both stand before a node: leave out a common one, or go into the higher one."""
        old, new = self._old.head(), self._new.head()
        if old[0] == new[0]:
            self._old.skip()
            self._new.skip()
        elif old[1] > new[1]:
            yield from self._old.descend(self)
        elif old[1] < new[1]:
            yield from self._new.descend(self)
        else:
            # The one that begins first, so that nodes that moved along are still met in step.
            yield from (self._old if old[2] <= new[2] else self._new).descend(self)

    def _alone(self, side: _Side) -> Work[None]:
        if side.is_in_leaf:
            self._take(side)
        else:
            yield from side.descend(self)

    def _against(self, inside: _Side, before: _Side) -> Work[None]:
        """One stands in a leaf, the other before a node."""
        if inside.entry.key < before.head()[2]:
            self._take(inside)
        else:
            yield from before.descend(self)

    def _compare(self) -> None:
        old, new = self._old.entry, self._new.entry
        if old.key < new.key:
            self._take(self._old)
        elif new.key < old.key:
            self._take(self._new)
        else:
            if differs(old, new):
                self._report(new, "changed")
            self._old.skip()
            self._new.skip()

    def _take(self, side: _Side) -> None:
        self._report(side.entry, "removed" if side is self._old else "added")
        side.skip()

    def _report(self, entry: Entry, change: Change) -> None:
        if self._after is None or entry.key > self._after:
            self._found.append(entry)
            self._changes.append(change)


def differs(one: Entry, other: Entry) -> bool:
    """Say whether two entries would be restored differently: all but ctime and inode count."""
    return one[:7] != other[:7] or one[9:] != other[9:]
