"""What every use case is handed: time, chance, folders of this machine, and whom to ask."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from holdfast.base.clock import Clock
from holdfast.base.randomness import Random
from holdfast.keys.unlockers import Unlocker
from holdfast.vault.local import LocalFolders
from holdfast.vault.states import Machine


class SecretSource(Protocol):
    """Whoever can say how a vault is opened."""

    @property
    def is_given(self) -> bool:
        """Whether an answer needs no person."""
        ...

    @property
    def can_ask(self) -> bool:
        """Whether a person can be asked."""
        ...

    def given(self) -> Sequence[Unlocker]:
        """Return what is given to open a new vault with; empty if nothing is."""
        ...

    def attempts(
        self, hints: Sequence[str], *, may_skip: bool = False
    ) -> Iterator[Sequence[Unlocker]]:
        """Yield unlockers to try, one after the other, until one opens.

        With *may_skip* a person may decline; nothing at all is yielded then.

        Raises:
            KeysError: nothing is given and nobody can be asked.
        """
        ...

    def new_unlocker(self, what: str) -> Unlocker:
        """Return a new way in; *what* names it for people.

        Raises:
            KeysError: nothing is given and nobody can be asked.
        """
        ...


@dataclass(frozen=True)
class Context:
    """Handed to every use case.

    Attributes:
        folders: where this machine keeps keys, state and caches.
        host: the name of this machine.
        secrets: asked only when something has to be opened.
        warn: takes sentences that people should read though nothing failed.
        vault: the beginning of the id of the only vault to look at, or None.
    """

    clock: Clock
    random: Random
    folders: LocalFolders
    host: str
    secrets: SecretSource
    warn: Callable[[str], None]
    vault: str | None = None

    @property
    def machine(self) -> Machine:
        """This machine, as the rooms below take it."""
        return Machine(self.clock, self.random, self.folders)
