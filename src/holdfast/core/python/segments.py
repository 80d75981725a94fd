"""Segments: compressed, sealed, opened. vault-format.md 1.3 and 6.2."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.base.ids import SessionId, VaultId
from holdfast.base.secrets import Secret
from holdfast.core.errors import CompressedFrameError, SegmentError
from holdfast.core.face import Bytes
from holdfast.crypto import hkdf, suites
from holdfast.format.packs import (
    COMPRESSION_RAW,
    COMPRESSION_ZSTD,
    DIRECTORY_RAW_LIMIT,
    KIND_DATA,
    KIND_DIRECTORY,
    SEGMENT_RAW_LIMIT,
    segment_associated,
    segment_info,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_MAGIC: Final = bytes.fromhex("28b52ffd")
_WINDOW_LIMIT: Final = 8 << 20
_WINDOW_LOG_LIMIT: Final = 23
_SINGLE_SEGMENT: Final = 0x20
_RESERVED_OR_DICTIONARY: Final = 0x0B
_SIZE_WIDTHS: Final = (0, 2, 4, 8)
_TWO_BYTE_SIZES_START: Final = 256
_KEPT_PER_CENT: Final = 97


class Compressor:
    """Compresses segments at one level. For one thread: it keeps its working memory."""

    def __init__(self, level: int) -> None:
        self._zstd: Final = zstd.ZstdCompressor(level=level) if level else None

    def compress(self, data: Bytes) -> tuple[int, Bytes]:
        """Return (compression number, bytes to be sealed); raw where under 3 per cent are saved."""
        if self._zstd is not None:
            small = self._zstd.compress(data, self._zstd.FLUSH_FRAME)
            if len(small) * 100 <= len(data) * _KEPT_PER_CENT:
                return COMPRESSION_ZSTD, small
        return COMPRESSION_RAW, data


def decompress(frame: Bytes, raw_length: int) -> bytes:
    """Return the *raw_length* bytes that are compressed in *frame*.

    Raises:
        CompressedFrameError: it is not exactly one frame that says and holds so many bytes.
    """
    _check_frame_header(memoryview(frame), raw_length)
    decoder = zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_LIMIT}
    )
    try:
        data = decoder.decompress(frame, raw_length)
        if len(data) == raw_length and not decoder.eof:
            # All is there and the end of the frame is not: let it see its checksum.
            data += decoder.decompress(b"", 1)
    except zstd.ZstdError as error:
        raise CompressedFrameError("a compressed segment cannot be decompressed") from error
    if len(data) != raw_length or not decoder.eof or decoder.unused_data:
        raise CompressedFrameError("a compressed segment is not one frame of its stated length")
    return data


def _check_frame_header(frame: memoryview, raw_length: int) -> None:
    # The decoder is shown nothing whose header does not fit: RFC 8878, 3.1.1.1.
    if len(frame) < 6 or frame[:4] != _MAGIC:  # noqa: PLR2004 - the shortest header
        raise CompressedFrameError("a compressed segment does not begin like a Zstandard frame")
    descriptor = frame[4]
    if descriptor & _RESERVED_OR_DICTIONARY:
        raise CompressedFrameError("a compressed segment needs a dictionary")
    start, width, window = 5, _SIZE_WIDTHS[descriptor >> 6], 0
    if descriptor & _SINGLE_SEGMENT:
        width = width or 1
    else:
        base = 1 << (10 + (frame[5] >> 3))
        window = base + base // 8 * (frame[5] & 7)
        start = 6
    size = int.from_bytes(frame[start : start + width], "little")
    if width == 2:  # noqa: PLR2004 - sizes in two bytes start at 256
        size += _TWO_BYTE_SIZES_START
    if not width or len(frame) < start + width or size != raw_length:
        raise CompressedFrameError("a compressed segment does not state its authenticated length")
    if window > _WINDOW_LIMIT:
        raise CompressedFrameError("a compressed segment needs a window above 8 MiB")


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """What the session key gives: keys of data and of tree segments (4.6)."""

    data_key: Secret
    tree_key: Secret

    @classmethod
    def derive(cls, session_key: Secret, vault_id: bytes, session_id: bytes) -> "SessionKeys":
        """Derive both; for suite ``none`` the session key is empty and they seal nothing."""
        return cls(
            hkdf.derive_secret(session_key, vault_id, "data", session_id),
            hkdf.derive_secret(session_key, vault_id, "tree", session_id),
        )


class PackCipher:
    """Seals and opens the segments of one pack. Safe for several threads."""

    def __init__(
        self,
        suite: suites.Suite,
        keys: SessionKeys,
        *,
        vault_id: bytes,
        session_id: bytes,
        salt: bytes,
    ) -> None:
        self._suite: Final = suite
        self._vault_id: Final = VaultId(vault_id)
        self._session_id: Final = SessionId(session_id)
        self._salt: Final = salt
        self._data: Final = Secret(hkdf.extract(salt, keys.data_key.reveal()))
        self._tree: Final = Secret(hkdf.extract(salt, keys.tree_key.reveal()))

    def seal(
        self, kind: int, number: int, body: Bytes, *, raw_length: int, compression: int
    ) -> bytes:
        """Seal *body*, a segment after compression. Once for each kind and number of a pack."""
        material, associated = self._bind(kind, number, raw_length, compression)
        return suites.seal(self._suite, material, associated, memoryview(body))

    def open(
        self, kind: int, number: int, stored: Bytes, *, raw_length: int, compression: int
    ) -> bytes:
        """Open a segment and return its raw bytes.

        Raises:
            AuthenticationError: it is damaged, or not this segment of this pack.
            SegmentError: it opened and has not the length or compression that is said.
        """
        limit = DIRECTORY_RAW_LIMIT if kind == KIND_DIRECTORY else SEGMENT_RAW_LIMIT
        if not 0 < raw_length <= limit:
            raise SegmentError(f"segment {number} would have {raw_length} bytes")
        if compression not in {COMPRESSION_RAW, COMPRESSION_ZSTD}:
            raise SegmentError(f"segment {number} has the unknown compression {compression}")
        material, associated = self._bind(kind, number, raw_length, compression)
        body = suites.open_sealed(self._suite, material, associated, memoryview(stored))
        if compression == COMPRESSION_ZSTD:
            return decompress(body, raw_length)
        if len(body) != raw_length:
            raise SegmentError(f"segment {number} has not the length that its pack states")
        return body

    def _bind(
        self, kind: int, number: int, raw_length: int, compression: int
    ) -> tuple[bytes, bytes]:
        pack_key = self._data if kind == KIND_DATA else self._tree
        associated = segment_associated(
            self._suite.number,
            self._vault_id,
            self._session_id,
            kind,
            self._salt,
            number,
            raw_length,
            compression,
        )
        return _material(self._suite, pack_key, kind, number), associated


def _material(suite: suites.Suite, pack_key: Secret, kind: int, number: int) -> bytes:
    if not suite.material_bytes:
        return b""
    info = segment_info(suite.number, kind, number)
    return hkdf.expand(pack_key.reveal(), info, suite.material_bytes)


# --- the pure batches of the engine's face --------------------------------------------------------

_KIND_OFFSET: Final = len(b"holdfast/0 segment\0") + 1 + 32 + 16
"""Where the kind stands in a segment's associated data."""


def seal_batch(
    pack_key: Secret,
    suite: str,
    first_number: int,
    segments: Sequence[Bytes],
    associated: Sequence[bytes],
) -> list[bytes]:
    """Seal neighbouring segments of one pack and kind; see `Engine.seal`."""
    chosen = suites.suite_named(suite)
    return [
        suites.seal(
            chosen,
            _material(chosen, pack_key, bound[_KIND_OFFSET], number),
            bound,
            memoryview(body),
        )
        for number, (body, bound) in enumerate(zip(segments, associated, strict=True), first_number)
    ]


def open_batch(
    pack_key: Secret,
    suite: str,
    first_number: int,
    segments: Sequence[Bytes],
    associated: Sequence[bytes],
) -> list[bytes]:
    """Open neighbouring segments of one pack and kind; see `Engine.open`."""
    chosen = suites.suite_named(suite)
    return [
        suites.open_sealed(
            chosen,
            _material(chosen, pack_key, bound[_KIND_OFFSET], number),
            bound,
            memoryview(body),
        )
        for number, (body, bound) in enumerate(zip(segments, associated, strict=True), first_number)
    ]
