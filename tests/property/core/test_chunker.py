"""Cutting files: for all data, keys and rules."""

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.base.secrets import Secret
from holdfast.core import NodeRule, Parameters
from holdfast.core.python.chunker import Chunker, StreamCutter, cut


def rule(minimum: int, centre: int, maximum: int, normalisation: int) -> Parameters:
    return Parameters(
        suite="none",
        chunk_min=minimum,
        chunk_average=centre,
        chunk_max=maximum,
        chunk_normalisation=normalisation,
        segment_target=4096,
        pack_bytes=1 << 16,
        small_session_bytes=1 << 16,
        node_rule=NodeRule(),
        compression="none",
        compression_level=0,
    )


rules = st.builds(
    rule,
    st.integers(32, 128).map(lambda half: 2 * half),
    st.integers(256, 700),
    st.integers(1024, 2100),
    st.integers(0, 3),
)
keys = st.binary(min_size=32, max_size=32).map(Secret)
data = st.tuples(
    st.integers(0, 9000), st.binary(min_size=1, max_size=40), st.integers(0, 2**32)
).map(lambda drawn: (drawn[1] * 10 + Random(drawn[2]).randbytes(drawn[0]))[: drawn[0]])


@given(data, keys, rules)
@settings(max_examples=60, deadline=None)
def test_plain_and_accelerated_chunkers_cut_alike(
    content: bytes, key: Secret, parameters: Parameters
) -> None:
    plain = Chunker(key, parameters, accelerated=False).cut(content)

    assert plain == Chunker(key, parameters).cut(content)
    assert plain == cut(memoryview(content), key, parameters)


@given(data, keys, rules)
@settings(max_examples=60, deadline=None)
def test_chunks_joined_are_the_file_and_keep_the_limits(
    content: bytes, key: Secret, parameters: Parameters
) -> None:
    lengths = Chunker(key, parameters).cut(content)

    assert sum(lengths) == len(content)
    assert all(parameters.chunk_min <= length for length in lengths[:-1])
    assert all(0 < length <= parameters.chunk_max for length in lengths)


@given(data, keys, rules, st.lists(st.integers(1, 4000), min_size=1))
@settings(max_examples=60, deadline=None)
def test_a_file_read_in_pieces_is_cut_as_a_whole(
    content: bytes, key: Secret, parameters: Parameters, sizes: list[int]
) -> None:
    chunker = Chunker(key, parameters)
    cutter = StreamCutter(chunker)
    chunks: list[bytes] = []
    rest = content
    turn = 0
    while rest:
        size = sizes[turn % len(sizes)]
        chunks += cutter.feed(rest[:size])
        rest = rest[size:]
        turn += 1
    chunks += cutter.finish()

    assert b"".join(chunks) == content
    assert [len(chunk) for chunk in chunks] == chunker.cut(content)


@given(st.integers(0, 2**32), keys, st.binary(min_size=1, max_size=30))
@settings(max_examples=20, deadline=None)
def test_an_insertion_moves_few_cuts(seed: int, key: Secret, inserted: bytes) -> None:
    random = Random(seed)
    content = random.randbytes(40_000)
    place = random.randrange(len(content))
    chunker = Chunker(key, rule(64, 256, 1024, 2))

    def chunks(whole: bytes) -> set[bytes]:
        found, start = set(), 0
        for length in chunker.cut(whole):
            found.add(whole[start : start + length])
            start += length
        return found

    changed = chunks(content[:place] + inserted + content[place:]) - chunks(content)

    assert len(changed) <= 20, "of about 130 chunks"
