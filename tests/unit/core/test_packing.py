"""Packs: what goes in comes out, in the order of the plan, in packs of the right size."""

import struct
import time
from pathlib import Path

import pytest
from blake3 import blake3

from doubles.randomness import CountedRandom
from doubles.writing import CHUNK_KEY, NODE_KEY, SESSION, VAULT, Desk, OpenedPack, parameters
from holdfast.base.sizes import KIB, padme
from holdfast.core.python import packing
from holdfast.core.python.packing import (
    CompletedPack,
    CompressedSegment,
    PackAssembler,
    Pipeline,
    PlannedChunk,
    SegmentPlanner,
)
from holdfast.core.python.segments import Compressor, SessionKeys
from holdfast.core.run_errors import SpoolError
from holdfast.crypto.suites import SUITES, Suite, suite_named
from holdfast.format.packs import KIND_DATA, KIND_TREE

RANDOM = CountedRandom("content of chunks")
TREE_RULES = {KIND_DATA: CHUNK_KEY, KIND_TREE: NODE_KEY}


def planned(kind: int, data: bytes) -> PlannedChunk:
    one = blake3(data, key=TREE_RULES[kind]).digest()
    return PlannedChunk(one, one[:20], data)


def data_chunks(count: int, size: int = 16 * KIB) -> list[PlannedChunk]:
    """Return chunks that cannot be compressed, and for each third one that can."""
    return [
        planned(
            KIND_DATA, RANDOM.take(size) if number % 3 else struct.pack(">I", number) * (size // 4)
        )
        for number in range(count)
    ]


def assembler(desk: Desk) -> PackAssembler:
    return PackAssembler(
        desk.keys,
        desk.parameters,
        desk.spool,
        CountedRandom("packs"),
        SessionKeys.derive(desk.keys.session_key, VAULT, SESSION),
    )


def packed(
    desk: Desk, segments: list[tuple[int, list[PlannedChunk]]], *, threads: int = 2
) -> list[CompletedPack]:
    """Send segments through a pipeline; keep the packs at the desk."""
    pipeline = Pipeline(assembler(desk), desk.parameters, threads=threads, pending_bytes=256 * KIB)
    completed = []
    for kind, chunks in segments:
        pipeline.submit(kind, chunks)
        completed += pipeline.take_completed()
    completed += pipeline.finish()
    pipeline.close()
    for pack in completed:
        desk.packs[pack.written.pack_id] = pack.path.read_bytes()
        pack.path.unlink()
    return completed


def mixed(count: int) -> list[tuple[int, list[PlannedChunk]]]:
    chunks = data_chunks(3 * count)
    segments: list[tuple[int, list[PlannedChunk]]] = []
    for number in range(count):
        segments.append((KIND_DATA, chunks[3 * number : 3 * number + 3]))
        if number % 4 == 0:
            segments.append((KIND_TREE, [planned(KIND_TREE, RANDOM.take(2000))]))
    return segments


def of_kind(
    kind: int, segments: list[tuple[int, list[PlannedChunk]]]
) -> list[tuple[int, bytes, bytes]]:
    return [
        (kind, chunk.id, bytes(chunk.data))
        for one, chunks in segments
        if one == kind
        for chunk in chunks
    ]


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
def test_what_goes_in_comes_out_of_packs_of_the_right_size(tmp_path: Path, suite: Suite) -> None:
    """Every pack is opened again by its trailer and directory alone (section 6)."""
    desk = Desk(tmp_path, parameters(suite=suite.name))
    segments = mixed(60)
    completed = packed(desk, segments)
    opened = [desk.opened(pack.written.pack_id) for pack in completed]

    for kind in (KIND_DATA, KIND_TREE):
        came = [one for pack in opened for one in pack.chunks() if one[0] == kind]
        assert came == of_kind(kind, segments)
    sizes: dict[str, list[int]] = {"data": [], "tree": []}
    for pack, inside in zip(completed, opened, strict=True):
        written = pack.written
        assert written.stored_bytes == len(desk.packs[written.pack_id])
        assert [row.kind for row in inside.directory.segments] == [
            KIND_DATA if written.kind == "data" else KIND_TREE
        ] * len(written.segments)
        assert [
            (row.stored_length, row.raw_length, row.compression)
            for row in inside.directory.segments
        ] == list(written.segments)
        assert all(
            row.stored_length == suite.stored_length(row.raw_length)
            for row in inside.directory.segments
            if row.compression == 0
        )
        sizes[written.kind].append(written.stored_bytes)
        check_rows(written.index_table, inside)
    assert set(sizes["data"][:-1]) == {desk.parameters.pack_bytes}
    last = [pack for pack in completed if pack.written.stored_bytes < (1 << 20)]
    for pack in last:
        padding = desk.opened(pack.written.pack_id).padding_bytes
        assert pack.written.stored_bytes == padme(pack.written.stored_bytes - padding)


def check_rows(table: bytes, pack: OpenedPack) -> None:
    """The rows of the index lead to every chunk (section 7)."""
    rows = list(struct.iter_unpack(">20sIHHII", table))
    found = {}
    for locator, number, segment, zero, offset, length in rows:
        assert (number, zero) == (0, 0)
        found[locator] = pack.segments[segment][offset : offset + length]

    assert rows == sorted(rows)
    assert found == {one[:20]: data for _, one, data in pack.chunks()}


def test_the_order_of_segments_does_not_depend_on_the_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that finish in any order give the same packs, byte for byte."""
    segments = mixed(40)
    real = Compressor.compress
    turn = iter(range(1_000_000))

    def uneven(self: Compressor, data: bytes) -> tuple[int, bytes]:
        time.sleep(0.002 if next(turn) % 3 == 0 else 0)
        return real(self, data)  # type: ignore[return-value]  # bytes here

    one = packed(Desk(tmp_path / "one"), segments, threads=1)
    monkeypatch.setattr(Compressor, "compress", uneven)
    many = packed(Desk(tmp_path / "many"), segments, threads=7)

    assert [pack.written for pack in many] == [pack.written for pack in one]


def test_a_small_session_has_one_pack_for_both_kinds(tmp_path: Path) -> None:
    desk = Desk(tmp_path, parameters(small_session_bytes=1 << 19))
    segments = mixed(4)
    (pack,) = packed(desk, segments)
    kinds = [row.kind for row in desk.opened(pack.written.pack_id).directory.segments]

    assert pack.written.kind == "both"
    assert kinds == [KIND_DATA] * 4 + [KIND_TREE]


@pytest.mark.parametrize(("surplus", "packs"), [(0, 1), (1, 2)])
def test_a_session_is_small_up_to_exactly_the_vault_s_number_of_stored_bytes(
    tmp_path: Path, surplus: int, packs: int
) -> None:
    suite = suite_named("aes-256-gcm")
    limit = suite.stored_length(30_000) + suite.stored_length(2_000)
    desk = Desk(tmp_path, parameters(small_session_bytes=limit))
    segments = [
        (KIND_TREE, [planned(KIND_TREE, RANDOM.take(2_000 + surplus))]),
        (KIND_DATA, [planned(KIND_DATA, RANDOM.take(30_000))]),
    ]
    completed = packed(desk, segments)

    assert len(completed) == packs
    assert sorted(pack.written.kind for pack in completed) == (
        ["both"] if packs == 1 else ["data", "tree"]
    )


def test_a_session_without_anything_new_has_no_pack(tmp_path: Path) -> None:
    assert packed(Desk(tmp_path), []) == []


def test_a_pack_is_full_before_the_number_of_its_chunks_is_above_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "_MAXIMUM_CHUNKS", 10)
    desk = Desk(tmp_path, parameters(small_session_bytes=0))
    completed = packed(desk, [(KIND_DATA, data_chunks(4, 100)) for _ in range(6)])

    assert [len(pack.written.segments) for pack in completed] == [2, 2, 2]
    assert [pack.written.stored_bytes for pack in completed[:2]] == [1 << 20] * 2


def lengths(segments: list[list[PlannedChunk]]) -> list[list[int]]:
    return [[len(chunk.data) for chunk in segment] for segment in segments]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([4, 4, 2], [[4, 4, 2]]),
        ([4, 4, 3], [[4, 4], [3]]),
        ([11, 1], [[11], [1]]),
        ([1, 11, 1], [[1], [11], [1]]),
        ([10, 10], [[10], [10]]),
        ([], []),
    ],
)
def test_a_segment_closes_before_the_chunk_that_would_bring_it_over_its_target(
    sizes: list[int], expected: list[list[int]]
) -> None:
    planner = SegmentPlanner(10)
    segments = [planner.add(planned(KIND_DATA, bytes(size))) for size in sizes]

    assert lengths([one for one in [*segments, planner.close()] if one]) == expected


# --- when the spool cannot be written -------------------------------------------------------------


class FullDisk:
    """Stands in for os.write: takes so many bytes, then says that there is no room."""

    def __init__(self, room: int, write) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - os.write
        self._room = room
        self._write = write

    def __call__(self, fd: int, data: memoryview) -> int:
        if not self._room:
            raise OSError(28, "No space left on device")
        written: int = self._write(fd, data[: self._room])
        self._room -= written
        return written


def test_after_a_failure_nothing_more_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room may come back at once: the number of the segment that was cut off is not used again."""
    desk = Desk(tmp_path)
    pipeline = Pipeline(assembler(desk), desk.parameters, threads=1, pending_bytes=1 << 30)
    taken: list[int] = []
    real = PackAssembler.add

    def failing(self: PackAssembler, segment: CompressedSegment) -> None:
        taken.append(segment.raw_length)
        if len(taken) == 2:
            raise SpoolError("no room")
        real(self, segment)

    monkeypatch.setattr(PackAssembler, "add", failing)
    for kind, chunks in mixed(10):
        pipeline.submit(kind, chunks)

    with pytest.raises(SpoolError, match="no room"):
        pipeline.finish()
    pipeline.close()
    assert len(taken) == 2


@pytest.mark.parametrize("room", [0, 50, 40_000, (1 << 20) - 20, 1 << 20, 1_100_000])
def test_a_full_file_system_is_a_spool_error_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    desk = Desk(tmp_path)
    pipeline = Pipeline(assembler(desk), desk.parameters, threads=2, pending_bytes=256 * KIB)
    monkeypatch.setattr(packing.os, "write", FullDisk(room, packing.os.write))
    segments = mixed(60)

    with pytest.raises(SpoolError, match="No space left"):  # noqa: PT012 - whichever call meets it
        for kind, chunks in segments:
            pipeline.submit(kind, chunks)
        pipeline.finish()
    pipeline.close()

    assert list(desk.spool.iterdir()) == []


def test_a_spool_folder_that_is_not_there_is_a_spool_error(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.spool.rmdir()

    with pytest.raises(SpoolError, match="No such file") as caught:
        packed(desk, mixed(1))
    assert caught.value.code == "H581"


@pytest.mark.parametrize("submitted", [0, 1, 30, 75])
def test_a_closed_pipeline_leaves_nothing_in_the_spool(tmp_path: Path, submitted: int) -> None:
    desk = Desk(tmp_path)
    pipeline = Pipeline(assembler(desk), desk.parameters, threads=2, pending_bytes=1 << 24)
    for kind, chunks in mixed(60)[:submitted]:
        pipeline.submit(kind, chunks)
    pipeline.close()

    assert list(desk.spool.iterdir()) == []


def test_what_waits_to_be_compressed_is_bounded(tmp_path: Path) -> None:
    """The submitter waits for the first segment rather than hold more raw bytes than allowed."""
    desk = Desk(tmp_path)
    pipeline = Pipeline(assembler(desk), desk.parameters, threads=3, pending_bytes=64 * KIB)
    waiting = []
    for chunk in data_chunks(50):
        pipeline.submit(KIND_DATA, [chunk])
        waiting.append(sum(raw_length for _, raw_length in pipeline._pending))
    pipeline.close()

    assert max(waiting) == 64 * KIB
