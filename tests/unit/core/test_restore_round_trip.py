"""Whatever is written comes back."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from doubles.engine_store import EVERYTHING, EngineStore
from doubles.trees import build_hostile_tree, build_small_tree, disposable_folder, mutate_tree
from holdfast.core.restore_rules import RestoreRules

TOOL = Path(__file__).parents[3] / "tools" / "compare-trees"


def differences(one: Path, other: Path, *options: str) -> str:
    """Return what tools/compare-trees says, empty when nothing differs."""
    command = [sys.executable, str(TOOL), *options, str(one), str(other)]
    done = subprocess.run(command, capture_output=True, check=False)
    return "" if done.returncode == 0 else (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("suite", ["none", "aes-256-gcm", "aes-128-cbc-hmac-sha256"])
def test_a_restored_tree_is_the_one_that_was_written(tmp_path: Path, suite: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    build_small_tree(source, 1)
    target.mkdir()
    store = EngineStore(tmp_path / "spool", suite=suite)
    written = store.write(source)

    result = store.restore(written.root, target)

    assert store.findings == []
    assert differences(source, target) == ""
    assert result.items > 250
    assert store.compare(written.root, target) == []


def test_a_hostile_tree_comes_back_whole(tmp_path: Path) -> None:
    """Deep folders, long paths, devices, capabilities, ACLs, holes: as this user can make them."""
    with disposable_folder(tmp_path) as folder:
        source, target = folder / "source", folder / "target"
        build_hostile_tree(source, big_folder_files=3000, privileged=os.geteuid() == 0)
        if os.geteuid():
            # Nobody but root reads these two; what is said of them then stands in the e2e tests.
            for name in ("file-0000", "folder-without-permissions"):
                (source / "modes" / name).chmod(0o700)
        target.mkdir()
        store = EngineStore(tmp_path / "spool")
        written = store.write(source)
        assert store.findings == []

        store.restore(written.root, target)

        assert store.findings == []
        assert differences(source, target) == ""
        assert store.compare(written.root, target) == []


def test_a_second_restore_with_if_changed_writes_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    build_small_tree(source, 2)
    target.mkdir()
    store = EngineStore(tmp_path / "spool")
    written = store.write(source)
    first = store.restore(written.root, target)

    second = store.restore(written.root, target)

    assert first.bytes_written > 0
    assert second.bytes_written == 0
    assert second.items == first.items
    assert differences(source, target) == ""


@pytest.mark.parametrize("overwrite", ["if-changed", "always"])
def test_a_changed_target_becomes_the_tree_again(tmp_path: Path, overwrite: str) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    build_small_tree(source, 3)
    target.mkdir()
    store = EngineStore(tmp_path / "spool")
    written = store.write(source)
    store.restore(written.root, target)
    mutate_tree(target, 4)
    assert store.compare(written.root, target)

    rules = RestoreRules(overwrite, delete=True, sparse=True, numeric_ids=False, onto_target=True)  # type: ignore[arg-type]
    store.restore(written.root, target, rules)

    assert store.findings == []
    assert differences(source, target) == ""


def test_a_restore_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    source = tmp_path / "source"
    build_small_tree(source, 5)
    store = EngineStore(tmp_path / "spool", memory_bytes=1 << 20)
    written = store.write(source)
    for steps in range(1, 60, 7):
        target = tmp_path / f"target-{steps}"
        target.mkdir()
        fd = os.open(target, os.O_RDONLY)
        run = store.reader.restore(written.root, (), fd, EVERYTHING)
        store.pump(run, steps=steps)
        run.cancel()
        os.close(fd)

        store.restore(written.root, target)

        assert store.findings == []
        assert differences(source, target) == ""
        assert not list(target.rglob(".holdfast-*"))


def test_a_file_has_its_size_only_when_its_data_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Size and time are what ``if-changed`` goes by, and a power cut may come in between.

    File systems write the size of a file that grows after the data; one that is set beforehand
    would be there at once.
    """
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "plain").write_bytes(os.urandom(300_000))
    for name, end in (("hole", 300_000), ("ends-in-hole", 400_000)):
        with (source / name).open("wb") as file:
            file.write(os.urandom(100_000))
            file.seek(200_000)
            file.write(os.urandom(100_000))
            file.truncate(end)
    store = EngineStore(tmp_path / "spool")
    written = store.write(source)
    events: dict[int, list[tuple[str, int]]] = {}

    def watch(name: str) -> None:
        real = getattr(os, name)

        def watched(fd: int, *arguments: object) -> object:
            answer = real(fd, *arguments)
            status = os.fstat(fd)
            events.setdefault(status.st_ino, []).append((name, status.st_size))
            return answer

        monkeypatch.setattr(os, name, watched)

    for name in ("pwrite", "ftruncate", "fdatasync"):
        watch(name)
    store.restore(written.root, target, replace(EVERYTHING, overwrite="if-changed"))

    assert differences(source, target) == ""
    for name in ("plain", "hole", "ends-in-hole"):
        status = (target / name).stat()
        seen = events.get(status.st_ino, [])
        writes = [size for event, size in seen if event == "pwrite"]
        assert all(size < status.st_size for size in writes[:-1]), name
        truncated = [place for place, (event, _) in enumerate(seen) if event == "ftruncate"]
        assert truncated == ([len(seen) - 1] if name == "ends-in-hole" else [])
        assert all(seen[place - 1][0] == "fdatasync" for place in truncated)


