"""Whole runs of the writer: same source, same tree; whatever ends a run, nothing stays behind."""

import json
import os
import resource
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from doubles.trees import build_small_tree
from doubles.writing import LONG_AFTER, Desk, no_room_beyond, parameters
from holdfast.base.errors import StorageError
from holdfast.base.progress import Finding
from holdfast.core.face import NodeRule, Progress, Store
from holdfast.core.python import content, linux, scan
from holdfast.core.python.entries import (
    EXTENT_MAP,
    FIFO,
    HARD_LINK_GROUP,
    HOLES,
    SOCKET,
    XATTRS,
    Entry,
    LongValue,
    decode_holes,
    decode_xattrs,
)
from holdfast.core.python.linux import FOLDER_FLAGS
from holdfast.core.run_errors import AnswerFailedError, SpoolError, StreamError

NOISE = os.urandom(1 << 20)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return folder


def rare(entry: Entry, field: int) -> LongValue:
    return LongValue.from_raw(dict(entry.rare)[field])


# --- what comes of a source -----------------------------------------------------------------------


def test_everything_in_a_source_is_in_its_tree(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    build_small_tree(tmp_path / "source", 3)
    written = desk.backup(tmp_path / "source")
    tree = desk.tree(written.root)

    found = {b"": tmp_path / "source"}
    for path in (tmp_path / "source").rglob("*"):
        found[os.fsencode(path.relative_to(tmp_path / "source"))] = path
    assert tree.keys() == found.keys()
    for name, path in found.items():
        entry, status = tree[name], path.lstat()
        assert (entry.mode, entry.mtime_ns, entry.inode) == (
            status.st_mode & 0o7777,
            status.st_mtime_ns,
            status.st_ino,
        )
        if path.is_file() and not path.is_symlink() and name != b"sparse":
            assert desk.stored(entry) == path.read_bytes()
    assert desk.findings == []
    counted = written.statistics
    assert counted.files + counted.folders + counted.others == len(found)


def test_the_same_tree_again_has_the_same_root_and_stores_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    build_small_tree(tmp_path / "source", 4)
    first = desk.backup(tmp_path / "source")
    again = desk.backup(tmp_path / "source")

    assert again.root == first.root
    assert again.packs == ()
    assert again.statistics.new_raw_bytes == again.statistics.new_stored_bytes == 0
    assert set(again.needed) == set(desk.packs)


def test_the_order_of_a_folder_does_not_matter(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        (source / f"{number}").write_bytes(NOISE[number * 100 : number * 300])
    one = Desk(tmp_path / "one").backup(source)
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda fd: sorted(real(fd), reverse=True))
    other = Desk(tmp_path / "other").backup(source)

    assert other.root == one.root
    assert [pack.segments for pack in other.packs] == [pack.segments for pack in one.packs]


@pytest.mark.parametrize("suite", ["none", "aes-256-gcm", "aes-128-cbc-hmac-sha256"])
def test_the_suite_does_not_change_what_is_planned(
    tmp_path: Path, source: Path, suite: str
) -> None:
    (source / "large").write_bytes(NOISE)
    desk = Desk(tmp_path, parameters(suite=suite))
    written = desk.backup(source)

    assert written.root == Desk(tmp_path / "other").backup(source).root
    assert desk.stored(desk.tree(written.root)[b"large"]) == NOISE


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 100_000, 1 << 20])
def test_a_stream_has_the_chunks_of_the_file_with_its_bytes(
    tmp_path: Path, source: Path, size: int
) -> None:
    (source / "file").write_bytes(NOISE[:size])
    desk = Desk(tmp_path, parameters(small_session_bytes=0))
    file = desk.tree(desk.backup(source).root)[b"file"]
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(NOISE[:size])

    feeder = threading.Thread(target=feed)
    feeder.start()
    written = desk.pump(desk.writer().stream(reading, b"dump", started_ns=5))
    feeder.join()
    os.close(reading)
    stream = desk.tree(written.root)[b"dump"]

    assert (stream.size, stream.extent_count, stream.ids, stream.lengths) == (
        file.size,
        file.extent_count,
        file.ids,
        file.lengths,
    )
    assert written.statistics.new_chunks == 0


