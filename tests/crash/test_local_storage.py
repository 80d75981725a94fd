"""What if the power fails at any call that changes the file system?"""

from contextlib import suppress
from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.files import TracingFiles, VolatileFiles
from doubles.randomness import CountedRandom
from doubles.storage import PowerCut
from holdfast.storage._files import SystemFiles
from holdfast.storage.local import LocalBackend

_DATA = {"vault": b"v" * 10, "packs/ab/one": b"1" * 1000, "packs/ab/two": b"22", "refs/three": b""}


def _open(root: Path, files: SystemFiles | None = None) -> LocalBackend:
    return LocalBackend(root, clock=ManualClock(), random=CountedRandom(str(root)), files=files)


def _work(backend: LocalBackend, done: list[tuple[str, str]], spool: Path) -> None:
    """Put, put again, delete; note each act only after it returned."""
    for name, data in _DATA.items():
        backend.put(name, [data[:4], data[4:]])
        done.append(("put", name))
    backend.put("refs/three", b"")
    spool.write_bytes(b"spooled")
    backend.put_file("packs/cd/four", spool)
    done.append(("put", "packs/cd/four"))
    done.append(("deleting", "refs/three"))
    backend.delete("refs/three")
    done.append(("delete", "refs/three"))


def _run(root: Path, dies_before: int | None) -> tuple[VolatileFiles, list[tuple[str, str]]]:
    root.mkdir()
    files = VolatileFiles(root, dies_before=dies_before)
    done: list[tuple[str, str]] = []
    backend = _open(root, files)
    spool = backend._path / ".spool" / "file"
    spool.parent.mkdir()
    with suppress(PowerCut):
        _work(backend, done, spool)
    backend.close()
    return files, done


def test_whatever_returned_survives_a_power_cut_at_any_call(tmp_path: Path) -> None:
    """Durable means: name and bytes are there, whatever was not synced is lost."""
    counted, _ = _run(tmp_path / "counted", None)
    calls = len(counted.calls)
    counted.release()
    expected = _DATA | {"packs/cd/four": b"spooled"}
    assert calls > 20

    for dies_before in range(1, calls + 2):
        root, after = tmp_path / f"{dies_before}", tmp_path / f"{dies_before}-after"
        files, done = _run(root, dies_before)
        assert files.is_dead == (dies_before <= calls)
        files.survivors(after)
        files.release()
        backend = _open(after)
        found = {info.name: backend.get(info.name) for info in backend.list("")}

        assert found.items() <= expected.items(), f"half an object, cut before call {dies_before}"
        put = {name for act, name in done if act == "put"}
        deleting = {name for act, name in done if act == "deleting"}
        deleted = {name for act, name in done if act == "delete"}
        assert put - deleting <= found.keys(), f"a put was lost, cut before call {dies_before}"
        assert not deleted & found.keys(), f"a delete was lost, cut before call {dies_before}"
        for name, data in expected.items():
            backend.put(name, data)
        backend.close()


def test_bytes_are_synced_before_the_name_is_given_and_the_folder_after(tmp_path: Path) -> None:
    files = TracingFiles()
    backend = _open(tmp_path, files)

    backend.put("packs/ab", b"bytes")

    temporary = files.calls[2][1]
    folder = str(tmp_path / "packs")
    assert temporary.startswith(f"{folder}/.tmp-")
    assert files.calls == [
        ("make_folder", folder),
        ("fsync", str(tmp_path)),
        ("create", temporary),
        ("write", temporary),
        ("fsync", temporary),
        ("link", f"{folder}/ab"),
        ("fsync", folder),
        ("unlink", temporary),
    ]
    backend.close()


def test_an_object_that_was_there_already_is_synced_before_success_is_told(tmp_path: Path) -> None:
    """Whoever put it may have died before it was durable."""
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "ab").write_bytes(b"bytes")
    files = TracingFiles()
    backend = _open(tmp_path, files)

    assert not backend.put("packs/ab", b"bytes")

    folder = str(tmp_path / "packs")
    assert files.calls == [("fsync", str(tmp_path)), ("fsync", f"{folder}/ab"), ("fsync", folder)]
    backend.close()


@pytest.mark.parametrize("is_there", [True, False])
def test_a_delete_is_synced(tmp_path: Path, *, is_there: bool) -> None:
    files = TracingFiles()
    backend = _open(tmp_path, files)
    backend.put("a", b"")
    if is_there:
        backend.put("b", b"")
    files.calls.clear()

    backend.delete("a")

    assert files.calls == [("unlink", str(tmp_path / "a")), ("fsync", str(tmp_path))]
    backend.close()
