"""What local storage does beyond the contract: links, modes, failures, spooling, sweeping."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.files import TracingFiles
from doubles.randomness import CountedRandom
from holdfast.base.errors import HoldfastError, InternalError
from holdfast.storage._files import SystemFiles
from holdfast.storage.errors import (
    ForeignObjectError,
    ObjectExistsError,
    RepositoryMissingError,
    SpoolElsewhereError,
    StorageBusyError,
    StorageDeniedError,
    StorageFullError,
    StorageReadOnlyError,
    StorageUnavailableError,
)
from holdfast.storage.local import LocalBackend


class RefusingFiles(SystemFiles):
    """One kind of call fails with one error."""

    def __init__(self, verb: str, number: int) -> None:
        def refuse(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        setattr(self, verb, refuse)


class InodeReusingFiles(TracingFiles):
    """A file system that gives a new folder the inode of the one that went."""

    def remove_folder(self, path: str, *, folder: int) -> None:
        self.rename(path, ".tmp-gone", source_folder=folder, folder=folder)
        self.calls.pop()

    def make_folder(self, path: str, mode: int, *, folder: int) -> None:
        try:
            os.rename(".tmp-gone", path, src_dir_fd=folder, dst_dir_fd=folder)
        except FileNotFoundError:
            super().make_folder(path, mode, folder=folder)
        else:
            self._before("make_folder", folder, path)


class FolderSyncRefusingFiles(SystemFiles):
    """A file system that cannot sync folders."""

    def fsync(self, descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112 - no Path at hand
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        super().fsync(descriptor)


def _open(root: Path, files: SystemFiles | None = None) -> LocalBackend:
    return LocalBackend(
        root,
        clock=ManualClock(datetime.now(UTC)),
        random=CountedRandom(),
        files=files,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def backend(root: Path) -> Iterator[LocalBackend]:
    opened = _open(root)
    yield opened
    opened.close()


_ASKS: list[Callable[[LocalBackend, str], object]] = [
    lambda backend, name: backend.get(name),
    lambda backend, name: backend.get_ranges(name, [(0, 1)]),
    lambda backend, name: backend.size(name),
    lambda backend, name: backend.exists(name),
    lambda backend, name: backend.put(name, b"mine"),
    lambda backend, name: backend.delete(name),
]


@pytest.mark.parametrize("ask", _ASKS)
@pytest.mark.parametrize("planted", ["file", "folder", "nowhere", "pipe"])
def test_nothing_planted_in_place_of_an_object_or_folder_is_followed(
    backend: LocalBackend,
    root: Path,
    tmp_path: Path,
    ask: Callable[[LocalBackend, str], object],
    planted: str,
) -> None:
    """Who can write to the repository cannot lead a command out of it, nor hold it up."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    name = "packs/secret"
    if planted == "folder":
        (root / "packs").symlink_to(outside)
    else:
        (root / "packs").mkdir()
        if planted == "pipe":
            os.mkfifo(root / name)
        else:
            (root / name).symlink_to(outside / ("secret" if planted == "file" else "new"))

    with pytest.raises(ForeignObjectError, match=name) as caught:
        ask(backend, name)

    assert caught.value.exit_code == 20
    assert list(backend.list("")) == []
    assert sorted(path.name for path in outside.iterdir()) == ["secret"]
    assert (outside / "secret").read_bytes() == b"secret"


def test_files_and_folders_are_for_this_user_only_within_the_umask(
    backend: LocalBackend, root: Path
) -> None:
    backend.put("packs/ab", b"")

    assert (root / "packs").stat().st_mode & 0o777 == 0o700
    assert (root / "packs" / "ab").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, StorageFullError),
        (errno.EDQUOT, StorageFullError),
        (errno.EROFS, StorageReadOnlyError),
        (errno.EACCES, StorageDeniedError),
        (errno.EIO, StorageUnavailableError),
    ],
)
@pytest.mark.parametrize("verb", ["write", "fsync", "link"])
def test_a_failed_put_leaves_nothing_and_says_why(
    root: Path, verb: str, number: int, error: type[HoldfastError]
) -> None:
    (root / "packs").mkdir()
    backend = _open(root, RefusingFiles(verb, number))

    with pytest.raises(error) as caught:
        backend.put("packs/ab", b"bytes")

    assert str(root) in str(caught.value)
    assert caught.value.retryable == (error is StorageUnavailableError)
    assert list((root / "packs").iterdir()) == []
    backend.close()


