"""The chapters of the hostile tree: each fills one folder with one kind of difficulty.

``doubles.trees.build_hostile_tree`` puts them together and sets all modification times at the end.
"""

import errno
import os
import random
import stat
import struct
from pathlib import Path

PATH_MAX = 4096
MIB = 1 << 20
SECOND_NS = 1_000_000_000

CACHEDIR_TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n"

TIMED = "mtime="
"""An entry whose name starts so gets the modification time (ns) that its name goes on with."""

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


def names(folder: Path) -> None:
    """Write a file under every one-byte name, and under names that programs trip over."""
    names = [bytes([byte]) for byte in range(1, 256) if byte not in b"/."]
    names += [
        b"n" * 255,
        b"\xff" * 255,
        "ü".encode() * 127,
        b"invalid-\xc3\x28-utf-8",
        b"\xed\xa0\x80",
    ]
    names += [b"...", b"..hidden", b"ends-in-dot.", b"ends in space ", b" ", b"  starts with space"]
    names += [
        b"-rf",
        b"--help",
        b"-",
        b"back\\slash",
        b"line\nfeed",
        b"\r\n",
        b"tab\t",
        b"\x1b[31mred",
    ]
    names += [
        b"$(touch pwned)",
        b"`id`",
        b"*",
        b"[a-z]?",
        b"%s%n",
        b"'",
        b'"',
        b"a:b",
        b"c:\\x",
        b"nul",
    ]
    names += [
        "e\u0301".encode(),
        "\u00e9".encode(),
        "\u202etxt".encode(),
        b"UPPER",
        b"upper",
        b"~",
        b"#",
    ]
    names += [
        b"\xf0\x9f\x97\x84",
        b".gitignore",
        b".holdfast",
        b"!keep",
        b"**",
        b"\x7f\x80\xfe\xff",
    ]
    parent = os.fsencode(folder)
    for name in dict.fromkeys(names):
        Path(os.fsdecode(parent + b"/" + name)).write_bytes(b"named " + name)
    for name in (b"\xff\xfe folder", b"-folder", b"new\nline", b"d" * 255):
        inner = Path(os.fsdecode(parent + b"/in-" + name[:252]))
        inner.mkdir()
        (inner / os.fsdecode(name)).write_bytes(name)


