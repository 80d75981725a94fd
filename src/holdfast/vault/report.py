"""What a check of any kind found: one shape for structure, bytes, and looks without keys."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from holdfast.base.ids import PointId
from holdfast.vault.check_errors import VaultDamagedError


class ProblemKind(StrEnum):
    """What is wrong with an object."""

    DAMAGED = "damaged"
    """Its bytes are not those that its name promises, or make no sense."""
    MISSING = "missing"
    """Something visible names it or cannot do without it, and it is not there."""
    UNSIGNED = "unsigned"
    """Its bytes are whole, and whoever had to sign it did not."""
    MISPLACED = "misplaced"
    """It is whole, and stands where it does not belong."""
    CONTRADICTION = "contradiction"
    """It is whole and signed, and says something that others exclude."""
    ADDITIONAL = "additional"
    """Nobody who follows the format can have put it there."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One damaged object.

    *name* is its name; of an object that is missing and whose hash nothing says, the folder in
    which it is missing. *points* are all restore points that it touches.
    """

    name: str
    kind: ProblemKind
    detail: str
    points: tuple[PointId, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found.

    Attributes:
        problems: damage, sorted by name; empty if there is none.
        notes: sentences about what is unusual and no damage: forks, what could not be checked.
        counts: how many objects of each kind there are (by folder), and ``garbage``: objects that
            no restore point needs and that a gc removes.
        packs_read: packs of which every byte was read.
        packs_total: packs that are stored.
        bytes_read: bytes of packs that were read.
        contents_opened: whether what was read was also decrypted and every id recomputed.
    """

    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    packs_read: int = 0
    packs_total: int = 0
    bytes_read: int = 0
    contents_opened: bool = False

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged."""
        return not self.problems

    @property
    def points(self) -> tuple[PointId, ...]:
        """All restore points that damage touches, ascending."""
        return tuple(sorted({point for problem in self.problems for point in problem.points}))

    def raise_if_damaged(self) -> None:
        """Return only if nothing is damaged.

        Raises:
            VaultDamagedError: something is; the report has all of it.
        """
        if self.problems:
            first = self.problems[0]
            raise VaultDamagedError(
                f"{len(self.problems)} damaged objects were found; the first is"
                f" '{first.name}': {first.detail}",
                hint="Restore points that no damaged object touches restore as always.",
            )