@pytest.mark.parametrize("verb", ["make_folder", "fsync", "link"])
def test_a_failed_put_takes_the_folders_with_it_that_it_made(root: Path, verb: str) -> None:
    """On a full disk folders may still be made; those that were there stay, empty or not."""
    (root / "vaults" / "old").mkdir(parents=True)
    spooled = root / "spooled"
    spooled.write_bytes(b"bytes")
    backend = _open(root, RefusingFiles(verb, errno.ENOSPC))

    with pytest.raises(StorageFullError, match="has no room left"):
        backend.put("vaults/old/packs/ab/cd", b"bytes")
    with pytest.raises(StorageFullError, match="has no room left"):
        backend.put_file("vaults/new/cd", spooled)

    assert [str(path.relative_to(root)) for path in sorted(root.rglob("*"))] == [
        "spooled",
        "vaults",
        "vaults/old",
    ]
    backend.close()


def test_a_folder_that_is_made_again_is_made_durable_again(root: Path) -> None:
    """Also where the file system gives it the inode of the one that went."""
    files = InodeReusingFiles()
    backend = _open(root, files)
    backend.put("packs/ab", b"bytes")
    first = files.calls.copy()
    backend.delete("packs/ab")
    files.calls.clear()

    backend.put("packs/ab", b"bytes")

    assert [verb for verb, _ in files.calls] == [verb for verb, _ in first]
    backend.close()


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_hard_links_it_is_still_write_once_but_promises_less(
    root: Path, tmp_path: Path, number: int
) -> None:
    backend = _open(root, RefusingFiles("link", number))
    spool = tmp_path / "spool"
    spool.write_bytes(b"spooled")

    assert backend.put("packs/ab", b"bytes")
    assert not backend.put("packs/ab", b"bytes")
    assert backend.put_file("packs/cd", spool)
    with pytest.raises(ObjectExistsError):
        backend.put("packs/ab", b"other")
    assert backend.get("packs/ab") == b"bytes"
    assert not backend.capabilities.conditional_put
    assert sorted(path.name for path in (root / "packs").iterdir()) == ["ab", "cd"]
    backend.close()


def test_where_folders_cannot_be_synced_durability_is_not_promised(root: Path) -> None:
    backend = _open(root, FolderSyncRefusingFiles())
    assert backend.capabilities.durable_put

    backend.put("ab", b"bytes")

    assert not backend.capabilities.durable_put
    backend.close()


def test_a_put_whose_folder_vanishes_makes_it_again(root: Path) -> None:
    class VanishingFiles(SystemFiles):
        times = 3

        def open(self, path: str, flags: int, mode: int = 0, *, folder: int) -> int:
            if flags & os.O_CREAT and self.times:
                self.times -= 1
                (root / "packs").rmdir()
            return super().open(path, flags, mode, folder=folder)

    backend = _open(root, VanishingFiles())

    assert backend.put("packs/ab", b"bytes")
    assert backend.get("packs/ab") == b"bytes"
    backend.close()


def test_a_repository_removed_meanwhile_is_said_to_be_missing(
    backend: LocalBackend, root: Path
) -> None:
    root.rmdir()

    with pytest.raises(RepositoryMissingError, match="removed"):
        backend.put("packs/ab", b"")


def test_deleting_the_last_object_removes_its_empty_folders_only(
    backend: LocalBackend, root: Path
) -> None:
    backend.put("leases/one/1", b"")
    backend.put("leases/two/1", b"")

    backend.delete("leases/one/1")
    assert [path.name for path in (root / "leases").iterdir()] == ["two"]
    backend.delete("leases/two/1")
    assert list(root.iterdir()) == []


