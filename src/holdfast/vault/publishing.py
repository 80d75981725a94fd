"""From packs to a visible restore point: refs, all looks, the point (rule G1 of docs/design/gc.md).

Nothing before the point is visible, so whatever is cut short here is waste and harms nobody.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from holdfast.base.errors import HoldfastError
from holdfast.base.ids import NodeId, ObjectHash, PackId, PointId, SeriesId, SessionId
from holdfast.core import Written
from holdfast.crypto.boxes import seal_padded_box
from holdfast.format import frames, names
from holdfast.format.point import (
    Head,
    LeftOut,
    Point,
    PointKind,
    PointRecord,
    Refs,
    SessionRuns,
    Statistics,
)
from holdfast.format.runs import encode_runs
from holdfast.format.session import Packlist
from holdfast.keys.errors import CertificateError
from holdfast.keys.keyring import SessionKeys
from holdfast.vault.errors import CollectedMeanwhileError
from holdfast.vault.index_cache import IndexCache, IndexView, PackOwner, load_condemned
from holdfast.vault.leases import LeaseKeeper
from holdfast.vault.objects import ObjectStore
from holdfast.vault.point_loading import record_context
from holdfast.vault.session_packs import SessionPacks
from holdfast.vault.states import Vault, WritableVault

_NONCE_BYTES: Final = 16
_REFS_ATTEMPTS: Final = 5
_PROGRAM: Final = "holdfast"


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """What a restore point says of its source; only those who can read it see it."""

    host: str
    name: str
    root: bytes
    kind: PointKind = PointKind.FILES
    selection: tuple[bytes, ...] = ()
    left_out: LeftOut | None = None
    """By which rules things were left out; None where that makes no sense."""
    tags: tuple[str, ...] = ()
    stands_for_ns: int | None = None
    """The time that the point stands for; None for the start of the session."""
    program: str = _PROGRAM

    @property
    def series(self) -> str:
        """The name of the series."""
        return f"{self.host}/{self.name}"


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that this process has begun."""

    session_id: SessionId
    keys: SessionKeys
    series_id: SeriesId
    started_ns: int


@dataclass(slots=True)
class Place:
    """The place that the next point takes in its series, and the heads that it vouches for."""

    counter: int
    predecessor: PointId | None
    heads: tuple[Head, ...] = ()


@dataclass(frozen=True, slots=True)
class Lost:
    """What a look found gone or condemned: it has to be stored again."""

    packs: frozenset[PackId] = frozenset()
    own_session: bool = False

    def __bool__(self) -> bool:
        return self.own_session or bool(self.packs)


