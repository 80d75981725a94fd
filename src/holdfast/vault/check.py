"""Check the structure of a vault with its keys (``holdfast check``); contents are not read.

Everything but packs is read whole, and of the packs the tree nodes: what is named exists, decodes
and fits together, and the refs of each restore point name exactly the packs that its tree reaches.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from holdfast.base.ids import GroupId, PackId, PointId
from holdfast.format import names
from holdfast.format.point import Point
from holdfast.keys.keyring import ReadRing
from holdfast.vault.blind import CheckProgress, nobody, report_of, take_inventory, vanished
from holdfast.vault.contradictions import was_given_up
from holdfast.vault.files import make_folder
from holdfast.vault.inventory import Finding, Inventory
from holdfast.vault.local import KnownVault
from holdfast.vault.objects import ObjectStore
from holdfast.vault.opened_index import OpenedIndex
from holdfast.vault.pack_looks import PackLooks
from holdfast.vault.relations import Relations
from holdfast.vault.report import ProblemKind, Report
from holdfast.vault.tree_check import TreeCheck
from holdfast.vault.verify import open_indexes

NOT_READ = "The contents of packs were not read; 'holdfast verify' reads them."


def check(
    objects: ObjectStore,
    ring: ReadRing | None,
    *,
    cache: Path | None = None,
    known: KnownVault | None = None,
    progress: CheckProgress = nobody,
) -> Report:
    """Check everything but the contents of packs; walk each tree node once.

    Without a *ring*, because damage kept the vault from being opened, no tree is walked. *cache*
    is where a folder for the opened index is made for as long as this takes. Damage is in the
    report; it never ends the work.

    Raises:
        StorageError: the storage failed.
    """
    objects = objects.uncached()
    inventory = take_inventory(objects, progress)
    relations = Relations(inventory)
    findings: list[Finding] = []
    more_notes: list[str] = []
    if ring is None:
        more_notes.append("The vault could not be opened: no tree was walked.")
    else:
        if cache is not None:
            make_folder(cache)
        with tempfile.TemporaryDirectory(dir=cache, prefix="check-") as folder:
            indexes = open_indexes(objects, relations, ring, Path(folder), findings, more_notes)
            findings += _stray_rows(relations, indexes)
            findings += _walk_trees(objects, relations, ring, indexes, progress)
    return report_of(
        relations,
        findings,
        looks=PackLooks(),
        vanished=vanished(objects, inventory, known),
        contents_opened=False,
        more_notes=(*more_notes, NOT_READ),
    )


def _walk_trees(
    objects: ObjectStore,
    relations: Relations,
    ring: ReadRing,
    indexes: Mapping[GroupId, OpenedIndex],
    progress: CheckProgress,
) -> list[Finding]:
    """Walk the trees of all points, oldest first, group by group."""
    checks = {
        group_id: TreeCheck(objects, relations, ring, index) for group_id, index in indexes.items()
    }
    inventory = relations.inventory
    # Of a point that its writer gave up, gc may have taken what it needs.
    points = {
        point_id: point
        for point_id, point in inventory.points.items()
        if point.refs_hash in inventory.refs or not was_given_up(inventory, point_id, point)
    }

    def age(item: tuple[PointId, Point]) -> tuple[int, int, PointId]:
        return item[1].time, item[1].counter, item[0]

    for done, (point_id, point) in enumerate(sorted(points.items(), key=age)):
        group_id = _group_of(relations.inventory, point)
        walked = None if group_id is None else checks.get(group_id)
        if walked is not None:
            walked.check(point_id, point)
        progress("trees", done + 1, len(points), 0)
    return [finding for walked in checks.values() for finding in walked.findings]


def _group_of(inventory: Inventory, point: Point) -> GroupId | None:
    """Return the group that a point is of; None where no object stands for its session."""
    standing = inventory.standing_for(point.session_id, point.writer_id)
    # All that were written under the point's certificate are of the group that it names.
    same = [item for item in standing if item.body.certificate_hash == point.certificate_hash]
    return next((item.body.group_id for item in (*same, *standing)), None)


def _stray_rows(relations: Relations, indexes: Mapping[GroupId, OpenedIndex]) -> list[Finding]:
    """Hold the segments of each index object against the sizes of its packs."""
    found = []
    sizes = relations.inventory.packs
    for group_id, index in indexes.items():
        for index_id, part in index.parts.items():
            for number in range(part.pack_count):
                pack_id = PackId(part.pack_id(number))
                first, table = part.pack_table(number)
                stored = sum(
                    int.from_bytes(table[start : start + 4], "big")
                    for start in range(0, len(table), 8)
                )
                size = sizes.get(pack_id)
                if size is not None and first + stored > size:
                    name = names.index_name(relations.inventory.vault_id, group_id, index_id)
                    detail = f"It places segments beyond the end of pack {pack_id.hex()}."
                    found.append(Finding(name, ProblemKind.CONTRADICTION, detail))
    return found