def test_a_spooled_file_is_moved_not_copied(backend: LocalBackend) -> None:
    path = backend.spool_folder() / "growing"
    assert backend.spool_folder() == path.parent
    path.write_bytes(b"pack")
    inode = path.stat().st_ino

    assert backend.put_file("packs/ab", path)

    assert not path.exists()
    assert Path(backend.address, "packs/ab").stat().st_ino == inode
    assert backend.is_empty() is False


def test_a_spooled_file_that_is_there_already_goes_and_a_different_one_stays(
    backend: LocalBackend,
) -> None:
    backend.put("packs/ab", b"pack")
    same, other = (backend.spool_folder() / name for name in ("same", "other"))
    same.write_bytes(b"pack")
    other.write_bytes(b"mine")

    assert not backend.put_file("packs/ab", same)
    assert not same.exists()
    with pytest.raises(ObjectExistsError):
        backend.put_file("packs/ab", other)
    assert other.read_bytes() == b"mine"
    assert [found.name for found in backend.list("")] == ["packs/ab"]


def test_a_file_of_another_file_system_is_refused_and_stays(root: Path, tmp_path: Path) -> None:
    backend = _open(root, RefusingFiles("link", errno.EXDEV))
    path = tmp_path / "elsewhere"
    path.write_bytes(b"mine")

    with pytest.raises(SpoolElsewhereError):
        backend.put_file("packs/ab", path)
    assert path.read_bytes() == b"mine"
    backend.close()


def test_sweeping_removes_what_a_crash_left_and_nothing_else(
    backend: LocalBackend, root: Path
) -> None:
    backend.put("packs/ab", b"pack")
    (root / "foreign.txt").write_bytes(b"mine")
    old = [root / ".tmp-1", root / "packs" / ".tmp-2", backend.spool_folder() / "growing"]
    for path in (*old, root / "packs" / ".tmp-young", root / "foreign.txt"):
        path.write_bytes(b"left")
    (root / "leases" / "empty").mkdir(parents=True)
    for path in (*old, root / "packs" / "ab", root / "leases" / "empty", root / "foreign.txt"):
        os.utime(path, (0, 0))
    (root / "points").symlink_to(root / "packs")

    assert [found.name for found in backend.list("")] == ["packs/ab"]
    assert backend.sweep(older_than_seconds=3600) == 3
    assert not any(path.exists() for path in old)
    assert (root / "packs" / ".tmp-young").exists()
    assert (root / "foreign.txt").exists()
    assert not (root / "leases" / "empty").exists()
    assert backend.get("packs/ab") == b"pack"


def test_sweeping_is_not_led_too_deep(backend: LocalBackend, root: Path) -> None:
    """Whoever can write to the repository can make folders in folders without end."""
    backend.put("packs/ab", b"pack")
    (root / ".tmp-1").write_bytes(b"left")
    os.utime(root / ".tmp-1", (0, 0))
    folder = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("a", dir_fd=folder)
        below = os.open("a", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)

    assert backend.sweep(older_than_seconds=3600) == 1
    assert [found.name for found in backend.list("")] == ["packs/ab"]
    # pytest cannot remove it either.
    subprocess.run(["rm", "-rf", str(root / "a")], check=True)


def test_things_that_cannot_be_objects_are_not_listed(backend: LocalBackend, root: Path) -> None:
    (root / "packs").mkdir()
    for name in ("UPPER", "a.b", ".hidden", "packs/ü"):
        (root / name).write_bytes(b"")
    (root / "Folder").mkdir()
    os.close(os.open(os.fsencode(root) + b"/\xff", os.O_CREAT | os.O_WRONLY))

    assert list(backend.list("")) == []


def test_free_space_is_told(backend: LocalBackend) -> None:
    free = backend.free_bytes()
    assert free is not None
    assert free >= 0


def test_a_closed_backend_answers_nothing(root: Path) -> None:
    """Its root's descriptor number may already belong to somebody else."""
    backend = _open(root)
    backend.close()
    backend.close()

    with pytest.raises(InternalError, match="closed"):
        backend.get("a")


