"""The actors of the gc protocol, each a function from a state to its next steps.

Rules G1 to G10 are those of docs/design/gc.md. A step is one request to the storage; whatever
takes several requests is several steps, so that anything may happen, or die, in between.
"""

from collections.abc import Callable

from .storage_model import (
    DONE,
    NOTHING,
    START,
    Config,
    Item,
    Items,
    Names,
    Rules,
    State,
    Steps,
    all_of,
    begin_wait,
    change,
    generation_after,
    has_tombstone,
    in_use,
    index_object,
    is_there,
    kept_by,
    listings,
    move,
    moves,
    pack,
    packlist,
    point,
    present,
    refs,
    session,
    session_of,
    shown_names,
    subsets,
    tombstone,
    wait_steps,
)

# --- the writer (G1) -------------------------------------------------------------------------


def writer(state: State, config: Config, number: int, who: str) -> Steps:
    """Refs, look at tombstones, index and sessions, point, look again, success (G1).

    The first attempt relies on old packs. On trouble the chunks go to a new pack of a new session,
    under new refs. Trouble again ends the writer without success.
    """
    at, reuses = state.actors[number], config.reuses[number]
    looks = config.rules.writer_looks
    if at == START:
        at = ("look", 0, 0) if reuses else ("session",)
    if at[0] != "look":
        own = "n" + who[1:]
        following: dict[str, tuple[Item, Item]] = {
            "session": (session("s" + who[1:]), ("pack",)),
            "pack": (pack(own), ("packlist",)),
            "packlist": (packlist("s" + who[1:]), ("index",)),
            "index": (index_object(who, frozenset({own}), NOTHING), ("look", 1, 0)),
        }
        item, then = following[at[0]]
        yield (
            f"{who} puts {item[0]} {item[1]}",
            move(change(state, config, put=[item]), number, then),
        )
        return

    attempt, position = at[1], at[2]
    needs = frozenset(reuses) if attempt == 0 else frozenset({"n" + who[1:]})
    name = f"{who}.{attempt}"
    look = looks[position]
    trouble: Item = ("session",) if attempt == 0 else DONE
    if look == "after" and not config.rules.retry_has_new_refs:
        trouble = ("look", attempt, 0)

    def goes_on(after: State) -> State:
        if position + 1 < len(looks):
            return move(after, number, ("look", attempt, position + 1))
        return move(after._replace(reported=after.reported | {name}), number, DONE)

    if look in {"refs", "point"}:
        item = refs(name, needs) if look == "refs" else point(name)
        yield f"{who} puts {look} {name}", goes_on(change(state, config, put=[item]))
        return
    if look == "index" and config.pages:
        yield from index_in_two_pages(state, config, number, who, needs, goes_on, trouble)
        return
    for is_good in sorted(answers(state, look, name, needs)):
        after = goes_on(state) if is_good else move(state, number, trouble)
        yield f"{who} looks at {look}: {'good' if is_good else 'trouble'}", after


def answers(state: State, look: str, name: str, needs: Names) -> set[bool]:
    """Return what a look may tell the writer; two answers when recent changes leave it open."""
    sessions = frozenset(session_of(p) for p in needs)
    if look == "tombstones":
        return {not has_tombstone(seen, needs | sessions) for seen in listings(state, "tombstone")}
    if look == "index":
        return {needs <= present(seen) for seen in listings(state, "index")}
    if look == "sessions":
        # A session that a listing does not show is asked for by name.
        wanted = frozenset(session(s) for s in sessions)
        there = frozenset(item for item in state.store if item[0] == "session")
        return {wanted <= seen | there for seen in listings(state, "session")}
    if not is_there(state, refs(name, needs)):
        return {False}
    return {not has_tombstone(seen, {name}) for seen in listings(state, "tombstone")}


