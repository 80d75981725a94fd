"""The door to the file system: every call that changes or syncs it goes through here.

A test passes a door that notes the calls, or that forgets what was never synced.
"""

import fcntl
import os


class SystemFiles:
    """The system's own calls. Paths are relative to an open folder; links are never followed."""

    def open(self, path: str, flags: int, mode: int = 0, *, folder: int) -> int:
        """Open or create a file or folder."""
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write some of *data*; return how much."""
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        """Wait until the file's bytes, or the folder's names, survive a power cut."""
        os.fsync(descriptor)

    def make_folder(self, path: str, mode: int, *, folder: int) -> None:
        """Make a folder."""
        os.mkdir(path, mode, dir_fd=folder)

    def remove_folder(self, path: str, *, folder: int) -> None:
        """Remove an empty folder."""
        os.rmdir(path, dir_fd=folder)

    def link(self, source: str, target: str, *, source_folder: int, folder: int) -> None:
        """Give a file a second name; fails if *target* is taken."""
        os.link(source, target, src_dir_fd=source_folder, dst_dir_fd=folder, follow_symlinks=False)

    def rename(self, source: str, target: str, *, source_folder: int, folder: int) -> None:
        """Give a file another name; replaces *target*."""
        os.rename(source, target, src_dir_fd=source_folder, dst_dir_fd=folder)

    def unlink(self, path: str, *, folder: int) -> None:
        """Take a file's name away."""
        os.unlink(path, dir_fd=folder)

    def lock(self, descriptor: int) -> None:
        """Lock a file or folder until it is closed; fails if somebody else has it locked."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
