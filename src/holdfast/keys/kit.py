"""The recovery kit: what to keep away from the repository, as data.

It holds the vault's public identity and copies of the small objects without which no password
opens anything. It holds no secret: whoever finds it still needs a password or key file, which he
can try off line.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.base.ids import VaultId
from holdfast.format.names import slot_name, vault_name
from holdfast.keys.keyring import ReadRing
from holdfast.keys.statements import KeyChain, SeenStatement
from holdfast.keys.ways import WayInListing, list_ways_in


@dataclass(frozen=True, slots=True)
class RecoveryKit:
    """What a kit says. To be made again after every change of the ways in.

    Attributes:
        vault_id: to be compared by whoever opens the vault on a new machine.
        vault_name: as its owner knows it.
        format: of the vault.
        suite: name of the cipher suite.
        epoch: current when the kit was made.
        statement: number and hash of the current statement; a shorter chain is a roll-back.
        ways_in: what can open the vault.
        objects: name and bytes of the vault object, every statement and every slot named now;
            stored again under these names they replace lost ones.
    """

    vault_id: VaultId
    vault_name: str
    format: int
    suite: str
    epoch: int
    statement: SeenStatement
    ways_in: tuple[WayInListing, ...]
    objects: tuple[tuple[str, bytes], ...]


def recovery_kit(chain: KeyChain, ring: ReadRing, slots: Mapping[str, bytes]) -> RecoveryKit:
    """Return the kit of the vault as it is now; *slots* are slot objects by name.

    Raises:
        IntegrityError: a slot that the vault names is missing or damaged.
    """
    listings = list_ways_in(chain, slots)
    for listing in listings:
        if listing.problem is not None:
            raise listing.problem
    objects = [(vault_name(chain.vault_id), chain.vault_data)]
    objects += [(link.name, link.data) for link in chain.links]
    names = [slot_name(chain.vault_id, listing.slot_hash) for listing in listings]
    objects += [(name, slots[name]) for name in names]
    return RecoveryKit(
        vault_id=chain.vault_id,
        vault_name=ring.vault_name,
        format=chain.vault.format,
        suite=chain.suite.name,
        epoch=chain.epoch,
        statement=chain.current.seen,
        ways_in=listings,
        objects=tuple(objects),
    )
