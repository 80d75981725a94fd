"""The engine against vectors that were made from the text of the specification alone."""

import hashlib
import struct
from pathlib import Path

import pytest

from holdfast.base.errors import IntegrityError
from holdfast.base.secrets import Secret
from holdfast.core import NodeRule, Parameters
from holdfast.core.errors import IndexContentError
from holdfast.core.python.branches import Extents, Inner, encode_extents, encode_inner
from holdfast.core.python.chunker import Chunker
from holdfast.core.python.index_parts import check_positions, check_presence
from holdfast.core.python.index_tables import IndexTableBuilder
from holdfast.core.python.leaves import encode_leaf
from holdfast.core.python.nodes import decode_node
from holdfast.core.python.segments import PackCipher, SessionKeys
from holdfast.core.python.tree_builder import node_id
from holdfast.crypto.suites import suite_numbered

VECTORS = Path(__file__).parents[2] / "vectors"
Block = dict[str, str]


def blocks(name: str) -> list[Block]:
    text = (VECTORS / name).read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return [
        {key: value.strip() for key, _, value in (line.partition(":") for line in part.split("\n"))}
        for part in lines.strip().split("\n\n")
    ]


CUTS = [(block, accelerated) for block in blocks("chunker.txt") for accelerated in (True, False)]
# In plain Python a large file takes seconds; property tests hold both rules against each other.
QUICK_CUTS = [cut for cut in CUTS if cut[1] or int(cut[0]["size"]) < 100_000]


@pytest.mark.parametrize(("block", "accelerated"), QUICK_CUTS)
def test_files_are_cut_as_the_specification_says(
    block: Block,
    accelerated: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    minimum, centre, maximum, normalisation = map(int, block["rule"].split())
    parameters = Parameters(
        suite="none",
        chunk_min=minimum,
        chunk_average=centre,
        chunk_max=maximum,
        chunk_normalisation=normalisation,
        segment_target=524288,
        pack_bytes=1 << 25,
        small_session_bytes=1 << 22,
        node_rule=NodeRule(),
        compression="none",
        compression_level=0,
    )
    size, seed = int(block["size"]), block["data seed"].encode()
    count = size // 32 + 1
    hashed = (hashlib.sha256(seed + struct.pack(">Q", at)).digest() for at in range(count))
    data = b"".join(hashed)[:size]
    chunker = Chunker(Secret(bytes.fromhex(block["key"])), parameters, accelerated=accelerated)

    assert chunker.cut(data) == [int(length) for length in block["lengths"].split()]


@pytest.mark.parametrize("block", blocks("nodes.txt"), ids=lambda block: block["case"])
def test_nodes_are_read_and_written_as_the_specification_says(block: Block) -> None:
    node = bytes.fromhex(block["node"])
    if block["expect"] != "ok":
        with pytest.raises(IntegrityError):
            decode_node(node)
        return
    read = decode_node(node)
    if isinstance(read, Inner):
        again = encode_inner(read)
    elif isinstance(read, Extents):
        again = encode_extents(read)
    else:
        again = encode_leaf([s.columns() for s in read.sections], read.users, read.groups)

    assert again == node
    assert node_id(Secret(bytes.fromhex(block["key"])), node).hex() == block["id"]


@pytest.mark.parametrize("block", blocks("segments.txt"))
def test_segments_are_opened_as_the_specification_says(block: Block) -> None:
    vault, session = bytes.fromhex(block["vault"]), bytes.fromhex(block["session"])
    keys = SessionKeys.derive(Secret(bytes.fromhex(block["session key"])), vault, session)
    cipher = PackCipher(
        suite_numbered(int(block["suite"])),
        keys,
        vault_id=vault,
        session_id=session,
        salt=bytes.fromhex(block["salt"]),
    )
    kind, number, stored = int(block["kind"]), int(block["number"]), bytes.fromhex(block["stored"])
    length, compression = int(block["raw length"]), int(block["compression"])
    if block["expect"] != "ok":
        with pytest.raises(IntegrityError):
            cipher.open(kind, number, stored, raw_length=length, compression=compression)
        return
    raw = cipher.open(kind, number, stored, raw_length=length, compression=compression)

    assert raw.hex() == block["raw"]
    if not compression:
        assert cipher.seal(kind, number, raw, raw_length=length, compression=0) == stored


@pytest.mark.parametrize("block", blocks("index.txt"))
def test_index_parts_are_as_the_specification_says(block: Block) -> None:
    presence, positions = bytes.fromhex(block["presence"]), bytes.fromhex(block["positions"])
    builder = IndexTableBuilder()
    for number, text in enumerate(block["packs"].split(" / ")):
        first, *segments = text.split()
        parts = [tuple(map(int, segment.split(":"))) for segment in segments]
        builder.add_pack(bytes([number]) * 32, int(first), [(a, b, c) for a, b, c in parts])
    for text in block["rows"].split():
        locator, *numbers = text.split(":")
        pack, segment, offset, length = map(int, numbers)
        builder.add(pack, segment, bytes.fromhex(locator), offset, length)
    _, count, *made = builder.finish()
    packs = builder.pack_count
    if block["expect"] != "ok":
        with pytest.raises(IndexContentError):  # noqa: PT012 - which of both refuses is not said
            check_presence(presence, count, packs)
            check_positions(positions, presence, packs)
        return
    check_presence(presence, count, packs)
    check_positions(positions, presence, packs)

    assert made == [presence, positions]
