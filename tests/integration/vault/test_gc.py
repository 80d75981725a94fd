"""gc on vaults that were really written: what is left, and what is left when it dies."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.reach import unreferenced
from doubles.rich_vaults import (
    EVERYBODY_IS_DEAD,
    RichVault,
    back_up,
    forget,
    make_rich_vault,
    run_gc,
    write_source,
)
from doubles.storage import (
    WRITES,
    DelayedListingBackend,
    DyingBackend,
    FullBackend,
    Kind,
    PowerCut,
    T,
    WrappedBackend,
)
from holdfast.base.ids import PackId, SessionId
from holdfast.format import frames, names
from holdfast.format.index_body import IndexBody
from holdfast.format.session import Packlist
from holdfast.storage.errors import StorageFullError
from holdfast.storage.interface import Bytes, StorageBackend, as_parts
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.check import check
from holdfast.vault.check_errors import UpkeepRefusedError
from holdfast.vault.errors import DAMAGED_TOMBSTONE_HINT, DamagedObjectError
from holdfast.vault.gc import GcResult, Patience, plan_gc
from holdfast.vault.inventory_reading import read_inventory
from holdfast.vault.leases import LeaseKeeper
from holdfast.vault.objects import parse
from holdfast.vault.report import ProblemKind
from holdfast.vault.verify import verify

READER = SessionId(b"reader".ljust(16, b"."))


@pytest.fixture
def rich(tmp_path: Path) -> RichVault:
    return make_rich_vault(MemoryBackend(), tmp_path)


def stored(rich: RichVault) -> dict[str, int]:
    return {item.name: item.size_bytes for item in rich.vault.backend.list("")}


def check_clean(rich: RichVault) -> None:
    """All points are whole, and nothing is there that none of them needs."""
    report = verify(rich.objects(), rich.ring, random=rich.vault.machine.random)
    structure = check(rich.objects(), rich.ring)

    assert (report.problems, structure.problems) == ((), ())
    assert report.counts["garbage"] == 0
    assert report.counts["points"] == len(rich.points)
    inventory = read_inventory(rich.objects())
    assert inventory.replaced().isdisjoint(inventory.indexes)
    assert inventory.packlists.keys() <= inventory.sessions.keys()
    assert inventory.leases.keys() <= inventory.sessions.keys()
    assert unreferenced({name: rich.vault.backend.get(name) for name in stored(rich)}) == {}


def die_in_backup(rich: RichVault, folder: Path) -> None:
    """Cut the power after a session has put its first pack and before it lists it."""
    write_source(folder / "home", 9, files=8)
    dying = DyingBackend(rich.vault.backend, dies_before=4, kinds={"put"})
    with pytest.raises(PowerCut):
        back_up(rich.vault.on(dying), folder / "home", "home")


def test_gc_leaves_what_points_need_and_nothing_else(rich: RichVault) -> None:
    plan = plan_gc(rich.objects(), patience=EVERYBODY_IS_DEAD)
    before = sum(stored(rich).values())
    result = run_gc(rich)

    check_clean(rich)
    assert (result.refs, result.packs, result.pack_bytes) == (1, plan.packs, plan.pack_bytes)
    assert result.packs > 0
    assert sum(stored(rich).values()) < before


def test_a_second_gc_finds_nothing_to_do(rich: RichVault) -> None:
    run_gc(rich)
    before = stored(rich)
    result = run_gc(rich)

    assert result == GcResult()
    assert stored(rich) == before
    assert plan_gc(rich.objects(), patience=EVERYBODY_IS_DEAD).is_empty


def test_everything_forgotten_leaves_the_keys_and_the_forgets(rich: RichVault) -> None:
    forget(rich.vault, *rich.points)
    run_gc(rich)

    kinds = {parsed.kind for name in stored(rich) if (parsed := names.parse_name(name))}
    assert kinds == {
        frames.KIND_MARKER,
        frames.KIND_VAULT,
        frames.KIND_STATEMENT,
        frames.KIND_SLOT,
        frames.KIND_WRITER,
        frames.KIND_FORGET,
    }


def test_a_backup_after_gc_reuses_what_is_left_and_is_whole(
    rich: RichVault, tmp_path: Path
) -> None:
    run_gc(rich)
    write_source(tmp_path / "home", 7, files=2)
    point = back_up(rich.vault, tmp_path / "home", "home")
    more = RichVault(rich.vault, (*rich.points, point), rich.folder, rich.ring)

    run_gc(more)
    check_clean(more)


@pytest.mark.parametrize("left", ["of everything", "by a killed backup"])
def test_gc_cut_off_before_any_write_loses_nothing_and_the_next_one_finishes(
    rich: RichVault, tmp_path: Path, left: str
) -> None:
    """Cuts before reads too are one of the crash tests.

    What a killed backup left is all there is to clear the second time, so that nothing else tells
    the next gc that there is work.
    """
    if left == "by a killed backup":
        run_gc(rich)
        die_in_backup(rich, tmp_path)
    objects = {name: rich.vault.backend.get(name) for name in stored(rich)}
    counting = DyingBackend(rich.vault.backend, kinds=WRITES)
    run_gc(rich, counting)
    assert counting.calls > 5
    for dies_before in range(1, counting.calls + 1):
        backend = MemoryBackend()
        for name, data in objects.items():
            backend.put(name, data)
        again = RichVault(rich.vault.on(backend), rich.points, rich.folder, rich.ring)
        with pytest.raises(PowerCut):
            run_gc(again, DyingBackend(backend, dies_before=dies_before, kinds=WRITES))
        report = verify(again.objects(), again.ring, random=rich.vault.machine.random)
        assert report.problems == ()
        assert report.counts["points"] == len(rich.points)
        if not plan_gc(again.objects(), patience=EVERYBODY_IS_DEAD).is_empty:
            run_gc(again)
        check_clean(again)


@pytest.mark.parametrize("free_bytes", [0, 600, 1200])
def test_gc_that_finds_no_room_says_so_and_takes_none(rich: RichVault, free_bytes: int) -> None:
    """Or each try would leave a tombstone, and the next one had less room."""
    full = FullBackend(rich.vault.backend, sum(stored(rich).values()) + free_bytes)
    before = stored(rich)

    for _ in range(2):
        with pytest.raises(StorageFullError):
            run_gc(rich, full)
        assert stored(rich).keys() <= before.keys()

    full.capacity_bytes *= 2
    run_gc(rich, full)
    check_clean(rich)


def test_packs_go_though_there_is_no_room_for_what_stands_in_for_their_index_objects(
    rich: RichVault,
) -> None:
    """Drops alone are small, and the packs that go make room for the rest."""

    class FullUntilPacksGo(WrappedBackend):
        """Takes no index object that replaces others before a pack is gone."""

        refused = 0
        is_full = True

        def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
            if kind == "delete" and "/packs/" in name:
                self.is_full = False
            return act()

        def put(self, name: str, data: Bytes | Sequence[Bytes]) -> bool:
            parsed = names.parse_name(name)
            if self.is_full and parsed is not None and parsed.kind == frames.KIND_INDEX:
                whole = b"".join(as_parts(data))
                body = parse(name, whole, IndexBody).body
                if body.replaces:
                    self.refused += 1
                    raise StorageFullError("There is no room.")
            return super().put(name, data)

    full = FullUntilPacksGo(rich.vault.backend)

    run_gc(rich, full)

    assert full.refused
    assert not full.is_full
    check_clean(rich)


def test_a_session_that_looks_alive_keeps_its_packs(rich: RichVault, tmp_path: Path) -> None:
    die_in_backup(rich, tmp_path)
    run_gc(rich, patience=Patience())
    plan = plan_gc(rich.objects())

    assert plan.spared_packs > 0
    assert plan.spared_bytes > 0
    assert len(plan.spared_sessions) == 1


def test_a_silent_session_is_collected_by_a_patient_gc(rich: RichVault, tmp_path: Path) -> None:
    die_in_backup(rich, tmp_path)
    result = run_gc(rich, patience=Patience(patience_seconds=180))

    assert result.spared_sessions == ()
    assert result.waited_seconds == 180
    check_clean(rich)


def test_a_session_known_to_be_dead_is_collected_at_once(rich: RichVault, tmp_path: Path) -> None:
    folders = rich.vault.machine.folders
    die_in_backup(rich, tmp_path)

    def is_dead(session_id: SessionId) -> bool:
        return folders.is_alive(rich.vault.vault_id, session_id) is not True

    result = run_gc(rich, patience=Patience(is_dead=is_dead))

    assert result.waited_seconds == 0
    check_clean(rich)


def a_reader(rich: RichVault) -> LeaseKeeper:
    """Return the lease of somebody who is about to read the first point."""
    sign = rich.vault.readable().maintainer.sign
    return LeaseKeeper(rich.objects(), READER, writer_id=None, sign=sign, point=rich.points[0])


def test_what_somebody_reads_stays_until_the_reading_ends(rich: RichVault) -> None:
    """Also after the point was forgotten: a restore that runs for hours comes to its end."""
    run_gc(rich)
    lease = a_reader(rich)
    lease.begin()
    forget(rich.vault, rich.points[0])
    plan = plan_gc(rich.objects())
    meanwhile = run_gc(rich, patience=Patience())
    lease.end(None)
    afterwards = run_gc(rich)

    assert (plan.refs, plan.packs, plan.spared_sessions) == (0, 0, (READER,))
    assert (meanwhile.refs, meanwhile.packs, meanwhile.spared_sessions) == (0, 0, (READER,))
    assert afterwards.refs == 1
    assert afterwards.packs > 0
    check_clean(replace(rich, points=rich.points[1:]))


def test_whoever_begins_to_read_while_a_patient_gc_waits_is_seen(
    rich: RichVault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the point is forgotten after that, while the gc still waits."""
    die_in_backup(rich, tmp_path)
    clock = rich.vault.machine.clock
    lease = a_reader(rich)

    def meanwhile(seconds: float) -> None:
        monkeypatch.undo()
        lease.begin()
        forget(rich.vault, rich.points[0])
        clock.sleep(seconds)

    refs = read_inventory(rich.objects()).points[rich.points[0]].refs_hash
    monkeypatch.setattr(clock, "sleep", meanwhile)
    run_gc(rich, patience=Patience(patience_seconds=180))

    assert names.refs_name(rich.vault.vault_id, refs) in stored(rich)


