"""Where each chunk and node is: vault-format.md section 7.

A folder of opened index objects, mapped as they are. What is here, is what the objects say; what
counts follows from all of them together: an object that another one replaces is ignored, and a
pack that is dropped, condemned or not trusted is absent. The object of a session replaces objects
of that session and drops its packs only: no writer hides what another one has stored.
"""

import struct
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from holdfast.base.ids import IndexId, PackId
from holdfast.base.secrets import Secret
from holdfast.core.errors import (
    IndexCacheError,
    IndexContentError,
    IndexKeyMissingError,
    UnknownIndexError,
)
from holdfast.core.face import Bytes, IndexKeys, MergedIndex
from holdfast.core.python.index_parts import (
    HASH,
    LOCATOR,
    ROW,
    Description,
    Part,
    check_positions,
    check_presence,
    replace_file,
    write_part,
)
from holdfast.core.python.index_tables import merge_parts
from holdfast.crypto import hkdf
from holdfast.crypto.boxes import open_padded_box
from holdfast.crypto.errors import WrongKeyError
from holdfast.format import frames
from holdfast.format.index_body import IndexBody, PositionsKey

FOUND: Final = 8
ABSENT: Final = b"\xff" * FOUND
TIER: Final = 8
_TIER_BITS: Final = 3
_OBJECTS_LIMIT: Final = 0xFFFF
_INDEX_BYTES: Final = 64 << 20
_BATCH: Final = 1 << 16
_UNKNOWN, _COUNTS, _IS_ABSENT = range(3)
_SUFFIXES: Final = ("packs", "presence", "positions")


class Location(NamedTuple):
    """Where a chunk or node is: all that a reader needs to fetch and open it."""

    pack_id: PackId
    session_id: bytes
    segment: int
    segment_offset: int
    """In the pack, in bytes."""
    stored_length: int
    raw_length: int
    compression: int
    offset: int
    """In the raw segment, in bytes."""
    length: int


