"""What a backup's rules leave out, seen from the restore: names in the target that are spared.

The restore point cannot say whether something was not there or was left out. Where that cannot be
told here either, it counts as left out: whoever removes errs on the side of keeping.
"""

import os
import stat
from collections.abc import Collection, Iterable
from typing import Final

from holdfast.core.named_paths import NamedPaths
from holdfast.core.python import linux_restore as linux
from holdfast.core.python.target_folders import LookingStack
from holdfast.core.restore_rules import LeftOutRules
from holdfast.policy.patterns import compile_patterns

_CACHE_TAG: Final = b"CACHEDIR.TAG"


class LeftOut:
    """Judges names that the tree does not have. Without rules, nothing was left out."""

    def __init__(self, rules: LeftOutRules | None) -> None:
        found = LeftOutRules() if rules is None else rules
        self._patterns: Final = compile_patterns(tuple(found.patterns))
        self._named: Final = NamedPaths(found.named)
        self._larger: Final = found.larger_bytes
        self._caches: Final = found.caches
        self._markers: Final = frozenset(
            (*found.if_present, *((_CACHE_TAG,) if found.caches else ()))
        )
        self._hollows: Final = bool(self._markers) or found.one_file_system
        self._judges: Final = bool(self._patterns or self._markers or self._larger is not None)

    def is_hollow(self, folder: bytes, names: Iterable[bytes]) -> bool:
        """Say whether a folder in which the tree has *names* only may have held more.

        A folder with a marker, or on another file system, is stored empty; a cache with its tag.
        What leads to a named path is stored all the same. *folder* is that of a tree key.
        """
        if not self._hollows:
            return False
        above = folder.replace(b"\0", b"/")
        return all(
            (self._caches and name == _CACHE_TAG) or self._named.leads(above + name)
            for name in names
        )

    def spares(self, folder_fd: int, name: bytes, path: bytes) -> bool:
        """Say whether *name* is left out, or is a folder that holds something that is.

        *path* is its path below the root of the tree. Symlinks are not followed.

        Raises:
            OSError: nothing has this name.
        """
        if not self._judges:
            return False
        status = os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        if self._is_left_out(path, status) or self._is_in_passed(path):
            return True
        if not stat.S_ISDIR(status.st_mode):
            return False
        try:
            folder = os.open(name, linux.FOLDER_FLAGS, dir_fd=folder_fd)
            try:
                return self._holds_any(folder, path)
            finally:
                os.close(folder)
        except OSError:
            return True  # It cannot be looked into.

    def _is_left_out(self, path: bytes, status: os.stat_result) -> bool:
        seen = self._named.seen(path)
        if seen is None:
            return False
        if self._patterns.excludes(seen, stat.S_ISDIR(status.st_mode)):
            return True
        is_file = stat.S_ISREG(status.st_mode)
        return self._larger is not None and is_file and status.st_size > self._larger

    def _is_in_passed(self, path: bytes) -> bool:
        """Say whether a folder above is left out, and in the tree as the way to a named path."""
        above, _, _ = path.rpartition(b"/")
        if not above or not self._named.leads(above):
            return False
        seen = self._named.seen(above)
        return seen is not None and self._patterns.excludes_within(seen, is_folder=True)

    def _holds_any(self, folder_fd: int, path: bytes) -> bool:
        looking = LookingStack(folder_fd)
        waiting: list[list[bytes]] = [[]]
        try:
            while waiting:
                inside = waiting.pop()
                here = looking.open(inside)
                if here is None:
                    return True
                names: Collection[bytes] = linux.names_of(here)
                if not self._markers.isdisjoint(names):
                    return True
                above = b"/".join([path, *inside, b""])
                for name in names:
                    status = os.stat(name, dir_fd=here, follow_symlinks=False)
                    if self._is_left_out(above + name, status):
                        return True
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append([*inside, name])
        finally:
            looking.close()
        return False
