"""Trees of files for tests: a hostile one, a small and quick one, and changes to the latter.

All are deterministic: built twice with the same arguments, two trees are the same in everything
that ``tools/compare-trees`` compares, modification times of folders included. ``shutil.rmtree``
cannot remove the hostile tree (too deep, folders without permissions): use ``remove_tree``.
"""

import os
import random
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from doubles import hostile_chapters as chapters


def build_hostile_tree(
    root: Path, *, big_folder_files: int = 100_000, privileged: bool
) -> tuple[str, ...]:
    """Make the new folder *root* and in it whatever a file system can hold.

    *privileged* adds what only root can make: devices, capabilities, foreign owners, ``trusted.*``.
    Returns what this file system refused, one sentence each (ext4 has no 60 KiB attribute).
    """
    root.mkdir()
    refused: list[str] = []
    parts: dict[str, Callable[[Path], None]] = {
        "names": chapters.names,
        "beyond": chapters.beyond_path_max,
        "deep": chapters.deep,
        "sparse": lambda folder: chapters.sparse(folder, refused),
        "sizes": chapters.sizes,
        "links": chapters.hard_links,
        "special": chapters.special,
        "symlinks": lambda folder: chapters.symbolic_links(folder, refused),
        "modes": chapters.modes,
        "times": chapters.times,
        "cache": chapters.cache,
        "empty": chapters.empty,
        "xattrs": lambda folder: chapters.attributes(folder, refused),
        "acls": lambda folder: chapters.acls(folder, refused),
        "big": lambda folder: chapters.big(folder, big_folder_files),
    }
    if privileged:
        parts["privileged"] = chapters.privileged
    for name, fill in parts.items():
        (root / name).mkdir()
        fill(root / name)
    _set_times(root)
    # Last, because nobody but root can go into this folder afterwards.
    (root / "modes" / "folder-without-permissions").chmod(0)
    return tuple(refused)


def _set_times(root: Path) -> None:
    """Give every entry, folders last, a modification time that depends on nothing but its path."""
    for folder, name, path in _walk_upwards(root):
        time = (
            int(name.removeprefix(chapters.TIMED))
            if name.startswith(chapters.TIMED)
            else 1_600_000_000 * chapters.SECOND_NS + zlib.crc32(path) * 97
        )
        os.utime(name, ns=(time, time), dir_fd=folder, follow_symlinks=False)
    os.utime(root, ns=(1_600_000_000 * chapters.SECOND_NS, 1_600_000_000 * chapters.SECOND_NS))


def _walk_upwards(root: Path) -> Iterator[tuple[int, str, bytes]]:
    """Yield (folder descriptor, name, path below root), sorted, a folder after what is in it.

    The way back is ``..``, so neither descriptors nor Python's stack limit the depth.
    """
    here = os.open(root, chapters.FOLDER_FLAGS)
    try:
        names: list[str] = []
        pending = [_sorted_names(here)]
        while pending:
            if pending[-1]:
                name = pending[-1].pop()
                if stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
                    here = _step(here, name)
                    names.append(name)
                    pending.append(_sorted_names(here))
                else:
                    yield here, name, os.fsencode("/".join([*names, name]))
            else:
                pending.pop()
                if pending:
                    here = _step(here, "..")
                    path = os.fsencode("/".join(names))
                    yield here, names.pop(), path
    finally:
        os.close(here)


def _sorted_names(folder: int) -> list[str]:
    return sorted(os.listdir(folder), reverse=True)


def _step(here: int, name: str) -> int:
    try:
        there = os.open(name, chapters.FOLDER_FLAGS, dir_fd=here)
    except PermissionError:
        os.chmod(name, 0o700, dir_fd=here)
        there = os.open(name, chapters.FOLDER_FLAGS, dir_fd=here)
    if name != "..":
        # Whoever builds or removes a tree owns it; he can give himself what is missing.
        mode = stat.S_IMODE(os.fstat(there).st_mode)
        if mode & 0o700 != 0o700:
            os.fchmod(there, mode | 0o700)
    os.close(here)
    return there


@dataclass(frozen=True)
class Changes:
    """What ``mutate_tree`` did, as paths below the root."""

    changed: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    added: tuple[str, ...]


