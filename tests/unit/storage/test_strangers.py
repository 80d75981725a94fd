"""What lies in a repository's folder and can be no object."""

import os
from pathlib import Path

from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from holdfast.storage.local import LocalBackend


def test_whatever_can_be_no_object_is_shown(tmp_path: Path) -> None:
    backend = LocalBackend(tmp_path, clock=ManualClock(), random=CountedRandom())
    backend.put("packs/ab/one", b"1")
    backend.spool_folder()
    (tmp_path / "packs" / ".tmp-under-way").write_bytes(b"")
    (tmp_path / "notes.txt").write_bytes(b"")
    (tmp_path / "packs" / "Thumbs.db").write_bytes(b"")
    (tmp_path / "packs" / "link").symlink_to("ab")
    (tmp_path / "Folder").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).write_bytes(b"")
    os.mkfifo(tmp_path / "packs" / "pipe")

    shown = backend.strangers()

    assert shown == [
        "Folder/",
        "\\xff",
        "notes.txt",
        "packs/Thumbs.db",
        "packs/link",
        "packs/pipe",
    ]
    assert [item.name for item in backend.list("")] == ["packs/ab/one"]
    backend.close()