def test_a_writer_that_calls_itself_a_reader_keeps_nothing(rich: RichVault) -> None:
    """Its key may be stolen, and readers sign with the authority."""
    run_gc(rich)
    writable = rich.vault.writable()
    lease = LeaseKeeper(
        rich.objects(),
        READER,
        writer_id=writable.writer_id,
        sign=writable.ring.sign,
        point=rich.points[0],
    )
    lease.begin()
    forget(rich.vault, rich.points[0])

    assert run_gc(rich, patience=Patience()).refs == 1


def test_a_reader_of_what_is_there_keeps_nothing_else(rich: RichVault) -> None:
    lease = a_reader(rich)
    lease.begin()

    assert run_gc(rich, patience=Patience()).packs > 0


def test_listings_that_are_behind_are_waited_for(tmp_path: Path) -> None:
    backend = MemoryBackend()
    rich = make_rich_vault(backend, tmp_path)
    clock = rich.vault.machine.clock
    assert isinstance(clock, ManualClock)
    delayed = DelayedListingBackend(backend, clock, 5.0)
    rich = RichVault(rich.vault.on(delayed), rich.points, rich.folder, rich.ring)
    set_listing_delay(backend, 5000)
    result = run_gc(rich)
    clock.sleep(60)

    assert result.waited_seconds > 0
    check_clean(rich)


