"""Cutting files into chunks: vault-format.md 6.4, rule 1.

``pyfastcdc`` does the work where it can be imported; the same rule stands below in plain Python,
and property tests hold one against the other.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

from holdfast.base.secrets import Secret
from holdfast.core.errors import ChunkerParametersError
from holdfast.core.face import Bytes, Parameters

try:
    from pyfastcdc import FastCDC as _FastCDC
except ImportError:  # the plain rule below gives the same cuts, only slower
    _FastCDC = None  # type: ignore[assignment, misc]

_FIRST_MASK: Final = 5
_MASKS: Final = tuple(
    int(mask, 16)
    for mask in [
        "0000000001804110",
        "0000000001803110",
        "0000000018035100",
        "0000001800035300",
        "0000019000353000",
        "0000590003530000",
        "0000d90003530000",
        "0000d90103530000",
        "0000d90303530000",
        "0000d90313530000",
        "0000d90f03530000",
        "0000d90303537000",
        "0000d90703537000",
        "0000d90707537000",
        "0000d91707537000",
        "0000d91747537000",
        "0000d91767537000",
        "0000d93767537000",
        "0000d93777537000",
        "0000d93777577000",
        "0000db3777577000",
    ]
)
_WORD: Final = (1 << 64) - 1

_MINIMUM_RANGE: Final = range(64, (1 << 20) + 1)
_CENTRE_RANGE: Final = range(256, (4 << 20) + 1)
_MAXIMUM_RANGE: Final = range(1 << 10, (8 << 20) + 1)
_NORMALISATION_RANGE: Final = range(4)


def _gear_table(seed: int) -> tuple[int, ...]:
    # MD5 is only the published way to fill the table; nothing rests on it.
    return tuple(
        int.from_bytes(hashlib.md5(bytes([value]) * 64, usedforsecurity=False).digest()[:8], "big")
        ^ seed
        for value in range(256)
    )


class Chunker:
    """The cut rule under one chunker key. Not to be used by two threads at once.

    Raises:
        ChunkerParametersError: a size is outside of what the format allows.
    """

    def __init__(self, key: Secret, parameters: Parameters, *, accelerated: bool = True) -> None:
        self._minimum: Final = parameters.chunk_min
        self._centre: Final = parameters.chunk_average
        self.maximum: Final = parameters.chunk_max
        normalisation = parameters.chunk_normalisation
        if not (
            self._minimum in _MINIMUM_RANGE
            and self._centre in _CENTRE_RANGE
            and self.maximum in _MAXIMUM_RANGE
            and self._minimum <= self._centre <= self.maximum
            and self._minimum % 2 == 0
            and normalisation in _NORMALISATION_RANGE
        ):
            raise ChunkerParametersError(
                f"the cut rule {self._minimum}, {self._centre}, {self.maximum}, "
                f"{normalisation} is outside of what the format allows"
            )
        # round(log2(centre)) without floating point.
        bits = ((2 * self._centre * self._centre).bit_length() - 1) // 2
        self._mask_small: Final = _MASKS[bits + normalisation - _FIRST_MASK]
        self._mask_large: Final = _MASKS[bits - normalisation - _FIRST_MASK]
        seed = int.from_bytes(key.reveal()[:8], "little")
        self._gear: tuple[int, ...] = ()
        self._fast: _FastCDC | None = None
        if accelerated and _FastCDC is not None:
            self._fast = _FastCDC(
                avg_size=self._centre,
                min_size=self._minimum,
                max_size=self.maximum,
                normalized_chunking=normalisation,  # type: ignore[arg-type]  # in range: checked
                # It overflows on seeds with the highest bit, which no cut depends on: additions
                # carry upwards only, and no mask reaches above bit 47.
                seed=seed & (_WORD >> 1),
            )
        else:
            self._gear = _gear_table(seed)

    def cut(self, data: Bytes, *, is_end: bool = True) -> list[int]:
        """Return the lengths of the chunks of *data*.

        With *is_end* false more data follows, and only chunks are returned whose cut can no
        longer depend on it; fewer than `maximum` bytes are left over then.
        """
        left = len(data)
        if left <= self._minimum:
            return [left] if left and is_end else []
        enough = 1 if is_end else self.maximum
        lengths: list[int] = []
        if self._fast is not None:
            # Its chunks are cut one by one as they are asked for; the end of its buffer counts
            # as the end of the file, so cuts nearer to it than `maximum` mean nothing before.
            chunks = iter(self._fast.cut_buf(data))
            while left >= enough:
                length = next(chunks).length
                lengths.append(length)
                left -= length
            return lengths
        view = memoryview(data)
        while left >= enough:
            length = self._next_cut(view[len(data) - left :])
            lengths.append(length)
            left -= length
        return lengths

    def _next_cut(self, data: memoryview) -> int:
        if len(data) <= self._minimum:
            return len(data)
        end = min(len(data), self.maximum)
        centre = min(self._centre, end) // 2 * 2
        gear = self._gear
        state = 0
        mask = self._mask_small
        position = self._minimum
        for stop in (centre, end // 2 * 2):
            for value in data[position:stop]:
                state = ((state << 1) + gear[value]) & _WORD
                if not state & mask:
                    return position
                position += 1
            mask = self._mask_large
        return end


class StreamCutter:
    """Cuts a long file as it is read, exactly as if it were cut as a whole.

    Holds at most the rule's maximum and one fed buffer.
    """

    def __init__(self, chunker: Chunker) -> None:
        self._chunker: Final = chunker
        self._pending = bytearray()

    def feed(self, data: Bytes) -> list[bytes]:
        """Take the next bytes and return the chunks that are complete."""
        self._pending += data
        if len(self._pending) < self._chunker.maximum:
            return []
        return self._take(is_end=False)

    def finish(self) -> list[bytes]:
        """Return the chunks that are left. The cutter may be fed another file then."""
        return self._take(is_end=True)

    def _take(self, *, is_end: bool) -> list[bytes]:
        chunks: list[bytes] = []
        start = 0
        with memoryview(self._pending) as view:
            # The accelerator may hold on to what it is given, and a bytearray that is held
            # cannot shrink: it gets a copy of its own only when it has to.
            for length in self._chunker.cut(bytes(view), is_end=is_end):
                chunks.append(bytes(view[start : start + length]))
                start += length
        del self._pending[:start]
        return chunks


def cut(data: Bytes, key: Secret, parameters: Parameters) -> Sequence[int]:
    """Return the lengths of the chunks of *data*, a whole file, in order."""
    return Chunker(key, parameters).cut(data)