def index_in_two_pages(
    state: State,
    config: Config,
    number: int,
    who: str,
    needs: Names,
    goes_on: Callable[[State], State],
    trouble: Item,
) -> Steps:
    """List the index in two requests with any pause between them.

    Ordered: the first page ends at a generation. Unordered: names are hashes, so which object
    is on which page is anybody's guess; one that is put later may belong on the page that is over.
    """
    at = state.actors[number]
    is_ordered = config.rules.listing_is_ordered
    if len(at) == 3:
        for seen in listings(state, "index"):
            for shown in subsets(sorted(seen, key=repr)):
                page = frozenset(shown)
                last = max((item[4] for item in page), default=-1)
                if not is_ordered or all(item[4] > last for item in seen - page):
                    then = (*at, page, seen - page, last)
                    yield (
                        f"{who} lists index, page 1: {shown_names(page)}",
                        move(state, number, then),
                    )
        return
    page, expected, last = at[3:]
    for seen in listings(state, "index"):
        if is_ordered:
            pages = [frozenset(item for item in seen if item[4] > last)]
        else:
            pages = [frozenset(new) | (seen & expected) for new in subsets(seen - expected - page)]
        for rest in pages:
            is_good = needs <= present(page | rest)
            label = f"{who} lists index, page 2: {shown_names(rest)}"
            before = move(state, number, at[:3])
            yield label, goes_on(before) if is_good else move(state, number, trouble)


# --- gc of packs (G2, G3) --------------------------------------------------------------------


def gc(  # noqa: C901, PLR0912 - one program, read from top to bottom
    state: State, config: Config, number: int, who: str
) -> Steps:
    """Tombstone, wait, look again, drop from the index, delete, wait, clean up (G2)."""
    rules = config.rules
    owner = who if rules.gc_tombstones_are_its_own else "gc"
    waits, state, at = wait_steps(state, number, who)
    if waits:
        yield from waits
        return
    if at == START:
        stored = frozenset(item[1] for item in state.store if item[0] == "pack")
        # The listing that misses most names the most candidates; any part of them is a smaller gc.
        looks = [kept_by(seen, state.store) for seen in listings(state, "refs")]
        fewest = min(looks, key=len)
        for chosen in subsets(sorted(stored - fewest)):
            if chosen:
                label = f"{who} sees {' '.join(chosen)} unreferenced"
                yield label, move(state, number, ("mark", frozenset(chosen)))
    elif at[0] == "mark":
        after = change(state, config, put=[tombstone(p, owner) for p in at[1]])
        then: Item = ("second look", at[1])
        after = begin_wait(after, number, rules.gc_waits_before_second_look, then)
        yield f"{who} puts tombstones on {' '.join(sorted(at[1]))}", after
    elif at[0] == "second look":
        for seen in {kept_by(seen, state.store) for seen in listings(state, "refs")}:
            live = at[1] & seen if rules.gc_second_look else NOTHING
            lifted = [
                item
                for item in state.store
                if item[0] == "tombstone"
                and item[1] in live
                and (item[2] == owner or rules.gc_lifts_foreign_tombstones)
            ]
            doomed = at[1] - live
            then = ("drop" if rules.gc_drops_before_delete else "delete", doomed, NOTHING)
            after = change(state, config, delete=lifted)
            label = f"{who} looks at refs again, goes on with {sorted(doomed)}"
            yield label, move(after, number, then if doomed else DONE)
    elif at[0] == "drop":
        doomed = at[1]
        for shown in listings(state, "index"):
            old = frozenset(item for item in shown if item[2] & doomed)
            drops = all_of(old, 3) | (doomed if rules.gc_puts_drops else NOTHING)
            new = index_object(who, all_of(old, 2) - doomed, drops, generation_after(old))
            after = change(state, config, put=[new] if new[2] or new[3] else [])
            label = f"{who} puts index object without {sorted(doomed)} for {shown_names(old)}"
            if not rules.gc_drops_before_delete:
                yield label, move(after, number, ("clean", doomed, old))
            elif rules.gc_retires_after_wait:
                yield label, move(after, number, ("delete", doomed, old))
            else:
                yield label, move(after, number, ("retire", doomed, old))
    elif at[0] == "retire":
        after = change(state, config, delete=at[2])
        yield f"{who} retires {shown_names(at[2])}", move(after, number, ("delete", at[1], NOTHING))
    elif at[0] == "delete":
        after = change(state, config, delete=[pack(p) for p in at[1]])
        then = ("clean" if rules.gc_drops_before_delete else "drop", at[1], at[2])
        after = begin_wait(after, number, rules.gc_waits_after_delete, then)
        yield f"{who} DELETES {' '.join(sorted(at[1]))}", after
    elif at[0] == "clean":
        # The replaced index objects go first: a crash in between leaves a tombstone, which is safe.
        if at[2] & state.store:
            after = move(change(state, config, delete=at[2]), number, ("clean", at[1], NOTHING))
            yield f"{who} retires {shown_names(at[2])}", after
        else:
            own = [tombstone(p, owner) for p in at[1]]
            after = move(change(state, config, delete=own), number, DONE)
            yield f"{who} removes its tombstones", after


