"""Making one thing of a tree in an open folder of the target."""

import os
import stat
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Final

from holdfast.base.progress import Finding
from holdfast.base.randomness import Random
from holdfast.base.sizes import MIB
from holdfast.core.python import linux_restore as linux
from holdfast.core.python.contents import (
    ContentReader,
    Extent,
    ExtentCursor,
    chunk_of,
    data_runs,
)
from holdfast.core.python.entries import (
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    DEVICE,
    EXTENT_MAP,
    FIFO,
    FILE,
    ID_SIZE,
    LINK_TARGET,
    SOCKET,
    SYMLINK,
    Entry,
)
from holdfast.core.python.metadata import Metadata
from holdfast.core.python.node_reader import NodeReader, Work, folder_of
from holdfast.core.python.restore_folders import TEMPORARY, Found, Level, Owner, RestoreFolders
from holdfast.core.python.segment_reader import Fetcher, OpenedChunks
from holdfast.core.python.target_folders import components, open_walking
from holdfast.core.reader_errors import ChunkMismatchError
from holdfast.core.restore_rules import RestoreRules

_FORMATS: Final = {
    FILE: stat.S_IFREG,
    SYMLINK: stat.S_IFLNK,
    FIFO: stat.S_IFIFO,
    SOCKET: stat.S_IFSOCK,
    CHARACTER_DEVICE: stat.S_IFCHR,
    BLOCK_DEVICE: stat.S_IFBLK,
}
_BATCH_BYTES: Final = 16 * MIB
_LINKS_REMEMBERED: Final = 1 << 18
_PERMISSIONS: Final = 0o777
LINK_LOST: Final = "link-lost"

_LinkKey = tuple[object, ...]


