"""The gc model put together: who takes part, what must never happen, what must be left."""

from collections.abc import Callable

from .explorer import Exploration, explore
from .gc_actors import (
    cleaner,
    collector,
    compactor,
    forgetter,
    gc,
    merger,
    sweeper,
    writer,
)
from .storage_model import (
    DONE,
    NOTHING,
    START,
    Config,
    Item,
    Items,
    State,
    Steps,
    in_use,
    index_object,
    kept_by,
    move,
    pack,
    packlist,
    point,
    present,
    refs,
    session,
    session_of,
)

# --- whole model -----------------------------------------------------------------------------

Actor = Callable[[State, Config, int, str], Steps]


def cast(config: Config) -> list[tuple[Actor, str, bool]]:
    """Return the actors: function, name, and whether the one before it is its twin."""
    counts: list[tuple[Actor, str, int]] = [
        (writer, "w", len(config.reuses)),
        (gc, "g", config.gcs),
        (collector, "c", config.collectors),
        (merger, "m", config.mergers),
        (sweeper, "s", config.sweepers),
        (cleaner, "t", config.cleaners),
        (forgetter, "f", int(config.forget)),
        (compactor, "k", int(config.compact)),
    ]
    return [
        (function, f"{letter}{n}", n > 0 and function is not writer)
        for function, letter, count in counts
        for n in range(count)
    ]


def start_of(config: Config) -> State:
    """Return the first state: old packs in one old session, indexed, perhaps with a point."""
    old = [f"p{n}" for n in range(config.packs)]
    items = [pack(p) for p in old]
    if old or config.ghost:
        items += [session("old"), packlist("old")]
    for n in range(config.index_objects):
        names = frozenset(old[n :: config.index_objects])
        drops = frozenset({"pz"}) if config.ghost and n == 0 else NOTHING
        items.append(index_object("AB"[n], names, drops))
    if config.ghost:
        items.append(index_object("Z", frozenset({"pz"}), NOTHING))
    reported: frozenset[str] = NOTHING
    if config.forget or config.compact:
        items += [refs("old.0", frozenset(old)), point("old.0")]
        reported = frozenset({"old.0"})
    return State(frozenset(items), NOTHING, (START,) * len(cast(config)), reported)


def steps_of(config: Config) -> Callable[[State], Steps]:
    """Return the function from a state to all that may happen next."""
    actors = cast(config)

    def steps(state: State) -> Steps:
        for number, (act, who, has_twin) in enumerate(actors):
            at = state.actors[number]
            if at == DONE or (at == START and has_twin and state.actors[number - 1] == START):
                continue  # twins are alike, so they may as well start in order
            yield from act(state, config, number, who)

    return steps


def is_broken(state: State) -> bool:
    """Say whether a visible restore point lacks something, or a reported one is not visible."""
    store = state.store
    visible = [item for item in store if item[0] == "refs" and ("point", item[1]) in store]
    if not state.reported <= {item[1] for item in visible}:
        return True
    if not visible:
        return False
    indexed = present(frozenset(item for item in store if item[0] == "index"))
    for seen in visible:
        elsewhere = {m[1] for m in store if m[0] == "moves" and seen[1] in m[2]}
        for name in seen[2] - elsewhere:
            owner = session_of(name)
            needed = {pack(name), session(owner), packlist(owner)}
            if name not in indexed or not needed <= store:
                return True
    return False


def search(config: Config, *, limit: int = 2_000_000) -> Exploration[State]:
    """Explore *config* completely or until it breaks."""
    return explore(start_of(config), steps_of(config), is_broken, limit=limit)


# --- after everybody has died: one maintainer alone must be able to clean up ------------------

_UPKEEP: tuple[tuple[Actor, str], ...] = (
    (collector, "refs"),
    (gc, "packs"),
    (sweeper, "sessions"),
    (cleaner, "tombstones"),
    (merger, "index"),
)


def upkeep(store: Items, config: Config) -> Items:
    """Run collector, gc, sweeper, cleaner and merger alone until each finds nothing to do."""
    alone = Config(reuses=(), delay=False, rules=config.rules)
    state = State(store, NOTHING, (START,), NOTHING)
    runs = 0
    for _ in range(4):
        for act, what in _UPKEEP:
            while True:
                runs += state.actors[0] == START
                followers = list(act(state, alone, 0, f"final {what} {runs}"))
                if not followers:
                    break
                state = followers[-1][1]
                if state.actors[0] == DONE:
                    state = move(state, 0, START)
    return state.store


def litter(store: Items) -> Items:
    """Return what nothing needs: the rest is points, their refs, and what these draw on.

    A tombstone on something that lives is no litter: it is heeded, and costs deduplication.
    """
    points = {item[1] for item in store if item[0] == "point"}
    live_refs = frozenset(item for item in store if item[0] == "refs" and item[1] in points)
    live_packs = kept_by(live_refs, store)
    live_sessions = in_use(live_refs)
    live = live_packs | live_sessions | {item[1] for item in live_refs}
    keeps: dict[str, Callable[[Item], bool]] = {
        "point": lambda _: True,
        "moves": lambda _: True,
        "refs": lambda item: item in live_refs,
        "pack": lambda item: item[1] in live_packs,
        "session": lambda item: item[1] in live_sessions,
        "packlist": lambda item: item[1] in live_sessions,
        "tombstone": lambda item: item[1] in live,
        "index": lambda item: (
            item[2] <= live_packs and {session_of(p) for p in item[3]} <= live_sessions
        ),
    }
    return frozenset(item for item in store if not keeps[item[0]](item))