# --- collector of refs without a point (G4) --------------------------------------------------


def collector(  # noqa: C901 - one program, read from top to bottom
    state: State, config: Config, number: int, who: str
) -> Steps:
    """Tombstone on refs that have no point, wait, no point still, delete (G4)."""
    rules = config.rules
    waits, state, at = wait_steps(state, number, who)
    if waits:
        yield from waits
    elif at == START:
        pointed = {item[1] for item in state.store if item[0] == "point"}
        pointed -= {item[1] for sign, item in state.recent if sign == "+" and item[0] == "point"}
        for item in state.store:
            if item[0] == "refs" and item[1] not in pointed:
                yield (
                    f"{who} sees refs {item[1]} without point",
                    move(state, number, ("mark", item)),
                )
    elif at[0] == "mark":
        after = change(state, config, put=[tombstone(at[1][1], who)])
        after = begin_wait(after, number, rules.collector_waits, ("second look", at[1]))
        yield f"{who} puts tombstone on refs {at[1][1]}", after
    elif at[0] == "second look":
        name = at[1][1]
        for has_point in {point(name) in seen for seen in listings(state, "point")}:
            if has_point and rules.collector_second_look:
                lifted = change(state, config, delete=[tombstone(name, who)])
                yield f"{who} sees point {name}, lifts its tombstone", move(lifted, number, DONE)
            else:
                then = ("delete", at[1])
                yield f"{who} sees no point {name}", move(state, number, then)
    elif at[0] == "delete":
        after = move(change(state, config, delete=[at[1]]), number, ("clean", at[1]))
        yield f"{who} DELETES refs {at[1][1]}", after
    elif at[0] == "clean":
        own = [tombstone(at[1][1], who)]
        after = move(change(state, config, delete=own), number, DONE)
        yield f"{who} removes its tombstone on refs", after


# --- sweeper of sessions ---------------------------------------------------------------------


def sweeper(  # noqa: C901, PLR0912 - one program, read from top to bottom
    state: State, config: Config, number: int, who: str
) -> Steps:
    """Collect a session that has no packs: the same double look, its packlist first.

    A session id is never used twice, so a packlist whose session is gone is of no use to anybody.
    """
    rules = config.rules
    waits, state, at = wait_steps(state, number, who)
    if waits:
        yield from waits
    elif at == START:
        unsure = {item for sign, item in state.recent if sign == "+"}
        used = in_use(state.store - unsure)
        for item in state.store:
            if item[0] == "session" and item[1] not in used:
                label = f"{who} sees session {item[1]} unused"
                yield label, move(state, number, ("mark", item[1]))
            if item[0] == "packlist" and not is_there(state, session(item[1])):
                yield f"{who} deletes stray packlist", change(state, config, delete=[item])
    elif at[0] == "mark":
        mark = [tombstone(at[1], who)] if rules.sweeper_puts_tombstone else []
        after = change(state, config, put=mark)
        after = begin_wait(after, number, rules.sweeper_waits, ("second look", at[1]))
        yield f"{who} puts tombstone on session {at[1]}", after
    elif at[0] == "second look":
        name = at[1]
        for seen_packs in listings(state, "pack"):
            for seen_refs in listings(state, "refs"):
                used = in_use(seen_packs | seen_refs)
                if name in used and rules.sweeper_second_look:
                    lifted = change(state, config, delete=[tombstone(name, who)])
                    yield f"{who} sees session {name} used, lifts", move(lifted, number, DONE)
                else:
                    yield (
                        f"{who} still sees session {name} unused",
                        move(state, number, ("list", name)),
                    )
    elif at[0] == "list":
        after = change(state, config, delete=[packlist(at[1])])
        yield f"{who} DELETES packlist {at[1]}", move(after, number, ("session", at[1]))
    elif at[0] == "session":
        after = change(state, config, delete=[session(at[1])])
        after = begin_wait(after, number, rules.sweeper_waits_after_delete, ("clean", at[1]))
        yield f"{who} DELETES session {at[1]}", after
    elif at[0] == "clean":
        after = change(state, config, delete=[tombstone(at[1], who)])
        yield f"{who} removes its tombstone on the session", move(after, number, DONE)


