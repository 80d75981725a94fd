"""A session's packs: numbered, listed, indexed; checkpoints and what replaces them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.vaults import SMALL, TestVault, fake_pack, make_machine, make_vault
from holdfast.base.ids import IndexId, SessionId
from holdfast.base.secrets import Secret
from holdfast.core import WrittenPack
from holdfast.format import frames
from holdfast.format.index_body import IndexBody
from holdfast.format.index_parts import IndexRow, PackSegments, build_parts
from holdfast.format.session import Packlist
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.index_cache import combine
from holdfast.vault.session_packs import SessionPacks, index_parts


@pytest.fixture
def vault(tmp_path: Path) -> TestVault:
    template = replace(SMALL, index_bytes=64 << 10)
    return make_vault(MemoryBackend(), make_machine(tmp_path), template=template)


@pytest.fixture
def packs(vault: TestVault) -> Iterator[SessionPacks]:
    writable = vault.writable()
    yield SessionPacks(writable, writable.objects, SessionId(bytes(16)), Secret(bytes(32)))


def store(packs: SessionPacks, *made: WrittenPack) -> None:
    for pack in made:
        packs.add(pack)
        packs.stored(pack.pack_id)


def bodies(vault: TestVault) -> dict[IndexId, IndexBody]:
    objects = vault.closed().objects
    return {
        IndexId(item.hash): objects.load(item.name, IndexBody).body
        for item in objects.list(frames.KIND_INDEX)
    }


def wait(vault: TestVault, seconds: float) -> None:
    assert isinstance(vault.machine.clock, ManualClock)
    vault.machine.clock.advance(seconds)


def test_the_final_index_object_replaces_the_checkpoints(
    vault: TestVault, packs: SessionPacks
) -> None:
    made = [fake_pack(body) for body in (b"one", b"two", b"three")]
    for pack in made:
        store(packs, pack)
        wait(vault, 301)
        packs.checkpoint()
    assert len(bodies(vault)) == 3
    last = fake_pack(b"four")
    store(packs, last)

    packs.finish()

    found = bodies(vault)
    view = combine(found)
    assert len(found) == 4
    assert len(view.replaced) == 3
    assert set(view.present) == {pack.pack_id for pack in (*made, last)}


def test_a_checkpoint_waits_until_it_is_worth_it(vault: TestVault, packs: SessionPacks) -> None:
    store(packs, fake_pack(b"x" * 1000))
    packs.checkpoint()
    assert not bodies(vault)

    wait(vault, 301)
    packs.checkpoint()
    assert len(bodies(vault)) == 1

    store(packs, fake_pack(b"x" * 100))
    wait(vault, 301)
    packs.checkpoint()
    assert len(bodies(vault)) == 1


def test_only_packs_that_are_stored_are_listed_and_indexed(
    vault: TestVault, packs: SessionPacks
) -> None:
    first, second, third = (fake_pack(body) for body in (b"one", b"two", b"three"))
    packs.add(first)
    packs.add(second)
    packs.add(third)
    packs.stored(first.pack_id)
    packs.stored(third.pack_id)

    packs.finish()

    (body,) = bodies(vault).values()
    assert body.pack_ids == (first.pack_id,)
    packs.stored(second.pack_id)
    packs.finish()
    view = combine(bodies(vault))
    assert view.present.keys() == {first.pack_id, second.pack_id, third.pack_id}
    objects = vault.closed().objects
    lists = [objects.load(item.name, Packlist).body for item in objects.list(frames.KIND_PACKLIST)]
    ordered = sorted(lists, key=lambda item: item.first_position)
    assert [(item.first_position, item.pack_ids) for item in ordered] == [
        (0, (first.pack_id,)),
        (1, (second.pack_id, third.pack_id)),
    ]


def test_index_objects_keep_the_limit_of_the_vault(vault: TestVault, packs: SessionPacks) -> None:
    many = []
    for number in range(4):
        rows = b"".join(
            (number * 1000 + row).to_bytes(20, "big") + bytes(8) + bytes(4) + b"\0\0\0\1"
            for row in range(700)
        )
        many.append(replace(fake_pack(b"%d" % number), index_table=rows))
    store(packs, *many)

    packs.finish()

    objects = vault.closed().objects
    listed = objects.list(frames.KIND_INDEX)
    assert len(listed) > 1
    assert all(item.size_bytes <= 64 << 10 for item in listed)
    assert len(combine(bodies(vault)).present) == 4


def test_joined_rows_are_those_that_the_format_builds() -> None:
    made = [fake_pack(body) for body in (b"one", b"two", b"three")]

    parts = index_parts(made)

    expected = build_parts(
        [PackSegments(pack.first_offset, pack.segments) for pack in made],
        [
            IndexRow(pack.index_table[:20], number, 0, 0, pack.stored_bytes)
            for number, pack in enumerate(made)
        ],
    )
    assert (parts.presence, parts.positions) == expected
