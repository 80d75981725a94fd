"""The opened index of a group on this machine, kept in step with what the storage lists now.

What an index object says is taken from this machine's copy; that it exists, never (rule G5 of
docs/design/gc.md): every refresh lists anew. One that is listed with another size than it had is
read again, so that no backup rests on what has been cut short meanwhile.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

from holdfast.base.errors import IntegrityError, KeysError, SignatureError
from holdfast.base.ids import GroupId, IndexId, ObjectHash, PackId, SessionId, WriterId
from holdfast.core import Engine, Index, IndexKeys
from holdfast.crypto.hashing import sha256
from holdfast.format import frames
from holdfast.format.cbor import decode, encode
from holdfast.format.errors import FormatError
from holdfast.format.index_body import IndexBody
from holdfast.format.maintenance import Tombstone, quarantined_packs
from holdfast.vault import index_rules
from holdfast.vault.errors import (
    DAMAGED_TOMBSTONE_HINT,
    DamagedObjectError,
    MissingObjectError,
)
from holdfast.vault.files import replace_file
from holdfast.vault.objects import Listed, Loaded
from holdfast.vault.states import Vault

_HASH_BYTES = 32


class PackOwner(NamedTuple):
    """Whose a pack is."""

    session_id: SessionId
    writer_id: WriterId


@dataclass(frozen=True, slots=True)
class IndexView:
    """What the index objects of a group, as listed at one time, say together (section 7)."""

    bodies: Mapping[IndexId, IndexBody]
    """All that are listed and validly signed, replaced ones included."""
    replaced: frozenset[IndexId] = frozenset()
    present: Mapping[PackId, PackOwner] = field(default_factory=dict)
    """Packs that an object names which none replaces, and that none drops."""
    dropped: frozenset[PackId] = frozenset()
    not_signed: tuple[str, ...] = ()
    """Names of objects that are ignored because nobody who may has signed them."""
    unusable: tuple[str, ...] = ()
    """Names of objects that cannot be used, which only who reads gets along without."""


@dataclass(frozen=True, slots=True)
class Condemned:
    """What tombstones and quarantines name: absent for everybody who writes."""

    packs: frozenset[PackId]
    refs: frozenset[ObjectHash]
    sessions: frozenset[SessionId]
    not_signed: tuple[str, ...] = ()


@runtime_checkable
class _Reopenable(Protocol):
    """Ability of an index that keeps what it could open only in part."""

    def without_positions(self) -> frozenset[IndexId]:
        """Return the objects to be added again by somebody with more keys."""
        ...


@contextmanager
def opened_index(
    vault: Vault, engine: Engine, keys: IndexKeys, *, reads: bool
) -> Iterator["IndexCache"]:
    """Open the index of a group for one command; nothing is listed before ``refresh``.

    Where this machine's cache cannot be used, the index is opened in a temporary folder.
    """
    group_id = GroupId(keys.group_id)
    folders = vault.machine.folders
    with ExitStack() as stack:

        def opened(folder: Path) -> tuple[Index, Path]:
            return engine.index(folder / "opened", keys), folder / "bodies"

        def elsewhere(reason: OSError) -> tuple[Index, Path]:
            return opened(stack.enter_context(folders.makeshift(reason)))

        try:
            index, bodies = opened(stack.enter_context(folders.index(vault.vault_id, group_id)))
        except OSError as error:
            index, bodies = elsewhere(error)
        yield IndexCache(vault, group_id, index, bodies, reads=reads, elsewhere=elsewhere)


class IndexCache:
    """Keeps one group's index in step. For one thread at a time."""

    def __init__(
        self,
        vault: Vault,
        group_id: GroupId,
        index: Index,
        folder: Path,
        *,
        reads: bool,
        elsewhere: Callable[[OSError], tuple[Index, Path]],
    ) -> None:
        """*reads* says whether positions are wanted, too, which a writer cannot open.

        *elsewhere* opens an empty index in another place, when this one cannot be written.
        """
        self.index = index
        """Another one after a ``refresh`` for which the folder had no room."""
        self._elsewhere = elsewhere
        self._vault = vault
        self._group_id = group_id
        self._reads = reads
        self._folder = folder
        self._bodies: dict[IndexId, tuple[int, IndexBody]] = {}
        """With the size of the object."""
        self._unusable: list[str] = []

    def refresh(self) -> IndexView:
        """List, fetch what is new, drop what is gone or replaced; return what counts now.

        Who reads gets along without an object that is damaged: what only that one names is not
        found, and says so when it is needed. Who writes does not, since it may be the only one that
        says of a pack that it is gone.

        Raises:
            DamagedObjectError: an object is not what its name says, and this is not for reading.
            KeysError, IntegrityError: an object does not open, and this is not for reading.
        """
        try:
            return self._refreshed()
        except OSError as error:
            self.index, self._folder = self._elsewhere(error)
            try:
                return self._refreshed()
            except OSError:
                raise error from None

    def _refreshed(self) -> IndexView:
        self._unusable = []
        listed = self._vault.objects.list(frames.KIND_INDEX, group_id=self._group_id)
        bodies, not_signed = self._read_bodies(listed)
        view = combine(bodies, tuple(not_signed))
        wanted = {name for name in bodies if name not in view.replaced}
        self.index.drop([name for name in self.index.names() if name not in wanted])
        opened = self.index.names()
        if self._reads and isinstance(self.index, _Reopenable):
            opened -= self.index.without_positions()
        for item in listed:
            name = IndexId(item.hash)
            if name in wanted and name not in opened:
                try:
                    self.index.add([(name, self._vault.objects.get(item.name))])
                except MissingObjectError:
                    continue
                except (IntegrityError, KeysError):
                    if not self._reads:
                        raise
                    self._unusable.append(item.name)
        return replace(view, unusable=tuple(self._unusable))

    def _read_bodies(self, listed: Sequence[Listed]) -> tuple[dict[IndexId, IndexBody], list[str]]:
        found: dict[IndexId, IndexBody] = {}
        sizes: dict[IndexId, int] = {}
        not_signed: list[str] = []
        for item in listed:
            name = IndexId(item.hash)
            body = self._kept(name, item.size_bytes)
            if body is None:
                try:
                    loaded = self._vault.objects.load(item.name, IndexBody)
                    self._vault.verifier.check_index(loaded)
                except SignatureError:
                    not_signed.append(item.name)
                    continue
                except MissingObjectError:
                    # Deleted since it was listed, or its session was: then it does not count.
                    continue
                except (IntegrityError, KeysError):
                    if not self._reads:
                        raise
                    self._unusable.append(item.name)
                    continue
                body = loaded.body
                self._keep(name, item.size_bytes, body)
            sizes[name] = item.size_bytes
            if body.group_id == self._group_id:
                found[name] = body
        wanted = {name.hex() for name in found}
        for path in self._folder.glob("*") if self._folder.is_dir() else ():
            if path.name not in wanted:
                path.unlink(missing_ok=True)
        self._bodies = {name: (sizes[name], body) for name, body in found.items()}
        return found, not_signed

    def _kept(self, name: IndexId, size_bytes: int) -> IndexBody | None:
        """Return the body of an object that was read when it had the size that is listed now."""
        known = self._bodies.get(name)
        if known is not None and known[0] == size_bytes:
            return known[1]
        try:
            data = (self._folder / name.hex()).read_bytes()
            if sha256(data[_HASH_BYTES:]) != data[:_HASH_BYTES]:
                return None
            kept_bytes, content = decode(data[_HASH_BYTES:])
            if kept_bytes != size_bytes:
                return None
            return IndexBody.from_body(_as_map(content))
        except (OSError, FormatError, TypeError, ValueError):
            return None

    def _keep(self, name: IndexId, size_bytes: int, body: IndexBody) -> None:
        content = encode([size_bytes, body.to_body()])
        with suppress(OSError):
            replace_file(self._folder / name.hex(), sha256(content) + content, is_durable=False)


