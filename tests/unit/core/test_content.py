"""Reading one file of a source, whatever happens to it meanwhile."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from holdfast.core.python import content, linux
from holdfast.core.python.content import OpenFile
from holdfast.core.python.reader import _VALUE_SHARE
from holdfast.operations.engine import limits

KIB = 1024


def opened(path: Path) -> OpenFile:
    fd = os.open(path.parent, linux.FOLDER_FLAGS)
    try:
        return OpenFile.open(fd, os.fsencode(path.name))
    finally:
        os.close(fd)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(250)) * 40)
    return path


def test_a_file_that_stays_as_it_is_has_not_changed(file: Path) -> None:
    it = opened(file)

    assert it.read_small() == file.read_bytes()
    assert not it.has_changed(10_000, 0)
    it.close()


@pytest.mark.parametrize("is_small", [True, False])
def test_a_file_that_grows_is_read_up_to_its_first_size(file: Path, is_small: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    it = opened(file)
    with file.open("ab") as more:
        more.write(b"more")
    data = it.read_small() if is_small else b"".join(it.read(it.holes()))

    assert data == file.read_bytes()[:10_000]
    assert it.has_changed(len(data), 0)
    it.close()


@pytest.mark.parametrize("is_small", [True, False])
def test_a_file_that_shrinks_gives_what_is_left(file: Path, is_small: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    it = opened(file)
    os.truncate(file, 77)
    data = it.read_small() if is_small else b"".join(it.read(it.holes()))

    assert data == file.read_bytes()
    assert it.has_changed(len(data), 0)
    it.close()


def test_a_file_that_is_removed_is_read_to_its_end(file: Path) -> None:
    it = opened(file)
    expected = file.read_bytes()
    file.unlink()

    assert it.read_small() == expected
    it.close()


def test_a_file_that_says_it_is_empty_and_is_not_is_found_out(tmp_path: Path) -> None:
    """As many in /proc; one that is empty hides nothing."""
    empty = tmp_path / "empty"
    empty.touch()
    for path, hides in ((Path("/proc/sys/kernel/random/boot_id"), True), (empty, False)):
        it = opened(path)

        assert it.hides_content() is hides
        it.close()


def test_a_fifo_does_not_block_and_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    it = opened(tmp_path / "fifo")

    assert not os.path.isfile(f"/proc/self/fd/{it.fd}")  # noqa: PTH113 - what is open, not a path
    it.close()


def test_a_symlink_is_not_followed(tmp_path: Path, file: Path) -> None:
    (tmp_path / "link").symlink_to(file)

    with pytest.raises(OSError, match="Too many levels"):
        opened(tmp_path / "link")


def test_reading_leaves_the_access_time_alone(file: Path) -> None:
    os.utime(file, ns=(1, 2))
    it = opened(file)
    it.read_small()
    it.close()

    assert file.stat().st_atime_ns == 1


def test_whoever_may_not_leave_the_access_time_alone_reads_all_the_same(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def stranger(path: bytes, flags: int, *, dir_fd: int | None = None) -> int:
        if flags & os.O_NOATIME:
            raise PermissionError
        return real(path, flags, dir_fd=dir_fd)

    folder = real(file.parent, linux.FOLDER_FLAGS)
    monkeypatch.setattr(os, "open", stranger)
    it = OpenFile.open(folder, b"file")
    os.close(folder)

    assert it.read_small() == file.read_bytes()
    it.close()


def sparse(path: Path, *pieces: tuple[int, int], size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        for offset, length in pieces:
            file.seek(offset)
            file.write(b"\1" * length)
    return path


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [(0, 64 * KIB)],
        [(192 * KIB, 64 * KIB)],
        [(64 * KIB, 64 * KIB)],
        [(0, 64 * KIB), (128 * KIB, 64 * KIB)],
    ],
)
def test_data_and_holes_together_are_the_file(
    tmp_path: Path, pieces: list[tuple[int, int]]
) -> None:
    it = opened(sparse(tmp_path / "sparse", *pieces, size=256 * KIB))
    holes = it.holes()
    data = b"".join(it.read(holes))

    assert data == b"\1" * sum(length for _, length in pieces)
    assert sum(length for _, length in holes) + len(data) == 256 * KIB
    assert all(offset + length < later for (offset, length), (later, _) in pairwise(holes))
    assert not it.has_changed(len(data), sum(length for _, length in holes))
    it.close()


def test_a_file_with_too_many_holes_is_read_as_if_it_had_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "_MAXIMUM_HOLES", 2)
    pieces = [(offset * 64 * KIB, 4096) for offset in range(4)]
    it = opened(sparse(tmp_path / "sparse", *pieces, size=256 * KIB))

    assert it.holes() == []
    assert sum(map(len, it.read([]))) == 256 * KIB
    it.close()


def scripted(answers: list[int | OSError]):  # type: ignore[no-untyped-def]  # noqa: ANN201 - a stand-in for os.lseek
    def seek(_fd: int, _position: int, _whence: int) -> int:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    return seek


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        # Data at 10 that is punched away before its end is asked for.
        ([10, 10, 40, 50], [(0, 10), (11, 29), (50, 50)]),
        # Cut off between the two questions.
        ([10, OSError(6, "No such device or address")], [(0, 10)]),
        # A file system that cannot tell.
        ([OSError(22, "Invalid argument")] * 2, []),
    ],
)
def test_holes_that_change_meanwhile_never_touch(
    monkeypatch: pytest.MonkeyPatch,
    answers: list[int | OSError],
    expected: list[tuple[int, int]],
) -> None:
    monkeypatch.setattr(os, "lseek", scripted([*answers, *[OSError(6, "at the end")] * 2]))

    assert linux.holes_of(3, 100, 10) == expected


def test_attributes_are_the_same_by_descriptor_and_by_place(file: Path) -> None:
    os.setxattr(file, "user.b", b"2")
    os.setxattr(file, "user.a", b"")
    it = opened(file)
    folder = os.open(file.parent, linux.FOLDER_FLAGS)
    place = linux.place_of(folder, b"file")

    assert linux.attributes(it.fd) == [(b"user.a", b""), (b"user.b", b"2")]
    assert linux.attributes(place) == linux.attributes(it.fd)
    assert linux.attributes(linux.place_of(folder, b"")) == []
    os.close(folder)
    it.close()


def test_what_is_stored_of_attributes_and_holes_every_command_can_read_again() -> None:
    """A reader takes values of a sixteenth of its memory; names come on top: 64 KiB at most."""
    readable = limits().memory_bytes // _VALUE_SHARE

    assert readable >= linux.ATTRIBUTES_BYTES + (1 << 20)
    assert readable >= content._MAXIMUM_HOLES * 16


def test_attributes_that_would_fill_the_memory_are_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linux, "ATTRIBUTES_BYTES", 10)
    os.setxattr(file, "user.a", bytes(11))
    it = opened(file)

    with pytest.raises(OSError, match="too long"):
        linux.attributes(it.fd)
    it.close()
