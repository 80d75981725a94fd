"""Names of objects (vault-format.md, section 2)."""

import pytest

from holdfast.base.ids import GroupId, IndexId, ObjectHash, PackId, PointId, SessionId, VaultId
from holdfast.format import frames, names
from holdfast.format.errors import NameMismatchError
from holdfast.format.names import ObjectName

VAULT = VaultId(b"\x0a" * 32)
HASH = ObjectHash(b"\xb1" * 32)
SESSION = SessionId(b"\xc2" * 16)
GROUP = GroupId(b"\xd3" * 16)
TOP = "vaults/" + "0a" * 32


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        (names.slot_name(VAULT, HASH), "slots/" + "b1" * 32, frames.KIND_SLOT),
        (names.writer_name(VAULT, HASH), "writers/" + "b1" * 32, frames.KIND_WRITER),
        (names.pack_name(VAULT, PackId(HASH)), "packs/b1/" + "b1" * 32, frames.KIND_PACK),
        (names.refs_name(VAULT, HASH), "refs/" + "b1" * 32, frames.KIND_REFS),
        (names.point_name(VAULT, PointId(HASH)), "points/" + "b1" * 32, frames.KIND_POINT),
        (names.forget_name(VAULT, HASH), "forgets/" + "b1" * 32, frames.KIND_FORGET),
        (names.tombstone_name(VAULT, HASH), "tombstones/" + "b1" * 32, frames.KIND_TOMBSTONE),
        (names.quarantine_name(VAULT, HASH), "quarantine/" + "b1" * 32, frames.KIND_QUARANTINE),
    ],
)
def test_a_name_that_ends_with_its_hash(name: str, text: str, kind: int) -> None:
    assert name == f"{TOP}/{text}"
    assert names.parse_name(name) == ObjectName(kind, VAULT, HASH)
    assert name.startswith(names.prefix(VAULT, kind))


def test_names_that_say_more_than_a_hash() -> None:
    statement = names.statement_name(VAULT, 12, HASH)
    session = names.session_name(VAULT, SESSION, HASH)
    lease = names.lease_name(VAULT, SESSION, 0)
    packlist = names.packlist_name(VAULT, SESSION, HASH)
    index = names.index_name(VAULT, GROUP, IndexId(HASH))
    parse = names.parse_name

    assert statement == f"{TOP}/keys/12-{'b1' * 32}"
    assert parse(statement) == ObjectName(frames.KIND_STATEMENT, VAULT, HASH, number=12)
    assert session.startswith(names.sessions_prefix(VAULT, SESSION))
    assert parse(session) == ObjectName(frames.KIND_SESSION, VAULT, HASH, session_id=SESSION)
    assert lease == f"{TOP}/leases/{'c2' * 16}/0"
    assert parse(lease) == ObjectName(frames.KIND_LEASE, VAULT, number=0, session_id=SESSION)
    assert parse(packlist) == ObjectName(frames.KIND_PACKLIST, VAULT, HASH, session_id=SESSION)
    assert index.startswith(names.indexes_prefix(VAULT, GROUP))
    assert parse(index) == ObjectName(frames.KIND_INDEX, VAULT, HASH, group_id=GROUP)
    assert parse(names.MARKER_NAME) == ObjectName(frames.KIND_MARKER)
    assert parse(names.vault_name(VAULT)) == ObjectName(frames.KIND_VAULT, VAULT, ObjectHash(VAULT))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "holdfast-repository/",
        "vaults/",
        TOP,
        f"{TOP}/",
        f"{TOP}/vault/",
        f"{TOP}/vault\n",
        f"{TOP}/keys/01-{'b1' * 32}",
        f"{TOP}/keys/65536-{'b1' * 32}",
        f"{TOP}/keys/-1-{'b1' * 32}",
        f"{TOP}/keys/\u0661-{'b1' * 32}",
        f"{TOP}/slots/{'B1' * 32}",
        f"{TOP}/slots/{'b1' * 31}",
        f"{TOP}/slots/{'b1' * 32}.tmp",
        f"{TOP}/slots/{'b1' * 32}\n",
        f"{TOP}/packs/b2/{'b1' * 32}",
        f"{TOP}/packs/{'b1' * 32}",
        f"{TOP}/leases/{'c2' * 16}/{2**64}",
        f"{TOP}/sessions/{'c2' * 16}",
        f"{TOP}/other/{'b1' * 32}",
        f"{TOP}/../{TOP}/vault",
    ],
)
def test_anything_else_is_no_name(name: str) -> None:
    assert names.parse_name(name) is None
    with pytest.raises(NameMismatchError):
        names.check_hash(name, b"")


def test_bytes_are_held_against_their_name() -> None:
    name = names.point_name(VAULT, PointId(frames.object_hash(b"bytes")))

    assert names.check_hash(name, b"bytes").kind == frames.KIND_POINT
    with pytest.raises(NameMismatchError):
        names.check_hash(name, b"other")
