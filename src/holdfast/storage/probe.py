"""Find out by trying what a storage gives: ``docs/design/storage-requirements.md`` asks for it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from holdfast.base.clock import Clock
from holdfast.base.errors import IntegrityError, StorageError
from holdfast.base.randomness import Random
from holdfast.base.sizes import KIB, MIB
from holdfast.storage.errors import ObjectExistsError, ObjectMissingError
from holdfast.storage.interface import Capabilities, StorageBackend

PREFIX: Final = "probe/"
_SMALL_BYTES: Final = 4 * KIB
_SMALL_COUNT: Final = 8
_LARGE_BYTES: Final = 8 * MIB
_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """What one probe saw. Times are elapsed seconds; they say nothing about wall clocks.

    Attributes:
        address: which storage.
        capabilities: what it promises.
        is_write_once: other bytes under a taken name were refused and the first ones stayed.
        is_retry_safe: the same bytes under the same name were accepted as already there.
        reads_what_was_written: an object could be read, whole, right after its put.
        reads_ranges: parts of an object came back right, and reading past its end was refused.
        is_deleted_at_once: a deleted object could not be read right after.
        put_listing_delay_seconds: until listings showed all puts; None: not within patience.
        delete_listing_delay_seconds: until listings showed no delete; None: not within patience.
        small_put_seconds, small_get_seconds: mean latency of 4 KiB objects.
        large_put_bytes_per_second, large_get_bytes_per_second: rate of one 8 MiB object.
        free_bytes: space left, or None if the storage does not tell.
    """

    address: str
    capabilities: Capabilities
    is_write_once: bool
    is_retry_safe: bool
    reads_what_was_written: bool
    reads_ranges: bool
    is_deleted_at_once: bool
    put_listing_delay_seconds: float | None
    delete_listing_delay_seconds: float | None
    small_put_seconds: float
    small_get_seconds: float
    large_put_bytes_per_second: float
    large_get_bytes_per_second: float
    free_bytes: int | None

    @property
    def is_usable(self) -> bool:
        """Whether a repository may live here: everything that safety rests on was seen."""
        return (
            self.is_write_once
            and self.is_retry_safe
            and self.reads_what_was_written
            and self.reads_ranges
            and self.is_deleted_at_once
            and self.put_listing_delay_seconds is not None
            and self.delete_listing_delay_seconds is not None
        )


def probe(
    backend: StorageBackend, clock: Clock, random: Random, *, patience_seconds: float = 30.0
) -> ProbeReport:
    """Try out *backend* with about 8 MiB below ``probe/`` and remove all of it again.

    A promise that is not kept is a False in the report. Waits at most *patience_seconds* for each
    of two listings.

    Raises:
        StorageError: The storage failed or refused. What was put has been removed, as far as the
            storage still let it.
    """
    return _Probe(backend, clock, random, patience_seconds).run()


class _Probe:
    def __init__(
        self, backend: StorageBackend, clock: Clock, random: Random, patience_seconds: float
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._patience_seconds = patience_seconds
        # A folder of its own, so that two probes at the same time do not meet.
        self._folder = f"{PREFIX}{random.take(8).hex()}/"
        self._small = {
            f"{self._folder}small-{number}": random.take(_SMALL_BYTES)
            for number in range(_SMALL_COUNT)
        }
        self._large = random.take(_LARGE_BYTES)
        # Noted before each put, because one that fails may have left its object.
        self._put_names: list[str] = []

    def run(self) -> ProbeReport:
        try:
            return self._measure()
        finally:
            for name in self._put_names:
                with suppress(StorageError, IntegrityError):
                    self._backend.delete(name)

    def _measure(self) -> ProbeReport:
        backend = self._backend
        large_name = f"{self._folder}large"
        small_put_seconds = self._seconds(self._put_small) / _SMALL_COUNT
        put_delay = self._wait_for_listing(set(self._small))
        reads_small = True

        def get_small() -> None:
            nonlocal reads_small
            reads_small = all(self._reads(name, data) for name, data in self._small.items())

        small_get_seconds = self._seconds(get_small) / _SMALL_COUNT
        large_put_seconds = self._seconds(lambda: self._put(large_name, self._large))
        reads_large = True

        def get_large() -> None:
            nonlocal reads_large
            reads_large = self._reads(large_name, self._large)

        large_get_seconds = self._seconds(get_large)
        is_write_once, is_retry_safe = self._is_write_once(), self._is_retry_safe()
        reads_ranges = self._reads_ranges(large_name)
        free_bytes = backend.free_bytes()
        is_deleted_at_once = self._delete_all()
        return ProbeReport(
            address=backend.address,
            capabilities=backend.capabilities,
            is_write_once=is_write_once,
            is_retry_safe=is_retry_safe,
            reads_what_was_written=reads_small and reads_large,
            reads_ranges=reads_ranges,
            is_deleted_at_once=is_deleted_at_once,
            put_listing_delay_seconds=put_delay,
            delete_listing_delay_seconds=self._wait_for_listing(set()),
            small_put_seconds=small_put_seconds,
            small_get_seconds=small_get_seconds,
            large_put_bytes_per_second=_LARGE_BYTES / large_put_seconds,
            large_get_bytes_per_second=_LARGE_BYTES / large_get_seconds,
            free_bytes=free_bytes,
        )

    def _seconds(self, work: Callable[[], object]) -> float:
        start = self._clock.monotonic_seconds()
        work()
        # A coarse clock may see nothing pass, and rates are divided by this.
        return max(self._clock.monotonic_seconds() - start, 1e-9)

    def _put(self, name: str, data: bytes) -> bool:
        self._put_names.append(name)
        return self._backend.put(name, data)

    def _put_small(self) -> None:
        for name, data in self._small.items():
            self._put(name, data)

    def _reads(self, name: str, data: bytes) -> bool:
        try:
            return self._backend.get(name) == data and self._backend.size(name) == len(data)
        except (ObjectMissingError, IntegrityError):
            return False

    def _is_write_once(self) -> bool:
        name, data = next(iter(self._small.items()))
        try:
            self._backend.put(name, bytes(len(data)))
        except ObjectExistsError:
            return self._reads(name, data)
        return False

    def _is_retry_safe(self) -> bool:
        name, data = list(self._small.items())[-1]
        try:
            return not self._backend.put(name, data)
        except ObjectExistsError:
            return False

    def _reads_ranges(self, name: str) -> bool:
        ranges = [(_LARGE_BYTES - 7, 7), (0, 1), (MIB + 3, 64 * KIB), (5, 0)]
        expected = [self._large[offset : offset + length] for offset, length in ranges]
        try:
            if self._backend.get_ranges(name, ranges) != expected:
                return False
        except (ObjectMissingError, IntegrityError):
            return False
        try:
            self._backend.get_ranges(name, [(_LARGE_BYTES - 1, 2)])
        except IntegrityError:
            return True
        return False

    def _delete_all(self) -> bool:
        is_gone = True
        for name in list(self._put_names):
            try:
                self._backend.delete(name)
            except ObjectMissingError:
                is_gone = False
            else:
                is_gone = is_gone and not self._backend.exists(name)
        return is_gone

    def _wait_for_listing(self, expected: set[str]) -> float | None:
        start = self._clock.monotonic_seconds()
        while True:
            listed = {found.name for found in self._backend.list(self._folder)}
            waited = self._clock.monotonic_seconds() - start
            if listed == expected:
                return waited
            if waited >= self._patience_seconds:
                return None
            self._clock.sleep(_POLL_SECONDS)
