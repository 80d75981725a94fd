"""Doors to the file system that take notes, or that forget what was never synced."""

import os
import stat
from pathlib import Path

from doubles.storage import PowerCut
from holdfast.storage._files import SystemFiles


class TracingFiles(SystemFiles):
    """Notes every changing or syncing call as (verb, path below the root)."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def open(self, path: str, flags: int, mode: int = 0, *, folder: int) -> int:
        if flags & os.O_CREAT:
            self._before("create", folder, path)
        return super().open(path, flags, mode, folder=folder)

    def write(self, descriptor: int, data: memoryview) -> int:
        self._before("write", descriptor)
        return super().write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        self._before("fsync", descriptor)
        super().fsync(descriptor)

    def make_folder(self, path: str, mode: int, *, folder: int) -> None:
        self._before("make_folder", folder, path)
        super().make_folder(path, mode, folder=folder)

    def remove_folder(self, path: str, *, folder: int) -> None:
        self._before("remove_folder", folder, path)
        super().remove_folder(path, folder=folder)

    def link(self, source: str, target: str, *, source_folder: int, folder: int) -> None:
        self._before("link", folder, target)
        super().link(source, target, source_folder=source_folder, folder=folder)

    def rename(self, source: str, target: str, *, source_folder: int, folder: int) -> None:
        self._before("rename", folder, target)
        super().rename(source, target, source_folder=source_folder, folder=folder)

    def unlink(self, path: str, *, folder: int) -> None:
        self._before("unlink", folder, path)
        super().unlink(path, folder=folder)

    def _before(self, verb: str, descriptor: int, path: str = "") -> None:
        where = Path(f"/proc/self/fd/{descriptor}").readlink() / path
        self.calls.append((verb, str(where)))


class VolatileFiles(TracingFiles):
    """Cuts the power before the n-th changing call (from 1), and knows what survives.

    The model is the least that POSIX gives: a file's bytes survive from its last fsync on, else it
    is empty; a name, given or taken, survives from the fsync of its folder on.
    """

    def __init__(self, root: Path, *, dies_before: int | None = None) -> None:
        super().__init__()
        self.is_dead = False
        self._root = root
        self._dies_before = dies_before
        self._bytes: dict[int, bytes] = {}
        self._names: dict[int, dict[str, tuple[int, bool]]] = {}
        # An inode number that is still open is not given out again.
        self._held: dict[int, int] = {}
        for folder in (root, *root.rglob("*")):
            if folder.is_dir():
                self._keep_names(folder)
            else:
                self._bytes[folder.stat().st_ino] = folder.read_bytes()

    def fsync(self, descriptor: int) -> None:
        super().fsync(descriptor)
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            self._keep_names(path)
        else:
            self._bytes[found.st_ino] = path.read_bytes()

    def survivors(self, target: Path) -> None:
        """Write into *target* what is there when the power comes back."""
        self._restore(self._root.stat().st_ino, target)

    def release(self) -> None:
        """Let go of all inodes."""
        while self._held:
            os.close(self._held.popitem()[1])

    def _before(self, verb: str, descriptor: int, path: str = "") -> None:
        if self.is_dead:
            raise PowerCut
        super()._before(verb, descriptor, path)
        if len(self.calls) == self._dies_before:
            self.is_dead = True
            raise PowerCut

    def open(self, path: str, flags: int, mode: int = 0, *, folder: int) -> int:
        descriptor = super().open(path, flags, mode, folder=folder)
        inode = os.fstat(descriptor).st_ino
        if inode not in self._held:
            self._held[inode] = os.dup(descriptor)
        return descriptor

    def _keep_names(self, folder: Path) -> None:
        with os.scandir(folder) as entries:
            self._names[folder.stat().st_ino] = {
                entry.name: (entry.inode(), entry.is_dir()) for entry in entries
            }

    def _restore(self, inode: int, target: Path) -> None:
        target.mkdir(exist_ok=True)
        for name, (below, is_folder) in self._names.get(inode, {}).items():
            if is_folder:
                self._restore(below, target / name)
            else:
                (target / name).write_bytes(self._bytes.get(below, b""))
