"""Answering an engine that reads: byte ranges of packs, from wherever they lie."""

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final, TypeVar

from holdfast.base.errors import HoldfastError, IntegrityError
from holdfast.base.ids import PackId, PointId
from holdfast.base.progress import Finding, Listener, Progress
from holdfast.core import Bytes, Fetch, Run
from holdfast.core import Progress as EngineProgress
from holdfast.format import names
from holdfast.storage.errors import (
    ObjectMissingError,
    ObjectTruncatedError,
    StorageUnavailableError,
)
from holdfast.storage.interface import local_files
from holdfast.vault.errors import DamagedObjectError, PackMissingError
from holdfast.vault.objects import ObjectStore

FETCHES: Final = 4
"""Requests on their way at once, where the storage is not local."""
_STEP_SECONDS: Final = 1.0
_WAIT_SECONDS: Final = 0.05

R = TypeVar("R")


def pump(
    run: Run[R],
    objects: ObjectStore,
    listener: Listener,
    *,
    phase: str = "read",
    fetches: int = FETCHES,
    needed_by: Callable[[PackId], tuple[PointId, ...]] = lambda _: (),
    beat: Callable[[], None] = lambda: None,
) -> R:
    """Work *run* to its end and return its result.

    *needed_by* names the restore points that a missing pack touches. *beat* is called often.

    Raises:
        PackMissingError: a pack is not there, and the run cannot do without.
        DamagedObjectError: likewise, a pack is shorter than the index says.
        HoldfastError: what the storage or the engine raised.
    """
    is_local = local_files(objects.backend) is not None
    answering = _Answering(objects, 0 if is_local else fetches, needed_by)
    try:
        while True:
            beat()
            events = run.step(_STEP_SECONDS)
            for event in events:
                if isinstance(event, Fetch):
                    answering.ask(event)
                elif isinstance(event, Finding):
                    listener.finding(event)
                elif isinstance(event, EngineProgress):
                    listener.progress(_progress(phase, event))
            result = run.result()
            if result is not None:
                return result
            answers = answering.answers(0.0 if events else _WAIT_SECONDS)
            for ticket, answer in answers.items():
                if isinstance(answer, IntegrityError):
                    run.lost(ticket, answer)
                else:
                    run.fetched(ticket, answer)
    finally:
        run.cancel()
        answering.close()


_Answer = list[Bytes] | IntegrityError
"""The parts that were asked for, or why they cannot be had."""


class _Answering:
    """Fetches ranges: at once where the storage is local, else with a few threads."""

    def __init__(
        self,
        objects: ObjectStore,
        threads: int,
        needed_by: Callable[[PackId], tuple[PointId, ...]],
    ) -> None:
        # A local drive has tried again itself, and each of its bad places would take minutes.
        self._objects = objects if threads else objects.impatient()
        self._needed_by = needed_by
        self._pool = ThreadPoolExecutor(threads, "holdfast-get") if threads else None
        self._running: dict[Future[_Answer], int] = {}
        self._answers: dict[int, _Answer] = {}

    def ask(self, fetch: Fetch) -> None:
        """Begin to fetch, or fetch."""
        if self._pool is None:
            self._answers[fetch.ticket] = self._answer(fetch)
        else:
            self._running[self._pool.submit(self._answer, fetch)] = fetch.ticket

    def answers(self, timeout_seconds: float) -> Mapping[int, _Answer]:
        """Return what has come by ticket; waits a little if nothing has."""
        if self._running:
            done, _ = wait(self._running, timeout_seconds, FIRST_COMPLETED)
            for future in done:
                self._answers[self._running.pop(future)] = future.result()
        answers, self._answers = self._answers, {}
        return answers

    def close(self) -> None:
        """Let go of the threads; what has not begun is not begun."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _answer(self, fetch: Fetch) -> _Answer:
        try:
            return self._fetch(fetch)
        except IntegrityError as error:
            return error

    def _fetch(self, fetch: Fetch) -> list[Bytes]:
        name = names.pack_name(self._objects.vault_id, fetch.pack_id)
        try:
            # A local pack is read, not mapped: where a drive cannot read any more, or a file gets
            # shorter, a mapping would kill the process.
            return list(self._objects.get_ranges(name, fetch.ranges))
        except ObjectMissingError:
            raise self._missing(name, fetch.pack_id) from None
        except ObjectTruncatedError as error:
            raise DamagedObjectError(f"The pack '{name}' is cut short.") from error
        except StorageUnavailableError as error:
            # One that cannot read one place any more reads the others; one that is gone does not
            # answer this question either.
            if not self._objects.exists(name):
                raise
            raise DamagedObjectError(
                f"The pack '{name}' cannot be read: {error.message}"
            ) from error

    def _missing(self, name: str, pack_id: PackId) -> HoldfastError:
        points = ", ".join(point.hex()[:8] for point in self._needed_by(pack_id))
        touched = f"; it is needed by {points}" if points else ""
        return PackMissingError(
            f"The pack '{name}' is missing{touched}.",
            hint="'holdfast check' says what is affected. Another copy of the repository helps.",
        )


def _progress(phase: str, event: EngineProgress) -> Progress:
    return Progress(
        phase,
        event.items,
        event.items_total,
        bytes_done=event.bytes_read,
        bytes_stored=event.bytes_stored,
    )
