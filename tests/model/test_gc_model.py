"""Is the gc protocol safe whatever interleaves, dies or is listed late, and is every rule needed?

Larger configurations run by hand: ``pytest -m campaign -s tests/model``.
"""

import pytest

from .gc_model import litter, search, upkeep
from .storage_model import Config, Rules

TWO_WRITERS = (("p0",), ("p0",))
TWO_PACKS = {"packs": 2, "index_objects": 2}
STORES_ITSELF = {"reuses": ((),), "packs": 0, "index_objects": 0}
GHOST = {"ghost": True, "reuses": (("pz",),)}

SAFE = {
    "1 writer, 2 gcs, 1 collector": Config(gcs=2, collectors=1),
    "2 writers, 1 gc, 1 collector": Config(reuses=TWO_WRITERS, gcs=1, collectors=1),
    "1 writer, 1 gc, 1 merger, 1 sweeper": Config(gcs=1, mergers=1, sweepers=1),
    "1 writer, 2 gcs, 1 cleaner": Config(gcs=2, cleaners=1),
    "1 writer, 1 gc, 2 mergers, 2 packs": Config(gcs=1, mergers=2, **TWO_PACKS),
    "1 writer of 2 packs, 1 gc, 1 merger": Config(
        reuses=(("p0", "p1"),), gcs=1, mergers=1, **TWO_PACKS
    ),
    "1 writer of new packs, 1 gc, 1 collector, 1 merger, 1 sweeper": Config(
        gcs=1, collectors=1, mergers=1, sweepers=1, **STORES_ITSELF
    ),
    "1 writer, forget, 1 gc, 2 collectors": Config(forget=True, gcs=1, collectors=2),
    "forget, 1 gc, 1 collector, 1 merger, 2 packs": Config(
        forget=True, gcs=1, collectors=1, mergers=1, **TWO_PACKS
    ),
    "compaction, 1 writer, 2 gcs": Config(compact=True, gcs=2),
    "delay: compaction, 1 writer, 1 gc": Config(compact=True, gcs=1, delay=True),
    "delay: 1 writer, 1 gc, 1 collector": Config(gcs=1, collectors=1, delay=True),
    "delay: 1 writer, 1 gc, 1 sweeper": Config(gcs=1, sweepers=1, delay=True),
    "delay: 1 writer of new packs, 1 gc, 1 sweeper": Config(
        gcs=1, sweepers=1, delay=True, **STORES_ITSELF
    ),
    "delay: 1 writer, 1 gc, 1 merger, stale index object": Config(
        gcs=1, mergers=1, delay=True, **GHOST
    ),
    "two pages: 1 writer, 1 gc, 1 merger, stale index object": Config(
        gcs=1, mergers=1, pages=True, **GHOST
    ),
    "two pages, delay: 1 writer, 1 merger, stale index object": Config(
        mergers=1, pages=True, delay=True, **GHOST
    ),
}

CAMPAIGN = {
    "2 writers, 2 gcs, 1 collector": Config(reuses=TWO_WRITERS, gcs=2, collectors=1),
    "1 writer, 2 gcs, 1 merger, 2 packs": Config(gcs=2, mergers=1, **TWO_PACKS),
    "1 writer, 1 gc, 2 mergers, 1 sweeper, 2 packs": Config(
        gcs=1, mergers=2, sweepers=1, **TWO_PACKS
    ),
    "1 writer, 1 gc, 1 of every kind": Config(
        gcs=1, collectors=1, mergers=1, sweepers=1, cleaners=1
    ),
    "delay: forget, 1 writer, 1 gc, 1 collector": Config(
        forget=True, gcs=1, collectors=1, delay=True
    ),
    "delay: 1 writer of new packs, 1 gc, 1 merger": Config(
        gcs=1, mergers=1, delay=True, **STORES_ITSELF
    ),
    "delay: 1 writer, 2 gcs": Config(gcs=2, delay=True),
    "delay: 1 writer, 1 gc, 1 merger, 2 packs": Config(gcs=1, mergers=1, delay=True, **TWO_PACKS),
    "delay: 1 writer, 1 gc, 2 cleaners": Config(gcs=1, cleaners=2, delay=True),
    "delay: 1 writer, 1 merger, 1 sweeper, stale index object": Config(
        mergers=1, sweepers=1, delay=True, packs=0, **GHOST
    ),
}


