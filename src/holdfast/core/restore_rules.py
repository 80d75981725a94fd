"""What a restore is told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class LeftOutRules:
    """By which rules the backup left things out; see ``ScanRules``, which they were then."""

    patterns: Sequence[bytes] = ()
    caches: bool = False
    if_present: Sequence[bytes] = ()
    larger_bytes: int | None = None
    one_file_system: bool = False
    named: Sequence[bytes] = ()
    """From where they were seen: the selection of the backup. Empty: from the root."""


@dataclass(frozen=True, slots=True)
class RestoreRules:
    """How a target that is not empty is treated."""

    overwrite: Literal["never", "if-changed", "always"]
    """A file that is there is kept, or kept if size and mtime are the same, or written anew."""
    delete: bool
    """Remove what the tree does not have, below what is restored."""
    sparse: bool
    """False: holes are given blocks."""
    numeric_ids: bool
    """True: owners by number, even if their names are known here under another one."""
    strip_prefix: bytes = b""
    """The folder whose contents land in the target; paths outside of it are refused."""
    include: Sequence[bytes] = ()
    exclude: Sequence[bytes] = ()
    """Patterns (gitignore's, paths below the root) of all that is wanted; of what is not."""
    onto_target: bool = False
    """Also give the target folder owner, mode, times and attributes of what it stands for."""
    target_is_new: bool = False
    """The target folder was made for this restore: it gets them even if nothing is overwritten."""
    roots: Sequence[bytes] = ()
    """What was stored, paths below the root, none of them below another; empty: everything.
    Nothing is removed outside."""
    keep_above: bool = False
    """Folders above *roots* that are there keep their metadata."""
    spared: Sequence[bytes] = ()
    """Paths below the root that are never removed, whatever the tree says."""
    left_out: LeftOutRules | None = None
    """What may have been left out by these is not removed either. None: nothing was left out."""
