"""What the gc model stores and how its actors see it: objects, lagging listings, waiting.

A state is the set of stored objects, the changes that a listing may still miss, and where each
actor stands. Names (get, delete, "is it there?") are read-after-write; only listings lag (G7).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any, NamedTuple, TypeVar

Item = tuple[Any, ...]
"""A stored object: its kind, its name, then its content. See the constructors below."""
Items = frozenset[Item]
Names = frozenset[str]
NOTHING: frozenset[Any] = frozenset()
DONE: Item = ("done",)
START: Item = ("start",)


class State(NamedTuple):
    """`recent` holds ("+", item) and ("-", item): changes that a listing may or may not show."""

    store: Items
    recent: frozenset[tuple[str, Item]]
    actors: tuple[Item, ...]
    reported: frozenset[str]


Steps = Iterator[tuple[str, State]]


@dataclass(frozen=True)
class Rules:
    """The protocol; each field changed alone is a wrong protocol that a test must catch."""

    writer_looks: tuple[str, ...] = ("refs", "tombstones", "index", "sessions", "point", "after")
    retry_has_new_refs: bool = True
    gc_second_look: bool = True
    gc_tombstones_are_its_own: bool = True
    gc_puts_drops: bool = True
    gc_drops_before_delete: bool = True
    gc_lifts_foreign_tombstones: bool = False
    gc_waits_before_second_look: int = 2
    gc_waits_after_delete: int = 2
    gc_retires_after_wait: bool = True
    collector_second_look: bool = True
    collector_waits: int = 2
    sweeper_second_look: bool = True
    sweeper_waits: int = 2
    sweeper_waits_after_delete: int = 2
    sweeper_puts_tombstone: bool = True
    merge_keeps_drops: str = "session"  # "session" | "named" | "never"
    merge_puts_before_retiring: bool = True
    merge_waits: int = 2
    cleaner_looks_for_target: bool = True
    moves_cover_listed_refs_only: bool = True
    listing_is_ordered: bool = True


@dataclass(frozen=True)
class Config:
    """How many actors of each kind, and what is stored before they start.

    *reuses* names, per writer, the old packs that its stale view lets it rely on; an empty entry
    is a writer that stores everything itself. *ghost*: of the old session a pack "pz" was deleted
    long ago; object "Z" of a slow merger still names it, and what drops it is object "A".
    *compact*: an old point needs every old pack, and its chunks in "p0" are rewritten elsewhere.
    *pages*: a writer's listing of the index takes two requests.
    """

    reuses: tuple[tuple[str, ...], ...] = (("p0",),)
    packs: int = 1
    index_objects: int = 1
    gcs: int = 0
    collectors: int = 0
    mergers: int = 0
    sweepers: int = 0
    cleaners: int = 0
    forget: bool = False
    delay: bool = False
    pages: bool = False
    ghost: bool = False
    compact: bool = False
    rules: Rules = Rules()


# --- objects ---------------------------------------------------------------------------------


def pack(name: str) -> Item:
    """Return a pack. A name of old packs is "p…", of a writer's own "n…"."""
    return ("pack", name)


def session(name: str) -> Item:
    """Return a session object."""
    return ("session", name)


def packlist(name: str) -> Item:
    """Return the packlist of a session."""
    return ("packlist", name)


def refs(name: str, packs: Names) -> Item:
    """Return refs that name packs, and through them draw on their sessions."""
    return ("refs", name, packs)


def point(name: str) -> Item:
    """Return a point; the refs that it names have its name."""
    return ("point", name)


def tombstone(target: str, owner: str) -> Item:
    """Return the tombstone of *owner* on a pack, refs or session."""
    return ("tombstone", target, owner)


def index_object(name: str, names: Names, drops: Names, generation: int = 0) -> Item:
    """Return an index object; its generation is above that of all it replaces."""
    return ("index", name, names, drops, generation)


def session_of(pack_name: str) -> str:
    """Return the session of a pack: "old" for what was there before, else one per writer."""
    return "old" if pack_name[0] == "p" else "s" + pack_name[1:]


# --- storage ---------------------------------------------------------------------------------


