"""What a restore does with what is there already, and as whom it runs."""

import errno
import os
import resource
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from blake3 import blake3

from doubles.engine_store import EVERYTHING, EngineStore, open_folder
from doubles.hostile_chapters import ACL_FOR_ONE_MORE_USER
from doubles.trees import build_small_tree, remove_tree
from holdfast.core.python import linux_restore, restore_folders
from holdfast.core.python.entries import FILE, FOLDER, Entry
from holdfast.core.python.restore_folders import Level, RestoreFolders
from holdfast.core.restore_rules import RestoreRules

NOBODY = 65534


def rules(overwrite: str, *, delete: bool = False) -> RestoreRules:
    """Return rules that differ in what is tested here."""
    return RestoreRules(overwrite, delete=delete, sparse=True, numeric_ids=False)  # type: ignore[arg-type]


@pytest.fixture
def written(tmp_path: Path) -> tuple[EngineStore, bytes, Path]:
    """A store with a tree of a few files, and an empty target."""
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "folder").mkdir(parents=True)
    (source / "folder/file").write_bytes(b"stored")
    (source / "empty").mkdir()
    (source / "file").write_bytes(b"stored too")
    (source / "link").symlink_to("file")
    target.mkdir()
    store = EngineStore(tmp_path / "spool")
    return store, store.write(source).root, target


def test_never_leaves_what_is_there(written: tuple[EngineStore, bytes, Path]) -> None:
    store, root, target = written
    (target / "file").write_bytes(b"mine")
    (target / "link").symlink_to("mine")

    store.restore(root, target, rules("never"))

    assert (target / "file").read_bytes() == b"mine"
    assert (target / "link").readlink() == Path("mine")
    assert (target / "folder/file").read_bytes() == b"stored"
    assert store.findings == []


@pytest.mark.parametrize("overwrite", ["never", "if-changed"])
def test_things_of_another_type_stay_and_are_reported(
    written: tuple[EngineStore, bytes, Path], overwrite: str
) -> None:
    store, root, target = written
    (target / "folder").write_bytes(b"mine")
    (target / "file").mkdir()

    store.restore(root, target, rules(overwrite))

    assert (target / "folder").read_bytes() == b"mine"
    assert sorted((one.code, one.path) for one in store.findings) == [
        ("in-the-way", b"file"),
        ("in-the-way", b"folder"),
    ]


def test_always_replaces_other_types_but_no_full_folder(
    written: tuple[EngineStore, bytes, Path],
) -> None:
    store, root, target = written
    (target / "folder").write_bytes(b"mine")
    (target / "file/full").mkdir(parents=True)
    (target / "link").mkdir()

    store.restore(root, target, rules("always"))

    assert (target / "folder/file").read_bytes() == b"stored"
    assert (target / "link").is_symlink()
    assert [(one.code, one.path) for one in store.findings] == [("in-the-way", b"file")]

    store.restore(root, target, rules("always", delete=True))
    assert (target / "file").read_bytes() == b"stored too"