class Placer:
    """Makes everything but folders."""

    def __init__(
        self,
        run: Fetcher,
        nodes: NodeReader,
        contents: ContentReader,
        folders: RestoreFolders,
        metadata: Metadata,
        rules: RestoreRules,
        target_fd: int,
        random: Random,
        found: Found,
    ) -> None:
        self._found: Final = found
        self._prefix_names: Final = len(components(folder_of(rules.strip_prefix)))
        self._run: Final = run
        self._nodes: Final = nodes
        self._contents: Final = contents
        self._folders: Final = folders
        self._metadata: Final = metadata
        self._rules: Final = rules
        self._target_fd: Final = target_fd
        self._random: Final = random
        self._umask: Final = linux.process_umask()
        self._links: dict[_LinkKey, tuple[list[bytes], bytes, tuple[int, int]]] = {}
        """Where the first name of a file with several names is: folder, name, identity."""
        self.bytes_written = 0

    def place_small(  # noqa: C901, PLR0912 - what most entries are made by, in one call
        self, level: Level, entry: Entry, owner: Owner, chunks: OpenedChunks
    ) -> bool:
        """Make a file without rare values in a new folder, from chunks that are at hand.

        This is what most entries are: one call, a handful of system calls. False: it is not such
        a file after all, nothing was done.

        Raises:
            IntegrityError: a chunk is damaged; there is no file then.
            OSError: the system refused; there is no file then, or an empty one with an old time.
        """
        count = entry.extent_count
        folder_fd = level.fd
        if count == EXTENT_MAP or folder_fd is None or level.inherits_acl:
            return False
        parts: list[memoryview] = []
        if count:
            ids = entry.ids
            if not chunks.has(ids[:ID_SIZE]):
                return False
            lengths = entry.lengths or (entry.size,)
            for number, length in enumerate(lengths):
                chunk = chunks.get(ids[ID_SIZE * number : ID_SIZE * number + ID_SIZE])
                if len(chunk) != length:
                    raise ChunkMismatchError(f"a chunk has {len(chunk)} bytes, not {length}")
                parts.append(chunk)
        mode = entry.mode
        learned = level.learned
        is_simple = learned == owner and not mode & ~_PERMISSIONS and not mode & self._umask
        try:
            fd = os.open(
                entry.name, linux.CREATE_FLAGS, mode if is_simple else 0o600, dir_fd=folder_fd
            )
        except FileExistsError:
            return False
        try:
            for part in parts:
                written = os.write(fd, part)
                while written < len(part):
                    written += os.write(fd, part[written:])
            if not is_simple:
                if learned is None:
                    status = os.fstat(fd)
                    learned = level.learned = (status.st_uid, status.st_gid)
                if learned != owner:
                    mode = self._metadata.chown_file(fd, entry, owner, level.path(entry.name))
                os.fchmod(fd, mode)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        except BaseException:
            with suppress(OSError):
                os.unlink(entry.name, dir_fd=folder_fd)
            raise
        finally:
            os.close(fd)
        self.bytes_written += entry.size
        return True

    def place(self, level: Level, entry: Entry, owner: Owner, chunks: OpenedChunks) -> Work[None]:
        """Make anything but a folder, by the rules for what is there.

        Raises:
            IntegrityError: what it holds cannot be had; what was there before is still there.
            OSError, ValueError, OverflowError: the system refused; likewise.
        """
        folder_fd = level.fd
        if folder_fd is None:
            return
        name = entry.name
        shown = level.path(name).decode("utf-8", "backslashreplace")
        xattrs = yield from self._folders.xattrs(self._run, entry)
        target = yield from self._contents.link_target(self._run, entry, shown)
        key = self._link_key(entry)
        status = _status(folder_fd, name)
        if status is not None:
            if stat.S_IFMT(status.st_mode) != _FORMATS[entry.type]:
                if not self._folders.clear_way(level, name, status):
                    return
                status = None
            elif self._is_settled(level, entry, owner, xattrs, target, status, key):
                return
        is_direct = status is None and level.is_new
        made = name if is_direct else TEMPORARY + self._random.take(8).hex().encode()
        if key is not None and key in self._links:
            if self._link(key, folder_fd, made, entry):
                if made != name:
                    os.rename(made, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
                return
            detail = "it is a file of its own now, not another name of the same"
            self._found(Finding(LINK_LOST, level.path(name), detail))
            key = None
        yield from self._make(
            level, made, entry, owner, (xattrs, target), chunks, is_replacing=status is not None
        )
        if key is not None:
            self._remember(key, level, name, _status(folder_fd, name))

    def _make(
        self,
        level: Level,
        made: bytes,
        entry: Entry,
        owner: Owner,
        values: tuple[dict[bytes, bytes], bytes],
        chunks: OpenedChunks,
        *,
        is_replacing: bool,
    ) -> Work[None]:
        """Make something under the name *made* and rename it; nothing is left of a failure."""
        folder_fd, name = level.fd, entry.name
        if folder_fd is None:
            return
        xattrs, target = values
        try:
            if entry.type == FILE:
                yield from self._make_file(
                    level, made, entry, owner, xattrs, chunks, is_replacing=is_replacing
                )
            else:
                self._make_other(folder_fd, made, entry, target)
                path = level.path(name)
                self._metadata.named_thing(folder_fd, made, entry, owner, xattrs, path)
            if made != name:
                os.rename(made, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        except FileExistsError:
            raise  # it is not ours
        except BaseException:
            with suppress(OSError):
                os.unlink(made, dir_fd=folder_fd)
            raise

    def _is_settled(
        self,
        level: Level,
        entry: Entry,
        owner: Owner,
        xattrs: dict[bytes, bytes],
        target: bytes,
        status: os.stat_result,
        key: _LinkKey | None,
    ) -> bool:
        """Say whether what is there, of the right type, stays; its metadata are put right then."""
        folder_fd = level.fd
        if folder_fd is None or self._rules.overwrite == "never" or self._is_first(key, status):
            return True
        if key in self._links or not self._is_in_place(folder_fd, entry, status, target):
            return False
        path = level.path(entry.name)
        if not _has_metadata(folder_fd, entry, owner, xattrs, status):
            self._metadata.named_thing(folder_fd, entry.name, entry, owner, xattrs, path)
        self._remember(key, level, entry.name, status)
        return True

    # --- what is there --------------------------------------------------------------------------

    def _is_in_place(
        self, folder_fd: int, entry: Entry, status: os.stat_result, target: bytes
    ) -> bool:
        """Say whether something of the right type needs its metadata only."""
        if self._rules.overwrite == "always" and entry.type == FILE:
            return False
        if entry.type == FILE:
            return is_same(entry, status)
        if entry.type == SYMLINK:
            return os.readlink(entry.name, dir_fd=folder_fd) == target
        if entry.device is not None:
            return (os.major(status.st_rdev), os.minor(status.st_rdev)) == entry.device
        return True

    # --- hard links -----------------------------------------------------------------------------

    def _link_key(self, entry: Entry) -> _LinkKey | None:
        group = entry.hard_link_group
        if group is None:
            return None
        content = tuple(one for one in entry.rare if one[0] in {LINK_TARGET, DEVICE})
        return (group, entry.type, entry.size, entry.ids, content)

    def _is_first(self, key: _LinkKey | None, status: os.stat_result) -> bool:
        known = None if key is None else self._links.get(key)
        return known is not None and known[2] == (status.st_dev, status.st_ino)

    def _remember(
        self, key: _LinkKey | None, level: Level, name: bytes, status: os.stat_result | None
    ) -> None:
        if key is None or key in self._links or status is None:
            return
        if len(self._links) >= _LINKS_REMEMBERED:
            self._links.pop(next(iter(self._links)))
        names = components(level.folder)[self._prefix_names :]
        self._links[key] = (names, name, (status.st_dev, status.st_ino))

    def _link(self, key: _LinkKey, folder_fd: int, name: bytes, entry: Entry) -> bool:
        """Make another name of a file that this run has put in place."""
        names, first, identity = self._links[key]
        try:
            source_fd = open_walking(self._target_fd, names)
        except OSError:
            return False
        try:
            os.link(first, name, src_dir_fd=source_fd, dst_dir_fd=folder_fd, follow_symlinks=False)
        except OSError:
            return False
        finally:
            os.close(source_fd)
        status = _status(folder_fd, name)
        # The inode alone does not tell: one that was freed is soon somebody else's.
        if (
            status is not None
            and (status.st_dev, status.st_ino) == identity
            and stat.S_IFMT(status.st_mode) == _FORMATS[entry.type]
            and (entry.type != FILE or status.st_size == entry.size)
        ):
            return True
        # Something else was put under the first name meanwhile.
        with suppress(OSError):
            os.unlink(name, dir_fd=folder_fd)
        return False

    # --- making ---------------------------------------------------------------------------------

    @staticmethod
    def _make_other(folder_fd: int, name: bytes, entry: Entry, target: bytes) -> None:
        if entry.type == SYMLINK:
            os.symlink(target, name, dir_fd=folder_fd)
            return
        device = 0 if entry.device is None else os.makedev(*entry.device)
        os.mknod(name, _FORMATS[entry.type] | 0o600, device, dir_fd=folder_fd)

    def _make_file(
        self,
        level: Level,
        name: bytes,
        entry: Entry,
        owner: Owner,
        xattrs: dict[bytes, bytes],
        chunks: OpenedChunks,
        *,
        is_replacing: bool,
    ) -> Work[None]:
        path = level.path(entry.name)
        shown = path.decode("utf-8", "backslashreplace")
        holes = yield from self._contents.holes(self._run, entry, shown)
        runs = data_runs(entry.size, holes)
        cursor = ExtentCursor(self._nodes, entry, sum(length for _, length in runs), shown)
        fd = os.open(name, linux.CREATE_FLAGS, 0o600, dir_fd=level.fd)
        try:
            is_filled = bool(holes) and not self._rules.sparse
            if is_filled:
                os.posix_fallocate(fd, 0, entry.size)
            writer = _Writer(fd, runs)
            yield from self._write(writer, cursor, chunks, shown)
            self.bytes_written += writer.written
            # A file grows with its data, so that one that lost some of them with the power is too
            # short to be taken for a whole one. Where its size comes before them, they go first.
            end = runs[-1][0] + runs[-1][1] if runs else 0
            if runs and (is_filled or end < entry.size):
                os.fdatasync(fd)
            if end < entry.size:
                os.ftruncate(fd, entry.size)
            self._metadata.open_thing(fd, entry, owner, xattrs, path)
            if is_replacing:
                # What it replaces must not be lost with the power.
                os.fdatasync(fd)
        finally:
            os.close(fd)

    def _write(
        self, writer: "_Writer", cursor: ExtentCursor, chunks: OpenedChunks, shown: str
    ) -> Work[None]:
        """Write all extents; the next batch is fetched and opened while one is written."""
        ahead: tuple[list[Extent], OpenedChunks] | None = None
        while (piece := (yield from cursor.next(self._run))) is not None:
            for batch in _batches(piece[1]):
                opened = chunks
                if not all(chunks.has(chunk_id) for chunk_id, _ in batch):
                    opened = yield from self._contents.begin(self._run, batch, shown)
                if ahead is not None:
                    yield from self._write_batch(writer, *ahead, shown)
                ahead = (batch, opened)
        if ahead is not None:
            yield from self._write_batch(writer, *ahead, shown)

    @staticmethod
    def _write_batch(
        writer: "_Writer", batch: list[Extent], opened: OpenedChunks, shown: str
    ) -> Generator[bool, None, None]:
        for extent in batch:
            writer.write(chunk_of(opened, extent, shown))
        yield True


def _batches(extents: list[Extent]) -> Iterator[list[Extent]]:
    batch: list[Extent] = []
    size = 0
    for extent in extents:
        batch.append(extent)
        size += extent[1]
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Writer:
    """Writes stored data where they belong: around the holes."""

    def __init__(self, fd: int, runs: list[tuple[int, int]]) -> None:
        self._fd: Final = fd
        self._runs: Final = runs
        self._run = 0
        self._place = 0
        """In the run, in bytes."""
        self.written = 0

    def write(self, data: memoryview) -> None:
        while data:
            start, length = self._runs[self._run]
            part = data[: length - self._place]
            count = os.pwrite(self._fd, part, start + self._place)
            self._place += count
            self.written += count
            data = data[count:]
            if self._place == length:
                self._run += 1
                self._place = 0


def _has_metadata(
    folder_fd: int, entry: Entry, owner: Owner, xattrs: dict[bytes, bytes], status: os.stat_result
) -> bool:
    return (
        (status.st_uid, status.st_gid) == owner
        and (entry.type == SYMLINK or stat.S_IMODE(status.st_mode) == entry.mode)
        and status.st_mtime_ns == entry.mtime_ns
        and linux.attributes_of(linux.attribute_path(folder_fd, entry.name)) == xattrs
    )


def is_same(entry: Entry, status: os.stat_result) -> bool:
    """Say whether ``if-changed`` keeps the content of a file.

    One that has other names, and has none in the tree, is another file.
    """
    return (
        status.st_size == entry.size
        and status.st_mtime_ns == entry.mtime_ns
        and (status.st_nlink == 1 or entry.hard_link_group is not None)
    )


def _status(folder_fd: int, name: bytes) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