def test_a_stream_works_beyond_the_thousandth_descriptor(tmp_path: Path) -> None:
    """``select`` would not take it."""
    reading, writing = os.pipe()
    os.write(writing, b"few bytes")
    os.close(writing)
    high = 1500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, high + 1), hard))
    os.dup2(reading, high)
    os.close(reading)
    desk = Desk(tmp_path)
    written = desk.pump(desk.writer().stream(high, b"x", started_ns=5))
    os.close(high)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert desk.stored(desk.tree(written.root)[b"x"]) == b"few bytes"


def test_a_silent_stream_lets_the_caller_do_other_things(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("holdfast.core.python.stream_run._PATIENCE_MILLISECONDS", 1)
    reading, writing = os.pipe()
    run = Desk(tmp_path).writer().stream(reading, b"x", started_ns=5)

    assert all(isinstance(event, Progress) for event in run.step(0.01))
    run.cancel()
    os.close(writing)
    os.close(reading)


def test_a_stream_that_cannot_be_read_ends_its_run(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    folder = os.open(tmp_path, FOLDER_FLAGS)
    run = desk.writer().stream(folder, b"x", started_ns=5)

    with pytest.raises(StreamError, match="Is a directory"):
        desk.pump(run)
    os.close(folder)
    assert list(desk.spool.iterdir()) == []


def test_sparse_files_keep_their_holes(tmp_path: Path, source: Path) -> None:
    with (source / "sparse").open("wb") as file:
        file.truncate(1 << 20)
        file.seek(1 << 19)
        file.write(b"middle" * 1000)
    with (source / "hole").open("wb") as file:
        file.truncate(123_456)
    desk = Desk(tmp_path)
    tree = desk.tree(desk.backup(source).root)
    inline = rare(tree[b"sparse"], HOLES).inline
    assert inline is not None
    holes = decode_holes(inline, 1 << 20)
    data = desk.stored(tree[b"sparse"])

    assert holes[0] == (0, 1 << 19)
    assert data.rstrip(b"\0") == b"middle" * 1000
    assert sum(length for _, length in holes) + len(data) == 1 << 20
    assert (tree[b"hole"].size, tree[b"hole"].extent_count) == (123_456, 0)


def test_hard_links_are_read_once_and_all_names_carry_the_content(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "a").write_bytes(NOISE[:200_000])
    (source / "b").write_bytes(NOISE[200_000:201_000])
    for number in range(3):
        os.link(source / "a", source / f"a{number}")
        os.link(source / "b", source / f"b{number}")
    reads = []
    small, large = content.OpenFile.read_small, content.OpenFile.read
    monkeypatch.setattr(content.OpenFile, "read_small", lambda self: reads.append(1) or small(self))
    monkeypatch.setattr(
        content.OpenFile, "read", lambda self, holes: reads.append(1) or large(self, holes)
    )
    desk = Desk(tmp_path)
    tree = desk.tree(desk.backup(source).root)

    assert len(reads) == 2
    assert len({tree[name].ids for name in (b"a", b"a0", b"a1", b"a2")}) == 1
    assert len({dict(tree[name].rare)[HARD_LINK_GROUP] for name in (b"b", b"b0", b"b2")}) == 1
    assert HARD_LINK_GROUP not in dict(tree[b""].rare)


def test_special_files_and_attributes_are_stored(tmp_path: Path, source: Path) -> None:
    os.mkfifo(source / "fifo")
    (source / "file").write_text("x")
    os.setxattr(source / "file", "user.note", b"1" * 2000)
    os.setxattr(source, "user.root", b"of the root")
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(source)  # an address has at most 107 bytes
        server.bind("socket")
        os.chdir(here)
    desk = Desk(tmp_path)
    tree = desk.tree(desk.backup(source).root)
    value = rare(tree[b"file"], XATTRS)
    root = rare(tree[b""], XATTRS).inline
    assert root is not None

    assert (tree[b"fifo"].type, tree[b"socket"].type) == (FIFO, SOCKET)
    assert decode_xattrs(b"".join(map(desk.chunk, value.ids))) == [(b"user.note", b"1" * 2000)]
    assert decode_xattrs(root) == [(b"user.root", b"of the root")]
    assert XATTRS not in dict(desk.tree(desk.backup(source, xattrs=False).root)[b"file"].rare)


def test_a_file_of_more_than_sixteen_chunks_has_an_extent_map(tmp_path: Path, source: Path) -> None:
    (source / "large").write_bytes(NOISE * 2)
    desk = Desk(tmp_path, parameters(node_rule=NodeRule(bits=2, minimum_entries=2)))
    entry = desk.tree(desk.backup(source).root)[b"large"]

    assert entry.extent_count == EXTENT_MAP
    assert desk.stored(entry) == NOISE * 2


# --- what goes wrong with one file ----------------------------------------------------------------


def test_folders_whose_attributes_cannot_be_read_keep_their_entry(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is below a folder needs the entry of the folder (8.1)."""
    (source / "folder").mkdir()
    (source / "folder/file").write_text("inside")
    real = os.listxattr

    def broken(place: int | bytes, *, follow_symlinks: bool) -> list[str]:
        if isinstance(place, bytes) and place.endswith(b"/folder"):
            raise OSError(5, "Input/output error")
        return real(place, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(os, "listxattr", broken)
    desk = Desk(tmp_path)
    tree = desk.tree(desk.backup(source).root)

    assert desk.stored(tree[b"folder/file"]) == b"inside"
    assert desk.findings == [
        Finding(scan.UNREADABLE, b"folder", "extended attributes: Input/output error")
    ]
    assert b"folder" in tree


def test_unreadable_and_vanished_files_are_findings(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("closed", "fine", "gone", "swapped", "to-fifo"):
        (source / name).write_text(name)
    real = content.OpenFile.open

    def happening(folder_fd: int, name: bytes) -> content.OpenFile:
        if name == b"closed":
            raise PermissionError(13, "Permission denied")
        if name in {b"gone", b"swapped", b"to-fifo"}:
            os.unlink(name, dir_fd=folder_fd)
        if name == b"swapped":
            os.symlink("/etc/passwd", name, dir_fd=folder_fd)
        if name == b"to-fifo":
            os.mkfifo(name, dir_fd=folder_fd)
        return real(folder_fd, name)

    monkeypatch.setattr(content.OpenFile, "open", happening)
    desk = Desk(tmp_path)
    written = desk.backup(source)

    assert desk.tree(written.root).keys() == {b"", b"fine"}
    assert [(finding.code, finding.path) for finding in desk.findings] == [
        (scan.UNREADABLE, b"closed"),
        (scan.VANISHED, b"gone"),
        (scan.VANISHED, b"swapped"),
        (scan.VANISHED, b"to-fifo"),
    ]
    assert written.statistics.findings == 4


def test_a_file_that_hides_its_content_is_a_finding(tmp_path: Path) -> None:
    """It is stored as empty, which nobody may learn only from the restore."""
    desk = Desk(tmp_path)
    written = desk.backup(Path("/proc/sys/kernel/random"))

    said = {finding.path: finding for finding in desk.findings}
    assert said[b"boot_id"].code == scan.UNSUPPORTED
    assert "stored as empty" in said[b"boot_id"].detail
    assert b"boot_id" in desk.tree(written.root)


@pytest.mark.parametrize("size", [3_000, 300_000])
@pytest.mark.parametrize("change", ["grows", "shrinks", "rewritten"])
def test_a_file_that_changes_while_it_is_read_is_stored_as_it_was_read(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, size: int, change: str
) -> None:
    file = source / "busy"
    file.write_bytes(NOISE[:size])
    os.utime(file, ns=(5, 5))
    real = content.OpenFile.open

    def busy(folder_fd: int, name: bytes) -> content.OpenFile:
        opened = real(folder_fd, name)
        if change == "grows":
            with file.open("ab") as more:
                more.write(b"more")
        elif change == "shrinks":
            os.truncate(file, size // 2)
        else:
            file.write_bytes(NOISE[size : 2 * size])
        return opened

    monkeypatch.setattr(content.OpenFile, "open", busy)
    desk = Desk(tmp_path)
    entry = desk.tree(desk.backup(source).root)[b"busy"]
    data = desk.stored(entry)

    assert [finding.code for finding in desk.findings] == [scan.CHANGED]
    assert entry.size == len(data)
    assert data == file.read_bytes()[:size]
    assert entry.mtime_ns == 5


@pytest.mark.parametrize("year_ns", [10**19, -(10**19)])
def test_times_beyond_what_a_tree_holds_do_not_end_a_backup(
    tmp_path: Path, source: Path, year_ns: int
) -> None:
    """Anybody may set them: ext4 goes up to the year 2446, others further."""
    (source / "folder").mkdir()
    (source / "odd").write_bytes(b"content")
    for path in (source / "odd", source / "folder"):
        os.utime(path, ns=(year_ns, year_ns))
    found = {
        name: path.stat().st_mtime_ns
        for name, path in ((b"odd", source / "odd"), (b"folder", source / "folder"))
    }
    desk = Desk(tmp_path)
    written = desk.backup(source)
    tree = desk.tree(written.root)

    assert desk.stored(tree[b"odd"]) == b"content"
    beyond = [name for name, time in sorted(found.items()) if not -(2**63) <= time < 2**63]
    assert [(one.code, one.path) for one in desk.findings] == [
        (scan.UNSUPPORTED, name) for name in beyond
    ]
    for name, time in found.items():
        assert tree[name].mtime_ns == min(max(time, -(2**63)), 2**63 - 1)
    assert desk.backup(source, written.state).root == written.root


# --- how runs end ---------------------------------------------------------------------------------


def test_a_run_that_is_dropped_at_any_step_leaves_nothing_in_the_spool(
    tmp_path: Path, source: Path
) -> None:
    for number in range(40):
        (source / f"{number}").write_bytes(os.urandom(200_000))
    desk = Desk(tmp_path)
    steps = 0
    is_over = False
    while not is_over:
        fd = os.open(source, FOLDER_FLAGS)
        run = desk.writer().files(fd, scan.ScanRules(), None, started_ns=LONG_AFTER)
        for _ in range(steps):
            # Packs are taken note of and never stored.
            is_over = not any(isinstance(event, Store) for event in run.step(0)) and steps > 100
        run.cancel()
        os.close(fd)
        assert list(desk.spool.iterdir()) == []
        assert run.result() is None
        steps += 9


@pytest.mark.parametrize("file_bytes", [4_000, 100_000])
def test_a_run_waits_while_too_many_packs_are_not_stored(
    tmp_path: Path, source: Path, file_bytes: int
) -> None:
    for number in range(24_000_000 // file_bytes):
        (source / f"{number}").write_bytes(os.urandom(file_bytes))
    desk = Desk(tmp_path, parameters(pack_bytes=1 << 19), memory_bytes=1 << 18)
    fd = os.open(source, FOLDER_FLAGS)
    run = desk.writer().files(fd, scan.ScanRules(), None, started_ns=LONG_AFTER)
    stores = [event for _ in range(2000) for event in run.step(0) if isinstance(event, Store)]
    waiting = len(list(desk.spool.glob("pack-*")))
    for store in stores:
        desk.keep(store)
        run.stored([store.ticket])
    desk.pump(run)
    os.close(fd)

    # Four, those that grow, and what is read before the index and the caller are asked: 12 MiB.
    assert waiting <= 4 + 2 + 24
    assert len(desk.packs) > 45


def test_a_run_ends_when_its_packs_cannot_be_stored(tmp_path: Path, source: Path) -> None:
    (source / "file").write_bytes(NOISE)
    desk = Desk(tmp_path)
    fd = os.open(source, FOLDER_FLAGS)
    run = desk.writer().files(fd, scan.ScanRules(), None, started_ns=LONG_AFTER)

    with pytest.raises(AnswerFailedError) as caught:  # noqa: PT012 - one of the steps
        while True:
            for event in run.step(0):
                if isinstance(event, Store):
                    run.failed(event.ticket, "H201")
    os.close(fd)
    assert isinstance(caught.value, StorageError)
    assert list(desk.spool.iterdir()) == []
    assert run.result() is None


@pytest.mark.parametrize("room", [0, 100, 2_000, 100_000, 1_048_575])
def test_a_full_spool_ends_a_run_and_leaves_nothing_behind(
    tmp_path: Path, source: Path, room: int
) -> None:
    for number in range(200):
        (source / f"{number}").write_bytes(os.urandom(20_000))
    desk = Desk(tmp_path)

    with pytest.raises(SpoolError) as caught, no_room_beyond(room):
        desk.backup(source)
    assert caught.value.code == "H581"
    assert list(desk.spool.iterdir()) == []


def test_a_spool_that_vanishes_is_said_and_its_files_need_not_be_removable(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drive that is pulled out: the error of the writing comes first, and is ours."""
    for number in range(1000):
        (source / f"{number}").write_bytes(os.urandom(20_000))
    desk = Desk(tmp_path)
    fd = os.open(source, FOLDER_FLAGS)
    run = desk.writer().files(fd, scan.ScanRules(), None, started_ns=LONG_AFTER)
    stores: list[Store] = []
    while not stores:
        stores = [event for event in run.step(0) if isinstance(event, Store)]
    # Unanswered ones would be waited for.
    run.stored([store.ticket for store in stores])

    def pulled_out(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", pulled_out)
        patch.setattr(Path, "unlink", pulled_out)
        with pytest.raises(SpoolError):
            desk.pump(run)
    os.close(fd)


def test_a_run_leaves_no_descriptor_open(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    build_small_tree(tmp_path / "source", 5)
    state = desk.backup(tmp_path / "source").state
    before = len(list(Path("/proc/self/fd").iterdir()))
    desk.backup(tmp_path / "source", state)

    assert len(list(Path("/proc/self/fd").iterdir())) == before


# --- memory ---------------------------------------------------------------------------------------

_PROGRAM = """
import json, sys
from pathlib import Path
from doubles.writing import Desk, parameters
from holdfast.core.face import Store

class Careless(Desk):
    def keep(self, event):
        event.body.unlink()

default = parameters(
    chunk_min=1 << 19, chunk_average=1 << 20, chunk_max=4 << 20, segment_target=1 << 19,
    pack_bytes=32 << 20, small_session_bytes=4 << 20,
)
def mib():
    # Not ru_maxrss: a new process inherits that from the one that started it.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024
desk = Careless(Path(sys.argv[1]), default)
desk.backup(Path(sys.argv[2]))
small = mib()
written = desk.backup(Path(sys.argv[3]))
print(json.dumps([small, mib(), written.statistics.new_raw_bytes]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_a_large_file_needs_no_more_memory_than_a_middling_one(
    tmp_path: Path, source: Path, kind: str
) -> None:
    """300 MiB after 60 MiB: the high-water mark of the process hardly moves."""
    (tmp_path / "middling").mkdir()
    (tmp_path / "middling/file").write_bytes(b"".join(os.urandom(1 << 20) for _ in range(60)))
    with (source / "large").open("wb") as file:
        for number in range(300):
            if kind == "dense" or number % 2:
                file.seek(number << 20)
                file.write(os.urandom(1 << 20))
    command = [sys.executable, "-c", _PROGRAM, *map(str, (tmp_path, tmp_path / "middling", source))]
    paths = os.pathsep.join(sys.path)
    done = subprocess.run(
        command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": paths}
    )
    before, after, stored = json.loads(done.stdout)

    # The list of holes is stored too.
    assert 0 <= stored - ((300 if kind == "dense" else 150) << 20) < 4096
    assert after - before < 32
    assert after < 200


def test_attributes_are_read_through_what_is_open(tmp_path: Path, source: Path) -> None:
    """A file is not looked up a second time by its name."""
    (source / "file").write_text("x")
    places = []
    real = linux.attributes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(linux, "attributes", lambda place: places.append(place) or real(place))
        Desk(tmp_path).backup(source)

    assert [type(place) for place in places] == [bytes, int]