def test_delete_removes_what_the_tree_does_not_have(
    written: tuple[EngineStore, bytes, Path],
) -> None:
    """Also below a folder that is empty in the tree; and only below what is restored."""
    store, root, target = written
    for name in ("more/deep/file", "empty/more/file", "folder/more"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_bytes(b"more")
    store.restore(root, target, rules("always", delete=True), [b"folder"])
    assert (target / "empty/more/file").exists()
    assert not (target / "folder/more").exists()

    store.restore(root, target, rules("always", delete=True))

    assert store.findings == []
    found = sorted(str(one.relative_to(target)) for one in target.rglob("*"))
    assert found == ["empty", "file", "folder", "folder/file", "link"]


def test_temporary_files_of_a_restore_that_died_are_removed(
    written: tuple[EngineStore, bytes, Path],
) -> None:
    store, root, target = written
    (target / ".holdfast-0123456789abcdef").write_bytes(b"half")
    (target / ".holdfast-of-mine").write_bytes(b"whole")
    (target / ".holdfast-notes-of-mine-1").write_bytes(b"as long as the first")

    store.restore(root, target, rules("if-changed"))

    assert not (target / ".holdfast-0123456789abcdef").exists()
    assert (target / ".holdfast-of-mine").exists()
    assert (target / ".holdfast-notes-of-mine-1").exists()


def test_whatever_a_restore_removes_its_plan_names(
    written: tuple[EngineStore, bytes, Path],
) -> None:
    """But for what an earlier restore left behind itself."""
    store, root, target = written
    for name in (".holdfast-0123456789abcdef", ".holdfast-notes-of-mine-1", ".holdfast-mine"):
        (target / name).write_bytes(b"mine")
    choice = rules("if-changed", delete=True)
    with open_folder(target) as fd:
        store.pump(store.reader.extras(root, (), fd, choice))
    planned = [(one.code, one.path) for one in store.findings]

    result = store.restore(root, target, choice)

    assert planned == [
        ("additional", b".holdfast-mine"),
        ("additional", b".holdfast-notes-of-mine-1"),
    ]
    assert result.removed == 2


@pytest.mark.parametrize("is_dropped", [False, True])
def test_folders_that_keep_their_metadata_keep_their_mode(
    written: tuple[EngineStore, bytes, Path],
    is_dropped: bool,  # noqa: FBT001 - a parameter of pytest
) -> None:
    """Its owner needs the right to write in it, and only as long as that takes."""
    store, root, target = written
    (target / "folder").mkdir()
    (target / "folder").chmod(0o555)
    modes: list[int] = []
    with open_folder(target) as fd:
        run = store.reader.restore(root, (), fd, rules("never"))
        if is_dropped:
            real = RestoreFolders._prepare

            def dropped(self: RestoreFolders, level: Level) -> None:
                real(self, level)
                modes.append((target / "folder").stat().st_mode & 0o777)
                if level.name == b"folder":
                    raise KeyboardInterrupt

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(RestoreFolders, "_prepare", dropped)
                with pytest.raises(KeyboardInterrupt):
                    store.pump(run)
            assert modes[-1] == 0o755
        else:
            store.pump(run)
            assert (target / "folder/file").exists()

    assert (target / "folder").stat().st_mode & 0o777 == 0o555
    (target / "folder").chmod(0o755)


def test_a_folder_that_takes_no_new_mode_does_not_end_a_restore(
    written: tuple[EngineStore, bytes, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something that takes no writes may be mounted there."""
    store, root, target = written
    (target / "folder").mkdir(mode=0o555)

    real = os.fchmod

    def read_only(fd: int, mode: int) -> None:
        if os.path.samestat(os.fstat(fd), (target / "folder").stat()):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        real(fd, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fchmod", read_only)
        store.restore(root, target, rules("never"))

    assert (target / "file").exists()
    (target / "folder").chmod(0o755)


def test_many_new_folders_get_their_metadata_also_where_nothing_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only some are remembered with all that is to become of them, but all that they are new."""
    monkeypatch.setattr(restore_folders, "_LISTED", 2)
    source, target = tmp_path / "source", tmp_path / "target"
    for number in range(7):
        (source / f"{number}").mkdir(parents=True)
        (source / f"{number}/file").write_bytes(b"file")
        (source / f"{number}").chmod(0o555)
        os.utime(source / f"{number}", ns=(number, number))
    target.mkdir()
    store = EngineStore(tmp_path / "spool")

    store.restore(store.write(source).root, target, rules("never"))

    for number in range(7):
        status = (target / f"{number}").stat()
        assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o555, number)
    for folder in (source, target):
        for one in folder.iterdir():
            one.chmod(0o755)


def test_nothing_inherits_an_acl_of_the_target(tmp_path: Path) -> None:
    """Nor by a folder on the way to what is restored, which is not an entry of it."""
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a/b").mkdir(parents=True)
    (source / "a/b/file").write_bytes(b"file")
    (source / "a/b/file").chmod(0o640)
    target.mkdir()
    os.setxattr(target, "system.posix_acl_default", ACL_FOR_ONE_MORE_USER)
    store = EngineStore(tmp_path / "spool")

    store.restore(store.write(source).root, target, rules("if-changed"), [b"a/b/file"])

    assert os.listxattr(target / "a/b/file") == []
    assert os.listxattr(target / "a") == []
    assert (target / "a/b/file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(("name", "codes"), [("user.more", ["attribute"]), ("system.nfs4_acl", [])])
def test_attributes_that_cannot_be_removed_cost_nothing_else(
    written: tuple[EngineStore, bytes, Path],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    codes: list[str],
) -> None:
    """NFS lists its access control as an attribute, and does not let it be removed."""
    store, root, target = written

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    with monkeypatch.context() as patch:
        patch.setattr(os, "listxattr", lambda *_, **__: [name])
        patch.setattr(os, "getxattr", lambda *_, **__: b"value")
        patch.setattr(os, "removexattr", refused)
        patch.setattr(linux_restore, "has_attribute", lambda *_: False)
        store.restore(root, target, EVERYTHING)

    assert [one.code for one in store.findings] == codes
    assert (target / "folder/file").read_bytes() == b"stored"


def test_a_folder_whose_attributes_are_damaged_comes_back_for_its_owner(tmp_path: Path) -> None:
    """With all that is in it: an ACL that is lost may have allowed less than the mode says."""
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "folder").mkdir(parents=True, mode=0o775)
    (source / "folder/file").write_bytes(b"inside")
    os.setxattr(source / "folder", "user.long", b"x" * 2000)
    store = EngineStore(tmp_path / "spool")
    root = store.write(source).root
    target.mkdir()
    (leaf,) = store.pump(store.reader.list(root, b"", None, 10))
    assert leaf.xattrs is not None
    for chunk in leaf.xattrs.ids:
        del store.index.places[blake3(chunk, key=b"l" * 32).digest(length=20)]

    store.restore(root, target)

    assert [(one.code, one.path) for one in store.findings] == [("H540", b"folder")]
    assert (target / "folder/file").read_bytes() == b"inside"
    assert (target / "folder").stat().st_mode & 0o7777 == 0o700


def test_a_comparison_names_each_difference(written: tuple[EngineStore, bytes, Path]) -> None:
    store, root, target = written
    store.restore(root, target, EVERYTHING)
    (target / "file").write_bytes(b"STORED TOO")
    (target / "folder/file").unlink()
    (target / "folder").chmod(0o701)  # which no umask gives
    (target / "empty/more").write_bytes(b"")
    (target / "link").unlink()
    (target / "link").symlink_to("elsewhere")

    found = {(one.code, one.path) for one in store.compare(root, target)}

    assert found >= {
        ("content", b"file"),
        ("mtime", b"file"),
        ("missing", b"folder/file"),
        ("mode", b"folder"),
        ("additional", b"empty/more"),
        ("target", b"link"),
    }


def in_child(work: Callable[[], None]) -> int:
    """Run *work* as an ordinary user, in a process of its own if this one is root's."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            work()
        except BaseException:  # noqa: BLE001 - a test process ends here, whatever it was
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_an_ordinary_user_gets_what_he_may_have_and_one_finding(tmp_path: Path) -> None:
    """Owners of others, devices and setuid bits are not for him; the rest is."""
    store = EngineStore(tmp_path / "spool")
    (chunk,) = store.add_chunks(b"content")

    def entry(folder: bytes, name: bytes, mode: int, kind: int = FILE, uid: int = 12345) -> Entry:
        content = (7, 1, chunk) if kind == FILE else (0,)
        return Entry(folder, name, kind, mode, uid, 54321, 10**18, 10**18, 1, *content)

    root = store.add_tree(
        [
            entry(b"", b"", 0o755, FOLDER),
            entry(b"", b"closed", 0, FOLDER),
            *(entry(b"", b"file-%02d" % number, 0o444) for number in range(20)),
            entry(b"", b"setuid", 0o6755),
            entry(b"closed\0", b"inside", 0o000),
        ]
    )
    store.reader.close()
    base = Path(os.fspath(tmp_path))
    target = base / "target"
    target.mkdir()
    if os.geteuid() == 0:
        os.chown(target, NOBODY, NOBODY)
    fd = os.open(target, os.O_RDONLY)

    def work() -> None:
        for _ in range(2):
            store.findings.clear()
            store.pump(store.reader.restore(root, (), fd, rules("if-changed")))
            assert [one.code for one in store.findings] == ["owner"], store.findings
            assert store.findings[0].detail.startswith("2")
        store.reader.close()

    assert in_child(work) == 0
    os.close(fd)
    assert (target / "setuid").stat().st_mode & 0o7777 == 0o755
    assert (target / "file-00").read_bytes() == b"content"
    assert (target / "closed").stat().st_mode & 0o7777 == 0
    (target / "closed").chmod(0o700)


class AllMarks:
    """Marks by locator."""

    def __init__(self, store: EngineStore) -> None:
        self.store = store
        self.marked: set[bytes] = set()

    def mark_locators(self, locators: bytes) -> Sequence[bool | None]:
        """Mark rows."""
        answers: list[bool | None] = []
        for start in range(0, len(locators), 20):
            one = locators[start : start + 20]
            known = one in self.store.index.places
            answers.append(None if not known else one not in self.marked)
            self.marked.add(one)
        return answers

    def live_share(self) -> Sequence[tuple[bytes, float]]:
        """Not asked here."""
        return ()


def test_marking_reaches_every_row_of_a_point_and_reads_nothing_twice(tmp_path: Path) -> None:
    source = tmp_path / "source"
    build_small_tree(source, 9)
    store = EngineStore(tmp_path / "spool")
    root = store.write(source).root
    marks = AllMarks(store)

    count = store.pump(store.reader.mark(root, marks))  # type: ignore[arg-type]  # ids are bytes

    assert marks.marked == set(store.index.places)
    assert count == len(marks.marked)
    store.fetches.clear()
    assert store.pump(store.reader.mark(root, marks)) == 0  # type: ignore[arg-type]
    assert store.fetches == []


def test_a_deep_tree_with_siblings_needs_few_descriptors(tmp_path: Path) -> None:
    """Every folder of a long chain is come back to, long after it was closed."""
    depth = 400
    store = EngineStore(tmp_path / "spool")
    (chunk,) = store.add_chunks(b"deep")
    owner = (os.geteuid(), os.getegid(), 10**18, 10**18, 1)
    entries = [Entry(b"", b"", FOLDER, 0o755, *owner, 0)]
    for number in range(depth):
        above = b"a\0" * number
        entries += [Entry(above, name, FOLDER, 0o755, *owner, 0) for name in (b"a", b"b")]
        entries.append(Entry(above + b"b\0", b"file", FILE, 0o644, *owner, 4, 1, chunk))
    entries.sort(key=lambda entry: entry.key)
    root = store.add_tree(entries)
    target = tmp_path / "target"
    target.mkdir()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Whatever other tests of this process have left open.
    opened = max(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208 - descriptors, no files
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 190, limits[1]))
    try:
        result = store.restore(root, target)

        assert store.findings == []
        assert result.items == 3 * depth
        assert store.compare(root, target) == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        remove_tree(target)