def set_listing_delay(backend: MemoryBackend, milliseconds: int) -> None:
    """Write the marker anew, as ``init`` would have done on such a storage."""
    marker = frames.parse_hash_ended(frames.KIND_MARKER, backend.get(names.MARKER_NAME))
    body = {**marker.body, 3: milliseconds}
    backend.delete(names.MARKER_NAME)
    backend.put(names.MARKER_NAME, frames.build_hash_ended(frames.KIND_MARKER, body))


@pytest.mark.parametrize("pause", range(1, 10))
def test_two_gcs_at_once_end_without_error_and_lose_nothing(rich: RichVault, pause: int) -> None:
    """The second runs from end to end while the first one is at one of its calls."""
    backend = MeetingBackend(rich.vault.backend, at_put=pause, do=lambda: run_gc(rich))
    run_gc(rich, backend)
    assert backend.has_met or pause > backend.puts

    run_gc(rich)
    check_clean(rich)


class MeetingBackend(WrappedBackend):
    """Lets somebody else work before the n-th put or delete."""

    def __init__(self, inner: StorageBackend, at_put: int, do: Callable[[], object]) -> None:
        super().__init__(inner)
        self._at, self._do = at_put, do
        self.puts = 0
        self.has_met = False

    def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
        if kind in WRITES:
            self.puts += 1
            if self.puts == self._at:
                self.has_met = True
                self._do()
        return super()._call(kind, name, act)


