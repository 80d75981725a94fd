"""Core: the engine that moves bytes, behind one typed face.

It knows how a tree becomes chunks, segments, packs, nodes and index rows, and back. It never knows
where packs are stored, what a password is, what time it is, or what may be deleted. The face is
``holdfast.core.face``; ``holdfast.core.python`` is the plain engine, the executable form of
``docs/spec/vault-format.md`` sections 6 to 8.
"""

from holdfast.core.face import (
    Bytes,
    Compared,
    Engine,
    Entry,
    EntryKind,
    Event,
    Fetch,
    Index,
    IndexKeys,
    Limits,
    Marks,
    MergedIndex,
    NodeRule,
    PackKind,
    Page,
    Parameters,
    Progress,
    Reader,
    ReadKeys,
    Restored,
    Run,
    Store,
    Verified,
    WriteKeys,
    Writer,
    Written,
    WrittenPack,
)
from holdfast.core.restore_rules import RestoreRules
from holdfast.core.scan_rules import ScanRules

__all__ = [
    "Bytes",
    "Compared",
    "Engine",
    "Entry",
    "EntryKind",
    "Event",
    "Fetch",
    "Index",
    "IndexKeys",
    "Limits",
    "Marks",
    "MergedIndex",
    "NodeRule",
    "PackKind",
    "Page",
    "Parameters",
    "Progress",
    "ReadKeys",
    "Reader",
    "RestoreRules",
    "Restored",
    "Run",
    "ScanRules",
    "Store",
    "Verified",
    "WriteKeys",
    "Writer",
    "Written",
    "WrittenPack",
]
