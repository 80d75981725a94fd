"""Read what is stored, open it, and recompute every id (``holdfast verify``)."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast.base.errors import HoldfastError, KeysError
from holdfast.base.ids import GroupId, PackId, SessionId
from holdfast.base.randomness import Random
from holdfast.format import names
from holdfast.format.index_body import IndexBody
from holdfast.format.session import Session
from holdfast.keys.keyring import ReadRing
from holdfast.vault.blind import CheckProgress, nobody, report_of, take_inventory, vanished
from holdfast.vault.check_errors import SampleError
from holdfast.vault.errors import MissingObjectError
from holdfast.vault.files import make_folder
from holdfast.vault.inventory import Finding, Inventory
from holdfast.vault.local import KnownVault
from holdfast.vault.objects import ObjectStore
from holdfast.vault.opened_index import OpenedIndex
from holdfast.vault.pack_looks import OpeningPackLook, PackLook, look_at_packs
from holdfast.vault.relations import Relations
from holdfast.vault.report import ProblemKind, Report

WHOLE = 100.0
_SAMPLE_BYTES = 8


def verify(
    objects: ObjectStore,
    ring: ReadRing | None,
    *,
    random: Random,
    cache: Path | None = None,
    sample_percent: float = WHOLE,
    known: KnownVault | None = None,
    progress: CheckProgress = nobody,
) -> Report:
    """Read every pack, or *sample_percent* of them (at least one), and all other objects.

    Without a *ring*, because damage kept the vault from being opened, everything is read that can
    be read without keys. *random* chooses the sample. *cache* is where a folder for the opened
    index is made for as long as this takes. Damage is in the report; it never ends the work.

    Raises:
        SampleError: *sample_percent* is not above 0 and at most 100.
        StorageError: the storage failed.
    """
    if not 0 < sample_percent <= WHOLE:
        raise SampleError("A sample is more than 0 and at most 100 per cent of all packs.")
    objects = objects.uncached()
    inventory = take_inventory(objects, progress)
    relations = Relations(inventory)
    chosen = sample(sorted(inventory.packs), sample_percent, random)
    if cache is not None:
        make_folder(cache)
    with tempfile.TemporaryDirectory(dir=cache, prefix="verify-") as folder:
        findings: list[Finding] = []
        more_notes: list[str] = []
        look = PackLook(objects, relations)
        if ring is not None:
            indexes = open_indexes(objects, relations, ring, Path(folder), findings, more_notes)
            look = OpeningPackLook(objects, relations, ring, indexes)
        else:
            more_notes.append(
                "The vault could not be opened: contents were read and not decrypted."
            )
        looks = look_at_packs(
            look,
            chosen,
            lambda packs, size: progress("packs", packs, len(chosen), size),
        )
    return report_of(
        relations,
        findings + looks.findings,
        looks=looks,
        vanished=vanished(objects, inventory, known),
        contents_opened=ring is not None,
        more_notes=tuple(more_notes),
    )


def sample(packs: list[PackId], percent: float, random: Random) -> list[PackId]:
    """Return *percent* of the packs, chosen by *random*, at least one if there is any."""
    if percent >= WHOLE:
        return packs
    count = max(1, round(len(packs) * percent / WHOLE))
    drawn = sorted(packs, key=lambda _pack: random.take(_SAMPLE_BYTES))
    return sorted(drawn[:count])


def open_indexes(
    objects: ObjectStore,
    relations: Relations,
    ring: ReadRing,
    folder: Path,
    findings: list[Finding],
    more_notes: list[str],
) -> dict[GroupId, OpenedIndex]:
    """Open all index objects that count, group by group; add what is wrong to *findings*."""
    inventory = relations.inventory
    sessions = session_bodies(inventory)
    indexes: dict[GroupId, OpenedIndex] = {}
    for index_id, body in sorted(relations.active.items()):
        name = names.index_name(inventory.vault_id, body.group_id, index_id)
        if body.group_id not in ring.groups:
            more_notes.append(f"'{name}' belongs to a group that the current keys do not have.")
            continue
        if body.group_id not in indexes:
            indexes[body.group_id] = OpenedIndex(
                folder / body.group_id.hex(), ring, body.group_id, sessions
            )
        try:
            indexes[body.group_id].add(objects.load(name, IndexBody))
        except MissingObjectError:
            continue  # Replaced meanwhile, or its session is missing, which is said elsewhere.
        except KeysError as error:
            more_notes.append(f"'{name}' could not be opened: {error.message}")
        except HoldfastError as error:
            if error.retryable:
                raise
            detail = Finding(name, ProblemKind.DAMAGED, error.message, body.pack_ids)
            findings.append(detail)
    return indexes


def session_bodies(inventory: Inventory) -> Mapping[SessionId, Sequence[Session]]:
    """Return the session objects that are whole and signed."""
    return {
        session_id: tuple(item.body for item in inventory.standing_for(session_id))
        for session_id in inventory.sessions
    }