@dataclass(slots=True)
class Publisher:
    """Makes one session's restore point visible."""

    vault: WritableVault
    objects: ObjectStore
    session: NewSession
    source: SourceDescription
    packs: SessionPacks
    cache: IndexCache
    lease: LeaseKeeper
    place: Place
    enter: Callable[[str], None] = lambda _phase: None
    """Told the phase that begins: ``refs``, then ``point``."""
    _positions: dict[SessionId, dict[PackId, int]] = field(default_factory=dict)

    def look(self, needed: Iterable[PackId]) -> Lost:
        """Look at tombstones, then sessions, then the index: is all that is needed there to stay?

        A storage whose listings lag is asked a second time after its delay.
        """
        wanted = frozenset(needed)
        lost = self._look(wanted)
        delay = self.vault.repository.listing_delay_seconds
        if lost and delay > 0:
            self.lease.beat()
            self.vault.machine.clock.sleep(delay)
            lost = self._look(wanted)
        return lost

    def publish(self, written: Written) -> PointId | Lost:
        """Put refs and point, with every look between and after; return the point.

        If something that it needs is gone, nothing has become visible and what is lost is returned.

        Raises:
            CollectedMeanwhileError: upkeep took the refs away every time.
            HoldfastError: what the storage answered; nothing is promised of the point then, but
                all earlier points are as they were.
        """
        needed = frozenset((*written.needed, *(pack.pack_id for pack in written.packs)))
        owners = self._owners(needed)
        unknown = needed - owners.keys()
        if unknown:
            return Lost(unknown)
        for _ in range(_REFS_ATTEMPTS):
            self.lease.beat()
            self.enter("refs")
            refs_hash, sessions = self._put_refs(owners)
            lost = self.look(needed)
            if lost:
                return lost
            self.enter("point")
            point = self._put_point(written, refs_hash, sessions)
            if self._refs_stand(refs_hash):
                return point
            self.lease.give_up(point)
            # That point may or may not stay visible: the next one comes after it, never beside it.
            self.place.counter += 1
            self.place.predecessor = point
        raise CollectedMeanwhileError(
            "Upkeep took away what this backup had just stored, every time it was tried.",
            hint="Run the same command again.",
        )

    def _look(self, needed: frozenset[PackId]) -> Lost:
        condemned = load_condemned(self.vault)
        listed = {item.parsed.session_id for item in self.objects.list(frames.KIND_SESSION)}
        view = self.cache.refresh()
        own = PackOwner(self.session.session_id, self.vault.writer_id)
        owners = {own, *(view.present[pack_id] for pack_id in needed if pack_id in view.present)}
        there = {
            owner
            for owner in owners
            if owner.session_id not in condemned.sessions
            and (owner.session_id in listed or session_exists(self.vault, owner))
        }
        lost = {
            pack_id
            for pack_id in needed
            if pack_id in condemned.packs or view.present.get(pack_id) not in there
        }
        return Lost(frozenset(lost), own not in there)

    def _refs_stand(self, refs_hash: ObjectHash) -> bool:
        """Look for the last time (W5): the tombstones first, then the refs themselves.

        The other way round a collector could delete the refs and lift its tombstone in between.
        """
        if refs_hash in load_condemned(self.vault).refs:
            return False
        return self.objects.exists(names.refs_name(self.vault.vault_id, refs_hash))

    # --- refs ---------------------------------------------------------------------------------

    def _owners(self, needed: Collection[PackId]) -> dict[PackId, tuple[SessionId, int]]:
        """Return session and position of each pack that can be placed."""
        own = self.packs.positions
        view = self.cache.refresh() if any(pack_id not in own for pack_id in needed) else None
        found: dict[PackId, tuple[SessionId, int]] = {}
        for pack_id in needed:
            if pack_id in own:
                found[pack_id] = self.session.session_id, own[pack_id]
            elif view is not None and pack_id in view.present:
                owner = view.present[pack_id]
                position = self._positions_of(owner).get(pack_id)
                if position is not None:
                    found[pack_id] = owner.session_id, position
        return found

    def _positions_of(self, owner: PackOwner) -> dict[PackId, int]:
        if owner.session_id not in self._positions:
            self._positions[owner.session_id] = pack_positions(self.vault, owner)
        return self._positions[owner.session_id]

    def _put_refs(
        self, owners: dict[PackId, tuple[SessionId, int]]
    ) -> tuple[ObjectHash, tuple[SessionId, ...]]:
        places: defaultdict[SessionId, list[int]] = defaultdict(list)
        for session_id, position in owners.values():
            places[session_id].append(position)
        body = Refs(
            session_id=self.session.session_id,
            writer_id=self.vault.writer_id,
            sessions=tuple(
                SessionRuns(session_id=session_id, runs=tuple(encode_runs(sorted(positions))))
                for session_id, positions in sorted(places.items())
            ),
            nonce=self.vault.machine.random.take(_NONCE_BYTES),
        )
        data = frames.build(
            frames.KIND_REFS,
            body.to_body(),
            sign=self.vault.ring.sign,
            vault_id=self.vault.vault_id,
        )
        refs_hash = frames.object_hash(data)
        self.objects.put(names.refs_name(self.vault.vault_id, refs_hash), data)
        return refs_hash, tuple(sorted(places))

    # --- point --------------------------------------------------------------------------------

    def _put_point(
        self, written: Written, refs_hash: ObjectHash, sessions: tuple[SessionId, ...]
    ) -> PointId:
        vault, machine = self.vault, self.vault.machine
        certificate = vault.ring.certificate
        now = machine.now_seconds()
        if certificate.body.expiry and certificate.body.expiry < now:
            raise CertificateError(
                f"The certificate of writer {vault.writer_id.hex()} expired during the backup, so"
                " no restore point was made.",
                hint="Whoever can open the vault makes a new one with 'holdfast writer add'.",
            )
        body = Point(
            writer_id=vault.writer_id,
            certificate_hash=certificate.hash,
            series_id=self.session.series_id,
            counter=self.place.counter,
            predecessor=self.place.predecessor,
            refs_hash=refs_hash,
            sessions=sessions,
            session_id=self.session.session_id,
            statement_number=vault.ring.statement.number,
            statement_hash=vault.ring.statement.hash,
            time=now,
            repository_id=vault.repository.id,
        )
        attachment = seal_padded_box(
            self.session.keys.tree,
            record_context(vault, body),
            self._record(written).to_bytes(),
            machine.random,
            sealed=vault.is_sealed,
        )
        data = frames.build(
            frames.KIND_POINT,
            body.to_body(),
            attachment=attachment,
            sign=vault.ring.sign,
            vault_id=vault.vault_id,
        )
        point = PointId(frames.object_hash(data))
        self.objects.put(names.point_name(vault.vault_id, point), data)
        return point

    def _record(self, written: Written) -> PointRecord:
        source, counts = self.source, written.statistics
        started = self.session.started_ns
        return PointRecord(
            vault_id=self.vault.vault_id,
            writer_id=self.vault.writer_id,
            session_id=self.session.session_id,
            host=source.host,
            source=source.name,
            kind=source.kind,
            root=source.root,
            selection=source.selection,
            root_node=NodeId(written.root),
            started=started,
            finished=self.vault.machine.now_ns(),
            stands_for=started if source.stands_for_ns is None else source.stands_for_ns,
            statistics=Statistics(
                files=counts.files,
                folders=counts.folders,
                others=counts.others,
                source_bytes=counts.source_bytes,
                new_chunks=counts.new_chunks,
                new_raw_bytes=counts.new_raw_bytes,
                new_stored_bytes=counts.new_stored_bytes,
                findings=counts.findings,
            ),
            tags=source.tags,
            heads=self.place.heads,
            program=source.program,
            left_out=source.left_out,
        )