def build_small_tree(root: Path, seed: int) -> None:
    """Make the new folder *root* with about 300 entries of many kinds; any user can, in no time."""
    chance = random.Random(f"small tree {seed}")
    root.mkdir()
    folders = [root]
    for number in range(30):
        folder = chance.choice(folders) / f"folder-{number}"
        folder.mkdir()
        folders.append(folder)
    for number in range(240):
        size = chance.choice((0, 1, 100, chance.randrange(5000), chance.randrange(100_000)))
        file = chance.choice(folders) / f"file-{number}-\udcff{chance.choice('ä -.')}x"
        file.write_bytes(chance.randbytes(size))
        file.chmod(chance.choice((0o644, 0o600, 0o755, 0o444)))
        if number % 8 == 0:
            os.link(file, chance.choice(folders) / f"hard-link-{number}")
        if number % 10 == 0:
            (chance.choice(folders) / f"link-{number}").symlink_to(file.name)
    (root / "large").write_bytes(chance.randbytes(3 * chapters.MIB + 5) + b"compressible" * 50_000)
    with (root / "sparse").open("wb") as file_with_holes:
        file_with_holes.write(b"start")
        file_with_holes.truncate(2 * chapters.MIB)
        file_with_holes.seek(chapters.MIB)
        file_with_holes.write(b"middle")
    os.mkfifo(root / "fifo")
    chapters.cache(chance.choice(folders))
    _set_times(root)


def mutate_tree(root: Path, seed: int) -> Changes:
    """Change, remove, rename and add some regular files and folders below *root*.

    Meant for small trees; the order of work and the new times depend on the paths and *seed* only.
    """
    chance = random.Random(f"changes {seed}")
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    folders = sorted(path for path in root.rglob("*") if path.is_dir() and not path.is_symlink())
    folders.append(root)
    share = max(1, len(files) // 20)
    picked = chance.sample(files, min(len(files), 4 * share))
    changed, removed, renamed = (
        picked[: 2 * share],
        picked[2 * share : 3 * share],
        picked[3 * share :],
    )
    touched: set[Path] = set()
    for number, path in enumerate(changed):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)
        old = path.read_bytes()
        if number % 3 == 0:  # as long as before, so that only content and time tell
            path.write_bytes(bytes(byte ^ 1 for byte in old[:1]) + old[1:])
        elif number % 3 == 1:
            path.write_bytes(old + chance.randbytes(1 + chance.randrange(10_000)))
        else:
            path.write_bytes(old[: len(old) // 2])
        touched.add(path)
    for path in removed:
        path.unlink()
        touched.add(path.parent)
    moves = []
    for path in renamed:
        new = chance.choice(folders) / f"renamed-{seed}-{path.name}"
        path.rename(new)
        touched.update((path.parent, new.parent))
        moves.append((path, new))
    added = [chance.choice(folders) / f"added-{seed}-{number}" for number in range(share)]
    for path in added:
        path.write_bytes(chance.randbytes(chance.randrange(50_000)))
        touched.update((path, path.parent))
    for path in touched:
        below = os.fsencode(path.relative_to(root))
        time = (1_700_000_000 + seed) * chapters.SECOND_NS + zlib.crc32(below) * 89
        os.utime(path, ns=(time, time))

    def names(paths: list[Path]) -> tuple[str, ...]:
        return tuple(str(path.relative_to(root)) for path in paths)

    return Changes(
        changed=names(changed),
        removed=names(removed),
        renamed=tuple((names([old])[0], names([new])[0]) for old, new in moves),
        added=names(added),
    )


def remove_tree(root: Path) -> None:
    """Remove *root* and all in it, however deep and without permissions; not there is fine."""
    if not os.path.lexists(root):
        return
    root.chmod(0o700)
    for folder, name, _path in _walk_upwards(root):
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)
    root.rmdir()


@contextmanager
def disposable_folder(parent: Path) -> Iterator[Path]:
    """Give a new folder for hostile trees that is gone afterwards, whatever was put into it."""
    folder = parent / "disposable"
    folder.mkdir()
    try:
        yield folder
    finally:
        remove_tree(folder)
