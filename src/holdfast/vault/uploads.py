"""Packs on their way to the storage: a bounded number at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import suppress
from pathlib import Path
from typing import Final

from holdfast.core import Bytes
from holdfast.storage.interface import local_files
from holdfast.vault.objects import ObjectStore

_WAIT_SECONDS: Final = 1.0


class Uploader:
    """Stores packs: at once where the storage is local, else with a few threads."""

    def __init__(
        self, objects: ObjectStore, threads: int, *, beat: Callable[[], None] = lambda: None
    ) -> None:
        """With no *threads*, or local storage, everything happens in the calling thread.

        *beat* is called by that thread about every second while it waits.
        """
        self._beat = beat
        is_local = local_files(objects.backend) is not None
        self._threads = 0 if is_local else threads
        # A thread does not renew leases: whoever calls does, while it waits for the threads.
        self._objects = objects.waiting(self._go_on) if self._threads else objects
        self._is_closing = False
        self._pool = ThreadPoolExecutor(threads, "holdfast-put") if self._threads else None
        self._running: dict[Future[None], int] = {}
        self._stored: list[int] = []

    @property
    def is_full(self) -> bool:
        """Whether the next :meth:`put` would have to wait."""
        return len(self._running) >= max(self._threads, 1)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._running

    def put(self, ticket: int, name: str, body: Bytes | Path) -> None:
        """Store a pack; wait first while too many are on their way.

        Raises:
            HoldfastError: this or an earlier pack could not be stored.
        """
        if self._pool is None:
            self._put(name, body)
            self._stored.append(ticket)
            return
        while self.is_full:
            self._collect(_WAIT_SECONDS)
            self._beat()
        self._running[self._pool.submit(self._put, name, body)] = ticket

    def stored(self, *, timeout_seconds: float = 0.0) -> Sequence[int]:
        """Return the tickets of packs that have been stored since the last call.

        Raises:
            HoldfastError: a pack could not be stored.
        """
        self._collect(timeout_seconds)
        stored, self._stored = self._stored, []
        return stored

    def close(self) -> None:
        """Wait for what is on its way; what has not begun, or would be tried again, is not."""
        self._is_closing = True
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _collect(self, timeout_seconds: float) -> None:
        if not self._running:
            return
        done, _ = wait(self._running, timeout_seconds, FIRST_COMPLETED)
        for future in done:
            ticket = self._running.pop(future)
            with suppress(CancelledError):
                future.result()
                self._stored.append(ticket)

    def _go_on(self) -> None:
        if self._is_closing:
            raise CancelledError

    def _put(self, name: str, body: Bytes | Path) -> None:
        if isinstance(body, Path):
            self._objects.put_file(name, body)
        else:
            self._objects.put(name, body)