def pack_positions(vault: Vault, owner: PackOwner) -> dict[PackId, int]:
    """Return the place of each pack of a session, as its packlists say.

    Packlists that are gone, damaged or not signed say nothing.
    """
    found: dict[PackId, int] = {}
    for listed in vault.objects.list(frames.KIND_PACKLIST, session_id=owner.session_id):
        try:
            loaded = vault.objects.load(listed.name, Packlist)
            body = loaded.body
            if (body.session_id, body.writer_id) != owner:
                continue
            vault.verifier.check_of_session(loaded)
        except HoldfastError as error:
            if error.retryable:
                raise
            continue
        found.update(
            (pack_id, position)
            for position, pack_id in enumerate(body.pack_ids, body.first_position)
        )
    return found


def trusted_packs(vault: WritableVault, view: IndexView) -> list[PackId] | None:
    """Return the packs that the group's reuse rule lets this writer rely on; None for all.

    By ``own`` these are packs of sessions whose signed session object is this writer's. The rule
    ``attested`` is treated as ``own``: nothing in this format attests yet.
    """
    if vault.reuses_group:
        return None
    sessions = {
        owner.session_id for owner in view.present.values() if owner.writer_id == vault.writer_id
    }
    signed = {
        session_id
        for session_id in sessions
        if _session_name(vault, PackOwner(session_id, vault.writer_id)) is not None
    }
    return [
        pack_id
        for pack_id, owner in view.present.items()
        if owner.writer_id == vault.writer_id and owner.session_id in signed
    ]


def session_exists(vault: Vault, owner: PackOwner) -> bool:
    """Ask for a session by name, because a listing that lags does not show it."""
    name = _session_name(vault, owner)
    return name is not None and vault.objects.exists(name)


def _session_name(vault: Vault, owner: PackOwner) -> str | None:
    """Return the name of a session object that its writer signed, or None."""
    try:
        return vault.verifier.session(owner.session_id, owner.writer_id).name
    except HoldfastError as error:
        if error.retryable:
            raise
        return None
