"""Whom new files belong to when root works in somebody else's repository.

Else root would leave files there for root only, and lock the owner of the repository out of it.
"""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Owner:
    """A user and a group, by number."""

    user: int
    group: int

    @classmethod
    def to_give(cls, root: int) -> Self | None:
        """Return whom new files below the open folder *root* are given to; None for nobody."""
        found = os.fstat(root)
        if os.geteuid() != 0 or found.st_uid == 0:
            return None
        return cls(found.st_uid, found.st_gid)

    def take(self, descriptor: int) -> None:
        """Give a file or folder away that this process has just made.

        The owner of the folder could have put another file in its place: a file that is not this
        user's, or that has another name somewhere, stays what it is. So does everything on a file
        system that keeps no owners.
        """
        found = os.fstat(descriptor)
        is_folder = stat.S_ISDIR(found.st_mode)
        if found.st_uid == os.geteuid() and (is_folder or found.st_nlink == 1):
            with suppress(OSError):
                os.fchown(descriptor, self.user, self.group)