@pytest.mark.parametrize("sparse", [True, False])
def test_holes_come_back_or_are_given_blocks(
    tmp_path: Path,
    sparse: bool,  # noqa: FBT001 - a parameter of pytest
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    with (source / "file").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"middle")
        file.truncate(2 << 20)
    with (source / "all-hole").open("wb") as file:
        file.truncate(1 << 20)
    store = EngineStore(tmp_path / "spool")

    store.restore(store.write(source).root, target, replace(EVERYTHING, sparse=sparse))

    for name in ("file", "all-hole"):
        assert (target / name).read_bytes() == (source / name).read_bytes()
        status = (target / name).stat()
        assert (status.st_blocks * 512 >= status.st_size) is not sparse


def test_a_path_lands_in_the_target(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a/b/c").mkdir(parents=True)
    (source / "a/b/c/file").write_bytes(b"inside")
    (source / "a/b/other").write_bytes(b"other")
    (source / "a/outside").write_bytes(b"outside")
    target.mkdir()
    store = EngineStore(tmp_path / "spool")
    root = store.write(source).root
    rules = RestoreRules("always", delete=False, sparse=True, numeric_ids=True, strip_prefix=b"a/b")

    store.restore(root, target, rules)

    assert differences(source / "a/b", target, "--ignore-root") == ""
    second = tmp_path / "second"
    second.mkdir()
    rules = RestoreRules("always", delete=False, sparse=True, numeric_ids=True)
    store.restore(root, second, rules, [b"a/b/c"])
    assert sorted(str(one.relative_to(second)) for one in second.rglob("*")) == [
        "a", "a/b", "a/b/c", "a/b/c/file",
    ]  # fmt: skip
    assert (second / "a").stat().st_mtime_ns == (source / "a").stat().st_mtime_ns


def test_patterns_choose_what_is_restored(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("x/1.txt", "x/2.log", "y/3.log", "y/z/4.txt"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    store = EngineStore(tmp_path / "spool")
    root = store.write(source).root

    def restored(name: str, **choice: tuple[bytes, ...]) -> list[str]:
        target = tmp_path / name
        target.mkdir()
        rules = RestoreRules("always", delete=False, sparse=True, numeric_ids=True, **choice)
        store.restore(root, target, rules)
        return sorted(str(one.relative_to(target)) for one in target.rglob("*"))

    assert restored("one", include=(b"*.txt",)) == ["x", "x/1.txt", "y", "y/z", "y/z/4.txt"]
    assert restored("two", exclude=(b"*.txt",)) == ["x", "x/2.log", "y", "y/3.log", "y/z"]
    assert restored("three", include=(b"/y",), exclude=(b"z",)) == ["y", "y/3.log"]