def combine(bodies: Mapping[IndexId, IndexBody], not_signed: tuple[str, ...] = ()) -> IndexView:
    """Return what *bodies* say together.

    What they may say of each other is the matter of ``index_rules``.
    """
    replaced = index_rules.replaced(bodies)
    active = [body for name, body in bodies.items() if name not in replaced]
    dropped = {drop.pack_id for body in active for drop in index_rules.drops(body)}
    present: dict[PackId, PackOwner] = {}
    for body in active:
        packs = iter(body.pack_ids)
        for owner in body.owners:
            of_owner = PackOwner(owner.session_id, owner.writer_id)
            for _ in range(owner.count):
                pack_id = next(packs)
                if pack_id not in dropped:
                    present[pack_id] = of_owner
    return IndexView(bodies, frozenset(replaced), present, frozenset(dropped), not_signed)


def load_condemned(vault: Vault) -> Condemned:
    """List all tombstones and quarantines and return what they name.

    What nobody who may has signed is ignored: nobody acts on it either. A damaged tombstone is not:
    whoever put it may be about to delete what it names.

    Raises:
        DamagedObjectError: a tombstone is damaged.
    """
    packs: set[PackId] = set()
    refs: set[ObjectHash] = set()
    sessions: set[SessionId] = set()
    not_signed: list[str] = []
    for listed in vault.objects.list(frames.KIND_TOMBSTONE):
        try:
            loaded = vault.objects.load(listed.name, Tombstone)
            vault.verifier.check_maintained(loaded)
        except MissingObjectError:
            continue
        except SignatureError:
            not_signed.append(listed.name)
            continue
        except DamagedObjectError as error:
            raise DamagedObjectError(error.message, hint=DAMAGED_TOMBSTONE_HINT) from error
        packs.update(loaded.body.packs)
        refs.update(loaded.body.refs)
        sessions.update(loaded.body.sessions)
    for listed in vault.objects.list(frames.KIND_QUARANTINE):
        try:
            packs.update(_quarantined(vault, listed))
        except MissingObjectError:
            continue
        except SignatureError:
            not_signed.append(listed.name)
    return Condemned(frozenset(packs), frozenset(refs), frozenset(sessions), tuple(not_signed))


def _quarantined(vault: Vault, listed: Listed) -> tuple[PackId, ...]:
    data = vault.objects.get(listed.name)
    try:
        stored = frames.parse(frames.KIND_QUARANTINE, data)
        packs = quarantined_packs(stored.body)
    except FormatError as error:
        raise DamagedObjectError(f"'{listed.name}' is damaged: {error.message}") from error
    loaded: Loaded[Any] = Loaded(listed.name, listed.hash, data, stored, stored.body)
    vault.verifier.check_quarantine(loaded)
    return packs


def _as_map(item: object) -> dict[int, Any]:
    if not isinstance(item, dict):
        raise FormatError("A kept index body is not a map.")
    return item