def change(
    state: State, config: Config, *, put: Iterable[Item] = (), delete: Iterable[Item] = ()
) -> State:
    """Put and delete items; with delay, listings may miss both until somebody has waited."""
    store, recent = state.store, state.recent
    new = [item for item in put if item not in store]
    gone = [item for item in delete if item in store]
    if not new and not gone:
        return state
    if config.delay:
        undone = {("+", item) for item in gone}
        recent = (recent - undone) | {("+", item) for item in new} | {("-", item) for item in gone}
    return state._replace(store=(store | set(new)) - set(gone), recent=recent)


def move(state: State, number: int, actor: Item) -> State:
    """Set where actor *number* stands."""
    actors = state.actors
    return state._replace(actors=(*actors[:number], actor, *actors[number + 1 :]))


def settle(state: State, snapshot: frozenset[tuple[str, Item]]) -> State:
    """End a wait of one listing delay: what was recent when it began is now in every listing."""
    if not snapshot & state.recent:
        return state
    recent = state.recent - snapshot
    actors = tuple(
        tuple(x & recent if part == 1 and a[0][:4] == "wait" else x for part, x in enumerate(a))
        for a in state.actors
    )
    return state._replace(recent=recent, actors=actors)


T = TypeVar("T")


def subsets(items: Iterable[T]) -> Iterator[tuple[T, ...]]:
    """Return every part of *items*, the smallest first."""
    items = tuple(items)
    return chain.from_iterable(combinations(items, n) for n in range(len(items) + 1))


def listings(state: State, kind: str) -> list[Items]:
    """Return every listing of *kind* that the storage may give now."""
    there = frozenset(item for item in state.store if item[0] == kind)
    unsure = [item for _, item in state.recent if item[0] == kind]
    if not unsure:
        return [there]
    sure = there.difference(unsure)
    return [sure.union(shown) for shown in subsets(unsure)]


def is_there(state: State, item: Item) -> bool:
    """Ask for one object by its name."""
    return item in state.store


def moves(covers: Names, *, claims_all: bool) -> Item:
    """Return moves of "p0": what the refs in *covers* need of it was rewritten elsewhere."""
    return ("moves", "p0", covers, claims_all)


def kept_by(seen: Items, store: Items) -> Names:
    """Return the packs that listed refs keep: what they name, less what was moved for them."""
    kept: set[str] = set()
    moved = [item for item in store if item[0] == "moves"]
    for item in seen:
        gone = {m[1] for m in moved if m[3] or item[1] in m[2]}
        kept |= item[2] - gone
    return frozenset(kept)


# --- what a listing says -----------------------------------------------------------------------


def has_tombstone(seen: Items, targets: frozenset[str] | set[str]) -> bool:
    """Say whether a listing of tombstones shows one on any target."""
    return any(item[1] in targets for item in seen)


def present(seen: Items) -> Names:
    """Return the packs that a listing of the index calls present: named, and dropped by none."""
    return all_of(seen, 2) - all_of(seen, 3)


def all_of(index_objects: Items, part: int) -> Names:
    """Return the union of the names (part 2) or of the drops (part 3)."""
    return frozenset().union(*(item[part] for item in index_objects))


def generation_after(replaced: Items) -> int:
    """Return the generation of an object that replaces these."""
    return 1 + max((item[4] for item in replaced), default=-1)


def shown_names(index_objects: Items) -> str:
    """Return names for a label."""
    return " ".join(sorted(item[1] for item in index_objects)) or "nothing"


def in_use(items: Items) -> set[str]:
    """Return the sessions that still have a pack or that refs draw on."""
    used = {session_of(p) for item in items if item[0] == "refs" for p in item[2]}
    return used | {session_of(item[1]) for item in items if item[0] == "pack"}


# --- waiting ---------------------------------------------------------------------------------


def begin_wait(state: State, number: int, delays: int, then: Item) -> State:
    """Begin to wait *delays* listing delays; afterwards the actor stands at *then*."""
    if delays == 0 or not state.recent:
        return move(state, number, then)
    return move(state, number, (f"wait {delays}", state.recent, then))


def wait_steps(state: State, number: int, who: str) -> tuple[list[tuple[str, State]], State, Item]:
    """Resolve a waiting actor.

    The end of a wait and the request after it are one step: the later the changes settle, the
    more others may miss, so this is the worst case.
    """
    at = state.actors[number]
    if at[0] == "wait 2":
        settled = settle(state, at[1])
        step = move(settled, number, ("wait 1", settled.recent, at[2]))
        return [(f"{who} waits one delay", step)], state, DONE
    if at[0] == "wait 1":
        return [], settle(state, at[1]), at[2]
    return [], state, at
