"""The pump of the Python engine: one generator a run.

The generator does the work and yields True after a piece of it, or False when it can only go on
after an answer from outside. Events are left with :meth:`GeneratorRun.emit`.
"""

import time
from collections import deque
from collections.abc import Generator, Sequence
from typing import Generic, TypeVar

from holdfast.base.errors import HoldfastError, IntegrityError
from holdfast.base.ids import PackId
from holdfast.core.face import Bytes, Event, Fetch
from holdfast.core.run_errors import AnswerFailedError

R = TypeVar("R")
Work = Generator[bool, None, R]
"""What a run does: yields as described above and returns the result."""


class GeneratorRun(Generic[R]):
    """Implements `holdfast.core.face.Run` over a generator that `_work` makes."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._answers: dict[int, Sequence[Bytes]] = {}
        self._failures: dict[int, HoldfastError] = {}
        self._tickets = 0
        self._result: R | None = None
        self._is_over = False
        self._generator: Work[R] | None = None

    def _work(self) -> Work[R]:
        raise NotImplementedError

    def _release(self) -> None:
        """Let go of threads and files; called once when the run is over, however it ends."""

    def step(self, timeout_seconds: float) -> Sequence[Event]:
        """Work until something happened, an answer is needed or the time is up."""
        if self._is_over:
            return self._taken()
        if self._generator is None:
            self._generator = self._work()
        deadline = time.monotonic() + timeout_seconds
        try:
            while not self._events:
                if not next(self._generator) or time.monotonic() > deadline:
                    break
        except StopIteration as stop:
            self._result = stop.value
            self._end()
        except BaseException:
            self._end()
            raise
        return self._taken()

    def stored(self, tickets: Sequence[int]) -> None:
        """Take note that these packs are durable."""
        for ticket in tickets:
            self._answers[ticket] = ()

    def fetched(self, ticket: int, parts: Sequence[Bytes]) -> None:
        """Take the answer to a `Fetch`."""
        self._answers[ticket] = parts

    def failed(self, ticket: int, code: str) -> None:
        """Take note that there will be no answer; whoever waits for it raises."""
        self._failures[ticket] = AnswerFailedError(code)

    def lost(self, ticket: int, error: IntegrityError) -> None:
        """Take note that what was asked for is missing or damaged; whoever waits for it raises."""
        self._failures[ticket] = error

    def cancel(self) -> None:
        """End the run. Later steps bring nothing; there is no result."""
        if self._generator is not None:
            self._generator.close()
        self._events.clear()
        self._end()

    def result(self) -> R | None:
        """Return the result, or None as long as there is none."""
        return self._result

    # --- for the work -------------------------------------------------------------------------

    def emit(self, event: Event) -> None:
        """Leave an event for the next answer of `step`."""
        self._events.append(event)

    def new_ticket(self) -> int:
        """Return a ticket that this run has not used."""
        self._tickets += 1
        return self._tickets

    def take_answer(self, ticket: int) -> Sequence[Bytes] | None:
        """Return the answer for a ticket once, or None while there is none.

        Raises:
            AnswerFailedError: the caller has given up on it.
            IntegrityError: it is missing or damaged.
        """
        if ticket in self._failures:
            raise self._failures.pop(ticket)
        return self._answers.pop(ticket, None)

    def fetch(
        self, pack_id: PackId, ranges: tuple[tuple[int, int], ...]
    ) -> Generator[bool, None, Sequence[Bytes]]:
        """Ask for byte ranges of a pack and wait for them (``yield from``)."""
        ticket = self.new_ticket()
        self.emit(Fetch(ticket, pack_id, ranges))
        while (parts := self.take_answer(ticket)) is None:
            yield False
        return parts

    def _taken(self) -> Sequence[Event]:
        events = tuple(self._events)
        self._events.clear()
        return events

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._release()