# --- merger of index objects (G8) ------------------------------------------------------------


def merger(state: State, config: Config, number: int, who: str) -> Steps:
    """Read a listing, later put one object for all of it, wait, delete what it replaces."""
    rules = config.rules
    waits, state, at = wait_steps(state, number, who)
    if waits:
        yield from waits
    elif at == START:
        for seen in listings(state, "index"):
            new = merged(state, rules, seen, who)
            if len(seen) > 1 or any(item[2:4] != new[2:4] for item in seen):
                then = ("put" if rules.merge_puts_before_retiring else "retire", new, seen)
                yield f"{who} reads {shown_names(seen)}", move(state, number, then)
    elif at[0] == "put":
        new = at[1]
        after = change(state, config, put=[new] if new[2] or new[3] else [])
        label = f"{who} puts {sorted(new[2])} drops {sorted(new[3])}"
        if rules.merge_puts_before_retiring:
            yield label, begin_wait(after, number, rules.merge_waits, ("retire", *at[1:]))
        else:
            yield label, move(after, number, DONE)
    elif at[0] == "retire":
        then = DONE if rules.merge_puts_before_retiring else ("put", *at[1:])
        after = move(change(state, config, delete=at[2]), number, then)
        yield f"{who} retires {shown_names(at[2])}", after


def merged(state: State, rules: Rules, seen: Items, who: str) -> Item:
    """Return the object that stands for all of *seen*; names and drops end with their session."""
    named, drops = all_of(seen, 2), all_of(seen, 3)
    alive = frozenset(p for p in named | drops if is_there(state, session(session_of(p))))
    kept = {"session": drops & alive, "named": drops & named, "never": NOTHING}
    names, drops_kept = (named - drops) & alive, kept[rules.merge_keeps_drops]
    return index_object(who, names, drops_kept, generation_after(seen))


# --- cleaner of tombstones that dead actors left, and forget ----------------------------------


def cleaner(state: State, config: Config, number: int, who: str) -> Steps:
    """Remove anybody's tombstones whose target is gone, after waiting (G3)."""
    waits, state, at = wait_steps(state, number, who)
    if waits:
        yield from waits
    elif at == START:
        there = {item[1] for item in state.store if item[0] in {"pack", "session", "refs"}}
        if not config.rules.cleaner_looks_for_target:
            there = set()
        idle = frozenset(
            item for item in state.store if item[0] == "tombstone" and item[1] not in there
        )
        if idle:
            yield f"{who} finds idle tombstones", begin_wait(state, number, 2, ("clean", idle))
    elif at[0] == "clean":
        after = move(change(state, config, delete=at[1]), number, DONE)
        yield f"{who} removes idle tombstones", after


def forgetter(state: State, config: Config, number: int, who: str) -> Steps:
    """Delete the old point; its refs are then a collector's business."""
    if state.actors[number] == START:
        after = change(state, config, delete=[point("old.0")])
        after = after._replace(reported=after.reported - {"old.0"})
        yield f"{who} forgets old.0", move(after, number, DONE)


def compactor(state: State, config: Config, number: int, who: str) -> Steps:
    """Rewrite what the listed refs need of "p0", then say so; the new pack is taken as safe."""
    at = state.actors[number]
    if at == START:
        for seen in listings(state, "refs"):
            covers = frozenset(item[1] for item in seen if "p0" in item[2])
            yield f"{who} rewrites p0 for {sorted(covers)}", move(state, number, ("put", covers))
    elif at[0] == "put":
        item = moves(at[1], claims_all=not config.rules.moves_cover_listed_refs_only)
        yield f"{who} puts moves of p0", move(change(state, config, put=[item]), number, DONE)
