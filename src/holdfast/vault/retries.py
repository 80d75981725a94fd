"""Try again what may be tried again, waiting longer each time."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from holdfast.base.clock import Clock
from holdfast.base.errors import StorageError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryRule:
    """How often and how patiently; about two minutes in all by default."""

    attempts: int = 9
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 32.0

    def run(
        self,
        clock: Clock,
        act: Callable[[], T],
        *,
        before_wait: Callable[[], None] = lambda: None,
    ) -> T:
        """Call *act* until it succeeds; *before_wait* is called before each wait.

        Raises:
            HoldfastError: what *act* raised, at once unless it is a retryable error of the
                storage, and otherwise after the last attempt.
        """
        wait_seconds = self.first_wait_seconds
        for _ in range(self.attempts - 1):
            try:
                return act()
            except StorageError as error:
                if not error.retryable:
                    raise
            before_wait()
            clock.sleep(wait_seconds)
            wait_seconds = min(2 * wait_seconds, self.longest_wait_seconds)
        return act()


NEVER = RetryRule(attempts=1)
