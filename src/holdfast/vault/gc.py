"""Free the space that nobody needs, with everything running (docs/design/gc.md, G1 to G12).

There is no lock. Every deletion rests on two looks with a tombstone between them; a crash at any
point leaves all that is visible whole, and the next gc goes on from there. Two at once are safe.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from holdfast.base.clock import Clock
from holdfast.base.ids import IndexId, PackId, SessionId
from holdfast.base.randomness import Random
from holdfast.format.index_body import Drop, IndexBody
from holdfast.keys.keyring import ReadRing
from holdfast.vault import gc_plan
from holdfast.vault.gc_apply import (
    GcProgress,
    GcResult,
    GcRun,
    Patience,
    left_keys,
    quiet_in,
    seem_alive,
)
from holdfast.vault.gc_looks import GcLooks
from holdfast.vault.gc_missing import take_whole_inventory
from holdfast.vault.local import KnownVault
from holdfast.vault.objects import ObjectStore

__all__ = ["GcPlan", "GcProgress", "GcResult", "Patience", "apply_gc", "plan_gc"]


@dataclass(frozen=True, slots=True)
class GcPlan:
    """What a gc would take away now; sizes in bytes.

    *strays* are sessions, readers' above all, of which only leases or packlists are left. *spared*
    are packs that nobody needs and that sessions which look alive may be about to use. *keys* are
    what changes of keys left that died, counted where gc may wait for it.
    """

    points: int = 0
    refs: int = 0
    packs: int = 0
    pack_bytes: int = 0
    sessions: int = 0
    strays: int = 0
    tombstones: int = 0
    index_objects: int = 0
    keys: int = 0
    spared_packs: int = 0
    spared_bytes: int = 0
    spared_sessions: tuple[SessionId, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return self == GcPlan(
            spared_packs=self.spared_packs,
            spared_bytes=self.spared_bytes,
            spared_sessions=self.spared_sessions,
        )


def plan_gc(
    objects: ObjectStore, *, patience: Patience | None = None, known: KnownVault | None = None
) -> GcPlan:
    """Say what a gc would take away; changes nothing and needs no key.

    *known* is what this machine has seen of the vault: of that, too, nothing may be missing.

    Raises:
        UpkeepRefusedError: what is damaged or missing hides what is needed.
        StorageError: the storage failed.
    """
    objects = objects.uncached()
    inventory = take_whole_inventory(objects, known)
    patience = patience or Patience()
    quiet = quiet_in(inventory, patience)
    looks = GcLooks(objects, inventory, wait=lambda: None, quiet=quiet)
    view = looks.view(quiet)
    forgotten = inventory.half_forgotten()
    view = replace(
        view, points={key: body for key, body in view.points.items() if key not in forgotten}
    )
    orphans = gc_plan.orphan_refs(view)
    view = replace(
        view, refs={key: needs for key, needs in view.refs.items() if key not in orphans}
    )
    packs = gc_plan.doomed_packs(view)
    spared = gc_plan.unneeded_packs(view) - packs
    view = replace(
        view, packs={key: owner for key, owner in view.packs.items() if key not in packs}
    )
    sessions = gc_plan.doomed_sessions(view)
    return GcPlan(
        points=len(forgotten),
        refs=len(orphans),
        packs=len(packs),
        pack_bytes=sum(inventory.packs[pack] for pack in packs if pack in inventory.packs),
        sessions=len(sessions),
        strays=len(
            gc_plan.stray_sessions(
                inventory.leases,
                inventory.packlists,
                {*inventory.sessions, *(point.session_id for point in view.points.values())},
                quiet,
            )
        ),
        tombstones=len(inventory.tombstones),
        index_objects=_index_objects(looks, inventory.indexes, packs, sessions),
        keys=len(left_keys(inventory)) if patience.waits else 0,
        spared_packs=len(spared),
        spared_bytes=sum(inventory.packs.get(pack, 0) for pack in spared),
        spared_sessions=tuple(sorted(seem_alive(inventory, quiet))),
    )


def _index_objects(
    looks: GcLooks,
    bodies: Mapping[IndexId, IndexBody],
    packs: Iterable[PackId],
    sessions: Collection[SessionId],
) -> int:
    """Count the index objects that go when *packs* and *sessions* do, those to be merged too."""
    owners = ((pack, looks.owner(pack)) for pack in packs)
    drops = [Drop(pack, owner) for pack, owner in owners if owner is not None]
    staying = looks.sessions().keys() - sessions
    gone = gc_plan.sessions_named(bodies.values()) - staying
    count = len(gc_plan.left_over(bodies))
    for group_id in {body.group_id for body in bodies.values()}:
        stand_ins = gc_plan.plan_stand_ins(
            {name: body for name, body in bodies.items() if body.group_id == group_id},
            new_drops=drops,
            gone=gone,
            index_bytes=looks.index_bytes,
            merge=True,
        )
        count += sum(len(stand_in.replaces) for stand_in in stand_ins)
    return count


def apply_gc(
    objects: ObjectStore,
    ring: ReadRing,
    *,
    clock: Clock,
    random: Random,
    patience: Patience | None = None,
    cache: Path | None = None,
    progress: GcProgress = lambda _phase: None,
    known: KnownVault | None = None,
) -> GcResult:
    """Take away what nobody needs. Looks anew at everything, whatever a plan said.

    *known* is what this machine has seen of the vault: of that, too, nothing may be missing.

    Raises:
        UpkeepRefusedError: what is damaged or missing hides what is needed. Nothing needed was
            deleted.
        UnknownEpochError: *ring* is not of the current keys.
        MergeRaceError: others keep replacing the same index objects.
        StorageError: the storage failed. All that is visible is whole.
    """
    return GcRun(
        objects.uncached(), ring, clock, random, patience or Patience(), cache, progress, known
    ).run()
