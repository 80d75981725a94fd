"""The names of stored objects (section 2)."""

import re
from dataclasses import dataclass
from typing import Final

from holdfast.base.ids import GroupId, IndexId, ObjectHash, PackId, PointId, SessionId, VaultId
from holdfast.format import frames
from holdfast.format.cbor import Bytes
from holdfast.format.errors import NameMismatchError

MARKER_NAME: Final = "holdfast-repository"
VAULTS_PREFIX: Final = "vaults/"

STATEMENTS_LIMIT: Final = 65_536
_LARGEST_NUMBER: Final = 2**64 - 1

_FOLDERS: Final = {
    "keys": frames.KIND_STATEMENT,
    "slots": frames.KIND_SLOT,
    "writers": frames.KIND_WRITER,
    "sessions": frames.KIND_SESSION,
    "leases": frames.KIND_LEASE,
    "packs": frames.KIND_PACK,
    "packlists": frames.KIND_PACKLIST,
    "index": frames.KIND_INDEX,
    "refs": frames.KIND_REFS,
    "points": frames.KIND_POINT,
    "forgets": frames.KIND_FORGET,
    "tombstones": frames.KIND_TOMBSTONE,
    "moves": frames.KIND_MOVES,
    "quarantine": frames.KIND_QUARANTINE,
    "attestations": frames.KIND_ATTESTATION,
    "notes": frames.KIND_NOTE,
    "parity": frames.KIND_PARITY,
    "evidence": frames.KIND_EVIDENCE,
    "bundles": frames.KIND_BUNDLE,
}
_FOLDER_OF: Final = {kind: folder for folder, kind in _FOLDERS.items()}

_NUMBER: Final = r"(?P<number>0|[1-9][0-9]{0,19})"
_HASH: Final = r"(?P<hash>[0-9a-f]{64})"
_SESSION: Final = r"(?P<session>[0-9a-f]{32})"
_INSIDE: Final = {
    frames.KIND_STATEMENT: re.compile(f"{_NUMBER}-{_HASH}"),
    frames.KIND_SESSION: re.compile(f"{_SESSION}/{_HASH}"),
    frames.KIND_LEASE: re.compile(f"{_SESSION}/{_NUMBER}"),
    frames.KIND_PACK: re.compile(r"(?P<first>[0-9a-f]{2})/(?P<hash>(?P=first)[0-9a-f]{62})"),
    frames.KIND_PACKLIST: re.compile(f"{_SESSION}/{_HASH}"),
    frames.KIND_INDEX: re.compile(f"(?P<group>[0-9a-f]{{32}})/{_HASH}"),
}
_BY_HASH: Final = re.compile(_HASH)
_IN_VAULT: Final = re.compile(r"vaults/(?P<vault>[0-9a-f]{64})/(?P<rest>[^\n]+)")


@dataclass(frozen=True, slots=True)
class ObjectName:
    """What the name of an object says.

    *hash* is H of the whole object, None for markers and leases; *number* is that of a statement
    or lease. What a kind's names do not have is None.
    """

    kind: int
    vault_id: VaultId | None = None
    hash: ObjectHash | None = None
    number: int | None = None
    session_id: SessionId | None = None
    group_id: GroupId | None = None


def parse_name(name: str) -> ObjectName | None:
    """Return what *name* says, or None if it is no name of section 2."""
    if name == MARKER_NAME:
        return ObjectName(frames.KIND_MARKER)
    match = _IN_VAULT.fullmatch(name)
    if match is None:
        return None
    vault_id = VaultId(bytes.fromhex(match["vault"]))
    if match["rest"] == "vault":
        return ObjectName(frames.KIND_VAULT, vault_id, ObjectHash(vault_id))
    folder, _, inside = match["rest"].partition("/")
    kind = _FOLDERS.get(folder)
    if kind is None:
        return None
    parts = _INSIDE.get(kind, _BY_HASH).fullmatch(inside)
    return None if parts is None else _from_parts(kind, vault_id, parts.groupdict())


def _from_parts(kind: int, vault_id: VaultId, parts: dict[str, str]) -> ObjectName | None:
    number = int(parts["number"]) if "number" in parts else None
    limit = STATEMENTS_LIMIT if kind == frames.KIND_STATEMENT else _LARGEST_NUMBER + 1
    if number is not None and number >= limit:
        return None
    return ObjectName(
        kind,
        vault_id,
        ObjectHash(bytes.fromhex(parts["hash"])) if "hash" in parts else None,
        number,
        SessionId(bytes.fromhex(parts["session"])) if "session" in parts else None,
        GroupId(bytes.fromhex(parts["group"])) if "group" in parts else None,
    )


def check_hash(name: str, data: Bytes) -> ObjectName:
    """Compare the hash in *name* with the bytes; do it before anything else of them is used.

    Markers and leases carry their hash at their end: ``frames.parse_hash_ended`` compares it.

    Raises:
        NameMismatchError: the bytes are not the ones that the name promises, or it is no name.
    """
    parsed = parse_name(name)
    if parsed is None:
        raise NameMismatchError(f"'{name}' is not the name of an object.")
    if parsed.hash is not None and frames.object_hash(data) != parsed.hash:
        raise NameMismatchError(f"The bytes of '{name}' do not have the hash in its name.")
    return parsed


def prefix(vault_id: VaultId, kind: int) -> str:
    """Return what the names of all objects of *kind* in the vault begin with."""
    return f"{VAULTS_PREFIX}{vault_id.hex()}/{_FOLDER_OF[kind]}/"


def vault_prefix(vault_id: VaultId) -> str:
    """Return what the names of everything in the vault begin with."""
    return f"{VAULTS_PREFIX}{vault_id.hex()}/"


