"""What all runs that read have in common."""

from collections.abc import Generator, Sequence
from typing import TypeVar

from holdfast.base.ids import PackId
from holdfast.core.face import Bytes, Fetch
from holdfast.core.python.run import GeneratorRun
from holdfast.core.python.segment_reader import SegmentReader

R = TypeVar("R")


class ReadingRun(GeneratorRun[R]):
    """A run that fetches; several fetches may be under way."""

    def __init__(self, segments: SegmentReader) -> None:
        super().__init__()
        self.segments = segments

    def request(self, pack_id: PackId, ranges: tuple[tuple[int, int], ...]) -> int:
        """Ask for byte ranges of a pack and return the ticket of the `Fetch`."""
        ticket = self.new_ticket()
        self.emit(Fetch(ticket, pack_id, ranges))
        return ticket

    def wait_for(self, ticket: int) -> Generator[bool, None, Sequence[Bytes]]:
        """Wait for the answer to a ticket (``yield from``)."""
        while (parts := self.take_answer(ticket)) is None:
            yield False
        return parts
