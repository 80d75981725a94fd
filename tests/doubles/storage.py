"""Storage that fails, stalls, lies, loses power, fills up, delays its listings, or counts.

Each wraps another backend and none of them offers ``LocalFiles``, so that every byte passes by.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Literal, TypeVar

from doubles.clock import ManualClock
from holdfast.base.errors import HoldfastError
from holdfast.storage.errors import (
    ObjectMissingError,
    StorageFullError,
    StorageUnavailableError,
)
from holdfast.storage.interface import Bytes, Capabilities, ObjectInfo, StorageBackend, as_parts
from holdfast.storage.memory import MemoryBackend

Kind = Literal["put", "get", "get_ranges", "size", "exists", "list", "delete", "free_bytes"]
WRITES: frozenset[Kind] = frozenset({"put", "delete"})
T = TypeVar("T")


class PowerCut(BaseException):
    """The power is gone; a BaseException, so that no ``except Exception`` survives it."""


class WrappedBackend:
    """Passes everything on; subclasses bend :meth:`_call` or single methods."""

    def __init__(self, inner: StorageBackend) -> None:
        self.inner = inner

    def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
        """Every call passes here; *name* is the object's name or the prefix."""
        del kind, name
        return act()

    @property
    def address(self) -> str:
        return self.inner.address

    @property
    def capabilities(self) -> Capabilities:
        return replace(self.inner.capabilities, local_files=False)

    def put(self, name: str, data: Bytes | Sequence[Bytes]) -> bool:
        return self._call("put", name, lambda: self.inner.put(name, data))

    def get(self, name: str, *, most_bytes: int | None = None) -> bytes:
        return self._call("get", name, lambda: self.inner.get(name, most_bytes=most_bytes))

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._call("get_ranges", name, lambda: self.inner.get_ranges(name, ranges))

    def size(self, name: str) -> int:
        return self._call("size", name, lambda: self.inner.size(name))

    def exists(self, name: str) -> bool:
        return self._call("exists", name, lambda: self.inner.exists(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return iter(self._call("list", prefix, lambda: tuple(self.inner.list(prefix))))

    def delete(self, name: str) -> None:
        self._call("delete", name, lambda: self.inner.delete(name))

    def free_bytes(self) -> int | None:
        return self._call("free_bytes", "", self.inner.free_bytes)

    def close(self) -> None:
        self.inner.close()


class CountingBackend(WrappedBackend):
    """Counts calls by kind, single requests (each range is one), and bytes."""

    def __init__(self, inner: StorageBackend) -> None:
        super().__init__(inner)
        self.calls: Counter[Kind] = Counter()
        self.requests: Counter[Kind] = Counter()
        self.names: list[tuple[Kind, str]] = []
        self.bytes_put = 0
        self.bytes_got = 0
        self._lock = threading.Lock()

    def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
        with self._lock:
            self.calls[kind] += 1
            self.names.append((kind, name))
            if kind != "get_ranges":
                self.requests[kind] += 1
        return act()

    def put(self, name: str, data: Bytes | Sequence[Bytes]) -> bool:
        is_new = super().put(name, data)
        with self._lock:
            self.bytes_put += sum(map(len, as_parts(data)))
        return is_new

    def get(self, name: str, *, most_bytes: int | None = None) -> bytes:
        data = super().get(name, most_bytes=most_bytes)
        with self._lock:
            self.bytes_got += len(data)
        return data

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        found = super().get_ranges(name, ranges)
        with self._lock:
            self.requests["get_ranges"] += len(ranges)
            self.bytes_got += sum(map(len, found))
        return found


class FailingBackend(WrappedBackend):
    """The n-th call of one kind (from 1) raises; with *takes_effect*, only after it acted."""

    def __init__(
        self,
        inner: StorageBackend,
        kind: Kind,
        *,
        nth: int = 1,
        times: int = 1,
        error: Callable[[], HoldfastError] = lambda: StorageUnavailableError("It failed."),
        takes_effect: bool = False,
    ) -> None:
        super().__init__(inner)
        self._kind, self._error, self._takes_effect = kind, error, takes_effect
        self._failing = range(nth, nth + times)
        self._seen = 0
        self._lock = threading.Lock()

    def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
        del name
        with self._lock:
            self._seen += kind == self._kind
            fails = kind == self._kind and self._seen in self._failing
        if not fails:
            return act()
        if self._takes_effect:
            # Whatever the storage answered is lost on the way.
            with suppress(HoldfastError):
                act()
        raise self._error()


class StallingBackend(WrappedBackend):
    """Every call of the given kinds takes *seconds* of the injected clock."""

    def __init__(
        self, inner: StorageBackend, clock: ManualClock, seconds: float, *kinds: Kind
    ) -> None:
        super().__init__(inner)
        self._clock, self._seconds, self._kinds = clock, seconds, kinds

    def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
        del name
        if not self._kinds or kind in self._kinds:
            self._clock.sleep(self._seconds)
        return act()


class DyingBackend(WrappedBackend):
    """The power is cut before the n-th call (from 1) of the given kinds; all later calls die too.

    Without a *dies_before* it only counts. With *loses_unsynced* the cut also takes every object
    put since the last :meth:`settle`, unless the inner backend promises durable puts.
    """

    def __init__(
        self,
        inner: StorageBackend,
        *,
        dies_before: int | None = None,
        kinds: Collection[Kind] | None = None,
        loses_unsynced: bool = False,
    ) -> None:
        super().__init__(inner)
        self.calls = 0
        self.is_dead = False
        self._dies_before, self._kinds = dies_before, kinds
        self._loses_unsynced = loses_unsynced
        self._unsynced: list[str] = []
        self._lock = threading.RLock()

    def settle(self) -> None:
        """Enough time passes that the system writes everything out."""
        self._unsynced.clear()

    def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
        with self._lock:
            if self.is_dead:
                raise PowerCut
            if self._kinds is None or kind in self._kinds:
                self.calls += 1
                if self.calls == self._dies_before:
                    self._die()
            if kind == "put":
                is_new = not self.inner.exists(name)
                result = act()
                if is_new:
                    self._unsynced.append(name)
                return result
        return act()

    def _die(self) -> None:
        self.is_dead = True
        if self._loses_unsynced and not self.inner.capabilities.durable_put:
            for name in self._unsynced:
                with suppress(ObjectMissingError):
                    self.inner.delete(name)
        raise PowerCut


class FullBackend(WrappedBackend):
    """Holds *capacity_bytes* and no more."""

    def __init__(self, inner: StorageBackend, capacity_bytes: int) -> None:
        super().__init__(inner)
        self.capacity_bytes = capacity_bytes
        self._lock = threading.Lock()

    def put(self, name: str, data: Bytes | Sequence[Bytes]) -> bool:
        with self._lock:
            size_bytes = sum(map(len, as_parts(data)))
            if not self.inner.exists(name) and size_bytes > self.free_bytes():
                raise StorageFullError(f"There is no space left for {name}.")
            return self.inner.put(name, data)

    def free_bytes(self) -> int:
        return self.capacity_bytes - sum(found.size_bytes for found in self.inner.list(""))


class DelayedListingBackend(WrappedBackend):
    """Listings show a put or a delete only after *seconds* of the clock; all else is at once."""

    def __init__(self, inner: StorageBackend, clock: ManualClock, seconds: float) -> None:
        super().__init__(inner)
        self._clock, self._seconds = clock, seconds
        self._put_at: dict[str, float] = {}
        self._deleted: dict[str, tuple[float, ObjectInfo]] = {}
        self._lock = threading.Lock()

    @property
    def capabilities(self) -> Capabilities:
        return replace(
            super().capabilities, consistent_list=False, listing_delay_seconds=self._seconds
        )

    def put(self, name: str, data: Bytes | Sequence[Bytes]) -> bool:
        with self._lock:
            is_new = self.inner.put(name, data)
            if is_new:
                self._put_at[name] = self._clock.monotonic_seconds()
            return is_new

    def delete(self, name: str) -> None:
        with self._lock:
            gone = ObjectInfo(name, self.inner.size(name) if self.inner.exists(name) else 0)
            self.inner.delete(name)
            if self._is_hidden(name):
                # Never listed, so listings have nothing to forget.
                return
            self._deleted[name] = (self._clock.monotonic_seconds(), gone)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._lock:
            shown = {
                found.name: found
                for found in self.inner.list(prefix)
                if not self._is_hidden(found.name)
            }
            for name, (deleted_at, gone) in self._deleted.items():
                if name.startswith(prefix) and self._is_recent(deleted_at):
                    shown.setdefault(name, gone)
        return iter(shown.values())

    def _is_recent(self, at: float) -> bool:
        return self._clock.monotonic_seconds() < at + self._seconds

    def _is_hidden(self, name: str) -> bool:
        return name in self._put_at and self._is_recent(self._put_at[name])


class LyingBackend(WrappedBackend):
    """Answers reads with other bytes than were stored; what was stored stays as it was."""

    def __init__(self, inner: StorageBackend) -> None:
        super().__init__(inner)
        self._lies: dict[str, bytes] = {}
        self._forgotten: set[str] = set()

    def flip(self, name: str, byte: int, bit: int = 0) -> None:
        """Turn one bit of an object over."""
        data = bytearray(self.get(name))
        data[byte] ^= 1 << bit
        self.replace(name, bytes(data))

    def truncate(self, name: str, size_bytes: int) -> None:
        """Cut an object off."""
        self.replace(name, self.get(name)[:size_bytes])

    def swap(self, first: str, second: str) -> None:
        """Answer each of two names with the other's bytes."""
        data = self.get(first)
        self.replace(first, self.get(second))
        self.replace(second, data)

    def forget(self, name: str) -> None:
        """Have never heard of an object, neither in reads nor in listings."""
        self._forgotten.add(name)
        self._lies.pop(name, None)

    def replace(self, name: str, data: bytes) -> None:
        """Answer *name* with *data*, also where nothing was stored."""
        self._forgotten.discard(name)
        self._lies[name] = data

    def be_honest(self) -> None:
        """Take all lies back."""
        self._lies.clear()
        self._forgotten.clear()

    def _teller(self, name: str) -> StorageBackend:
        if name not in self._lies and name not in self._forgotten:
            return self.inner
        teller = MemoryBackend()
        if name in self._lies:
            teller.put(name, self._lies[name])
        return teller

    def put(self, name: str, data: Bytes | Sequence[Bytes]) -> bool:
        if name in self._lies:
            return self._teller(name).put(name, data)
        is_new = self.inner.put(name, data)
        was_forgotten = name in self._forgotten
        self._forgotten.discard(name)
        return is_new or was_forgotten

    def get(self, name: str, *, most_bytes: int | None = None) -> bytes:
        return self._teller(name).get(name, most_bytes=most_bytes)

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return self._teller(name).get_ranges(name, ranges)

    def size(self, name: str) -> int:
        return self._teller(name).size(name)

    def exists(self, name: str) -> bool:
        return self._teller(name).exists(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for found in self.inner.list(prefix):
            if found.name not in self._forgotten and found.name not in self._lies:
                yield found
        for name, data in self._lies.items():
            if name.startswith(prefix):
                yield ObjectInfo(name, len(data))

    def delete(self, name: str) -> None:
        self._teller(name).delete(name)
        self._lies.pop(name, None)
        self._forgotten.discard(name)
        with suppress(ObjectMissingError):
            self.inner.delete(name)
