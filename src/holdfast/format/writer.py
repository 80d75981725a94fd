"""The writer certificate and the record of keys in it (section 5.5)."""

from dataclasses import dataclass, field
from enum import STRICT, IntFlag
from typing import Annotated

from holdfast.base.ids import GroupId, WriterId
from holdfast.base.sizes import KIB
from holdfast.format.statement import (
    EPOCH,
    INDEX_KEYS,
    KEM_PUBLIC_KEY_BYTES,
    STATEMENT_NUMBER,
    IndexKey,
)
from holdfast.format.tables import TIME, At, Blob, Body, Choice, Record, fixed


class WriterClass(IntFlag, boundary=STRICT):
    """What a writer may sign: a sum."""

    WRITER = 1
    MAINTAINER = 2
    ATTESTER = 4
    SCRUBBER = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterCertificate(Body, what="writer certificate"):
    """A writer's public keys, and what it needs to write, sealed to it. Times in seconds."""

    writer_id: Annotated[WriterId, At(1, fixed(16))]
    signing_public_key: Annotated[bytes, At(2, fixed(32))]
    kem_public_key: Annotated[bytes, At(3, fixed(KEM_PUBLIC_KEY_BYTES))]
    group_id: Annotated[GroupId, At(4, fixed(16))]
    writer_class: Annotated[WriterClass, At(5, Choice(WriterClass))]
    expiry: Annotated[int, At(6, TIME)]
    statement_number: Annotated[int, At(7, STATEMENT_NUMBER)]
    epoch: Annotated[int, At(8, EPOCH)]
    # As many index keys as there may be epochs: 152 KiB.
    sealed_keys: Annotated[bytes, At(9, Blob(1, 256 * KIB))]
    sealed_name: Annotated[bytes, At(10, Blob(0, 256 * KIB))]
    time: Annotated[int, At(11, TIME)]

    def fault(self) -> str:
        """See :class:`~holdfast.format.tables.Body`."""
        return "" if self.writer_class else "it allows nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterKeys(Record, what="record of a writer's keys"):
    """What a certificate seals to its writer."""

    group_secret: Annotated[bytes, At(1, fixed(32))] = field(repr=False)
    index_keys: Annotated[tuple[IndexKey, ...], At(2, INDEX_KEYS)]
