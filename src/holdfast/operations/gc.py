"""Free the space that no restore point needs."""

from contextlib import suppress
from dataclasses import dataclass

from holdfast.base.errors import StorageError
from holdfast.base.ids import SessionId
from holdfast.base.progress import Listener, Progress
from holdfast.operations.context import Context
from holdfast.operations.opening import known_of, opened, unlocked
from holdfast.storage.interface import local_files
from holdfast.vault.gc import GcPlan, GcResult, Patience, apply_gc, plan_gc
from holdfast.vault.gc_apply import SPOOL_AGE_SECONDS
from holdfast.vault.leases import SILENCE_SECONDS
from holdfast.vault.sessions import clear_after_the_dead
from holdfast.vault.states import ClosedVault


@dataclass(frozen=True, slots=True)
class GcRequest:
    """What to clear.

    Attributes:
        wait: wait some minutes to see which sessions of other machines are dead.
    """

    address: str
    wait: bool = False


def plan(request: GcRequest, context: Context) -> GcPlan:
    """Say what would be taken away; changes nothing and needs no key.

    Raises:
        UpkeepRefusedError: what is damaged or missing hides what is needed.
    """
    with opened(request.address, context) as closed:
        return plan_gc(
            closed.objects,
            patience=_patience(request, closed, context),
            known=known_of(closed.vault_id, context),
        )


def run(request: GcRequest, context: Context, listener: Listener) -> GcResult:
    """Take away what nobody needs. Looks anew at everything, whatever a plan said.

    Raises:
        KeysError: nothing that was given opens the vault. Nothing was deleted.
        UpkeepRefusedError: what is damaged or missing hides what is needed. Nothing needed was
            deleted.
    """
    with opened(request.address, context) as closed:
        vault = unlocked(closed, context)
        known = known_of(closed.vault_id, context)
        # First, as what comes next needs a little room.
        _clear_what_died(closed)
        done = context.folders.with_scratch(
            closed.vault_id,
            lambda cache: apply_gc(
                closed.objects,
                vault.ring,
                clock=context.clock,
                random=context.random,
                patience=_patience(request, closed, context),
                cache=cache,
                progress=lambda phase: listener.progress(Progress(phase)),
                known=known,
            ),
        )
        context.folders.drop_dead(closed.vault_id, closed.stored_sessions)
        return done


def sweep(request: GcRequest, context: Context) -> int:
    """Remove temporary files that were left long ago, where there is nothing else to free.

    Needs no key. Returns how many there were.
    """
    with opened(request.address, context) as closed:
        _clear_what_died(closed)
        context.folders.drop_dead(closed.vault_id, closed.stored_sessions)
        local = local_files(closed.objects.backend)
        return 0 if local is None else local.sweep(SPOOL_AGE_SECONDS)


def _clear_what_died(closed: ClosedVault) -> None:
    with suppress(StorageError):
        clear_after_the_dead(closed)


def _patience(request: GcRequest, closed: ClosedVault, context: Context) -> Patience:
    def is_dead(session_id: SessionId) -> bool:
        # A killed session of this machine is known to be dead at once.
        return context.folders.is_alive(closed.vault_id, session_id) is False

    return Patience(patience_seconds=2 * SILENCE_SECONDS if request.wait else 0.0, is_dead=is_dead)
