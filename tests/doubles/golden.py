"""Small ordinary vaults of every suite, as files: made by ``tools/make-golden``, read by tests."""

import io
import json
import lzma
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from doubles.clock import ManualClock
from doubles.scenario import Desk, Listing, fill, listing, noise
from holdfast.crypto.passwords import FLOOR_PARAMETERS
from holdfast.crypto.randomness import SystemRandom
from holdfast.crypto.suites import SUITES, suite_named
from holdfast.format.vault_object import VaultObject
from holdfast.storage.local import LocalBackend

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
PASSWORD = "golden password"
REMOVED_PASSWORD = "removed password"
ARCHIVE = "repository.tar.xz"
EXPECTED = "expected.json"
ROOT = b"/golden/source"
START = datetime(2040, 1, 1, tzinfo=UTC)


def suites() -> list[str]:
    """Return the names of all suites."""
    return [suite.name for suite in SUITES.values()]


def make(suite: str) -> None:
    """Write the vault of one suite: two restore points, and a rotation between them."""
    folder = GOLDEN / suite
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        repository = Path(name, "repository")
        repository.mkdir()
        source = Path(name, "source")
        clock = ManualClock(START)
        backend = LocalBackend(repository, clock=clock, random=SystemRandom())
        desk = golden_desk(backend, Path(name, "machine"), clock=clock)
        is_sealed = suite != "none"
        desk.init(
            VaultObject(
                suite=suite_named(suite).number, authority_public_key=bytes(32), nonce=bytes(32)
            )
        )
        _first_tree(source)
        trees = {desk.backup(source, root=ROOT).point_id.hex(): listing(source)}
        if is_sealed:
            desk.add_password(REMOVED_PASSWORD)
            desk.remove_password(REMOVED_PASSWORD)
        _second_tree(source)
        trees[desk.backup(source, root=ROOT).point_id.hex()] = listing(source)
        backend.close()
        (folder / ARCHIVE).write_bytes(_packed(repository))
    (folder / EXPECTED).write_text(json.dumps(trees, indent=1, sort_keys=True) + "\n")


def golden_desk(backend: LocalBackend, folder: Path, *, clock: ManualClock | None = None) -> Desk:
    """Return a machine with the password of the golden vaults."""
    return Desk(
        backend,
        folder,
        clock=clock or ManualClock(START.replace(year=START.year + 1)),
        password=PASSWORD,
        host="golden",
        chance=SystemRandom(),
        parameters=FLOOR_PARAMETERS,
    )


def unpack(suite: str, target: Path) -> None:
    """Unpack the repository of a suite into the new folder *target*."""
    with tarfile.open(GOLDEN / suite / ARCHIVE) as archive:
        # Python 3.11 knows the filter from 3.11.4 on; without it, what is ours comes out the same.
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(target, **safe)


def expected(suite: str) -> dict[str, Listing]:
    """Return what every restore point holds, by its id in hex."""
    trees = json.loads((GOLDEN / suite / EXPECTED).read_text())
    return {
        point: {path: tuple(entry) for path, entry in tree.items()} for point, tree in trees.items()
    }


def _first_tree(source: Path) -> None:
    files = {
        "empty": b"",
        "hello.txt": b"hello\n",
        "noise.bin": noise("golden", 3_000),
        # Longer than a chunk has to be: a few chunks, which compress to nearly nothing.
        "long.txt": b"".join(b"%07d\n" % (number // 997) for number in range(200_000)),
        "folder/below/one": b"one",
        "folder/ünï ❤ \\ 'name'": b"name",
        **{f"many/{number:03}": b"%d" % number for number in range(150)},
    }
    fill(source, files)
    (source / "link").symlink_to("folder/below/one")
    (source / "dangling").symlink_to("../nowhere")
    os.link(source / "hello.txt", source / "folder" / "hello again")
    os.mkfifo(source / "pipe", 0o640)
    (source / "private").mkdir(mode=0o700)
    with (source / "sparse").open("wb") as file:
        file.truncate(300_000)
        file.seek(100_000)
        file.write(b"in between")
    _settle(source)


def _second_tree(source: Path) -> None:
    (source / "empty").unlink()
    (source / "hello.txt").write_bytes(b"hello again\n")
    (source / "new").write_bytes(noise("new", 1_000))
    _settle(source)


def _settle(source: Path) -> None:
    """Give everything modes and times that depend on nothing but its path."""
    everything = sorted(source.rglob("*"), reverse=True)
    for _number, path in enumerate([*everything, source]):
        status = path.lstat()
        if not stat.S_ISLNK(status.st_mode) and path.name != "private":
            path.chmod(0o755 if stat.S_ISDIR(status.st_mode) else 0o644)
    names = {path: number for number, path in enumerate(sorted([*everything, source]))}
    for path in [*everything, source]:
        if path.lstat().st_nlink == 1 or path.is_dir():
            time_ns = 1_700_000_000_123_456_789 + names[path] * 1_000_000_007
        else:
            time_ns = 1_600_000_000_987_654_321
        os.utime(path, ns=(0, time_ns), follow_symlinks=False)


def _packed(folder: Path) -> bytes:
    """Return an archive of *folder* that depends on its files' names and bytes alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in _files(folder):
            entry = tarfile.TarInfo(str(path.relative_to(folder)))
            entry.size = path.stat().st_size
            entry.mode = 0o600
            with path.open("rb") as file:
                archive.addfile(entry, file)
    return lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME)


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and ".spool" not in path.parts:
            yield path
