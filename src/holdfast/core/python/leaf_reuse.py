"""Leaves of the last point that come again as they are, in order among new entries."""

from collections.abc import Mapping
from typing import Final

from holdfast.core.python.leaf_columns import Columns
from holdfast.core.python.leaves import Leaf, LeafSection
from holdfast.core.python.state import RecordedLeaf, RecordedSection
from holdfast.core.python.tree_builder import TreeBuilder


class LeafReuse:
    """Stands before a `TreeBuilder`: hands on what is new, and known leaves as a whole.

    A leaf whose sections have all come again goes to the builder as the node that it is, which
    saves to cut and encode it. The tree is the same as if every entry had been added.
    """

    def __init__(
        self, builder: TreeBuilder, users: Mapping[int, bytes], groups: Mapping[int, bytes]
    ) -> None:
        self._builder: Final = builder
        self._users: Final = users
        self._groups: Final = groups
        self._leaf: RecordedLeaf | None = None
        self._waiting: list[LeafSection] = []

    def add(self, columns: Columns) -> None:
        """Take the next entries, all of one folder."""
        self.flush()
        self._builder.add_many(columns)

    def again(self, recorded: RecordedSection) -> None:
        """Take the next entries: all of a recorded section, as they are recorded."""
        if recorded.leaf is not self._leaf or recorded.number != len(self._waiting):
            self.flush()
            if recorded.number:
                self._builder.add_many(recorded.section.columns())
                return
            self._leaf = recorded.leaf
        self._waiting.append(recorded.section)
        if len(self._waiting) == len(recorded.leaf.leaf.sections):
            known = recorded.leaf
            if self._names_are_current(known.leaf) and self._builder.reuse(
                known.leaf, known.node, known.node_id
            ):
                self._leaf, self._waiting = None, []
            else:
                self.flush()

    def flush(self) -> None:
        """Hand on, entry by entry, what waits for the rest of its leaf."""
        waiting, self._leaf, self._waiting = self._waiting, None, []
        for section in waiting:
            self._builder.add_many(section.columns())

    def _names_are_current(self, leaf: Leaf) -> bool:
        uids = set().union(*(section.uids for section in leaf.sections))
        gids = set().union(*(section.gids for section in leaf.sections))
        return all(self._users.get(uid) == leaf.users.get(uid) for uid in uids) and all(
            self._groups.get(gid) == leaf.groups.get(gid) for gid in gids
        )