def looks(*order: str) -> Rules:
    """Return rules in which the writer looks in another order, or less."""
    return Rules(writer_looks=order)


LOSES = {
    "the writer looks at the index before the tombstones": Config(
        gcs=1, rules=looks("refs", "index", "tombstones", "sessions", "point", "after")
    ),
    "the writer does not look at tombstones": Config(
        gcs=1, rules=looks("refs", "index", "sessions", "point", "after")
    ),
    "the writer does not look at the index": Config(
        gcs=1, rules=looks("refs", "tombstones", "sessions", "point", "after")
    ),
    "the writer looks before it puts its refs": Config(
        gcs=1, rules=looks("tombstones", "index", "sessions", "refs", "point", "after")
    ),
    "the writer does not look at sessions, its own is swept": Config(
        sweepers=1,
        rules=looks("refs", "tombstones", "index", "point", "after"),
        **STORES_ITSELF,
    ),
    "the writer does not look at sessions, a slow merge revives a pack": Config(
        gcs=1,
        mergers=2,
        sweepers=1,
        rules=looks("refs", "tombstones", "index", "point", "after"),
        **TWO_PACKS,
    ),
    "the writer looks at sessions before the tombstones": Config(
        sweepers=1,
        rules=looks("refs", "sessions", "tombstones", "index", "point", "after"),
        **STORES_ITSELF,
    ),
    "the writer does not look after its point": Config(
        collectors=1, rules=looks("refs", "tombstones", "index", "sessions", "point")
    ),
    "the writer looks at its refs before its point only": Config(
        collectors=1, rules=looks("refs", "tombstones", "index", "sessions", "after", "point")
    ),
    "gc does not look again": Config(gcs=1, rules=Rules(gc_second_look=False)),
    "gc lifts another's tombstone": Config(gcs=2, rules=Rules(gc_lifts_foreign_tombstones=True)),
    "two gcs share one tombstone": Config(gcs=2, rules=Rules(gc_tombstones_are_its_own=False)),
    "a retry puts refs under the same name": Config(
        collectors=2, cleaners=1, rules=Rules(retry_has_new_refs=False)
    ),
    "gc drops nothing from the index": Config(
        gcs=1, rules=Rules(gc_puts_drops=False), **STORES_ITSELF
    ),
    "gc drops nothing, a slow merge revives a pack": Config(
        gcs=1, mergers=1, rules=Rules(gc_puts_drops=False), **TWO_PACKS
    ),
    "gc deletes before it drops, and dies": Config(
        gcs=1, cleaners=1, rules=Rules(gc_drops_before_delete=False)
    ),
    "the collector does not look again": Config(
        collectors=1, rules=Rules(collector_second_look=False)
    ),
    "the sweeper does not look again": Config(
        sweepers=1, rules=Rules(sweeper_second_look=False), **STORES_ITSELF
    ),
    "the sweeper puts no tombstone": Config(
        sweepers=1, rules=Rules(sweeper_puts_tombstone=False), **STORES_ITSELF
    ),
    "a merge forgets drops": Config(
        gcs=1, mergers=2, rules=Rules(merge_keeps_drops="never"), **TWO_PACKS
    ),
    "a merge forgets drops that nothing names, an older merge is slow": Config(
        gcs=1, mergers=2, rules=Rules(merge_keeps_drops="named"), **TWO_PACKS
    ),
    "a merge forgets drops that nothing names, the pack's writer is slow": Config(
        gcs=1, mergers=1, rules=Rules(merge_keeps_drops="named"), **STORES_ITSELF
    ),
    "a merge deletes before it puts": Config(
        forget=True, mergers=1, rules=Rules(merge_puts_before_retiring=False), **TWO_PACKS
    ),
    "the cleaner lifts tombstones of targets that exist": Config(
        gcs=1, cleaners=1, rules=Rules(cleaner_looks_for_target=False)
    ),
    "moves stand for refs that came later": Config(
        compact=True, gcs=1, rules=Rules(moves_cover_listed_refs_only=False)
    ),
    "delay: gc does not wait before it looks again": Config(
        gcs=1, delay=True, rules=Rules(gc_waits_before_second_look=0)
    ),
    "delay: gc waits once before it looks again": Config(
        gcs=1, delay=True, rules=Rules(gc_waits_before_second_look=1)
    ),
    "delay: gc does not wait before it lifts its tombstone": Config(
        gcs=1, delay=True, rules=Rules(gc_waits_after_delete=0)
    ),
    "delay: gc retires index objects before what replaces them is seen": Config(
        gcs=1, delay=True, rules=Rules(gc_retires_after_wait=False), **GHOST
    ),
    "delay: a merge retires before its object is seen": Config(
        mergers=1, delay=True, rules=Rules(merge_waits=0), **GHOST
    ),
    "delay: the collector waits once": Config(
        collectors=1, delay=True, rules=Rules(collector_waits=1)
    ),
    "delay: the sweeper waits once": Config(
        sweepers=1, delay=True, rules=Rules(sweeper_waits=1), **STORES_ITSELF
    ),
    "delay: the sweeper does not wait before it lifts its tombstone": Config(
        sweepers=1, delay=True, rules=Rules(sweeper_waits_after_delete=0), **STORES_ITSELF
    ),
    "two pages in any order": Config(
        mergers=1, pages=True, rules=Rules(listing_is_ordered=False), **GHOST
    ),
}