def test_damage_in_what_decides_is_refused_and_nothing_is_deleted(rich: RichVault) -> None:
    backend = rich.vault.backend
    refs = next(name for name in stored(rich) if "/refs/" in name)
    data = bytearray(backend.get(refs))
    data[40] ^= 1
    backend.delete(refs)
    backend.put(refs, bytes(data))
    before = stored(rich)

    with pytest.raises(UpkeepRefusedError, match="nobody can say what is needed"):
        run_gc(rich)
    assert stored(rich) == before


def test_a_tombstone_that_rotted_stops_writers_and_gc_until_it_is_taken_away(
    rich: RichVault, tmp_path: Path
) -> None:
    backend = rich.vault.backend
    name = next(name for name in stored(rich) if "/tombstones/" in name)
    data = backend.get(name)
    backend.delete(name)
    backend.put(name, data[:-1] + b"?")
    write_source(tmp_path / "more", 9)

    with pytest.raises(DamagedObjectError) as refused:
        back_up(rich.vault, tmp_path / "more", "more")
    assert refused.value.hint == DAMAGED_TOMBSTONE_HINT
    with pytest.raises(UpkeepRefusedError) as also:
        run_gc(rich)
    assert also.value.hint == DAMAGED_TOMBSTONE_HINT

    backend.delete(name)
    point = back_up(rich.vault, tmp_path / "more", "more")
    more = RichVault(rich.vault, (*rich.points, point), rich.folder, rich.ring)
    run_gc(more)
    check_clean(more)


def test_what_a_session_puts_after_it_was_collected_is_collected_too(
    rich: RichVault, tmp_path: Path
) -> None:
    """Its packs, packlist, index object and refs arrive when its session is long gone."""
    late = sleeper(rich, tmp_path)
    run_gc(rich)
    for name, data in late.items():
        rich.vault.backend.put(name, data)
    report = verify(rich.objects(), rich.ring, random=rich.vault.machine.random)
    result = run_gc(rich)

    assert report.problems == ()
    assert (result.refs, result.packlists, result.leases) == (1, 1, 1)
    check_clean(rich)


def sleeper(rich: RichVault, folder: Path) -> dict[str, bytes]:
    """Return what a session puts when it wakes up; until then there is nothing but its session."""
    write_source(folder / "home", 9, files=8)
    before = stored(rich)
    back_up(rich.vault, folder / "home", "asleep")
    put = stored(rich).keys() - before
    late = {name: rich.vault.backend.get(name) for name in put}
    for name in put:
        if "/sessions/" not in name:
            rich.vault.backend.delete(name)
    return {
        name: data
        for name, data in late.items()
        if "/sessions/" not in name and "/points/" not in name and not name.endswith("/1")
    }


