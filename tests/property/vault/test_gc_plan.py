"""What gc decides, for any vault: exactly what nothing visible needs."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from holdfast.base.ids import (
    GroupId,
    IndexId,
    ObjectHash,
    PackId,
    PointId,
    RepositoryId,
    SeriesId,
    SessionId,
    WriterId,
)
from holdfast.format.index_body import Drop, IndexBody, Owner, PositionsKey
from holdfast.format.point import Point
from holdfast.vault.gc_plan import (
    GcView,
    RefsNeeds,
    active,
    doomed_packs,
    doomed_sessions,
    orphan_refs,
    plan_stand_ins,
    unneeded_packs,
)

SESSIONS = [SessionId(bytes([number]) * 16) for number in range(5)]
PACKS = {PackId(bytes([number]) * 32): SESSIONS[number % 5] for number in range(20)}
REFS = [ObjectHash(bytes([number]) * 32) for number in range(6)]
GROUP = GroupId(bytes(16))


def a_point(refs: ObjectHash, session: SessionId) -> Point:
    return Point(
        writer_id=WriterId(bytes(16)),
        certificate_hash=ObjectHash(bytes(32)),
        series_id=SeriesId(bytes(16)),
        counter=1,
        predecessor=None,
        refs_hash=refs,
        sessions=(session,),
        session_id=session,
        statement_number=0,
        statement_hash=ObjectHash(bytes(32)),
        time=0,
        repository_id=RepositoryId(bytes(16)),
    )


@st.composite
def views(draw: st.DrawFn) -> GcView:
    packs = draw(st.sets(st.sampled_from(sorted(PACKS))))
    refs: dict[ObjectHash, RefsNeeds] = {}
    owners = {}
    for name in draw(st.sets(st.sampled_from(REFS))):
        needed = frozenset(draw(st.sets(st.sampled_from(sorted(PACKS)), max_size=6)))
        owners[name] = draw(st.sampled_from(SESSIONS))
        sessions = {PACKS[pack] for pack in needed} | {owners[name]}
        refs[name] = RefsNeeds(needed, frozenset(sessions))
    pointed = draw(st.sets(st.sampled_from(sorted(refs)))) if refs else set()
    return GcView(
        points={PointId(name): a_point(name, owners[name]) for name in pointed},
        refs=refs,
        refs_owner=owners,
        packs={pack: PACKS[pack] for pack in packs},
        sessions=frozenset(draw(st.sets(st.sampled_from(SESSIONS)))),
        quiet=frozenset(draw(st.sets(st.sampled_from(SESSIONS)))),
        being_read=frozenset(PointId(name) for name in draw(st.sets(st.sampled_from(REFS)))),
    )


@given(views())
def test_no_pack_that_refs_name_is_doomed_and_every_other_quiet_one_is(view: GcView) -> None:
    needed = {pack for refs in view.refs.values() for pack in refs.packs}
    doomed = doomed_packs(view)

    assert doomed.isdisjoint(needed)
    for pack, session in view.packs.items():
        is_over = session in view.quiet or session not in view.sessions
        assert (pack in doomed) == (pack not in needed and is_over)
    assert doomed <= unneeded_packs(view)


@given(views())
def test_refs_with_a_point_stay_and_those_of_a_running_session_too(view: GcView) -> None:
    pointed = {point.refs_hash for point in view.points.values()}
    orphans = orphan_refs(view)

    assert orphans.isdisjoint(pointed)
    is_gone_point_read = not view.being_read <= view.points.keys()
    for refs in view.refs.keys() - pointed:
        owner = view.refs_owner[refs]
        is_over = owner in view.quiet or owner not in view.sessions
        assert (refs in orphans) == (is_over and not is_gone_point_read)


@given(views())
def test_a_session_stays_as_long_as_a_pack_refs_or_a_point_draw_on_it(view: GcView) -> None:
    for session in doomed_sessions(view):
        assert session in view.quiet
        assert session not in set(view.packs.values())
        assert not any(session in refs.sessions for refs in view.refs.values())
        assert not any(session == point.session_id for point in view.points.values())


@given(views())
def test_after_a_gc_with_nobody_at_work_nothing_is_left_that_no_point_needs(
    view: GcView,
) -> None:
    view = replace(view, quiet=frozenset(SESSIONS), being_read=frozenset())
    orphans = orphan_refs(view)
    view = replace(view, refs={key: view.refs[key] for key in view.refs.keys() - orphans})
    doomed = doomed_packs(view)
    view = replace(view, packs={key: view.packs[key] for key in view.packs.keys() - doomed})
    view = replace(view, sessions=view.sessions - doomed_sessions(view))

    needed = {view.refs[point.refs_hash] for point in view.points.values()}
    assert view.refs.keys() == {point.refs_hash for point in view.points.values()}
    assert all(any(pack in refs.packs for refs in needed) for pack in view.packs)
    for session in view.sessions:
        assert session in view.packs.values() or any(session in refs.sessions for refs in needed)


# --- the index ------------------------------------------------------------------------------------


def an_index(
    packs: list[PackId], replaces: list[IndexId], drops: list[PackId], rows: int
) -> IndexBody:
    ordered = sorted(packs, key=lambda pack: (PACKS[pack], pack))
    owners: list[Owner] = []
    for pack in ordered:
        if owners and owners[-1].session_id == PACKS[pack]:
            owners[-1] = replace(owners[-1], count=owners[-1].count + 1)
        else:
            owners.append(Owner(session_id=PACKS[pack], writer_id=WriterId(bytes(16)), count=1))
    return IndexBody(
        group_id=GROUP,
        epoch=0,
        session_id=None,
        writer_id=None,
        pack_ids=tuple(ordered),
        owners=tuple(owners),
        row_count=rows,
        presence_length=0,
        replaces=tuple(sorted(replaces)),
        drops=tuple(sorted(Drop(pack, PACKS[pack]) for pack in drops)),
        positions_key=PositionsKey.READER,
        nonce=bytes(16),
    )


@st.composite
def indexes(draw: st.DrawFn) -> dict[IndexId, IndexBody]:
    bodies: dict[IndexId, IndexBody] = {}
    for number in range(draw(st.integers(0, 12))):
        bodies[IndexId(bytes([number]) * 32)] = an_index(
            sorted(draw(st.sets(st.sampled_from(sorted(PACKS)), max_size=5))),
            sorted(draw(st.sets(st.sampled_from(sorted(bodies)), max_size=2))) if bodies else [],
            sorted(draw(st.sets(st.sampled_from(sorted(PACKS)), max_size=3))),
            draw(st.sampled_from([1, 1, 1, 100, 10_000])),
        )
    return bodies


def present(bodies: dict[IndexId, IndexBody]) -> set[PackId]:
    """Return the packs that count (W4), by the index alone."""
    counting = active(bodies).values()
    dropped = {drop.pack_id for body in counting for drop in body.drops}
    return {pack for body in counting for pack in body.pack_ids} - dropped


@given(
    indexes(),
    st.sets(st.sampled_from(sorted(PACKS))),
    st.sets(st.sampled_from(SESSIONS)),
    st.booleans(),
    st.sampled_from([200, 5_000, 10**9]),
)
def test_stand_ins_say_what_the_objects_said_less_what_is_dropped_or_gone(
    bodies: dict[IndexId, IndexBody],
    doomed: set[PackId],
    gone: set[SessionId],
    merge: bool,  # noqa: FBT001 - drawn
    index_bytes: int,
) -> None:
    """Before and after the replaced objects are deleted, in any order."""
    new_drops = [Drop(pack, PACKS[pack]) for pack in sorted(doomed) if PACKS[pack] not in gone]
    dropped = {drop.pack_id for drop in new_drops}
    stand_ins = plan_stand_ins(
        bodies, new_drops=new_drops, gone=gone, index_bytes=index_bytes, merge=merge
    )
    after = dict(bodies)
    for number, stand_in in enumerate(stand_ins):
        packs = {
            pack
            for name in stand_in.replaces
            for pack in bodies[name].pack_ids
            if pack not in stand_in.dead
        }
        after[IndexId(bytes([100 + number]) * 32)] = an_index(
            sorted(packs),
            list(stand_in.replaces),
            [drop.pack_id for drop in stand_in.drops],
            1,
        )
    left = {
        name: body
        for name, body in after.items()
        if not any(name in stand_in.replaces for stand_in in stand_ins)
    }
    wanted = {pack for pack in present(bodies) - dropped if PACKS[pack] not in gone}

    assert {pack for pack in present(after) if PACKS[pack] not in gone} == wanted
    counting = active(after).values()
    assert not any(drop.session_id in gone for body in counting for drop in body.drops)
    assert not any(PACKS[pack] in gone for body in counting for pack in body.pack_ids)
    still_dropped = {drop for body in counting for drop in body.drops}
    before = {drop for body in active(bodies).values() for drop in body.drops}
    assert still_dropped == {
        drop for drop in before | set(new_drops) if drop.session_id not in gone
    }
    assert active(after).keys() <= left.keys()
