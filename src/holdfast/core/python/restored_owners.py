"""Whose a restored thing is: owners by name where this machine knows the name."""

import grp
import pwd
from collections.abc import Callable, Mapping

from holdfast.core.python.leaves import Leaf


class LocalOwners:
    """Translates the owners of a leaf into those of this machine."""

    def __init__(self, *, numeric_ids: bool) -> None:
        self._numeric_ids = numeric_ids
        self._users: dict[bytes, int | None] = {}
        self._groups: dict[bytes, int | None] = {}

    def users(self, leaf: Leaf) -> dict[int, int]:
        """Return the user ids of a leaf that are others here."""
        return {} if self._numeric_ids else _others(leaf.users, self._user)

    def groups(self, leaf: Leaf) -> dict[int, int]:
        """Return the group ids of a leaf that are others here."""
        return {} if self._numeric_ids else _others(leaf.groups, self._group)

    def _user(self, name: bytes) -> int | None:
        if name not in self._users:
            try:
                self._users[name] = pwd.getpwnam(name.decode("utf-8", "surrogateescape")).pw_uid
            except (KeyError, ValueError):
                self._users[name] = None
        return self._users[name]

    def _group(self, name: bytes) -> int | None:
        if name not in self._groups:
            try:
                self._groups[name] = grp.getgrnam(name.decode("utf-8", "surrogateescape")).gr_gid
            except (KeyError, ValueError):
                self._groups[name] = None
        return self._groups[name]


def _others(names: Mapping[int, bytes], look_up: Callable[[bytes], int | None]) -> dict[int, int]:
    found = {}
    for number, name in names.items():
        here = look_up(name)
        if here is not None and here != number:
            found[number] = here
    return found