def put_packlist(rich: RichVault, body: Packlist) -> str:
    """Store a packlist that this machine's writer signs."""
    vault = rich.vault.writable()
    data = frames.build(
        frames.KIND_PACKLIST, body.to_body(), sign=vault.ring.sign, vault_id=vault.vault_id
    )
    name = names.packlist_name(vault.vault_id, body.session_id, frames.object_hash(data))
    rich.vault.backend.put(name, data)
    return name


def some_packlist(rich: RichVault) -> tuple[str, Packlist]:
    """Return the packlist of a session that has packs that points need."""
    inventory = read_inventory(rich.objects())
    needed = {session for point in inventory.points.values() for session in point.sessions}
    name, body = min(
        (item for session in needed for item in inventory.packlists[session]),
        key=lambda item: -len(item.body.pack_ids),
    )
    return name, body


@pytest.mark.parametrize("what", ["the same position", "a pack of another session"])
def test_a_writer_cannot_have_the_packs_of_others_collected(rich: RichVault, what: str) -> None:
    """Two packlists that its key signed contradict each other: what refs mean is not known."""
    _, body = some_packlist(rich)
    if what == "the same position":
        others = tuple(PackId(rich.vault.machine.random.take(32)) for _ in body.pack_ids)
        false = replace(body, pack_ids=others)
    else:
        session = next(
            item
            for key, item in read_inventory(rich.objects()).sessions.items()
            if key != body.session_id and item.body.writer_id == body.writer_id
        )
        false = replace(body, session_id=session.body.session_id, first_position=4000)
    put_packlist(rich, false)
    before = stored(rich)

    with pytest.raises(UpkeepRefusedError, match="contradicts"):
        run_gc(rich)
    with pytest.raises(UpkeepRefusedError, match="contradicts"):
        plan_gc(rich.objects(), patience=EVERYBODY_IS_DEAD)

    assert stored(rich) == before
    kinds = {problem.kind for problem in check(rich.objects(), rich.ring).problems}
    assert ProblemKind.CONTRADICTION in kinds


def test_a_packlist_that_is_missing_before_another_one_is_refused(rich: RichVault) -> None:
    name, body = some_packlist(rich)
    more = PackId(rich.vault.machine.random.take(32))
    rich.vault.backend.delete(name)
    put_packlist(
        rich,
        replace(
            body,
            first_position=1,
            pack_ids=(*body.pack_ids[1:], more),
        ),
    )

    with pytest.raises(UpkeepRefusedError, match="in no packlist"):
        run_gc(rich)


def test_what_gc_merges_of_older_epochs_is_of_the_epoch_of_its_signer(rich: RichVault) -> None:
    """Whoever reads accepts it from the authority of that epoch alone (vault-format.md 3)."""
    before = read_inventory(rich.objects())
    assert before.chain is not None
    vault_id, authority = rich.vault.vault_id, before.chain.authority_keys[1]

    run_gc(rich)

    merged = {
        name: body
        for name, body in read_inventory(rich.objects()).indexes.items()
        if body.session_id is None
    }
    replaced = {before.indexes[name].epoch for body in merged.values() for name in body.replaces}
    assert 0 in replaced
    for index_id, body in merged.items():
        name = names.index_name(vault_id, body.group_id, index_id)
        (signature,) = rich.objects().load(name, IndexBody).stored.signatures
        assert (body.epoch, signature.public_key) == (1, authority)
    check_clean(rich)


def test_gc_waits_as_long_as_the_storage_says_though_the_marker_says_less(
    rich: RichVault,
) -> None:
    """A repository that was copied to slower storage keeps its marker."""
    clock = rich.vault.machine.clock
    assert isinstance(clock, ManualClock)
    assert read_inventory(rich.objects()).listing_delay_seconds == 0

    result = run_gc(rich, DelayedListingBackend(rich.vault.backend, clock, 5.0))

    assert result.packs > 0
    assert result.waited_seconds >= 20
    clock.advance(60)
    check_clean(rich)
