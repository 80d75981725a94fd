"""Packs (vault-format.md, section 6)."""

from dataclasses import replace

import pytest

from holdfast.base.ids import SessionId, VaultId
from holdfast.format import packs
from holdfast.format.errors import PackError, UnencodableError, UnsupportedFormatError

SESSION = SessionId(b"s" * 16)
HEADER = packs.PackHeader(3, 1, SESSION, b"c" * 32, b"z" * 32, b"k" * 1168)
PLAIN = packs.PackHeader(0, 0, SESSION, bytes(32), b"z" * 32, b"")
ID = b"i" * 32
DIRECTORY = packs.Directory(
    [packs.SegmentRow(1, 1, 50, 100, 2), packs.SegmentRow(2, 0, 26, 10, 1)],
    [(ID, 60), (ID, 40), (ID, 10)],
)
TRAILER = packs.Trailer(2000, 150, 144, 2)


def test_a_header_has_the_table_s_offsets() -> None:
    data = HEADER.encode()

    assert len(data) == packs.header_bytes(suite_is_none=False) == 1268
    assert data[:12] == b"HOLDFAST\x07\x00\x03\x00"
    assert data[12:16] == b"\0\0\0\1"
    assert data[16:32] == SESSION
    assert data[96:100] == b"\x04\x90\0\0"
    assert packs.PackHeader.decode(data + b"segments") == HEADER
    assert len(PLAIN.encode()) == packs.header_bytes(suite_is_none=True) == 100
    assert packs.PackHeader.decode(memoryview(PLAIN.encode())) == PLAIN


def test_headers_that_cannot_be_are_refused() -> None:
    data = HEADER.encode()
    wrong = [
        data[:99],
        data[:1267],
        b"x" + data[1:],
        data[:8] + b"\x08" + data[9:],
        data[:11] + b"\1" + data[12:],
        data[:12] + b"\0\0\x10\0" + data[16:],
        data[:96] + b"\0\0" + data[98:],
        data[:99] + b"\1" + data[100:],
        data[:10] + b"\0" + data[11:],
        PLAIN.encode()[:32] + b"\1" + PLAIN.encode()[33:],
    ]
    for one in wrong:
        with pytest.raises(PackError):
            packs.PackHeader.decode(one)
    for one in (data[:9] + b"\1" + data[10:], data[:10] + b"\7" + data[11:]):
        with pytest.raises(UnsupportedFormatError):
            packs.PackHeader.decode(one)
    with pytest.raises(UnencodableError):
        replace(HEADER, salt=b"").encode()
    with pytest.raises(UnencodableError):
        replace(HEADER, suite=0).encode()


def test_a_directory_comes_back() -> None:
    data = DIRECTORY.encode()

    assert len(data) == 4 + 2 * 16 + 3 * 36
    assert data[:20].hex() == "00000002" + "01010000" + "00000032" + "00000064" + "00000002"
    assert packs.Directory.decode(data) == DIRECTORY
    assert DIRECTORY.segment_offsets(1268) == [1268, 1318, 1344]
    assert [len(chunks) for chunks in DIRECTORY.chunks_by_segment()] == [2, 1]


@pytest.mark.parametrize(
    "directory",
    [
        packs.Directory([], []),
        packs.Directory([packs.SegmentRow(1, 0, 10, 10, 0)], []),
        packs.Directory([packs.SegmentRow(1, 0, 10, 10, 1)], [(ID, 9)]),
        packs.Directory([packs.SegmentRow(1, 0, 10, 10, 2)], [(ID, 10), (ID, 0)]),
        packs.Directory([packs.SegmentRow(1, 0, 10, 10, 2)], [(ID, 10)]),
        packs.Directory([packs.SegmentRow(2, 0, 10, 10, 2)], [(ID, 5), (ID, 5)]),
        packs.Directory([packs.SegmentRow(3, 0, 10, 10, 1)], [(ID, 10)]),
        packs.Directory([packs.SegmentRow(1, 2, 10, 10, 1)], [(ID, 10)]),
        packs.Directory([packs.SegmentRow(1, 0, 0, 10, 1)], [(ID, 10)]),
        packs.Directory([packs.SegmentRow(1, 0, 10, 2**23 + 1, 1)], [(ID, 2**23 + 1)]),
        packs.Directory([packs.SegmentRow(1, 0, 10, 10, 1)], [(ID[1:], 10)]),
    ],
)
def test_directories_that_cannot_be_are_never_written(directory: packs.Directory) -> None:
    with pytest.raises(UnencodableError):
        directory.encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        DIRECTORY.encode()[:-1],
        DIRECTORY.encode() + bytes(36),
        DIRECTORY.encode()[:6] + b"\1" + DIRECTORY.encode()[7:],
        DIRECTORY.encode()[:15] + b"\x63" + DIRECTORY.encode()[16:],
    ],
)
def test_directories_that_cannot_be_are_refused(data: bytes) -> None:
    with pytest.raises(PackError):
        packs.Directory.decode(data)


def test_a_trailer_comes_back_and_knows_its_place() -> None:
    data = TRAILER.encode()

    assert data.hex() == "000007d0000000960000009000000002"
    assert packs.Trailer.decode(data) == TRAILER
    TRAILER.check_place(pack_bytes=2182, sealed_trailer_bytes=32, header_end=1268)
    with pytest.raises(PackError):
        TRAILER.check_place(pack_bytes=2183, sealed_trailer_bytes=32, header_end=1268)
    with pytest.raises(PackError):
        TRAILER.check_place(pack_bytes=2182, sealed_trailer_bytes=32, header_end=2001)


@pytest.mark.parametrize(
    "trailer",
    [
        replace(TRAILER, segment_count=0),
        replace(TRAILER, directory_raw=36),
        replace(TRAILER, directory_raw=2**26 + 1),
        replace(TRAILER, directory_offset=2**28 + 1),
        replace(TRAILER, directory_stored=0),
    ],
)
def test_trailers_that_cannot_be_are_refused(trailer: packs.Trailer) -> None:
    raw = b"".join(
        number.to_bytes(4, "big")
        for number in (
            trailer.directory_offset,
            trailer.directory_stored,
            trailer.directory_raw,
            trailer.segment_count,
        )
    )
    for data in (raw, raw[1:]):
        with pytest.raises(PackError):
            packs.Trailer.decode(data)
    with pytest.raises(UnencodableError):
        trailer.encode()


def test_a_segment_is_bound_to_its_place() -> None:
    vault = VaultId(b"v" * 32)
    associated = packs.segment_associated(3, vault, SESSION, 1, b"z" * 32, 7, 9, 1)
    label = b"holdfast/0 segment\0\x03"

    assert packs.segment_info(3, 4, packs.TRAILER_NUMBER) == label + b"\x04\xff\xff\xff\xff"
    assert associated == (
        label + vault + SESSION + b"\x01" + b"z" * 32 + b"\0\0\0\x07\0\0\0\x09\x01"
    )
