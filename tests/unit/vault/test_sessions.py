"""A backup session keeps its order, survives upkeep, and leaves nothing behind."""

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from doubles.storage import (
    WRITES,
    DelayedListingBackend,
    DyingBackend,
    Kind,
    PowerCut,
    T,
    WrappedBackend,
)
from doubles.vaults import (
    SMALL,
    Notes,
    ScriptedRun,
    TestVault,
    fake_pack,
    make_machine,
    make_vault,
    storing,
)
from holdfast.base.errors import SourceError
from holdfast.base.ids import PackId, SessionId
from holdfast.core import Run, Writer, Written
from holdfast.core.python.writer import PythonWriter
from holdfast.core.run_errors import SpoolError
from holdfast.format import frames, names
from holdfast.format.maintenance import Tombstone
from holdfast.format.point import Refs
from holdfast.format.statement import ReuseRule
from holdfast.storage.errors import StorageFullError, StorageUnavailableError
from holdfast.storage.interface import Bytes, StorageBackend
from holdfast.storage.local import LocalBackend
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.errors import SeriesBusyError
from holdfast.vault.forget import apply_forget, plan_forget
from holdfast.vault.point_loading import load_points, load_refs
from holdfast.vault.sessions import FINDING_MISSING


@pytest.fixture
def vault(tmp_path: Path) -> TestVault:
    return make_vault(MemoryBackend(), make_machine(tmp_path))


def kinds(written: list[str]) -> list[int]:
    parsed = [names.parse_name(name) for name in written]
    return [item.kind for item in parsed if item is not None]


class Recorder(WrappedBackend):
    """Notes what is put and listed, in order; may call something before a put."""

    def __init__(self, inner: StorageBackend) -> None:
        super().__init__(inner)
        self.calls: list[tuple[str, str]] = []
        self.before: dict[int, object] = {}

    def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
        self.calls.append((kind, name))
        parsed = names.parse_name(name)
        act_first = self.before.pop(parsed.kind, None) if kind == "put" and parsed else None
        if callable(act_first):
            act_first()
        return act()


def test_everything_a_point_needs_is_stored_before_it_and_looked_at_again(
    vault: TestVault,
) -> None:
    recorder = Recorder(vault.backend)

    vault.on(recorder).backup(storing(b"one", b"two"))

    order = [
        (kind, parsed.kind)
        for kind, name in recorder.calls
        if kind == "put" and (parsed := names.parse_name(name))
    ]
    assert [kind for _, kind in order] == [
        frames.KIND_SESSION,
        frames.KIND_LEASE,
        frames.KIND_PACK,
        frames.KIND_PACK,
        frames.KIND_PACKLIST,
        frames.KIND_INDEX,
        frames.KIND_REFS,
        frames.KIND_POINT,
        frames.KIND_LEASE,
    ]
    texts = [f"{kind} {name.split('/')[2]}" for kind, name in recorder.calls if "/" in name]
    refs, point = texts.index("put refs"), texts.index("put points")
    assert [text for text in texts[refs:point] if text.startswith("list")] == [
        "list tombstones",
        "list quarantine",
        "list sessions",
        "list index",
    ]
    assert texts[point:] == [
        "put points",
        "list tombstones",
        "list quarantine",
        "exists refs",
        "put leases",
    ]


def test_points_of_a_series_follow_each_other_and_open_for_who_reads(vault: TestVault) -> None:
    first = vault.backup(storing(b"one"))
    second = vault.backup(storing(b"two"))
    other = vault.backup(storing(b"three"), source="other")

    listed = load_points(vault.readable())

    assert (first.counter, second.counter, other.counter) == (1, 2, 1)
    assert {point.id for point in listed.points} == {
        first.point_id,
        second.point_id,
        other.point_id,
    }
    point = listed.select("latest", source="home")
    assert point.id == second.point_id
    assert point.body.predecessor == first.point_id
    assert point.opened().host == "here"
    heads = listed.select("latest", source="other").opened().heads
    assert [head.point for head in heads] == [second.point_id]
    assert not listed.problems
    assert all(not series.missing and not series.forks for series in listed.series())