class PythonIndex:
    """The index of one group on this machine. For one thread at a time."""

    def __init__(self, folder: Path, keys: IndexKeys, *, index_bytes: int = _INDEX_BYTES) -> None:
        """Open what is in *folder*, which is made if need be. Damaged parts are dropped."""
        self._folder: Final = folder
        self._keys: Final = keys
        self._index_bytes: Final = index_bytes
        self._parts: Final[dict[IndexId, Part]] = {}
        self._condemned: Final[set[bytes]] = set()
        self._condemned_sessions: Final[set[bytes]] = set()
        self._trusted: frozenset[bytes] | None = None
        self._active: list[Part] = []
        self._states: list[bytearray] = []
        self._dead: set[bytes] = set()
        self.generation = 0
        """Goes up whenever earlier answers of `look_up` lose their meaning."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in folder.glob("*.packs"):
            with suppress(ValueError):
                name = IndexId(bytes.fromhex(path.stem))
                try:
                    self._parts[name] = Part(folder, name)
                except IndexCacheError:
                    self._remove(name)
        self._refresh()

    # --- what is here -------------------------------------------------------------------------

    def names(self) -> frozenset[IndexId]:
        """Return the objects whose rows are here, replaced ones included."""
        return frozenset(self._parts)

    def without_positions(self) -> frozenset[IndexId]:
        """Return those that can be looked up, not read from; `add` them again with their key."""
        return frozenset(name for name, part in self._parts.items() if not part.has_positions)

    def add(self, objects: Sequence[tuple[IndexId, Bytes]]) -> None:
        """Open, check and keep index objects. Their signatures have been verified before.

        Positions are opened where their key is at hand. An object that is here already is left
        alone, but for positions that could not be opened before.

        Raises:
            FormatError, AuthenticationError, IndexContentError: an object is wrong.
            IndexKeyMissingError: there is no index key of its epoch. Those before it are kept.
        """
        try:
            for name, data in objects:
                part = self._parts.get(name)
                if part is None or not part.has_positions:
                    self._add(name, data)
        finally:
            self._refresh()

    def _add(self, name: IndexId, data: Bytes) -> None:
        if bytes(frames.object_hash(data)) != name:
            raise IndexContentError(f"index object {name.hex()} is not what its name says")
        stored = frames.parse(frames.KIND_INDEX, data)
        body = IndexBody.from_body(stored.body)
        keys = self._keys
        if body.group_id != keys.group_id:
            raise IndexContentError(f"index object {name.hex()} belongs to another group")
        key = keys.index_keys.get(body.epoch)
        if key is None and keys.is_sealed:
            raise IndexKeyMissingError(
                f"the index key of epoch {body.epoch} is not at hand, "
                f"index object {name.hex()} stays closed"
            )
        attachment = memoryview(stored.attachment)
        if body.presence_length > len(attachment):
            raise IndexContentError(f"index object {name.hex()} ends inside its presence part")
        if name in self._parts:
            presence: Bytes = self._parts[name].rows[:]
        else:
            presence = self._open(key, "presence", body.epoch, attachment[: body.presence_length])
            table = check_presence(presence, body.row_count, len(body.pack_ids))
            description = Description(
                body.epoch,
                body.session_id or b"",
                b"".join(body.pack_ids),
                [(owner.session_id, owner.writer_id, owner.count) for owner in body.owners],
                body.row_count,
                b"".join(body.replaces),
                body.drops,
            )
            write_part(self._folder, name, description, presence, table)
            self._parts[name] = Part(self._folder, name)
        secrets = self._positions_secrets(body)
        if secrets:
            rest = attachment[body.presence_length :]
            positions = self._open_any(secrets, "positions", body.epoch, rest)
            check_positions(positions, presence, len(body.pack_ids))
            replace_file(self._folder / f"{name.hex()}.positions", positions)

    def _open(self, key: Secret | None, word: str, epoch: int, box: memoryview) -> bytes:
        keys = self._keys
        context = b"index %b\0%b%b%b" % (
            word.encode(),
            keys.vault_id,
            keys.group_id,
            struct.pack(">I", epoch),
        )
        secret = Secret(b"") if key is None else key
        return open_padded_box(secret, context, box, sealed=keys.is_sealed)

    def _open_any(
        self, secrets: Sequence[Secret | None], word: str, epoch: int, box: memoryview
    ) -> bytes:
        """Open a box with the one of *secrets* that it was sealed under."""
        for secret in secrets[:-1]:
            with suppress(WrongKeyError):
                return self._open(secret, word, epoch, box)
        return self._open(secrets[-1], word, epoch, box)

    def _positions_secrets(self, body: IndexBody) -> Sequence[Secret | None]:
        """Return what the positions may be sealed under; empty if that is not at hand."""
        keys = self._keys
        if not keys.is_sealed:
            return (None,)
        if body.positions_key is PositionsKey.READER:
            secret = keys.reader_index_keys.get(body.epoch)
            return () if secret is None else (secret,)
        session_id = body.session_id or b""
        return [
            hkdf.derive_secret(session_key, keys.vault_id, "tree", session_id)
            for session_key in keys.session_keys.get(session_id, ())
        ]

    def drop(self, names: Sequence[IndexId]) -> None:
        """Forget objects that are replaced or gone; those that are not here are ignored."""
        for name in names:
            if self._parts.pop(name, None) is not None:
                self._remove(name)
        self._refresh()

    def _remove(self, name: IndexId) -> None:
        for suffix in _SUFFIXES:
            (self._folder / f"{name.hex()}.{suffix}").unlink(missing_ok=True)

    # --- what counts --------------------------------------------------------------------------

    def condemn(self, packs: Sequence[PackId]) -> None:
        """Treat *packs* as absent as long as this object lives."""
        self._condemned.update(packs)
        self._refresh()

    def condemn_sessions(self, sessions: Sequence[bytes]) -> None:
        """Treat all packs of *sessions* as absent as long as this object lives (rule W4)."""
        self._condemned_sessions.update(sessions)
        self._refresh()

    def sessions(self) -> frozenset[bytes]:
        """Return the sessions whose packs the objects that count name."""
        return frozenset(owner[0] for part in self._active for owner in part.owners)

    def trust(self, packs: Sequence[PackId] | None) -> None:
        """Treat all packs but *packs* as absent. None trusts all."""
        self._trusted = None if packs is None else frozenset(packs)
        self._refresh()

    def _refresh(self) -> None:
        self.generation += 1
        replaced = {
            name
            for part in self._parts.values()
            for name in part.replaces
            if not part.session_id or self._is_of(name, part.session_id)
        }
        active = [part for name, part in self._parts.items() if name not in replaced]
        # Large ones first: most of what is present is found in the first that is asked.
        active.sort(key=lambda part: (-part.row_count, part.name))
        if len(active) >= _OBJECTS_LIMIT:
            raise IndexContentError("there are more than 65,534 index objects; merge them first")
        self._active = active
        self._dead = self._condemned | {pack for part in active for pack, _ in part.counting_drops}
        self._states = [bytearray(part.pack_count) for part in active]

    def _is_of(self, name: IndexId, session_id: bytes) -> bool:
        part = self._parts.get(name)
        return part is not None and part.session_id == session_id

    def _counts(self, number: int, pack: int) -> bool:
        state = self._states[number][pack]
        if state == _UNKNOWN:
            pack_id = self._active[number].pack_id(pack)
            is_absent = (
                pack_id in self._dead
                or (self._trusted is not None and pack_id not in self._trusted)
                or self._active[number].owner(pack)[0] in self._condemned_sessions
            )
            state = self._states[number][pack] = _IS_ABSENT if is_absent else _COUNTS
        return state == _COUNTS

    # --- look-ups -----------------------------------------------------------------------------

    def look_up(self, locators: bytes) -> bytes:
        """Return 8 bytes for each 20-byte locator, all ``ff`` when it is absent.

        They are ``object u16 ‖ pack u32 ‖ segment u16``, big-endian; `pack_at` names the pack.
        Valid until objects are added or dropped.
        """
        return b"".join(
            self._look_up(locators[start : start + LOCATOR * _BATCH])
            for start in range(0, len(locators), LOCATOR * _BATCH)
        )

    def _look_up(self, locators: bytes) -> bytes:
        found = bytearray(ABSENT * (len(locators) // LOCATOR))
        for number, hits in enumerate(self._search(locators)):
            head = struct.pack(">H", number)
            rows = self._active[number].rows
            for query, row in hits:
                at = ROW * row + LOCATOR
                found[FOUND * query : FOUND * query + FOUND] = head + rows[at : at + 6]
        return bytes(found)

    def _search(self, locators: bytes) -> list[list[tuple[int, int]]]:
        """For each active part, (number of the query, number of the row) of what is found there.

        Every locator is found at most once: in the first row that counts.
        """
        found: list[list[tuple[int, int]]] = []
        pending = [
            (query, prefix, locator)
            for query, (prefix, locator) in enumerate(
                zip(
                    [prefix for (prefix,) in struct.iter_unpack(">I16x", locators)],
                    [locator for (locator,) in struct.iter_unpack("20s", locators)],
                    strict=True,
                )
            )
        ]
        for number, part in enumerate(self._active):
            hits: list[tuple[int, int]] = []
            found.append(hits)
            if not pending or not part.row_count:
                continue
            prefixes, shift, rows = part.prefixes, part.shift, part.rows
            find, states = rows.find, self._states[number]
            left = []
            for item in pending:
                place = item[1] >> shift
                start, stop = prefixes[place], prefixes[place + 1]
                if start != stop:
                    at = find(item[2], ROW * start, ROW * stop)
                    if at >= 0:
                        # Nearly always a row that counts: decided without a call.
                        row: int | None = at // ROW
                        pack = int.from_bytes(rows[at + LOCATOR : at + LOCATOR + 4], "big")
                        if at % ROW or states[pack] != _COUNTS:
                            row = self._first_counting(number, item[2])
                        if row is not None:
                            hits.append((item[0], row))
                            continue
                left.append(item)
            pending = left
        return found

    def _first_counting(self, number: int, locator: bytes) -> int | None:
        part = self._active[number]
        for row in part.matches(locator):
            if self._counts(number, part.place(row)[0]):
                return row
        return None

    def pack_at(self, number: int, pack: int) -> tuple[PackId, bytes]:
        """Return (pack id, session id) of the object and pack that `look_up` answered."""
        part = self._active[number]
        return PackId(part.pack_id(pack)), part.owner(pack)[0]

    def locate(self, locators: bytes) -> list[Location | None]:
        """Return where chunks and nodes are, None for those that are absent.

        Raises:
            IndexKeyMissingError: one is there, and the key to its place is not at hand.
        """
        found: list[Location | None] = [None] * (len(locators) // LOCATOR)
        for number, hits in enumerate(self._search(locators)):
            part = self._active[number]
            if hits and not part.has_positions:
                raise IndexKeyMissingError(
                    f"the positions of index object {part.name.hex()} have not been opened"
                )
            # Neighbours in a source are neighbours in a segment: what they share is read once.
            places: dict[tuple[int, int], tuple[PackId, bytes, int, int, int, int, int]] = {}
            for query, row in hits:
                place = part.place(row)
                shared = places.get(place)
                if shared is None:
                    pack, segment = place
                    shared = places[place] = (
                        PackId(part.pack_id(pack)),
                        part.owner(pack)[0],
                        segment,
                        *part.segment(pack, segment),
                    )
                found[query] = Location(*shared, *part.position(row))
        return found

    # --- merging ------------------------------------------------------------------------------

    def merge_due(self) -> Sequence[Sequence[IndexId]]:
        """Return sets of eight or more objects of about one size: tiers of eight.

        So n sessions leave at most 8·log₈ n objects. No set is larger than one object may be.
        """
        tiers: defaultdict[int, list[Part]] = defaultdict(list)
        for part in reversed(self._active):
            tiers[part.row_count.bit_length() // _TIER_BITS].append(part)
        due: list[list[IndexId]] = []
        for _, parts in sorted(tiers.items()):
            chosen: list[IndexId] = []
            size = 0
            for part in parts:
                size += (ROW + 8) * part.row_count + (HASH + 8 * 65) * part.pack_count
                if size > self._index_bytes:
                    break
                chosen.append(part.name)
            if len(chosen) >= TIER:
                due.append(chosen)
        return due

    def merge(self, names: Sequence[IndexId]) -> MergedIndex:
        """Return the plain content of one object that replaces *names*.

        Dropped packs are left out, and the drops carried on; what is only condemned or not
        trusted here stays in.

        Raises:
            UnknownIndexError: an object is not here.
            IndexKeyMissingError: the positions of one have not been opened.
        """
        parts: list[Part] = []
        for name in names:
            part = self._parts.get(name)
            if part is None:
                raise UnknownIndexError(f"index object {name.hex()} is not here")
            if not part.has_positions:
                raise IndexKeyMissingError(
                    f"the positions of index object {name.hex()} have not been opened"
                )
            parts.append(part)
        dead = {pack for part in self._active for pack, _ in part.counting_drops}
        return merge_parts(parts, names, dead)

    def marks(self) -> "IndexMarks":
        """Return an empty bit map over the rows that count now."""
        return IndexMarks(self)


class IndexMarks:
    """One bit a row. Valid until objects are added to the index or dropped from it."""

    def __init__(self, index: PythonIndex) -> None:
        self._index: Final = index
        self._bits: Final = [bytearray(part.row_count + 7 >> 3) for part in index._active]  # noqa: SLF001 - two halves of one thing

    def mark_locators(self, locators: bytes) -> list[bool | None]:
        """Mark the row of each locator; True where it was not marked before, None if absent."""
        marked: list[bool | None] = [None] * (len(locators) // LOCATOR)
        for number, hits in enumerate(self._index._search(locators)):  # noqa: SLF001 - as above
            bits = self._bits[number]
            for query, row in hits:
                mask = 1 << (row & 7)
                marked[query] = not bits[row >> 3] & mask
                bits[row >> 3] |= mask
        return marked

    def live_share(self) -> list[tuple[PackId, float]]:
        """Return the share of marked raw bytes of every pack that has rows, 0.0 to 1.0.

        Raises:
            IndexKeyMissingError: positions have not been opened.
        """
        live: defaultdict[bytes, int] = defaultdict(int)
        total: defaultdict[bytes, int] = defaultdict(int)
        for part, bits in zip(self._index._active, self._bits, strict=True):  # noqa: SLF001 - as above
            if not part.has_positions:
                raise IndexKeyMissingError(
                    f"the positions of index object {part.name.hex()} have not been opened"
                )
            lengths = memoryview(part.positions)[part.segments_bytes :]
            live_here, total_here = [0] * part.pack_count, [0] * part.pack_count
            for row, ((pack,), (length,)) in enumerate(
                zip(
                    struct.iter_unpack(">20xI4x", part.rows),
                    struct.iter_unpack(">4xI", lengths),
                    strict=True,
                )
            ):
                total_here[pack] += length
                if bits[row >> 3] >> (row & 7) & 1:
                    live_here[pack] += length
            for pack, size in enumerate(total_here):
                pack_id = part.pack_id(pack)
                live[pack_id] += live_here[pack]
                total[pack_id] += size
        return [(PackId(pack_id), live[pack_id] / size) for pack_id, size in total.items() if size]
