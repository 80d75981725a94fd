"""Where folders lie, told by device and inode, so that neither links nor mounts hide it."""

import os
from contextlib import suppress


def place_below(folder: bytes, path: bytes) -> bytes | None:
    """Return where *path*, which need not be there, lies below *folder*; empty for the same place.

    None if it lies elsewhere, or *folder* is not there. A mount of *folder*, or of anything above
    it, at another path is the same place; one between the two is not seen.
    """
    try:
        own = os.stat(folder)  # noqa: PTH116 - paths are bytes here
    except OSError:
        return None
    place = os.path.realpath(os.path.abspath(path))  # noqa: PTH100 - as above
    names: list[bytes] = []
    while True:
        with suppress(OSError):
            found = os.stat(place)  # noqa: PTH116 - as above
            if (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino):
                return b"/".join(reversed(names))
        above, name = os.path.split(place)
        if above == place:
            return None
        names.append(name)
        place = above
