"""Check a vault without any key: every object and every byte of it, as far as the public sees.

A storage provider or an auditor can do this. What it cannot see: whether a writer sealed rubbish.
"""

from collections.abc import Callable

from holdfast.vault.contradictions import (
    find_contradictions,
    find_vanished,
    garbage,
    notes,
)
from holdfast.vault.inventory import Finding, Inventory, counted
from holdfast.vault.inventory_reading import read_inventory
from holdfast.vault.local import KnownVault
from holdfast.vault.objects import ObjectStore
from holdfast.vault.pack_looks import PackLook, PackLooks, look_at_packs
from holdfast.vault.relations import Relations
from holdfast.vault.report import Report

CheckProgress = Callable[[str, int, int | None, int], None]
"""Told the phase (``objects``, ``trees``, ``packs``), how many are done, of how many, and bytes."""


def nobody(phase: str, done: int, total: int | None, size_bytes: int) -> None:
    """Take no note of progress."""
    del phase, done, total, size_bytes


def blind_verify(
    objects: ObjectStore,
    *,
    known: KnownVault | None = None,
    progress: CheckProgress = nobody,
) -> Report:
    """Read everything in the vault, keys needed for nothing.

    What this machine has seen of the vault (*known*) and what is gone counts as missing. Damage is
    in the report; it never ends the work.

    Raises:
        StorageError: the storage failed.
    """
    objects = objects.uncached()
    inventory = take_inventory(objects, progress)
    relations = Relations(inventory)
    looks = look_at_packs(
        PackLook(objects, relations),
        sorted(inventory.packs),
        lambda packs, size: progress("packs", packs, len(inventory.packs), size),
    )
    return report_of(
        relations,
        looks.findings,
        looks=looks,
        contents_opened=False,
        vanished=vanished(objects, inventory, known),
    )


def take_inventory(objects: ObjectStore, progress: CheckProgress) -> Inventory:
    """Read all objects but packs; see ``inventory``."""
    return read_inventory(objects, progress=lambda done, total: progress("objects", done, total, 0))


def vanished(objects: ObjectStore, inventory: Inventory, known: KnownVault | None) -> list[Finding]:
    """Say what this machine has seen and what is gone; a listing may lag, a name does not (G7)."""
    found = () if known is None else find_vanished(inventory, known)
    return [finding for finding in found if not objects.exists(finding.name)]


def report_of(
    relations: Relations,
    findings: list[Finding],
    *,
    looks: PackLooks,
    contents_opened: bool,
    vanished: list[Finding],
    more_notes: tuple[str, ...] = (),
) -> Report:
    """Put together what was found."""
    inventory = relations.inventory
    # The closest look first: of several findings about one object the first one stands.
    everything = [*inventory.findings, *findings, *find_contradictions(relations), *vanished]
    if inventory.chain is None:
        more_notes = (
            *more_notes,
            "Signatures could not be checked: no key statement could be read.",
        )
    return Report(
        problems=relations.problems(everything),
        notes=(*inventory.notes, *notes(inventory), *more_notes),
        counts={**counted(inventory), "garbage": len(garbage(relations))},
        packs_read=looks.packs_read,
        packs_total=len(inventory.packs),
        bytes_read=looks.bytes_read,
        contents_opened=contents_opened,
    )