def assert_safe_and_cleanable(name: str, config: Config) -> None:
    """No reachable state is broken, and one maintainer alone cleans up after each of them."""
    found = search(config, limit=3_000_000)
    stores = {state.store for state in found.reached}
    # The numbers of states are a result: docs/design/gc.md quotes them.
    print(f"{name}: {found.states} states, {len(stores)} contents")  # noqa: T201

    assert found.counterexample is None
    assert found.is_complete
    for store in stores:
        assert not litter(upkeep(store, config))


@pytest.mark.parametrize("name", SAFE)
def test_no_interleaving_loses_data_and_one_upkeep_cleans_up_after_any_crash(name: str) -> None:
    """The protocol as designed, in configurations small enough for every run of the suite."""
    assert_safe_and_cleanable(name, SAFE[name])


@pytest.mark.campaign
@pytest.mark.parametrize("name", CAMPAIGN)
def test_larger_casts_lose_nothing_either(name: str) -> None:
    """The same question for minutes instead of seconds."""
    assert_safe_and_cleanable(name, CAMPAIGN[name])


@pytest.mark.parametrize("name", LOSES)
def test_every_single_wrong_change_to_the_protocol_loses_data(name: str) -> None:
    """A model that finds nothing proves nothing: each rule left out must show a way to lose."""
    found = search(LOSES[name])

    print(f"{name}: loses after {len(found.counterexample or [])} steps ({found.states} states)")  # noqa: T201
    print(*(f"    {step}" for step in found.counterexample or []), sep="\n")  # noqa: T201
    assert found.counterexample


def test_upkeep_keeps_what_a_restore_point_needs() -> None:
    """The final clean-up is not clean because it deletes everything."""
    for state in search(Config(gcs=1)).reached:
        if state.reported:
            kept = {item[0] for item in upkeep(state.store, Config())}

            assert {"point", "refs", "pack", "session", "packlist", "index"} <= kept
