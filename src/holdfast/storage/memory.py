"""Storage in memory: for tests, and the plainest statement of what storage does."""

import threading
from collections.abc import Iterator, Sequence

from holdfast.storage.errors import ObjectExistsError, ObjectMissingError, ObjectTruncatedError
from holdfast.storage.interface import Bytes, Capabilities, ObjectInfo, as_parts
from holdfast.storage.names import check_name, check_prefix, check_size

IN_MEMORY = Capabilities(
    atomic_put=True,
    durable_put=False,
    consistent_list=True,
    conditional_put=True,
    object_lock=False,
    local_files=False,
    listing_delay_seconds=0.0,
)


class MemoryBackend:
    """Objects in a dictionary; gone with the process."""

    def __init__(self, *, capabilities: Capabilities = IN_MEMORY) -> None:
        self._objects: dict[str, bytes] = {}
        self._lock = threading.Lock()
        self._capabilities = capabilities

    @property
    def address(self) -> str:
        """The address for messages."""
        return "memory:"

    @property
    def capabilities(self) -> Capabilities:
        """What is promised."""
        return self._capabilities

    def put(self, name: str, data: Bytes | Sequence[Bytes]) -> bool:
        """Store *data* under *name*; see the interface."""
        check_name(name)
        whole = b"".join(as_parts(data))
        with self._lock:
            is_new = name not in self._objects
            stored = self._objects.setdefault(name, whole)
        if is_new:
            return True
        if stored != whole:
            raise ObjectExistsError(f"The object {name} is already stored with other bytes.")
        return False

    def get(self, name: str, *, most_bytes: int | None = None) -> bytes:
        """Return the whole object; see the interface."""
        check_name(name)
        try:
            data = self._objects[name]
        except KeyError:
            raise ObjectMissingError(f"The object {name} is not in the storage.") from None
        check_size(name, len(data), most_bytes)
        return data

    def get_ranges(self, name: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of each range; see the interface."""
        data = self.get(name)
        for offset, length in ranges:
            if offset + length > len(data):
                raise ObjectTruncatedError(
                    f"The object {name} has {len(data)} bytes; {offset + length} were expected."
                )
        return [data[offset : offset + length] for offset, length in ranges]

    def size(self, name: str) -> int:
        """Return the object's size in bytes; see the interface."""
        return len(self.get(name))

    def exists(self, name: str) -> bool:
        """Tell whether *name* is stored."""
        check_name(name)
        return name in self._objects

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield all objects below *prefix*; see the interface."""
        check_prefix(prefix)
        with self._lock:
            found = [
                ObjectInfo(name, len(data))
                for name, data in self._objects.items()
                if name.startswith(prefix)
            ]
        return iter(found)

    def delete(self, name: str) -> None:
        """Remove the object; see the interface."""
        check_name(name)
        with self._lock:
            if self._objects.pop(name, None) is None:
                raise ObjectMissingError(f"The object {name} is not in the storage.")

    def free_bytes(self) -> int | None:
        """Return None: nobody counts."""
        return None

    def close(self) -> None:
        """Do nothing; the objects stay as long as this backend is referred to."""