def test_refs_name_the_packs_of_earlier_sessions_by_their_places(vault: TestVault) -> None:
    first = vault.backup(storing(b"one", b"two", b"three"))
    relied_on = [fake_pack(b"two").pack_id]

    second = vault.backup(storing(b"four", needed=relied_on))

    readable = vault.readable()
    point = load_points(readable).select(second.point_id.hex())
    refs: Refs = load_refs(readable, point).body
    runs = {item.session_id: item.runs for item in refs.sessions}
    assert runs == {first.session_id: (1, 1), second.session_id: (0, 1)}


def test_a_pack_that_is_condemned_meanwhile_is_stored_again(vault: TestVault) -> None:
    vault.backup(storing(b"one"))
    condemned = fake_pack(b"one").pack_id
    recorder = Recorder(vault.backend)
    recorder.before[frames.KIND_REFS] = lambda: bury(vault, packs=(condemned,))
    runs = iter(
        [storing(b"two", needed=[condemned]), storing(b"one, sealed again")],
    )

    def start(writer: Writer, state: Path | None, started_ns: int) -> Run[Written]:
        return next(runs)(writer, state, started_ns)

    result = vault.on(recorder).backup(start)

    readable = vault.readable()
    refs = load_refs(readable, load_points(readable).select(result.point_id.hex())).body
    assert [item.runs for item in refs.sessions] == [(1, 1)]
    assert next(runs, None) is None


def test_a_session_that_is_condemned_is_begun_anew(vault: TestVault) -> None:
    recorder = Recorder(vault.backend)

    def bury_session() -> None:
        listed = vault.backend.list(names.sessions_prefix(vault.vault_id))
        (parsed,) = (names.parse_name(item.name) for item in listed)
        assert parsed is not None
        assert parsed.session_id is not None
        bury(vault, sessions=(parsed.session_id,))

    recorder.before[frames.KIND_REFS] = bury_session

    result = vault.on(recorder).backup(storing(b"one"))

    assert len(list(vault.backend.list(names.sessions_prefix(vault.vault_id)))) == 2
    (point,) = load_points(vault.readable()).points
    assert point.body.session_id == result.session_id


def test_refs_that_are_condemned_after_the_point_give_way_to_new_ones(vault: TestVault) -> None:
    """The second point follows the first: two with one counter would be a fork."""
    recorder = Recorder(vault.backend)

    def bury_refs() -> None:
        (item,) = vault.backend.list(names.refs_prefix(vault.vault_id))
        vault.backend.delete(item.name)

    recorder.before[frames.KIND_POINT] = bury_refs

    result = vault.on(recorder).backup(storing(b"one"))

    listed = load_points(vault.readable())
    assert result.counter == 2
    assert [point.id for point in listed.points] == [result.point_id]
    assert [point.body.counter for point in listed.incomplete] == [1]
    assert not listed.series()[0].missing
    assert not listed.series()[0].forks


def bury(
    vault: TestVault,
    packs: tuple[PackId, ...] = (),
    sessions: tuple[SessionId, ...] = (),
) -> None:
    readable = vault.readable()
    body = Tombstone(
        run_id=vault.machine.random.take(16),
        packs=packs,
        refs=(),
        time=0,
        writer_id=None,
        sessions=sessions,
    )
    data = frames.build(
        frames.KIND_TOMBSTONE,
        body.to_body(),
        sign=readable.maintainer.sign,
        vault_id=vault.vault_id,
    )
    vault.backend.put(names.tombstone_name(vault.vault_id, frames.object_hash(data)), data)


def test_a_head_that_is_gone_without_a_forget_is_named_and_the_chain_goes_on(
    vault: TestVault,
) -> None:
    vault.backup(storing(b"one"))
    second = vault.backup(storing(b"two"))
    vault.backend.delete(names.point_name(vault.vault_id, second.point_id))
    notes = Notes()

    third = vault.backup(storing(b"three"), listener=notes)

    assert notes.codes == [FINDING_MISSING]
    assert third.counter == 3
    points = load_points(vault.readable())
    assert points.select(third.point_id.hex()).body.predecessor == second.point_id
    assert points.series()[0].missing == (range(2, 3),)


