"""What a backup of files is told."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ScanRules:
    """What of a source is taken.

    What is left out is left out below the paths that were named: neither these paths themselves,
    nor the folders that lead to them. Where one lies below another, the deeper one counts.
    """

    exclude: Sequence[bytes] = ()
    """Patterns in the dialect of gitignore, seen from each named path."""
    exclude_caches: bool = False
    """Of folders with a valid ``CACHEDIR.TAG`` only the tag is taken."""
    exclude_if_present: Sequence[bytes] = ()
    """Nothing is taken from below folders that hold one of these names."""
    exclude_larger_bytes: int | None = None
    one_file_system: bool = False
    """Below a named path, folders on another file system than its own are taken empty."""
    xattrs: bool = True
    selection: Sequence[bytes] = ()
    """The named paths, relative to the root; nothing else is taken. Empty, or ``.``: the root."""
    never: Sequence[bytes] = ()
    """Paths relative to the root that are not taken, wherever they are seen from."""
    reread: bool = False
    """Read every file, whatever the local state says of it."""
