"""A restore point that is open for reading: index at hand, session keys opened, tree reachable."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from holdfast.base.errors import StorageError
from holdfast.base.ids import NodeId, SessionId
from holdfast.base.progress import Listener
from holdfast.core import Reader, Run
from holdfast.operations.context import Context
from holdfast.operations.engine import limits, this_engine
from holdfast.vault.index_cache import opened_index
from holdfast.vault.leases import LeaseKeeper
from holdfast.vault.points import RestorePoint
from holdfast.vault.reading import pump
from holdfast.vault.states import ReadableVault

_SESSION_ID_BYTES: Final = 16

R = TypeVar("R")


@dataclass(frozen=True)
class PointReader:
    """Reads one restore point."""

    vault: ReadableVault
    point: RestorePoint
    engine: Reader
    root: NodeId
    listener: Listener
    beat: Callable[[], None]

    def pumped(self, run: Run[R], *, phase: str = "read") -> R:
        """Work *run* to its end and return its result.

        Raises:
            PackMissingError, DamagedObjectError: what it needs is missing or damaged.
        """
        return pump(
            run,
            self.vault.objects,
            self.listener,
            phase=phase,
            needed_by=lambda _: (self.point.id,),
            beat=self.beat,
        )


@contextmanager
def open_point(
    vault: ReadableVault,
    point: RestorePoint,
    context: Context,
    listener: Listener,
    *,
    announce: bool = False,
) -> Iterator[PointReader]:
    """Open *point* for reading.

    With *announce*, long reading shows itself to upkeep by a lease, where the storage takes one:
    what the point needs stays for so long, even if the point is forgotten meanwhile.

    Raises:
        IntegrityError, KeysError: what opens the point is missing, damaged or does not open.
    """
    record = point.opened()
    engine = this_engine()
    group = vault.verifier.certificate(point.body.certificate_hash).body.group_id
    with opened_index(vault, engine, vault.index_keys(group), reads=True) as cache:
        for name in cache.refresh().unusable:
            context.warn(
                f"'{name}' is damaged or does not open; what only it names is not found"
                " ('holdfast verify' says which restore points that touches)"
            )
        keys = vault.read_keys(group, list(point.body.sessions))
        reader = engine.reader(keys, vault.parameters, cache.index, limits(), context.random)
        with _announced(vault, point, context) if announce else nullcontext(_nothing) as beat:
            yield PointReader(vault, point, reader, record.root_node, listener, beat)


@contextmanager
def _announced(
    vault: ReadableVault, point: RestorePoint, context: Context
) -> Iterator[Callable[[], None]]:
    """Show by a lease that *point* is being read; yield what renews it.

    A lease is advice: what cannot be written to can still be restored from.
    """
    session_id = SessionId(context.random.take(_SESSION_ID_BYTES))
    lease = LeaseKeeper(
        vault.objects,
        session_id,
        writer_id=None,
        sign=vault.maintainer.sign,
        point=point.id,
    )
    with ExitStack() as stack:
        # Should this process be killed, gc on this machine knows at once that nobody reads.
        with suppress(OSError):
            stack.enter_context(context.folders.alive_lock(vault.vault_id, session_id))
        is_shown = False
        with suppress(StorageError):
            lease.begin()
            is_shown = True
        try:
            yield lease.beat if is_shown else _nothing
        finally:
            if is_shown:
                lease.end(None)


def _nothing() -> None:
    """Do nothing."""
