"""One writer cannot hide or drop what another one has stored."""

from dataclasses import replace

from holdfast.base.ids import GroupId, IndexId, PackId, SessionId, WriterId
from holdfast.format.index_body import Drop, IndexBody, PositionsKey
from holdfast.vault.index_cache import combine
from holdfast.vault.index_rules import drops, replaced

OWN, OTHER = SessionId(b"o" * 16), SessionId(b"x" * 16)
FIRST, SECOND, THIRD = (IndexId(bytes([number]) * 32) for number in (1, 2, 3))
OWN_DROP, OTHER_DROP = Drop(PackId(bytes(32)), OWN), Drop(PackId(b"p" * 32), OTHER)


def a_body(session: SessionId | None, replaces: tuple[IndexId, ...] = ()) -> IndexBody:
    return IndexBody(
        group_id=GroupId(bytes(16)),
        epoch=0,
        session_id=session,
        writer_id=WriterId(bytes(16)),
        pack_ids=(),
        owners=(),
        row_count=0,
        presence_length=0,
        replaces=replaces,
        drops=(OWN_DROP, OTHER_DROP),
        positions_key=PositionsKey.SESSION if session else PositionsKey.READER,
        nonce=bytes(16),
    )


def test_the_object_of_a_session_replaces_objects_of_that_session_only() -> None:
    bodies = {FIRST: a_body(OWN), SECOND: a_body(OTHER), THIRD: a_body(OWN, (FIRST, SECOND))}

    assert replaced(bodies) == {FIRST}


def test_a_merged_object_replaces_whatever_is_there() -> None:
    bodies = {FIRST: a_body(OWN), THIRD: a_body(None, (FIRST, SECOND))}

    assert replaced(bodies) == {FIRST}


def test_no_object_replaces_one_of_a_later_epoch() -> None:
    """Whoever lost his way in by a rotation still has the keys before it."""
    bodies = {
        FIRST: a_body(OWN),
        SECOND: replace(a_body(OTHER), epoch=1),
        THIRD: a_body(None, (FIRST, SECOND)),
    }

    assert replaced(bodies) == {FIRST}
    assert combine(bodies).replaced == {FIRST}


def test_the_object_of_a_session_drops_packs_of_that_session_only() -> None:
    assert list(drops(a_body(OWN))) == [OWN_DROP]
    assert list(drops(a_body(None))) == [OWN_DROP, OTHER_DROP]
