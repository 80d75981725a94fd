"""The sources of ``tools/bench``: made of numbers, the same on every machine."""

# ruff: noqa: S311 - what is wanted is the same in every run, and nothing is secret

import os
import random
import string
from pathlib import Path
from typing import Final

MIB: Final = 1 << 20
_POOL_BYTES: Final = 32 * MIB
_WORDS: Final = 60_000
_FILES_A_FOLDER: Final = 14
_MEDIAN_BYTES: Final = 3_500
_SPREAD: Final = 1.62
"""Of the logarithm of sizes: with the median above, the mean is 13 kB, as below /usr/share."""
_LARGEST: Final = 4 * MIB
_RANDOM_SHARE: Final = 0.15
"""Of files that hardly compress: pictures, archives."""
_COPY_SHARE: Final = 0.03
_PIECE: Final = 16 * MIB


class Pools:
    """Bytes to cut content from: text of words that are common and rare, and noise."""

    def __init__(self) -> None:
        chance = random.Random("bench pools")
        words = [
            "".join(chance.choices(string.ascii_lowercase, k=chance.randint(1, 11)))
            + chance.choice((" ", " ", " ", " ", "\n", ", ", "(", ")\n    ", " = ", "/"))
            for _ in range(_WORDS)
        ]
        weights = [1 / (rank + 3) for rank in range(_WORDS)]
        text = bytearray()
        while len(text) < _POOL_BYTES:
            text += "".join(chance.choices(words, weights, k=200_000)).encode()
        self.text: Final = bytes(text[:_POOL_BYTES])
        self.noise: Final = chance.randbytes(_POOL_BYTES)


def make_small_files(root: Path, pools: Pools, count: int) -> None:
    """Make *count* files with sizes and compressibility as of programs and their sources."""
    chance = random.Random("bench small files")
    root.mkdir()
    folders = [root]
    earlier: list[Path] = []
    for number in range(count):
        if number % _FILES_A_FOLDER == 0:
            # Mostly shallow: parents are picked among all folders there are.
            folder = chance.choice(folders[-400:]) / f"{_name(chance)}-{number:x}"
            if len(folder.parts) - len(root.parts) > 9:  # noqa: PLR2004 - deep enough
                folder = root / folder.name
            folder.mkdir()
            folders.append(folder)
        path = chance.choice(folders[-3:]) / f"{_name(chance)}{number:x}.{chance.choice(_ENDINGS)}"
        if earlier and chance.random() < _COPY_SHARE:
            path.write_bytes(chance.choice(earlier).read_bytes())
            continue
        size = min(int(chance.lognormvariate(0, _SPREAD) * _MEDIAN_BYTES), _LARGEST)
        pool = pools.noise if chance.random() < _RANDOM_SHARE else pools.text
        start = chance.randrange(_POOL_BYTES - size)
        path.write_bytes(b"%d\n" % number + pool[start : start + size])
        if number % 50 == 0:
            earlier.append(path)
    _age(root)


def make_large_file(root: Path, pools: Pools, size_mib: int) -> None:
    """Make one file: text and noise by turns, every eighth piece an earlier one again."""
    chance = random.Random("bench large file")
    root.mkdir()
    pieces: list[tuple[int, int, int]] = []
    with (root / "large").open("wb") as file:
        for number in range(size_mib * MIB // _PIECE):
            if number % 8 == 7:  # noqa: PLR2004 - as said above
                piece = chance.choice(pieces)
            else:
                kind = number % 2
                piece = (kind, chance.randrange(_POOL_BYTES), chance.randrange(1 << 32))
                pieces.append(piece)
            file.write(_piece(pools, *piece))
    _age(root)


def make_tiny_files(root: Path, count: int) -> None:
    """Make *count* files in one folder."""
    root.mkdir()
    for number in range(count):
        (root / f"{number:06}").write_bytes(b"%d" % number * 20)
    _age(root)


_ENDINGS: Final = ("c", "h", "py", "txt", "html", "png", "gz", "svg", "json", "xml", "mo", "so")


def _name(chance: random.Random) -> str:
    return "".join(chance.choices(string.ascii_lowercase + "-_", k=chance.randint(3, 14)))


def _piece(pools: Pools, kind: int, start: int, mask: int) -> bytes:
    """Return 16 MiB of a pool, beginning anywhere, changed so that no two pieces are the same."""
    pool = pools.noise if kind else pools.text
    piece = bytearray(pool[start : start + _PIECE])
    piece += pool[: _PIECE - len(piece)]
    if kind:
        key = random.Random(mask).randbytes(_PIECE)
        changed = int.from_bytes(piece, "little") ^ int.from_bytes(key, "little")
        return changed.to_bytes(_PIECE, "little")
    # Text stays text: one letter in some thousand is another one.
    for place in range(mask % 4096, _PIECE, 4096):
        piece[place] = 97 + (mask >> 7) % 26
    return bytes(piece)


def _age(root: Path) -> None:
    """Set modification times into the past; changes in the last seconds would be read again."""
    for folder, _, names in os.walk(root):
        for name in names:
            os.utime(os.path.join(folder, name), (1_700_000_000, 1_700_000_000))  # noqa: PTH118 - in a hot loop
