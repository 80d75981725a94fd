"""What a vault holds that needs no key, as values: the ground of every check and of gc."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from holdfast.base.ids import (
    IndexId,
    ObjectHash,
    PackId,
    PointId,
    RepositoryId,
    SessionId,
    VaultId,
    WriterId,
)
from holdfast.format import frames
from holdfast.format.index_body import IndexBody
from holdfast.format.maintenance import Forget, Tombstone
from holdfast.format.point import Point, Refs
from holdfast.format.session import Lease, Packlist, Session
from holdfast.format.slot import Slot
from holdfast.format.writer import WriterCertificate
from holdfast.keys.statements import KeyChain
from holdfast.vault.index_rules import replaced
from holdfast.vault.objects import Listed
from holdfast.vault.report import ProblemKind

RESERVED: Final = frozenset(range(frames.KIND_MOVES, frames.KIND_REVOCATION + 1))


NOT_HANDED_OUT: Final = "It is listed and cannot be read."


class Finding(NamedTuple):
    """What is wrong with one object; the points that it touches come later.

    *packs* are those that cannot be used because of it, where that does not follow from the name.
    """

    name: str
    kind: ProblemKind
    detail: str
    packs: tuple[PackId, ...] = ()


class NamedPacklist(NamedTuple):
    """A packlist and the name of its object."""

    name: str
    body: Packlist


class NamedSession(NamedTuple):
    """A session object and its name."""

    name: str
    hash: ObjectHash
    body: Session


@dataclass(slots=True)
class Inventory:
    """What a vault holds, as far as it is whole, signed and in its place.

    *sizes* has every listed object of the vault by name, packs included, damaged ones too.
    *damaged* are the names of all objects that were not used. *unattributed* are names of objects
    that were used although nobody can tell who signed them, because the keys for that are damaged
    or missing: good enough to say what damage touches, not to delete anything by.
    *sessions* has one object for each session, *twins* the others that stand for the same one: a
    stolen writer key can sign one, and only what was sealed tells which is true (5.6).
    *unreadable* are names that a listing shows and behind which nothing is: somebody removed it
    meanwhile, or a failing storage does not hand it out. They are not among the *sizes*.
    *keys_in_doubt* is the name of an object that may be a key statement that counts and is not in
    the chain (vault-format.md 5.3).
    """

    vault_id: VaultId
    chain: KeyChain | None = None
    repository_id: RepositoryId | None = None
    listing_delay_seconds: float = 0.0
    sizes: dict[str, int] = field(default_factory=dict)
    listed: dict[int, list[Listed]] = field(default_factory=dict)
    packs: dict[PackId, int] = field(default_factory=dict)
    points: dict[PointId, Point] = field(default_factory=dict)
    refs: dict[ObjectHash, Refs] = field(default_factory=dict)
    indexes: dict[IndexId, IndexBody] = field(default_factory=dict)
    packlists: dict[SessionId, list[NamedPacklist]] = field(default_factory=dict)
    leases: dict[SessionId, dict[int, Lease]] = field(default_factory=dict)
    sessions: dict[SessionId, NamedSession] = field(default_factory=dict)
    twins: dict[SessionId, list[NamedSession]] = field(default_factory=dict)
    forgets: dict[ObjectHash, Forget] = field(default_factory=dict)
    forget_epochs: dict[ObjectHash, int] = field(default_factory=dict)
    tombstones: dict[ObjectHash, Tombstone] = field(default_factory=dict)
    certificates: dict[ObjectHash, WriterCertificate] = field(default_factory=dict)
    slots: dict[ObjectHash, Slot] = field(default_factory=dict)
    quarantined: set[PackId] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    damaged: set[str] = field(default_factory=set)
    unattributed: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    lost_writers: set[WriterId] = field(default_factory=set)
    lacks_statements: bool = False
    keys_in_doubt: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def chain_is_whole(self) -> bool:
        """Whether every statement that counts was understood: else keys may be unknown here."""
        return self.chain is not None and not self.keys_in_doubt

    def report_stranger(self, name: str) -> None:
        """Take note of what is no object at all, so that nothing rests on it."""
        detail = (
            "No object has this name: it does not belong here. Whoever put it here may remove it."
        )
        self.findings.append(Finding(name, ProblemKind.ADDITIONAL, detail))

    def report(self, name: str, kind: ProblemKind, detail: str) -> None:
        """Take note of an object that is not used."""
        self.findings.append(Finding(name, kind, detail))
        self.damaged.add(name)

    def standing_for(
        self, session_id: SessionId, writer_id: WriterId | None = None
    ) -> tuple[NamedSession, ...]:
        """Return every object that stands for a session; those of a writer, if one is named."""
        first = self.sessions.get(session_id)
        found = () if first is None else (first, *self.twins.get(session_id, ()))
        return tuple(item for item in found if writer_id in {None, item.body.writer_id})

    def replaced(self) -> set[IndexId]:
        """Return the index objects that another one stands in for."""
        return replaced(self.indexes)

    def active_indexes(self) -> dict[IndexId, IndexBody]:
        """Return the index objects that count."""
        gone = self.replaced()
        return {name: body for name, body in self.indexes.items() if name not in gone}

    def forgotten_in(self) -> dict[PointId, int]:
        """Return the newest epoch that dropped each point that a forget names."""
        newest: dict[PointId, int] = {}
        for name, forget in self.forgets.items():
            epoch = self.forget_epochs.get(name, 0)
            newest.update(
                (item.point, max(epoch, newest.get(item.point, 0))) for item in forget.points
            )
        return newest

    def forgotten(self) -> set[PointId]:
        """Return the points that were dropped on purpose, under their keys or later ones."""
        return {
            point for point, epoch in self.forgotten_in().items() if self.epoch_of(point) <= epoch
        }

    def half_forgotten(self) -> set[PointId]:
        """Return points that were dropped and are still there: somebody died in between."""
        return self.forgotten() & self.points.keys()

    def epoch_of(self, point_id: PointId) -> int:
        """Return the epoch of the keys that a point was made under; 0 where nobody can tell."""
        point = self.points.get(point_id)
        links = () if self.chain is None else self.chain.links
        if point is None or point.statement_number >= len(links):
            return 0
        return links[point.statement_number].body.epoch


def counted(inventory: Inventory) -> dict[str, int]:
    """Return how many objects of each kind are listed, by the name of their folder."""
    counts: dict[str, int] = {}
    for items in inventory.listed.values():
        for item in items:
            folder = item.name.split("/")[2]
            counts[folder] = counts.get(folder, 0) + 1
    return counts
