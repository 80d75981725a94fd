"""A backup session: the order W1, whatever happens on the way (vault-format.md section 9).

Whenever it ends early, all earlier restore points are as they were, what was stored is unreferenced
or indexed for the next session of this writer, and the same command may be run again.
"""

import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.base.errors import HoldfastError, StorageError
from holdfast.base.ids import PackId, PointId, SeriesId, SessionId
from holdfast.base.progress import Finding, Listener, Progress
from holdfast.core import Engine, Limits, Run, Store, WriteKeys, Writer, Written
from holdfast.core import Progress as EngineProgress
from holdfast.core.run_errors import SpoolError
from holdfast.format import frames, names
from holdfast.format.point import Head
from holdfast.format.session import Session, SessionKind
from holdfast.storage.errors import StorageFullError
from holdfast.storage.interface import local_files
from holdfast.vault.errors import CollectedMeanwhileError
from holdfast.vault.files import check_owner_only_writes, make_folder, move_file
from holdfast.vault.index_cache import IndexCache, load_condemned, opened_index
from holdfast.vault.leases import LeaseKeeper
from holdfast.vault.local import KnownVault, SeenHead, SeriesKey
from holdfast.vault.next_place import next_place
from holdfast.vault.objects import ObjectStore, parse
from holdfast.vault.point_loading import load_points
from holdfast.vault.points import PointList
from holdfast.vault.publishing import (
    Lost,
    NewSession,
    Place,
    Publisher,
    SourceDescription,
    trusted_packs,
)
from holdfast.vault.session_packs import SessionPacks
from holdfast.vault.states import Vault, WritableVault
from holdfast.vault.uploads import Uploader

__all__ = ["BackupResult", "BackupSession", "SourceDescription", "StartRun"]

UPLOADS: Final = 4
"""Packs on their way at once, where the storage is not local."""
FINDING_MISSING: Final = "H630"
"""A restore point that was seen before is gone, and nobody has forgotten it on purpose."""
FINDING_FORK: Final = "H631"
"""Two restore points have the same place in a series."""
FINDING_NOT_BELIEVED: Final = "H632"
"""An object of the repository is damaged or not signed by whom it must be; it is not used."""

FINDING_STATE: Final = "H638"
"""This machine's state cannot be written; the restore point is made and counts all the same."""

_SESSION_ID_BYTES: Final = 16
_NO_COMMITMENT: Final = bytes(32)
_SESSIONS: Final = 3
_RUNS: Final = 5
"""How often a source is read again because packs were taken away meanwhile."""
_STEP_SECONDS: Final = 1.0
_WAIT_SECONDS: Final = 0.05

StartRun = Callable[[Writer, Path | None, int], Run[Written]]
"""Begins to read the source: the engine's writer, the state of the last point, the time (ns).

Called again when packs were taken away meanwhile; a source that cannot be read twice raises then.
"""


@dataclass(frozen=True, slots=True)
class BackupResult:
    """A restore point that is visible to stay."""

    point_id: PointId
    session_id: SessionId
    series_id: SeriesId
    counter: int
    written: Written
    missing: Mapping[SeriesKey, SeenHead]
    """Heads seen before that are gone without a forget."""
    forks: tuple[tuple[PointId, ...], ...]


class _SessionCollected(Exception):  # noqa: N818 - no error: the session is begun anew
    """Upkeep took the session away while it slept."""