def test_a_point_that_was_forgotten_is_not_missed(vault: TestVault) -> None:
    vault.backup(storing(b"one"))
    second = vault.backup(storing(b"two"))
    readable = vault.readable()
    apply_forget(readable, plan_forget(load_points(readable), [second.point_id]))
    notes = Notes()

    third = vault.backup(storing(b"three"), listener=notes)

    assert notes.codes == []
    points = load_points(vault.readable())
    assert points.select(third.point_id.hex()).body.counter == 3
    assert points.select(third.point_id.hex()).body.predecessor is None
    assert points.series()[0].missing == ()


def test_the_storage_is_asked_again_and_the_lease_renewed_while_waiting(
    vault: TestVault,
) -> None:
    class Flaky(WrappedBackend):
        failures = 8

        def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
            if kind == "put" and "/packs/" in name and self.failures:
                self.failures -= 1
                raise StorageUnavailableError("The storage is away.")
            return act()

    vault.on(Flaky(vault.backend)).backup(storing(b"one"))

    leases = list(vault.backend.list(names.leases_prefix(vault.vault_id)))
    assert len(leases) >= 3
    assert len(load_points(vault.readable()).points) == 1


@pytest.mark.parametrize("uploads", [0, 3])
def test_nothing_is_left_in_the_spool_folder_however_a_session_ends(
    vault: TestVault, uploads: int
) -> None:
    vault.backup(storing(b"one"), uploads=uploads)
    with pytest.raises(SourceError):
        vault.backup(storing(b"two", fails=SourceError("The source is gone.")), uploads=uploads)
    with pytest.raises(KeyboardInterrupt):
        vault.backup(storing(b"three", fails=KeyboardInterrupt()), uploads=uploads)

    assert not list(vault.machine.folders.cache.rglob("spool/*/*"))
    assert len(load_points(vault.readable()).points) == 1