def beyond_path_max(folder: Path) -> None:
    """Nest folders with the longest names until a path is more than three times PATH_MAX."""
    _nest(folder, [chr(ord("a") + level % 26) * 255 for level in range(3 * PATH_MAX // 256 + 2)])


def deep(folder: Path) -> None:
    """Nest more folders than a process may have files open or Python lets a function recurse."""
    _nest(folder, [f"{level % 10}" for level in range(1200)])


def _nest(folder: Path, names: list[str]) -> None:
    here = os.open(folder, FOLDER_FLAGS)
    for level, name in enumerate(names):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, FOLDER_FLAGS, dir_fd=here)
        if level % 100 == 0:
            _write_at(below, "on-the-way", f"level {level}".encode())
        os.close(here)
        here = below
    _write_at(here, "at-the-bottom", b"found")
    os.symlink("at-the-bottom", "link", dir_fd=here)
    os.link("at-the-bottom", "hard-link", src_dir_fd=here, dst_dir_fd=here)
    os.close(here)


def _write_at(folder: int, name: str, content: bytes) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
    os.write(fd, content)
    os.close(fd)


def sparse(folder: Path, refused: list[str]) -> None:
    """Leave holes at every place a file can have one; and zeros that are no holes."""
    block = 64 * 1024  # a multiple of every usual block size
    data = random.Random("sparse").randbytes(block)
    layouts: dict[str, tuple[int, list[int]]] = {
        "hole-at-start": (4 * block, [3]),
        "hole-in-the-middle": (4 * block, [0, 3]),
        "hole-at-end": (4 * block, [0]),
        "all-hole": (4 * block, []),
        "odd-length": (4 * block + 4711, [1]),
        "many-holes": (256 * block, list(range(0, 256, 2))),
        "hole-over-16-mib": (512 * block, [0, 511]),
        "tebibyte": (1 << 40, [0, (1 << 40) // block // 2, (1 << 40) // block - 1]),
        "tebibyte-all-hole": (1 << 40, []),
    }
    for name, (size, blocks) in layouts.items():
        with (folder / name).open("wb", buffering=0) as file:
            try:
                file.truncate(size)
            except OSError as error:
                if error.errno != errno.EFBIG:
                    raise
                refused.append(f"{name} is empty: {error.strerror}.")
                continue
            for number in blocks:
                os.pwrite(file.fileno(), data, number * block)
    (folder / "fully-data").write_bytes(data * 4)
    (folder / "zeros-that-are-data").write_bytes(bytes(4 * block))


def sizes(folder: Path) -> None:
    """Write files around the sizes at which an engine may change its mind."""
    content = random.Random("sizes").randbytes(4 * MIB + 1)
    for border in (1, 512, 4096, 64 * 1024, 512 * 1024, MIB, 4 * MIB):
        for size in (border - 1, border, border + 1):
            (folder / f"{size}").write_bytes(content[:size])


def hard_links(folder: Path) -> None:
    """Link files, a symbolic link and a FIFO across folders."""
    for name in ("a", "b/c", "z"):
        (folder / name).mkdir(parents=True)
    (folder / "a/file").write_bytes(b"one file, four names")
    for name in ("b/c/other", "z/last", "0-first"):
        os.link(folder / "a/file", folder / name)
    (folder / "a/same-content").write_bytes(b"one file, four names")
    (folder / "a/symlink").symlink_to("file")
    os.link(folder / "a/symlink", folder / "z/symlink", follow_symlinks=False)
    os.mkfifo(folder / "a/fifo")
    os.link(folder / "a/fifo", folder / "b/fifo")
    (folder / "empty").touch()
    os.link(folder / "empty", folder / "z/empty")
    (folder / "many").touch()
    for number in range(100):
        os.link(folder / "many", folder / f"b/c/many-{number}")


def special(folder: Path) -> None:
    """Make a FIFO and a socket that nobody listens on."""
    os.mkfifo(folder / "fifo", 0o640)
    os.mknod(folder / "socket", stat.S_IFSOCK | 0o600)


def symbolic_links(folder: Path, refused: list[str]) -> None:
    """Point everywhere and nowhere; the target of a link may be any 4095 bytes."""
    (folder / "target").write_bytes(b"pointed at")
    (folder / "folder").mkdir()
    (folder / "folder/inside").write_bytes(b"must be here once")
    targets = {
        "to-file": b"target",
        "to-folder": b"folder",
        "dangling": b"nowhere/at/all",
        "absolute": b"/etc/passwd",
        "to-root": b"/",
        "to-itself": b"to-itself",
        "to-parent": b"..",
        "out-of-the-tree": b"../../../../../../../../etc",
        "long": b"x/" * 2000,
        "invalid-utf-8": b"\xff\xfe\xc3\x28",
        "with-newline": b"two\nlines",
        "with-space": b" ",
    }
    for name, target in targets.items():
        try:
            (folder / name).symlink_to(os.fsdecode(target))
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            refused.append(f"There is no symbolic link {name}: {error.strerror}.")


def modes(folder: Path) -> None:
    """Set every kind of permission bits; ``build_hostile_tree`` closes the last folder."""
    values = (
        0o000,
        0o400,
        0o444,
        0o600,
        0o644,
        0o666,
        0o711,
        0o777,
        0o4755,
        0o2755,
        0o1644,
        0o7777,
    )
    for mode in values:
        (folder / f"file-{mode:04o}").write_bytes(b"mode")
        (folder / f"file-{mode:04o}").chmod(mode)
    for mode in (0o700, 0o755, 0o777, 0o1777, 0o2775, 0o3777, 0o4755):
        (folder / f"folder-{mode:04o}").mkdir()
        (folder / f"folder-{mode:04o}" / "inside").write_bytes(b"inside")
        (folder / f"folder-{mode:04o}").chmod(mode)
    (folder / "folder-without-permissions").mkdir()
    (folder / "folder-without-permissions" / "inside").write_bytes(b"hidden")


def times(folder: Path) -> None:
    """Name entries after their times; ``_set_times`` does the rest."""
    far_future = 7_258_118_400 * SECOND_NS + 123_456_789  # the year 2200
    before_epoch = -1_000_000_000 * SECOND_NS + 1  # the year 1938
    times = (0, 1, -1, 999_999_999, -SECOND_NS, before_epoch, far_future, (1 << 31) * SECOND_NS)
    for kind in ("file", "folder", "symlink"):
        (folder / kind).mkdir()
        for time in times:
            entry = folder / kind / f"{TIMED}{time}"
            if kind == "file":
                entry.write_bytes(b"timed")
            elif kind == "folder":
                entry.mkdir()
                (entry / "inside").write_bytes(b"inside")
            else:
                entry.symlink_to("timed")


def cache(folder: Path) -> None:
    """Tag one folder as a cache, and another one wrongly."""
    (folder / "CACHEDIR.TAG").write_bytes(CACHEDIR_TAG)
    (folder / "cached").write_bytes(b"can be made again")
    (folder / "not-a-cache").mkdir()
    (folder / "not-a-cache" / "CACHEDIR.TAG").write_bytes(b"Signature: wrong")
    (folder / "not-a-cache" / "precious").write_bytes(b"cannot be made again")


def empty(folder: Path) -> None:
    """Leave a file and a folder empty."""
    (folder / "file").touch()
    (folder / "folder").mkdir()


def attributes(folder: Path, refused: list[str]) -> None:
    """Set user attributes: empty, binary, many, as large as the file system takes."""
    values = {
        "empty": {"user.empty": b""},
        "binary": {"user.binary": bytes(range(256)), "user.invalid-\udcff": b"\0"},
        "long-name": {"user." + "n" * 250: b"x"},
        "many": {f"user.number-{number}": b"%d" % number for number in range(50)},
        "large": {"user.large": random.Random("xattr").randbytes(3000)},
        "60-kib": {"user.60-kib": random.Random("60").randbytes(60 * 1024)},
    }
    for name, attributes in values.items():
        (folder / name).write_bytes(b"with attributes")
        _try_attributes(folder / name, attributes, refused)
    (folder / "folder").mkdir()
    _try_attributes(folder / "folder", values["binary"], refused)
    os.link(folder / "many", folder / "many-linked")


def _try_attributes(path: Path, attributes: dict[str, bytes], refused: list[str]) -> None:
    for name, value in attributes.items():
        try:
            os.setxattr(path, name, value)
        except OSError as error:
            if error.errno not in {errno.ENOTSUP, errno.ENOSPC, errno.E2BIG, errno.ERANGE}:
                raise
            refused.append(f"{path.name} has no attribute {name!a}: {error.strerror}.")


def posix_acl(*entries: tuple[int, int, int]) -> bytes:
    """Encode a POSIX ACL as the kernel takes it; entries are (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY_IN_PARTICULAR = 0xFFFFFFFF
ACL_FOR_ONE_MORE_USER = posix_acl(
    (0x01, 7, NOBODY_IN_PARTICULAR),
    (0x02, 6, 4242),  # a user
    (0x04, 5, NOBODY_IN_PARTICULAR),
    (0x08, 4, 4343),  # a group
    (0x10, 7, NOBODY_IN_PARTICULAR),
    (0x20, 0, NOBODY_IN_PARTICULAR),
)


def acls(folder: Path, refused: list[str]) -> None:
    """Set an access ACL, a default ACL, and let new entries inherit it."""
    (folder / "file").write_bytes(b"with an ACL")
    _try_attributes(folder / "file", {"system.posix_acl_access": ACL_FOR_ONE_MORE_USER}, refused)
    (folder / "folder").mkdir()
    both = dict.fromkeys(
        ("system.posix_acl_access", "system.posix_acl_default"), ACL_FOR_ONE_MORE_USER
    )
    _try_attributes(folder / "folder", both, refused)
    # These inherit the default ACL; restoring them must not add to it.
    (folder / "folder" / "inherits").write_bytes(b"inherits")
    (folder / "folder" / "inherits-too").mkdir()


def big(folder: Path, files: int) -> None:
    """Put *files* small files into one folder."""
    fd = os.open(folder, FOLDER_FLAGS)
    for number in range(files):
        _write_at(fd, f"file-{number:06}", b"%d" % number)
    os.close(fd)


def capability(bit: int) -> bytes:
    """Encode one file capability, permitted and effective, as ``security.capability`` holds it."""
    revision_2_effective = 0x02000001
    return struct.pack("<IIIII", revision_2_effective, 1 << bit, 0, 0, 0)


def privileged(folder: Path) -> None:
    """Make what only root can: capabilities, foreign owners, devices, ``trusted.*``."""
    (folder / "capable").write_bytes(b"#!/bin/true\n")
    (folder / "setuid-of-nobody").write_bytes(b"#!/bin/true\n")
    for name, owner in (("unnamed-owner", 4_000_000_001), ("nobody", 65534)):
        (folder / name).write_bytes(b"owned")
        os.chown(folder / name, owner, owner - 1)
    os.chown(folder / "capable", 4_000_000_002, 0)
    os.chown(folder / "setuid-of-nobody", 65534, 65534)
    (folder / "setuid-of-nobody").chmod(0o6755)
    # A change of owner takes capabilities away, so they come after it.
    os.setxattr(folder / "capable", "security.capability", capability(10))
    (folder / "foreign-folder").mkdir()
    os.chown(folder / "foreign-folder", 4_000_000_003, 4_000_000_003)
    (folder / "foreign-link").symlink_to("nowhere")
    os.chown(folder / "foreign-link", 4_000_000_004, 4_000_000_004, follow_symlinks=False)
    devices = {
        "char-1-3": (stat.S_IFCHR | 0o666, 1, 3),
        "char-large-numbers": (stat.S_IFCHR | 0o600, 4000, 1_000_000),
        "block-7-200": (stat.S_IFBLK | 0o660, 7, 200),
        "overlay-whiteout": (stat.S_IFCHR, 0, 0),
    }
    for name, (mode, major, minor) in devices.items():
        os.mknod(folder / name, mode, os.makedev(major, minor))
        (folder / name).chmod(stat.S_IMODE(mode))
    os.link(folder / "char-1-3", folder / "char-1-3-linked")
    os.mkfifo(folder / "fifo")
    os.chown(folder / "fifo", 65534, 65534)
    for name in ("capable", "char-1-3", "fifo", "foreign-link", "foreign-folder"):
        os.setxattr(folder / name, "trusted.holdfast", name.encode(), follow_symlinks=False)
