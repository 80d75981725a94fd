"""Nothing is collected while something is missing that tells what points need.

A gc sees only what is listed. An object that somebody took away, or that a copy lacks, keeps
nothing any more, and what it kept would go for good: so its absence is looked for first.
"""

from typing import Final

from holdfast.base.errors import HoldfastError
from holdfast.base.ids import PointId
from holdfast.format import names
from holdfast.vault.blind import vanished
from holdfast.vault.check_errors import UpkeepRefusedError
from holdfast.vault.contradictions import find_missing_needs
from holdfast.vault.gc_looks import check_understood
from holdfast.vault.inventory import Finding, Inventory
from holdfast.vault.inventory_reading import read_inventory
from holdfast.vault.local import KnownVault
from holdfast.vault.objects import ObjectStore
from holdfast.vault.relations import Relations
from holdfast.vault.report import ProblemKind

_NAMED_AT_ONCE: Final = 5
_SALVAGE: Final = " Without it 'holdfast-extract' restores all the same, from the packs themselves."


def take_whole_inventory(objects: ObjectStore, known: KnownVault | None) -> Inventory:
    """Read the inventory; refuse a vault in which it does not tell all that is needed.

    What others do meanwhile may look in one inventory as if something were missing: only what a
    second one, twice the listing delay later, misses as well counts, and that one is returned.
    Nothing that a killed writer or gc leaves is taken for missing.

    Raises:
        UpkeepRefusedError: something is damaged or missing, or this machine has seen a point that
            is gone.
        StorageError: the storage failed.
    """
    inventory = read_inventory(objects)
    missing = None if _is_in_doubt(inventory) else _missing(objects, Relations(inventory), known)
    if missing == {}:
        return inventory
    delay_seconds = max(
        inventory.listing_delay_seconds, objects.backend.capabilities.listing_delay_seconds
    )
    if delay_seconds:
        objects.clock.sleep(2 * delay_seconds)
    inventory = read_inventory(objects)
    check_understood(inventory)
    relations = Relations(inventory)
    again = _missing(objects, relations, known)
    if missing is None:
        # A change of keys while all was read makes what follows look as if nobody had signed it.
        missing = again
    # What contradicts is said first: without it nothing may be missing.
    left = sorted(
        missing.keys() & again.keys(),
        key=lambda name: (again[name].kind is ProblemKind.MISSING, name),
    )
    if not left:
        return inventory
    touched = sorted({point for name in left for point in relations.touched(name)})
    more = "" if len(left) == 1 else f" So {_are(len(left) - 1)}."
    first = again[left[0]]
    indexes = names.indexes_prefix(inventory.vault_id)
    if first.kind is not ProblemKind.MISSING:
        raise UpkeepRefusedError(
            f"'{first.name}' cannot be told from what may go: {first.detail}{more}",
            hint="Nothing was deleted. Without the object that says so all may be well: move it to"
            " a safe place outside the repository, and run 'holdfast check'.",
        )
    raise UpkeepRefusedError(
        f"'{first.name}' is missing, so nobody can say what is needed: {first.detail}{more}",
        hint="Nothing was deleted. Put what is missing back from a copy of the repository."
        f"{_SALVAGE if first.name.startswith(indexes) else ''} {_way_out(touched)}",
    )


def _is_in_doubt(inventory: Inventory) -> bool:
    """Tell whether something seems damaged or not signed, which has to be looked at again."""
    try:
        check_understood(inventory)
    except HoldfastError:
        return True
    return False


def _missing(
    objects: ObjectStore, relations: Relations, known: KnownVault | None
) -> dict[str, Finding]:
    points = names.points_prefix(relations.inventory.vault_id)
    seen = vanished(objects, relations.inventory, known)
    found = {finding.name: finding for finding in seen if finding.name.startswith(points)}
    for finding in find_missing_needs(relations):
        # A listing may lag, a name does not (G7). Of a folder there is no name to ask for.
        is_object = names.parse_name(finding.name) is not None
        is_missing = finding.kind is ProblemKind.MISSING
        if not (is_missing and is_object and objects.exists(finding.name)):
            found.setdefault(finding.name, finding)
    return found


def _are(count: int) -> str:
    return "is one more object" if count == 1 else f"are {count} more objects"


def _way_out(touched: list[PointId]) -> str:
    if not touched:
        return "If there is none, and no restore point needs it, take away what is left of it."
    ids = " ".join(point.hex()[:8] for point in touched[:_NAMED_AT_ONCE])
    rest = len(touched) - _NAMED_AT_ONCE
    some = f", then {rest} more that 'holdfast check' names" if rest > 0 else ""
    return (
        "If there is none, accept the loss of the restore points that are lost with it, and gc runs"
        f" again: 'holdfast forget {ids}'{some}."
    )