def test_what_an_interrupted_session_stored_is_indexed_for_the_next_one(
    vault: TestVault,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        vault.backup(storing(b"one", fails=KeyboardInterrupt()))

    result = vault.backup(storing(b"two", needed=[fake_pack(b"one").pack_id]))

    assert len(load_points(vault.readable()).select(result.point_id.hex()).body.sessions) == 2


def no_room(number: int = errno.ENOSPC) -> SpoolError:
    return SpoolError.of(Path("pack-1"), OSError(number, os.strerror(number)))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_packs_that_grow_in_a_full_repository_say_that_it_is_full(
    tmp_path: Path, number: int
) -> None:
    """Where the repository is local; nobody knows of the folder in it in which packs grow."""
    root = tmp_path / "repository"
    root.mkdir()
    backend = LocalBackend(root, clock=ManualClock(), random=CountedRandom())
    vault = make_vault(backend, make_machine(tmp_path))

    with pytest.raises(StorageFullError) as caught:
        vault.backup(storing(b"one", fails=no_room(number)))

    assert caught.value.message == f"The repository at '{root}' has no room left."
    assert "holdfast gc" in (caught.value.hint or "")
    backend.close()


def test_packs_that_grow_in_a_full_cache_do_not_say_that_the_repository_is_full(
    vault: TestVault,
) -> None:
    with pytest.raises(SpoolError, match="'pack-1' cannot be written: No space left"):
        vault.backup(storing(b"one", fails=no_room()))


def test_another_fault_of_the_folder_of_packs_is_not_taken_for_a_full_one(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    backend = LocalBackend(root, clock=ManualClock(), random=CountedRandom())
    vault = make_vault(backend, make_machine(tmp_path))

    with pytest.raises(SpoolError, match="Input/output error"):
        vault.backup(storing(b"one", fails=no_room(errno.EIO)))
    backend.close()


@pytest.mark.parametrize("is_said_by_storage", [False, True])
def test_what_a_session_stored_before_the_disk_was_full_is_indexed_for_the_next_one(
    tmp_path: Path, *, is_said_by_storage: bool
) -> None:
    """The index object finds room because the packs that grew are removed first."""
    root = tmp_path / "repository"
    root.mkdir()

    class FullBackend(LocalBackend):
        """There is room for packs, and for others while no pack grows."""

        def put(self, name: str, data: Bytes | Sequence[Bytes]) -> bool:
            if "/index/" in name and list(root.glob(".spool/*/growing")):
                raise StorageFullError.at(root)
            return super().put(name, data)

    backend = FullBackend(root, clock=ManualClock(), random=CountedRandom())
    vault = make_vault(backend, make_machine(tmp_path))
    error = StorageFullError.at(root) if is_said_by_storage else no_room()

    def start(writer: Writer, state: Path | None, started_ns: int) -> Run[Written]:
        del state, started_ns
        assert isinstance(writer, PythonWriter)
        growing = writer._spool / "growing"
        growing.write_bytes(b"half of it")

        class GrowingRun(ScriptedRun):
            def cancel(self) -> None:
                growing.unlink(missing_ok=True)
                super().cancel()

        return GrowingRun(writer._spool, [b"one"], fails=error)

    with pytest.raises(StorageFullError):
        vault.backup(start)

    result = vault.backup(storing(b"two", needed=[fake_pack(b"one").pack_id]))
    assert len(load_points(vault.readable()).select(result.point_id.hex()).body.sessions) == 2
    backend.close()


def test_two_sessions_of_one_series_on_a_machine_exclude_each_other(vault: TestVault) -> None:
    series_id = vault.writable().ring.series_id("here/home")
    with (
        vault.machine.folders.series_lock(vault.vault_id, series_id),
        pytest.raises(SeriesBusyError),
    ):
        vault.backup(storing(b"one"))


def test_the_state_of_the_last_point_is_kept_for_the_next_session(vault: TestVault) -> None:
    result = vault.backup(storing(b"one"))

    path = vault.machine.folders.tree_state(vault.vault_id, result.series_id)
    assert path.read_bytes() == b"state of one"


def test_by_the_rule_own_nothing_of_another_writer_is_relied_on(tmp_path: Path) -> None:
    vault = make_vault(MemoryBackend(), make_machine(tmp_path / "a"), reuse=ReuseRule.OWN)
    other = vault.add_writer(make_machine(tmp_path / "b"))
    vault.backup(storing(b"one"))
    seen: list[bytes] = []

    def start(writer: Writer, state: Path | None, started_ns: int) -> Run[Written]:
        assert isinstance(writer, PythonWriter)
        seen.append(writer._index.look_up(fake_pack(b"one").index_table[:20]))
        return storing(b"two")(writer, state, started_ns)

    other.backup(start)
    vault.backup(start)

    assert seen[0] == b"\xff" * 8
    assert seen[1] != b"\xff" * 8


def test_a_storage_whose_listings_lag_is_waited_for(tmp_path: Path) -> None:
    """Not yet listed is not gone: nothing is stored twice, and nothing is called missing."""
    machine = make_machine(tmp_path)
    assert isinstance(machine.clock, ManualClock)
    backend = DelayedListingBackend(MemoryBackend(), machine.clock, 5)
    vault = make_vault(backend, machine)
    machine.clock.advance(6)
    notes = Notes()

    first = vault.backup(storing(b"one"), listener=notes)
    second = vault.backup(storing(b"two"), listener=notes)

    machine.clock.advance(6)
    assert notes.codes == []
    assert (first.counter, second.counter) == (1, 2)
    points = load_points(vault.readable())
    assert len(points.points) == 2
    assert len(list(backend.list(names.packs_prefix(vault.vault_id)))) == 2


@pytest.mark.parametrize("suite", [0, 6])
def test_other_suites_make_points_that_open(tmp_path: Path, suite: int) -> None:
    vault = make_vault(
        MemoryBackend(), make_machine(tmp_path), template=replace(SMALL, suite=suite)
    )

    result = vault.backup(storing(b"one"))

    point = load_points(vault.readable()).select(result.point_id.hex())
    assert point.opened().source == "home"


@pytest.mark.parametrize("dies_before", range(1, 10))
def test_a_power_cut_leaves_earlier_points_and_the_same_command_succeeds(
    vault: TestVault, dies_before: int
) -> None:
    first = vault.backup(storing(b"one"))

    with pytest.raises(PowerCut):
        vault.on(DyingBackend(vault.backend, dies_before=dies_before, kinds=WRITES)).backup(
            storing(b"two", b"three")
        )

    before = {point.id for point in load_points(vault.readable()).points}
    assert first.point_id in before
    again = vault.backup(storing(b"two", b"three"))
    listed = load_points(vault.readable())
    assert {first.point_id, again.point_id} <= {point.id for point in listed.points}
    assert not listed.series()[0].forks
