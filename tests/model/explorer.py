"""A small explicit-state explorer: every interleaving, breadth first, shortest counterexample."""

from array import array
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State", bound=Hashable)


@dataclass(frozen=True)
class Exploration(Generic[State]):
    """What a search found.

    `counterexample` is the shortest list of steps from the start to a broken state, or None.
    `is_complete` is false when the search stopped at its limit without finding one.
    """

    states: int
    counterexample: list[str] | None
    is_complete: bool
    reached: Iterable[State]


def explore(
    start: State,
    steps: Callable[[State], Iterable[tuple[str, State]]],
    is_broken: Callable[[State], bool],
    *,
    limit: int = 2_000_000,
) -> Exploration[State]:
    """Visit every state reachable from *start*, at most *limit* of them.

    An actor that crashes is an actor that is never scheduled again, so every prefix of every
    interleaving, and with it every crash, is among the states visited.
    """
    number_of = {start: 0}
    parents = array("l", [-1])
    labels = [""]
    queue = deque([start])
    while queue:
        state = queue.popleft()
        here = number_of[state]
        if is_broken(state):
            path = []
            while parents[here] >= 0:
                path.append(labels[here])
                here = parents[here]
            return Exploration(len(number_of), path[::-1], is_complete=True, reached=number_of)
        if len(number_of) > limit:
            return Exploration(len(number_of), None, is_complete=False, reached=number_of)
        for label, following in steps(state):
            if following not in number_of:
                number_of[following] = len(parents)
                parents.append(here)
                labels.append(label)
                queue.append(following)
    return Exploration(len(number_of), None, is_complete=True, reached=number_of)
