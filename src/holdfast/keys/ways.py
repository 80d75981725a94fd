"""The ways in of a vault as people see them; no key is needed for that."""

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.base.errors import HoldfastError
from holdfast.base.ids import ObjectHash
from holdfast.format.names import slot_name
from holdfast.keys.errors import MissingKeyObjectError
from holdfast.keys.opening import named_slot
from holdfast.keys.slots import shown_hint
from holdfast.keys.statements import KeyChain
from holdfast.keys.unlockers import SLOT_WORDS


@dataclass(frozen=True, slots=True)
class WayInListing:
    """One way in that the current statement names.

    Attributes:
        slot_hash: its id.
        kind: in words.
        hint: quoted and made harmless; everybody who can write to the storage before the first
            statement could have chosen it. Empty when the slot cannot be read.
        time: when it was made, in seconds, or None when the slot cannot be read.
        problem: why the slot cannot be read, or None.
    """

    slot_hash: ObjectHash
    kind: str
    hint: str
    time: int | None
    problem: HoldfastError | None

    @property
    def plain_hint(self) -> str:
        """The hint without the quotes around it; quotes of its own stay."""
        return self.hint[1:-1]


def list_ways_in(chain: KeyChain, slots: Mapping[str, bytes]) -> tuple[WayInListing, ...]:
    """Return every way in of the current statement, the oldest first, unreadable ones last.

    *slots* are slot objects by name.
    """
    listings = (
        _listing(chain, entry.slot_hash, SLOT_WORDS[entry.kind], slots)
        for entry in chain.current.body.slots
    )
    return tuple(sorted(listings, key=lambda way: (way.time is None, way.time or 0, way.slot_hash)))


def _listing(
    chain: KeyChain, slot_hash: ObjectHash, kind: str, slots: Mapping[str, bytes]
) -> WayInListing:
    name = slot_name(chain.vault_id, slot_hash)
    data = slots.get(name)
    if data is None:
        missing = MissingKeyObjectError(f"the slot '{name}' is missing")
        return WayInListing(slot_hash, kind, "", None, missing)
    try:
        slot = named_slot(chain, slot_hash, data)
    except HoldfastError as error:
        return WayInListing(slot_hash, kind, "", None, error)
    return WayInListing(slot_hash, kind, shown_hint(slot.hint), slot.time, None)
