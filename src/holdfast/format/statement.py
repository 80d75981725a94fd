"""The key statement and its secrets record (section 5.3)."""

from dataclasses import dataclass, field
from enum import STRICT, IntEnum, IntFlag
from operator import attrgetter
from typing import Annotated, Final

from holdfast.base.ids import GroupId, ObjectHash
from holdfast.base.sizes import MIB
from holdfast.format.names import STATEMENTS_LIMIT
from holdfast.format.packs import EPOCHS_LIMIT
from holdfast.format.tables import (
    EMPTY,
    TIME,
    At,
    Blob,
    Body,
    Choice,
    FixedOrEmpty,
    ListOf,
    Record,
    Row,
    RowOf,
    Text,
    fixed,
    itself,
    unsigned,
)

SLOTS_LIMIT: Final = 64
KEM_PUBLIC_KEY_BYTES: Final = 1_216
HPKE_SEALED_SECRET_BYTES: Final = 1_168
"""A sealed secret of 32 bytes (section 4.2)."""

STATEMENT_NUMBER: Final = unsigned(STATEMENTS_LIMIT - 1)
EPOCH: Final = unsigned(EPOCHS_LIMIT - 1)


class SlotKind(IntEnum):
    """What opens a slot (section 5.4); the other numbers are reserved."""

    OPEN = 0
    PASSWORD = 1
    KEY_FILE = 2


class ReuseRule(IntEnum):
    """Whose packs a writer of a group may reuse."""

    OWN = 1
    ATTESTED = 2
    GROUP = 3


class Demands(IntFlag, boundary=STRICT):
    """What a statement demands of everybody who writes."""

    NOTHING = 0
    ENCRYPTION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementSlot(Row, what="slot of a key statement"):
    """One way in, and the root of the epoch sealed to it."""

    slot_hash: Annotated[ObjectHash, At(0, fixed(32))]
    kind: Annotated[SlotKind, At(1, Choice(SlotKind))]
    kem_public_key: Annotated[bytes, At(2, fixed(KEM_PUBLIC_KEY_BYTES))]
    sealed_root: Annotated[bytes, At(3, fixed(HPKE_SEALED_SECRET_BYTES))]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementGroup(Row, what="group of a key statement"):
    """A dedup group and its reuse rule."""

    group_id: Annotated[GroupId, At(0, fixed(16))]
    reuse: Annotated[ReuseRule, At(1, Choice(ReuseRule))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement(Body, what="key statement"):
    """The signed record of a vault's keys, slots and groups. Time in seconds.

    *secrets* is the sealed record; for suite `none` the record itself.
    """

    number: Annotated[int, At(1, STATEMENT_NUMBER)]
    predecessor: Annotated[ObjectHash | None, At(2, FixedOrEmpty(32))]
    epoch: Annotated[int, At(3, EPOCH)]
    authority_public_key: Annotated[bytes, At(4, fixed(32))]
    vault_public_key: Annotated[bytes, At(5, fixed(KEM_PUBLIC_KEY_BYTES))]
    root_commitment: Annotated[bytes, At(6, fixed(32))]
    slots: Annotated[
        tuple[StatementSlot, ...],
        At(7, ListOf(RowOf(StatementSlot), 1, SLOTS_LIMIT, attrgetter("slot_hash"))),
    ]
    recipients: Annotated[tuple[()], At(8, EMPTY)] = ()
    groups: Annotated[
        tuple[StatementGroup, ...],
        At(9, ListOf(RowOf(StatementGroup), ascending=attrgetter("group_id"))),
    ]
    certificates: Annotated[
        tuple[ObjectHash, ...], At(10, ListOf(fixed(32), ascending=itself))
    ] = ()
    revocations: Annotated[tuple[()], At(11, EMPTY)] = ()
    demands: Annotated[Demands, At(12, Choice(Demands))]
    time: Annotated[int, At(13, TIME)]
    secrets: Annotated[bytes, At(14, Blob(1, 4 * MIB))]

    def fault(self) -> str:
        """See :class:`~holdfast.format.tables.Body`."""
        if (self.number == 0) != (self.predecessor is None):
            return "only statement 0 has no predecessor"
        return "its epoch is above its number" if self.epoch > self.number else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexKey(Row, what="index key"):
    """A group's index key of one epoch."""

    epoch: Annotated[int, At(0, EPOCH)]
    key: Annotated[bytes, At(1, fixed(32))] = field(repr=False)


INDEX_KEYS: Final = ListOf(RowOf(IndexKey), ascending=attrgetter("epoch"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretGroup(Row, what="group of a secrets record"):
    """What only somebody who reads knows of a group."""

    group_id: Annotated[GroupId, At(0, fixed(16))]
    name: Annotated[str, At(1, Text())]
    secret: Annotated[bytes, At(2, fixed(32))] = field(repr=False)
    index_keys: Annotated[tuple[IndexKey, ...], At(3, INDEX_KEYS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsRecord(Record, what="secrets record"):
    """What a statement seals under its epoch's root."""

    vault_name: Annotated[str, At(1, Text())]
    groups: Annotated[
        tuple[SecretGroup, ...],
        At(2, ListOf(RowOf(SecretGroup), ascending=attrgetter("group_id"))),
    ]
    previous_root: Annotated[bytes | None, At(3, FixedOrEmpty(32))] = field(repr=False)
