"""Names for the kinds of identifiers, so that a pack is never taken for a session.

All are raw bytes; they are written as lower-case hexadecimal in object names and for people.
"""

from typing import NewType

RepositoryId = NewType("RepositoryId", bytes)
"""16 random bytes, in the repository's marker."""
VaultId = NewType("VaultId", bytes)
"""32 bytes: SHA-256 of the vault object."""
GroupId = NewType("GroupId", bytes)
"""16 random bytes: a dedup group."""
WriterId = NewType("WriterId", bytes)
"""16 random bytes: a writer, the same for all its certificates."""
SeriesId = NewType("SeriesId", bytes)
"""16 bytes: a series of restore points of one writer."""
SessionId = NewType("SessionId", bytes)
"""16 random bytes: one session."""
ObjectHash = NewType("ObjectHash", bytes)
"""32 bytes: SHA-256 of a whole stored object, which is also its name."""
PackId = NewType("PackId", bytes)
"""32 bytes: SHA-256 of a whole pack."""
IndexId = NewType("IndexId", bytes)
"""32 bytes: SHA-256 of a whole index object."""
PointId = NewType("PointId", bytes)
"""32 bytes: SHA-256 of a whole restore point object."""
ChunkId = NewType("ChunkId", bytes)
"""32 bytes: keyed hash of a chunk's plaintext."""
NodeId = NewType("NodeId", bytes)
"""32 bytes: keyed hash of a tree node's plaintext."""