def test_what_a_failed_put_left_does_not_make_the_root_somebody_elses(
    backend: LocalBackend, root: Path
) -> None:
    """Otherwise an init that met a full disk could not be run again."""
    (root / "packs" / "ab").mkdir(parents=True)
    (root / "packs" / "ab" / ".tmp-1").write_bytes(b"left")
    assert backend.is_empty()

    (root / "packs" / "ab" / "photo.jpg").write_bytes(b"mine")
    assert not backend.is_empty()


def test_temporary_names_that_come_up_again_are_passed_over(root: Path) -> None:
    """A write-once promise does not rest on luck."""
    left = root / f".tmp-{CountedRandom().take(12).hex()}"
    left.write_bytes(b"of another")
    backend = _open(root)

    assert backend.put("ab", b"bytes")
    assert left.read_bytes() == b"of another"
    backend.close()


def test_one_is_alone_and_the_others_are_told_so_in_time(tmp_path: Path) -> None:
    """The lock leaves no file, and ends with the block."""
    clock = ManualClock()
    one, two = (LocalBackend(tmp_path, clock=clock, random=CountedRandom()) for _ in range(2))
    with one.alone(5) as is_alone:
        assert is_alone
        begin = clock.monotonic_seconds()
        with pytest.raises(StorageBusyError), two.alone(5):
            pass
        assert 5 <= clock.monotonic_seconds() - begin < 6
        with pytest.raises(StorageBusyError), one.alone(0):
            pass
        assert one.is_empty()
    with two.alone(0) as is_alone:
        assert is_alone
    one.close()
    two.close()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL])
def test_where_nothing_can_be_locked_it_goes_on_and_says_so(tmp_path: Path, number: int) -> None:
    """Some network file systems lock no folders."""
    files = RefusingFiles("lock", number)
    one = LocalBackend(tmp_path, clock=ManualClock(), random=CountedRandom(), files=files)
    with one.alone(5) as is_alone:
        assert not is_alone
    one.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_puts_into_the_repository_of_somebody_else_is_theirs(tmp_path: Path) -> None:
    """Files and folders; else the owner is locked out of their own repository.

    A session's own spool folder is root's as long as it is there.
    """
    root = tmp_path / "theirs"
    root.mkdir()
    os.chown(root, 12345, 23456)
    outside = tmp_path / "outside"
    outside.write_bytes(b"of root")
    one = LocalBackend(root, clock=ManualClock(), random=CountedRandom())

    one.put("a/b/c", b"1")
    one.put("a/b/d", b"2")
    spool = one.spool_folder("session")
    (spool / "pack").write_bytes(b"3")
    one.put_file("packs/aa/e", spool / "pack")
    os.link(outside, spool / "planted")
    one.put_file("packs/aa/f", spool / "planted")
    one.close()
    assert (spool.stat().st_uid, spool.stat().st_mode & 0o777) == (0, 0o700)
    spool.rmdir()

    found = {path: path.stat() for path in root.rglob("*") if path.name != "f"}
    assert len(found) == 8
    assert {(seen.st_uid, seen.st_gid) for seen in found.values()} == {(12345, 23456)}
    # What has a name elsewhere was put there by somebody else, who must not get it.
    assert outside.stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_puts_into_its_own_repository_stays_its_own(tmp_path: Path) -> None:
    """Whoever owns the folders around it."""
    os.chown(tmp_path, 12345, 23456)
    root = tmp_path / "own"
    root.mkdir()
    one = LocalBackend(root, clock=ManualClock(), random=CountedRandom())
    one.put("a/b", b"1")
    one.close()

    assert {path.stat().st_uid for path in root.rglob("*")} == {0}


def test_a_spool_that_is_closed_to_this_user_does_not_stop_a_sweep(tmp_path: Path) -> None:
    """A session of root was killed in it."""

    class Closed(SystemFiles):
        def open(self, path: str, flags: int, mode: int = 0, *, folder: int) -> int:
            if path == "of-root":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return super().open(path, flags, mode, folder=folder)

    one = LocalBackend(tmp_path, clock=ManualClock(), random=CountedRandom(), files=Closed())
    (one.spool_folder("of-root") / "pack").write_bytes(b"1")

    assert one.sweep(0) == 0
    one.close()