def vault_name(vault_id: VaultId) -> str:
    """Return the name of the vault object."""
    return f"{VAULTS_PREFIX}{vault_id.hex()}/vault"


def statement_name(vault_id: VaultId, number: int, statement_hash: ObjectHash) -> str:
    """Return the name of a key statement."""
    return f"{statements_prefix(vault_id)}{number}-{statement_hash.hex()}"


def slot_name(vault_id: VaultId, slot_hash: ObjectHash) -> str:
    """Return the name of a slot."""
    return slots_prefix(vault_id) + slot_hash.hex()


def writer_name(vault_id: VaultId, certificate_hash: ObjectHash) -> str:
    """Return the name of a writer certificate."""
    return writers_prefix(vault_id) + certificate_hash.hex()


def session_name(vault_id: VaultId, session_id: SessionId, object_hash: ObjectHash) -> str:
    """Return the name of a session object."""
    return f"{sessions_prefix(vault_id)}{session_id.hex()}/{object_hash.hex()}"


def lease_name(vault_id: VaultId, session_id: SessionId, number: int) -> str:
    """Return the name of a lease."""
    return f"{leases_prefix(vault_id)}{session_id.hex()}/{number}"


def pack_name(vault_id: VaultId, pack_id: PackId) -> str:
    """Return the name of a pack."""
    return f"{packs_prefix(vault_id)}{pack_id[:1].hex()}/{pack_id.hex()}"


def packlist_name(vault_id: VaultId, session_id: SessionId, packlist_hash: ObjectHash) -> str:
    """Return the name of a packlist."""
    return f"{packlists_prefix(vault_id)}{session_id.hex()}/{packlist_hash.hex()}"


def index_name(vault_id: VaultId, group_id: GroupId, index_id: IndexId) -> str:
    """Return the name of an index object."""
    return f"{indexes_prefix(vault_id)}{group_id.hex()}/{index_id.hex()}"


def refs_name(vault_id: VaultId, refs_hash: ObjectHash) -> str:
    """Return the name of a refs object."""
    return refs_prefix(vault_id) + refs_hash.hex()


def point_name(vault_id: VaultId, point_id: PointId) -> str:
    """Return the name of a restore point."""
    return points_prefix(vault_id) + point_id.hex()


def forget_name(vault_id: VaultId, forget_hash: ObjectHash) -> str:
    """Return the name of a forget."""
    return forgets_prefix(vault_id) + forget_hash.hex()


def tombstone_name(vault_id: VaultId, tombstone_hash: ObjectHash) -> str:
    """Return the name of a tombstone."""
    return tombstones_prefix(vault_id) + tombstone_hash.hex()


def quarantine_name(vault_id: VaultId, quarantine_hash: ObjectHash) -> str:
    """Return the name of a quarantine."""
    return quarantines_prefix(vault_id) + quarantine_hash.hex()


def statements_prefix(vault_id: VaultId) -> str:
    """Return what the names of the vault's key statements begin with."""
    return prefix(vault_id, frames.KIND_STATEMENT)


def slots_prefix(vault_id: VaultId) -> str:
    """Return what the names of the vault's slots begin with."""
    return prefix(vault_id, frames.KIND_SLOT)


def writers_prefix(vault_id: VaultId) -> str:
    """Return what the names of the vault's writer certificates begin with."""
    return prefix(vault_id, frames.KIND_WRITER)


def sessions_prefix(vault_id: VaultId, session_id: SessionId | None = None) -> str:
    """Return what the names of session objects begin with: of all, or of one session."""
    return _session_prefix(vault_id, frames.KIND_SESSION, session_id)


def leases_prefix(vault_id: VaultId, session_id: SessionId | None = None) -> str:
    """Return what the names of leases begin with: of all, or of one session."""
    return _session_prefix(vault_id, frames.KIND_LEASE, session_id)


def packs_prefix(vault_id: VaultId) -> str:
    """Return what the names of the vault's packs begin with."""
    return prefix(vault_id, frames.KIND_PACK)


def packlists_prefix(vault_id: VaultId, session_id: SessionId | None = None) -> str:
    """Return what the names of packlists begin with: of all, or of one session."""
    return _session_prefix(vault_id, frames.KIND_PACKLIST, session_id)


def indexes_prefix(vault_id: VaultId, group_id: GroupId | None = None) -> str:
    """Return what the names of index objects begin with: of all, or of one group."""
    start = prefix(vault_id, frames.KIND_INDEX)
    return start if group_id is None else f"{start}{group_id.hex()}/"


def refs_prefix(vault_id: VaultId) -> str:
    """Return what the names of the vault's refs begin with."""
    return prefix(vault_id, frames.KIND_REFS)


def points_prefix(vault_id: VaultId) -> str:
    """Return what the names of the vault's restore points begin with."""
    return prefix(vault_id, frames.KIND_POINT)


def forgets_prefix(vault_id: VaultId) -> str:
    """Return what the names of the vault's forgets begin with."""
    return prefix(vault_id, frames.KIND_FORGET)


def tombstones_prefix(vault_id: VaultId) -> str:
    """Return what the names of the vault's tombstones begin with."""
    return prefix(vault_id, frames.KIND_TOMBSTONE)


def quarantines_prefix(vault_id: VaultId) -> str:
    """Return what the names of the vault's quarantines begin with."""
    return prefix(vault_id, frames.KIND_QUARANTINE)


def _session_prefix(vault_id: VaultId, kind: int, session_id: SessionId | None) -> str:
    start = prefix(vault_id, kind)
    return start if session_id is None else f"{start}{session_id.hex()}/"