class BackupSession:
    """Backs one source up, once."""

    def __init__(
        self,
        vault: WritableVault,
        engine: Engine,
        source: SourceDescription,
        *,
        limits: Limits,
        listener: Listener,
        uploads: int = UPLOADS,
    ) -> None:
        """*uploads* packs at once are on their way; 0 for the calling thread alone."""
        self._vault = vault
        self._engine = engine
        self._source = source
        self._limits = limits
        self._listener = listener
        self._uploads = uploads
        self._machine = vault.machine
        self._folders = vault.machine.folders
        self._series_id = vault.ring.series_id(source.series)
        self._phase = ""
        self._is_state_said = False

    def run(self, start: StartRun) -> BackupResult:
        """Read the source that *start* begins to read, and make its restore point.

        Raises:
            SeriesBusyError: this machine backs the same source up right now.
            CollectedMeanwhileError: upkeep was faster, again and again.
            HoldfastError: what the storage, the source or the engine raised.
        """
        with ExitStack() as stack:
            self._lock(stack, self._folders.series_lock(self._vault.vault_id, self._series_id))
            points = load_points(self._vault)
            known = self._vault.known()
            seen = {} if known is None else known.heads
            missing = {
                key: head
                for key, head in points.vanished(seen).items()
                # A listing may lag; the name itself does not (rule G7).
                if not self._vault.objects.exists(
                    names.point_name(self._vault.vault_id, head.point)
                )
            }
            forks = self._report(points, missing)
            own = (self._vault.writer_id, self._series_id)
            counter, predecessor = next_place(points, own, seen.get(own))
            heads = tuple(
                Head(writer_id=key[0], series_id=key[1], counter=head.counter, point=head.point)
                for key, head in sorted(points.heads().items())
                if key != own
            )
            place = Place(counter, predecessor, heads)
            for _ in range(_SESSIONS):
                try:
                    point_id, session_id, written = self._session(start, place)
                except _SessionCollected:
                    continue
                break
            else:
                raise CollectedMeanwhileError(
                    "Upkeep took this backup for dead again and again.",
                    hint="Run the same command again; if it goes on, look at the machines' clocks.",
                )
            self._remember(points, seen, SeenHead(place.counter, point_id, self._vault.chain.epoch))
            return BackupResult(
                point_id,
                session_id,
                self._series_id,
                place.counter,
                written,
                missing,
                forks,
            )

    # --- one session --------------------------------------------------------------------------

    def _session(self, start: StartRun, place: Place) -> tuple[PointId, SessionId, Written]:
        vault, ring, random = self._vault, self._vault.ring, self._machine.random
        session_id = SessionId(random.take(_SESSION_ID_BYTES))
        made = ring.new_session_key(session_id, random)
        session = NewSession(session_id, made.keys, self._series_id, self._machine.now_ns())
        lease = LeaseKeeper(vault.objects, session_id, writer_id=vault.writer_id, sign=ring.sign)
        objects = vault.objects.waiting(lease.beat)
        with ExitStack() as stack:
            if self._lock(stack, self._folders.alive_lock(vault.vault_id, session_id)):
                # Without locks nobody here can tell who is dead.
                clear_after_the_dead(vault)
                self._folders.drop_dead(vault.vault_id, vault.stored_sessions)
            spool = self._spool(session_id)
            stack.callback(shutil.rmtree, spool, ignore_errors=True)
            cache = stack.enter_context(
                opened_index(vault, self._engine, vault.index_keys, reads=False)
            )
            self._enter("session")
            self._put_session(objects, session, made.commitment, made.sealed)
            lease.begin()
            point: PointId | None = None
            try:
                writer_keys = WriteKeys(
                    vault_id=vault.vault_id,
                    session_id=session_id,
                    session_key=made.keys.key,
                    chunk_id_key=ring.group.chunk_id_key,
                    node_id_key=ring.group.node_id_key,
                    locator_key=ring.group.locator_key,
                    chunker_key=ring.group.chunker_key,
                    epoch=ring.epoch,
                    commitment=made.commitment or _NO_COMMITMENT,
                    sealed_session_key=made.sealed or b"",
                )
                packs = SessionPacks(vault, objects, session_id, made.keys.tree)
                publisher = Publisher(
                    vault, objects, session, self._source, packs, cache, lease, place, self._enter
                )

                def begin() -> Run[Written]:
                    writer = self._engine.writer(
                        writer_keys, vault.parameters, cache.index, spool, self._limits, random
                    )
                    return start(writer, self._last_state(), self._machine.now_ns())

                point, written = self._until_visible(begin, publisher, objects, lease)
            finally:
                lease.end(point)
            self._keep_state(written.state)
            return point, session_id, written

    def _until_visible(
        self,
        begin: Callable[[], Run[Written]],
        publisher: Publisher,
        objects: ObjectStore,
        lease: LeaseKeeper,
    ) -> tuple[PointId, Written]:
        """Read the source and publish; read it again as long as something was taken away."""
        condemned: set[PackId] = set()
        for _ in range(_RUNS):
            self._enter("reading")
            self._prepare_index(publisher.cache, condemned)
            written = self._pump(begin(), publisher.packs, objects, lease)
            published = publisher.publish(written)
            if not isinstance(published, Lost):
                return published, written
            if published.own_session:
                raise _SessionCollected
            condemned |= published.packs
        raise CollectedMeanwhileError(
            "Upkeep took away what this backup needs, every time it was stored.",
            hint="Run the same command again.",
        )

    def _prepare_index(self, cache: IndexCache, condemned: set[PackId]) -> None:
        """Let the engine rely on nothing that is gone, condemned, or not this writer's to reuse."""
        dead = load_condemned(self._vault)
        sessions = {
            item.parsed.session_id for item in self._vault.objects.list(frames.KIND_SESSION)
        } - dead.sessions
        view = cache.refresh()
        cache.index.trust(trusted_packs(self._vault, view))
        cache.index.condemn(
            [
                *condemned,
                *dead.packs,
                *(
                    pack_id
                    for pack_id, owner in view.present.items()
                    if owner.session_id not in sessions
                ),
            ]
        )
        for name in (*dead.not_signed, *view.not_signed):
            self._listener.finding(
                Finding(FINDING_NOT_BELIEVED, name.encode(), "is not signed by whom it must be")
            )

    def _enter(self, phase: str) -> None:
        """Tell the listener what begins now."""
        if phase != self._phase:
            self._phase = phase
            self._listener.progress(Progress(phase))

    # --- pumping ------------------------------------------------------------------------------

    def _pump(
        self, run: Run[Written], packs: SessionPacks, objects: ObjectStore, lease: LeaseKeeper
    ) -> Written:
        uploader = Uploader(objects, self._uploads, beat=lease.beat)
        tickets: dict[int, PackId] = {}
        try:
            written = self._step_until_done(run, packs, uploader, tickets, lease)
            self._enter("index")
            packs.finish()
        except (KeyboardInterrupt, HoldfastError) as error:
            # Before the run is cancelled, which removes the files of packs on their way.
            uploader.close()
            full = self._full(error)
            if full or not isinstance(error, StorageError):
                # What is stored anyway is found again by the next session.
                packs.hurry()
                with suppress(HoldfastError):
                    self._acknowledge(run, packs, uploader, tickets)
                # Packs that grow may fill the disk under the repository: the index object finds
                # room once they are gone.
                run.cancel()
                with suppress(HoldfastError):
                    packs.finish()
            if full:
                raise full from error
            raise
        finally:
            uploader.close()
            run.cancel()
        return written

    def _full(self, error: BaseException) -> StorageFullError | None:
        """Return the error that says that the repository is full, if *error* means that.

        Packs grow in the repository where it is local: nobody knows of a spool folder there.
        """
        if isinstance(error, StorageFullError):
            return error
        backend = self._vault.objects.backend
        if isinstance(error, SpoolError) and error.is_full and local_files(backend) is not None:
            return StorageFullError.at(backend.address)
        return None

    def _step_until_done(
        self,
        run: Run[Written],
        packs: SessionPacks,
        uploader: Uploader,
        tickets: dict[int, PackId],
        lease: LeaseKeeper,
    ) -> Written:
        while True:
            lease.beat()
            events = run.step(_STEP_SECONDS)
            for event in events:
                if isinstance(event, Store):
                    self._enter("packs")
                    packs.add(event.written)
                    tickets[event.ticket] = event.pack_id
                    name = names.pack_name(self._vault.vault_id, event.pack_id)
                    uploader.put(event.ticket, name, event.body)
                elif isinstance(event, Finding):
                    self._listener.finding(event)
                elif isinstance(event, EngineProgress):
                    self._listener.progress(_progress(self._phase, event))
            # A run that has nothing to do until a pack is stored answers at once: wait with it.
            self._acknowledge(
                run, packs, uploader, tickets, timeout_seconds=0.0 if events else _WAIT_SECONDS
            )
            packs.checkpoint()
            written = run.result()
            if written is not None and uploader.is_idle and not tickets:
                return written

    def _acknowledge(
        self,
        run: Run[Written],
        packs: SessionPacks,
        uploader: Uploader,
        tickets: dict[int, PackId],
        *,
        timeout_seconds: float = 0.0,
    ) -> None:
        stored = uploader.stored(timeout_seconds=timeout_seconds)
        for ticket in stored:
            packs.stored(tickets.pop(ticket))
        if stored:
            run.stored(stored)

    # --- beginning and end --------------------------------------------------------------------

    def _put_session(
        self,
        objects: ObjectStore,
        session: NewSession,
        commitment: bytes | None,
        sealed: bytes | None,
    ) -> None:
        vault, ring = self._vault, self._vault.ring
        body = Session(
            session_id=session.session_id,
            writer_id=ring.writer_id,
            certificate_hash=ring.certificate.hash,
            statement_number=ring.statement.number,
            statement_hash=ring.statement.hash,
            epoch=ring.epoch,
            kind=SessionKind.BACKUP,
            commitment=commitment,
            sealed_session_key=sealed,
            group_id=ring.group_id,
            series_id=session.series_id,
            time=self._machine.now_seconds(),
        )
        data = frames.build(
            frames.KIND_SESSION, body.to_body(), sign=ring.sign, vault_id=vault.vault_id
        )
        name = names.session_name(vault.vault_id, session.session_id, frames.object_hash(data))
        objects.put(name, data)
        vault.verifier.know_session(parse(name, data, Session))

    def _spool(self, session_id: SessionId) -> Path:
        """Make a folder of the session's own, where the storage can take its files from."""
        local = local_files(self._vault.objects.backend)
        if local is not None:
            return local.spool_folder(session_id.hex())
        spool = self._folders.spool(self._vault.vault_id, session_id)
        make_folder(spool)
        return spool

    def _lock(self, stack: ExitStack, lock: AbstractContextManager[None]) -> bool:
        """Hold *lock* for the length of *stack*; return whether this machine's state allows it."""
        try:
            stack.enter_context(lock)
        except OSError as error:
            self._say_state_fails(error)
            return False
        return True

    def _say_state_fails(self, error: OSError) -> None:
        """Warn, once, that this machine will not remember this backup."""
        if not self._is_state_said:
            self._is_state_said = True
            text = (
                f"this machine's state cannot be written ({error.strerror or error}): the next "
                "backup reads everything again, and nothing keeps two of one source apart; make "
                "room there, or let HOLDFAST_STATE_DIR name another folder"
            )
            self._listener.finding(Finding(FINDING_STATE, bytes(self._folders.state), text))

    def _last_state(self) -> Path | None:
        """Return the state of the last point, if there is one.

        Raises:
            UnsafeFileError: others can write it.
        """
        path = self._folders.tree_state(self._vault.vault_id, self._series_id)
        try:
            check_owner_only_writes(path)
        except OSError:
            return None
        return path

    def _keep_state(self, state: Path | None) -> None:
        """Swap the new state in. Without it the next session reads everything again."""
        if state is None:
            return
        try:
            move_file(state, self._folders.tree_state(self._vault.vault_id, self._series_id))
        except OSError as error:
            self._say_state_fails(error)

    def _remember(
        self, points: PointList, seen: Mapping[SeriesKey, SeenHead], head: SeenHead
    ) -> None:
        own = {(self._vault.writer_id, self._series_id): head}
        forgotten = points.forgotten_heads(seen)

        def newer(known: KnownVault) -> KnownVault:
            return known.without_heads(forgotten).with_heads(points.heads()).with_heads(own)

        try:
            self._machine.known.change(
                self._vault.vault_id, is_encrypted=self._vault.is_sealed, how=newer
            )
        except OSError as error:
            self._say_state_fails(error)

    def _report(
        self, points: PointList, missing: Mapping[SeriesKey, SeenHead]
    ) -> tuple[tuple[PointId, ...], ...]:
        """Tell the listener what is odd about the points; return the forks."""
        for (_, series_id), head in sorted(missing.items()):
            text = f"restore point {head.counter} of series {series_id.hex()} is missing"
            self._listener.finding(Finding(FINDING_MISSING, head.point.hex().encode(), text))
        forks = tuple(
            tuple(point.id for point in same) for item in points.series() for same in item.forks
        )
        for fork in forks:
            text = "has the same place in its series as " + fork[0].hex()
            for point in fork[1:]:
                self._listener.finding(Finding(FINDING_FORK, point.hex().encode(), text))
        not_used = [(item.name, item.error) for item in self._vault.chain.problems]
        not_used += [(item.name, item.error) for item in points.problems]
        for name, error in not_used:
            self._listener.finding(Finding(FINDING_NOT_BELIEVED, name.encode(), error.message))
        return forks


def clear_after_the_dead(vault: Vault) -> None:
    """Remove what killed sessions of this machine left, here and in the storage's own folder.

    Sessions of other machines may grow theirs there too: gc sweeps those when they are old.

    Raises:
        StorageError: the storage's own folder cannot be made.
    """
    folders = vault.machine.folders
    local = local_files(vault.objects.backend)
    places = [(folders.spools(vault.vault_id), {None, False})]
    if local is not None:
        places.append((local.spool_folder(), {False}))
    for above, is_dead in places:
        for folder in above.glob("*"):
            with suppress(ValueError):
                session_id = SessionId(bytes.fromhex(folder.name))
                if folders.is_alive(vault.vault_id, session_id) in is_dead:
                    shutil.rmtree(folder, ignore_errors=True)


def _progress(phase: str, event: EngineProgress) -> Progress:
    return Progress(
        phase,
        event.items,
        event.items_total,
        bytes_done=event.bytes_read,
        bytes_stored=event.bytes_stored,
    )
