"""The marker and the vault object (sections 5.1 and 5.2)."""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

from holdfast.base.ids import RepositoryId
from holdfast.base.sizes import KIB, MIB
from holdfast.format.errors import UnsupportedFormatError
from holdfast.format.packs import COMPRESSION_RAW, PACK_LIMIT, SUITES_LIMIT
from holdfast.format.tables import TIME, At, Body, Flag, Integer, Row, RowOf, fixed, unsigned

FORMAT: Final = 0
PROFILE_DEFAULT: Final = 1
LISTING_DELAY_LIMIT: Final = 3_600_000
"""Milliseconds. Nobody signs a marker: whoever writes the storage must not make others wait."""
CUT_RULE_FASTCDC: Final = 1
SMALLEST_PACK_BYTES: Final = 8 * MIB
_FORMAT_KEY: Final = {"marker": 2, "vault object": 1}


class _NewerFormat(Body):
    """A body that states its format: another one is named before anything else is read."""

    __slots__ = ()

    @classmethod
    def from_body(cls, body: Any) -> Self:  # noqa: ANN401 - see Body
        stated = body.get(_FORMAT_KEY[cls.what])
        if type(stated) is int and stated != FORMAT:
            raise UnsupportedFormatError(
                f"The {cls.what} has format {stated}; this release reads format {FORMAT} only.",
                hint="Use the release of Holdfast that wrote it, or a newer one.",
            )
        return super().from_body(body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker(_NewerFormat, what="marker"):
    """What a repository says of itself: a hint, never trusted (section 5.1). Time in seconds."""

    repository_id: Annotated[RepositoryId, At(1, fixed(16))]
    format: Annotated[int, At(2, unsigned(FORMAT))] = FORMAT
    listing_delay_milliseconds: Annotated[int, At(3, unsigned(LISTING_DELAY_LIMIT))]
    time: Annotated[int, At(4, TIME)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkingRule(Row, what="chunking"):
    """How files are cut (section 6.4); sizes in bytes."""

    rule: Annotated[int, At(0, Integer(CUT_RULE_FASTCDC, CUT_RULE_FASTCDC))] = CUT_RULE_FASTCDC
    minimum: Annotated[int, At(1, Integer(64, MIB))] = 512 * KIB
    centre: Annotated[int, At(2, Integer(256, 4 * MIB))] = MIB
    maximum: Annotated[int, At(3, Integer(KIB, 8 * MIB))] = 4 * MIB
    normalisation: Annotated[int, At(4, unsigned(3))] = 2

    def fault(self) -> str:
        """See :class:`~holdfast.format.tables.Body`."""
        if not self.minimum < self.centre < self.maximum:
            return "minimum, centre and maximum do not ascend"
        return "the minimum is odd" if self.minimum % 2 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRule(Row, what="node rule"):
    """How trees are cut (section 8.2): t = 2^(32 - bits); numbers of items; cost as defined there.

    At least two items a node, or no level would be smaller than the one below it.
    """

    bits: Annotated[int, At(0, Integer(1, 16))] = 6
    minimum_entries: Annotated[int, At(1, Integer(2, 4_096))] = 16
    maximum_entries: Annotated[int, At(2, Integer(4, 65_536))] = 256
    maximum_cost: Annotated[int, At(3, Integer(KIB, 4 * MIB))] = 64 * KIB

    def fault(self) -> str:
        """See :class:`~holdfast.format.tables.Body`."""
        if self.minimum_entries >= self.maximum_entries:
            return "the minimum is not below the maximum"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression(Row, what="compression"):
    """Compression number (section 1.3) and level; level 0 for raw."""

    number: Annotated[int, At(0, unsigned(1))] = 1
    level: Annotated[int, At(1, unsigned(22))] = 3

    def fault(self) -> str:
        """See :class:`~holdfast.format.tables.Body`."""
        if (self.number == COMPRESSION_RAW) != (self.level == 0):
            return "the level does not go with the number"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureMasks(Row, what="feature masks"):
    """Bits of features: to be known by who reads, to be known by who writes, ignorable."""

    must_know: Annotated[int, At(0, unsigned())] = 0
    must_know_to_write: Annotated[int, At(1, unsigned())] = 0
    may_ignore: Annotated[int, At(2, unsigned())] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultObject(_NewerFormat, what="vault object"):
    """What a vault is, for good: its hash is the vault id. Sizes in bytes."""

    format: Annotated[int, At(1, unsigned(FORMAT))] = FORMAT
    suite: Annotated[int, At(2, unsigned(SUITES_LIMIT - 1))] = 3
    profile: Annotated[int, At(3, Integer(PROFILE_DEFAULT, PROFILE_DEFAULT))] = PROFILE_DEFAULT
    authority_public_key: Annotated[bytes, At(4, fixed(32))]
    nonce: Annotated[bytes, At(5, fixed(32))]
    chunking: Annotated[ChunkingRule, At(6, RowOf(ChunkingRule))] = ChunkingRule()
    segment_target: Annotated[int, At(7, Integer(4 * KIB, 4 * MIB))] = 512 * KIB
    pack_bytes: Annotated[int, At(8, Integer(64 * KIB, PACK_LIMIT))] = 32 * MIB
    node_rule: Annotated[NodeRule, At(9, RowOf(NodeRule))] = NodeRule()
    small_session_bytes: Annotated[int, At(10, unsigned(PACK_LIMIT))] = 4 * MIB
    compression: Annotated[Compression, At(11, RowOf(Compression))] = Compression()
    index_bytes: Annotated[int, At(12, Integer(32 * KIB, 64 * MIB))] = 64 * MIB
    features: Annotated[FeatureMasks, At(13, RowOf(FeatureMasks))] = FeatureMasks()
    is_test: Annotated[bool, At(14, Flag())] = False

    @classmethod
    def from_body(cls, body: Any) -> Self:  # noqa: ANN401 - see Body
        """Return what a decoded map says; see :class:`~holdfast.format.tables.Body`.

        Raises:
            FieldError: a key is missing or unknown, or a value is not allowed.
            UnsupportedFormatError: the format is another, or reading needs an unknown feature.
        """
        vault = super(VaultObject, cls).from_body(body)
        if vault.features.must_know:
            raise UnsupportedFormatError(
                f"Reading this vault needs features {vault.features.must_know:#x},"
                " which this release does not know.",
                hint="Use a newer release of Holdfast.",
            )
        return vault

    def check_writable(self) -> None:
        """Refuse to write into a vault with features that a writer must know and this one does not.

        Raises:
            UnsupportedFormatError: there are such features.
        """
        if self.features.must_know_to_write:
            raise UnsupportedFormatError(
                f"Writing into this vault needs features {self.features.must_know_to_write:#x},"
                " which this release does not know.",
                hint="Use a newer release of Holdfast; reading works with this one.",
            )

    def fault(self) -> str:
        """See :class:`~holdfast.format.tables.Body`."""
        if not self.is_test and self.pack_bytes < SMALLEST_PACK_BYTES:
            return "packs below 8 MiB are for test vaults"
        if self.small_session_bytes > self.pack_bytes:
            return "a small session does not fit into a pack"
        if max(self.chunking.maximum, self.segment_target) >= self.pack_bytes:
            return "a segment does not fit into a pack"
        return ""
