"""What gc looks at, again and again: each look is a listing, bodies are read once.

Objects never change, so only what is new to a look is read and its signature checked.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from holdfast.base.errors import HoldfastError, IntegrityError, SignatureError
from holdfast.base.ids import IndexId, ObjectHash, PackId, PointId, SessionId
from holdfast.format import frames, names
from holdfast.format.index_body import IndexBody
from holdfast.format.packs import PackHeader, header_bytes
from holdfast.format.point import Point, Refs
from holdfast.format.session import Lease, Packlist, Session
from holdfast.format.tables import Body
from holdfast.storage.errors import ObjectMissingError
from holdfast.vault.attribution import check_attributed
from holdfast.vault.check_errors import UpkeepRefusedError
from holdfast.vault.errors import (
    DAMAGED_TOMBSTONE_HINT,
    DamagedObjectError,
    MissingObjectError,
)
from holdfast.vault.gc_plan import GcView, RefsNeeds
from holdfast.vault.inventory import Inventory
from holdfast.vault.objects import Listed, ObjectStore
from holdfast.vault.relations import Relations
from holdfast.vault.trust import Verifier

B = TypeVar("B", bound=Body)

_HINT: Final = (
    "Nothing was deleted. 'holdfast verify' names everything that is damaged and what it touches."
)


class GcLooks:
    """Looks at one vault. Every look refuses what it does not understand."""

    def __init__(
        self,
        objects: ObjectStore,
        inventory: Inventory,
        wait: Callable[[], None],
        quiet: frozenset[SessionId] = frozenset(),
    ) -> None:
        """*wait* lets twice the listing delay pass; in *quiet* sessions nobody works any more."""
        if inventory.chain is None:
            raise UpkeepRefusedError("The vault's key statements cannot be read.", hint=_HINT)
        self._objects: Final = objects
        self._verifier: Final = Verifier(inventory.chain, objects)
        self._verifier.expect_sessions()
        self._wait = wait
        self._quiet: Final = quiet
        self.vault_id: Final = objects.vault_id
        self.index_bytes: Final = inventory.chain.vault.index_bytes
        """How large an index object of this vault may get."""
        self._points: Final[dict[ObjectHash, Point]] = {
            ObjectHash(key): body for key, body in inventory.points.items()
        }
        self._refs: Final[dict[ObjectHash, Refs]] = dict(inventory.refs)
        self._indexes: Final[dict[ObjectHash, IndexBody]] = {
            ObjectHash(key): body for key, body in inventory.indexes.items()
        }
        self._needs: Final[dict[ObjectHash, RefsNeeds]] = {}
        self._session_bodies: Final = {item.hash: item.body for item in inventory.sessions.values()}
        self._packlists: Final[dict[ObjectHash, Packlist]] = {}
        self._positions: Final[dict[SessionId, dict[int, PackId]]] = {}
        relations = Relations(inventory)
        for name, detail in sorted(relations.disputes.items()):
            # A writer that says so could have the packs of others collected.
            raise UpkeepRefusedError(
                f"'{name}' contradicts others about whose a pack is: {detail}", hint=_HINT
            )
        self._owner: Final[dict[PackId, SessionId | None]] = dict(relations.owner)
        for session_id in inventory.packlists:
            self._positions[session_id] = dict(relations.positions.listed(session_id))
        self.deleted: Final[set[str]] = set()
        """What was deleted here: listings may go on showing it for a while."""

    # --- looks ------------------------------------------------------------------------------------

    def points(self) -> dict[PointId, Point]:
        """Return the points that are listed now."""
        found = self._all(frames.KIND_POINT, Point, self._points)
        return {PointId(key): body for key, body in found.items()}

    def refs(self) -> dict[ObjectHash, Refs]:
        """Return the refs that are listed now."""
        return self._all(frames.KIND_REFS, Refs, self._refs)

    def indexes(self) -> dict[IndexId, IndexBody]:
        """Return the index objects that are listed now."""
        found = self._all(frames.KIND_INDEX, IndexBody, self._indexes)
        return {IndexId(key): body for key, body in found.items()}

    def sessions(self) -> dict[SessionId, tuple[str, Session]]:
        """Return the session objects that are listed now, with their names.

        Raises:
            UpkeepRefusedError: two stand for one session.
        """
        found: dict[SessionId, tuple[str, Session]] = {}
        for listed in self._listed(frames.KIND_SESSION):
            body = self._one(listed, Session, self._session_bodies)
            if body is None:
                continue
            if body.session_id in found:
                raise _twin_error(found[body.session_id][0], listed.name)
            found[body.session_id] = (listed.name, body)
        return found

    def packs(self) -> dict[PackId, int]:
        """Return the packs that are listed now, and their sizes in bytes."""
        return {PackId(item.hash): item.size_bytes for item in self._listed(frames.KIND_PACK)}

    def names(self, kind: int, session_id: SessionId | None = None) -> list[str]:
        """Return the names of all objects of *kind* that are listed now."""
        return [item.name for item in self._listed(kind, session_id)]

    def needs(self, found: Mapping[ObjectHash, Refs]) -> dict[ObjectHash, RefsNeeds]:
        """Return what refs keep.

        Raises:
            UpkeepRefusedError: packs that they name are in no packlist.
        """
        needs = {}
        for refs_hash, body in found.items():
            if refs_hash not in self._needs:
                resolved = self._resolved(refs_hash, body)
                if resolved is not None:
                    needs[refs_hash] = resolved
                continue
            needs[refs_hash] = self._needs[refs_hash]
        return needs

    def view(self, quiet: frozenset[SessionId], *, with_points: bool = True) -> GcView:
        """Look at packs, refs, sessions and points, in this order (G2)."""
        packs = self.packs()
        owners = {pack: self.owner(pack) for pack in packs}
        refs = self.refs()
        needs = self.needs(refs)
        sessions = self.sessions()
        return GcView(
            points=self.points() if with_points else {},
            refs=needs,
            refs_owner={key: refs[key].session_id for key in needs},
            packs=owners,
            sessions=frozenset(sessions),
            quiet=quiet,
            being_read=self._being_read({*quiet, *sessions}),
        )

    def _being_read(self, others: Collection[SessionId]) -> frozenset[PointId]:
        """Return the points that readers read now; of *others* nobody is one, or is any more."""
        last: dict[SessionId, tuple[int, str]] = {}
        for listed in self._listed(frames.KIND_LEASE):
            session_id, number = listed.parsed.session_id, listed.parsed.number
            if session_id is None or number is None or session_id in others:
                continue
            last[session_id] = max(last.get(session_id, (-1, "")), (number, listed.name))
        found = set()
        for _, name in last.values():
            # What cannot be believed is no reader's, and leases are advice.
            with suppress(IntegrityError, SignatureError):
                loaded = self._objects.load(name, Lease)
                check_attributed(self._verifier, self.vault_id, loaded)
                body = loaded.body
                # A writer is no reader: its key may be stolen, and shall not stop a gc.
                if body.writer_id is None and body.point is not None and not body.ended:
                    found.add(body.point)
        return frozenset(found)

    def owner(self, pack_id: PackId) -> SessionId | None:
        """Return the session that wrote a pack, from its header if need be; None if it has none."""
        if pack_id not in self._owner:
            name = names.pack_name(self.vault_id, pack_id)
            try:
                length = header_bytes(suite_is_none=True)
                (start,) = self._objects.get_ranges(name, [(0, length)])
                header = PackHeader.decode(
                    start
                    if start[96:98] == bytes(2)
                    else self._objects.get_ranges(name, [(0, header_bytes(suite_is_none=False))])[0]
                )
                self._owner[pack_id] = header.session_id
            except (ObjectMissingError, IntegrityError):
                self._owner[pack_id] = None
        return self._owner[pack_id]

    def is_there(self, name: str) -> bool:
        """Ask the storage for an object by name."""
        return name not in self.deleted and self._objects.exists(name)

    def delete(self, name: str) -> bool:
        """Delete an object; return whether it was there."""
        self.deleted.add(name)
        return self._objects.delete(name)

    # --- reading ----------------------------------------------------------------------------------

    def _listed(self, kind: int, session_id: SessionId | None = None) -> list[Listed]:
        listed = self._objects.list(kind, session_id=session_id)
        return [item for item in listed if item.name not in self.deleted]

    def _all(self, kind: int, body: type[B], known: dict[ObjectHash, B]) -> dict[ObjectHash, B]:
        found = {}
        for listed in self._listed(kind):
            one = self._one(listed, body, known)
            if one is not None:
                found[listed.hash] = one
        return found

    def _one(self, listed: Listed, body: type[B], known: dict[ObjectHash, B]) -> B | None:
        """Return an object, or None if it is gone."""
        if listed.hash in known:
            return known[listed.hash]
        try:
            loaded = self._objects.load(listed.name, body)
            check_attributed(self._verifier, self.vault_id, loaded)
        except HoldfastError as error:
            if error.retryable:
                raise
            if isinstance(error, MissingObjectError) and not self._objects.exists(listed.name):
                return None
            raise UpkeepRefusedError(
                f"'{listed.name}' cannot be believed, so nobody knows what it keeps:"
                f" {error.message}",
                hint=_HINT,
            ) from error
        known[listed.hash] = loaded.body
        return loaded.body

    def _resolved(self, refs_hash: ObjectHash, body: Refs) -> RefsNeeds | None:
        """Return what refs keep; None if they are gone, and what they kept with them."""
        packs: set[PackId] = set()
        for attempt in range(2):
            packs.clear()
            is_whole = True
            for item in body.sessions:
                found, is_listed = self._packs_of(item.session_id, item.runs, again=attempt > 0)
                packs.update(found)
                is_whole = is_whole and is_listed
            if is_whole:
                sessions = {body.session_id, *(item.session_id for item in body.sessions)}
                self._needs[refs_hash] = RefsNeeds(frozenset(packs), frozenset(sessions))
                return self._needs[refs_hash]
            # A listing may be behind: the packlists were put before these refs.
            self._wait()
        name = names.refs_name(self.vault_id, refs_hash)
        if not self._objects.exists(name):
            return None
        known = RefsNeeds(frozenset(packs), frozenset({body.session_id}))
        if not self._has_point(refs_hash):
            if self._is_of_a_sleeper(body):
                self._needs[refs_hash] = known
                return known
            if body.session_id in self._quiet:
                # Their point was dropped because packlists are lost; they are about to go (G4).
                # Not remembered: should a point appear all the same, the next look refuses.
                return known
        raise UpkeepRefusedError(
            f"'{name}' needs packs that are in no packlist, so nobody knows which.", hint=_HINT
        )

    def _has_point(self, refs_hash: ObjectHash) -> bool:
        return any(point.refs_hash == refs_hash for point in self.points().values())

    def _is_of_a_sleeper(self, body: Refs) -> bool:
        """Tell whether refs were put by a session that was collected while it slept.

        It never makes a point of them, because it looks for the sessions that they draw on (G1).
        """
        present = self.sessions().keys()
        return any(item.session_id not in present for item in body.sessions)

    def _packs_of(
        self, session_id: SessionId, runs: tuple[int, ...], *, again: bool
    ) -> tuple[set[PackId], bool]:
        positions = self._positions.setdefault(session_id, {})
        wanted, start = [], 0
        for skipped, taken in zip(runs[::2], runs[1::2], strict=True):
            wanted.append(range(start + skipped, start + skipped + taken))
            start += skipped + taken
        if again or not _are_in(wanted, positions):
            self._read_packlists(session_id)
        if not _are_in(wanted, positions):
            return set(), False
        return {positions[at] for run in wanted for at in run}, True

    def _read_packlists(self, session_id: SessionId) -> None:
        positions = self._positions[session_id]
        for listed in self._listed(frames.KIND_PACKLIST, session_id):
            body = self._one(listed, Packlist, self._packlists)
            if body is None or body.session_id != session_id:
                continue
            for number, pack_id in enumerate(body.pack_ids, body.first_position):
                if positions.setdefault(number, pack_id) != pack_id:
                    raise UpkeepRefusedError(
                        f"'{listed.name}' contradicts another packlist, so nobody knows what is"
                        " needed.",
                        hint=_HINT,
                    )
                if self._owner.get(pack_id) is None:
                    self._owner[pack_id] = session_id


def _are_in(wanted: Sequence[range], positions: Mapping[int, PackId]) -> bool:
    # A packlist may be missing in the middle; a hostile run may be long, what is listed is not.
    return all(len(run) <= len(positions) and all(at in positions for at in run) for run in wanted)


def _twin_error(first: str, second: str) -> UpkeepRefusedError:
    # The index objects of the session could not be opened with the wrong one, and whoever signed it
    # could have the upkeep of a whole vault stop in the middle.
    return UpkeepRefusedError(
        f"'{first}' and '{second}' stand for one session, so nobody can say whose its packs are.",
        hint="Nothing needed was deleted, and all restore points can be read. The key of a writer"
        " was misused: 'holdfast verify' names the writers of both. Move the object of the one"
        " whose machine was broken into to a safe place outside the repository.",
    )


def check_understood(inventory: Inventory) -> None:
    """Refuse a vault with damage in what decides over what is needed.

    Raises:
        UpkeepRefusedError: there is such damage.
    """
    deciding = tuple(
        names.prefix(inventory.vault_id, kind)
        for kind in (
            frames.KIND_POINT,
            frames.KIND_REFS,
            frames.KIND_PACKLIST,
            frames.KIND_INDEX,
            frames.KIND_SESSION,
            frames.KIND_TOMBSTONE,
            frames.KIND_FORGET,
        )
    )
    wrong = sorted(
        name
        for name in (*inventory.damaged, *inventory.unattributed)
        # A name that is none is no part of the vault.
        if name == names.MARKER_NAME
        or (name.startswith(deciding) and names.parse_name(name) is not None)
    )
    if inventory.keys_in_doubt:
        # What lies among the statements and does not count decides nothing.
        wrong.append(inventory.keys_in_doubt)
    if inventory.chain is None or wrong:
        which = wrong[0] if wrong else names.vault_name(inventory.vault_id)
        is_tombstone = which.startswith(names.tombstones_prefix(inventory.vault_id))
        raise UpkeepRefusedError(
            f"'{which}' is damaged, missing or not signed, so nobody can say what is needed.",
            hint=DAMAGED_TOMBSTONE_HINT if is_tombstone else _HINT,
        )
    for session_id in sorted(inventory.twins):
        first, second, *_ = inventory.standing_for(session_id)
        raise _twin_error(first.name, second.name)
    if inventory.listed.get(frames.KIND_MOVES):
        raise DamagedObjectError(
            "A newer Holdfast moved packs in this vault; this one cannot tell which are needed.",
            hint="Use the release that did it.",
        )
