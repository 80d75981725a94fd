"""Upkeep in the corners: every suite, keys that were half changed, what only this machine knows."""

from dataclasses import replace
from pathlib import Path

import pytest

from doubles.clock import ManualClock
from doubles.rich_vaults import (
    SECOND_PASSWORD,
    RichVault,
    back_up,
    forget,
    make_rich_vault,
    write_source,
)
from doubles.storage import DelayedListingBackend, LyingBackend
from doubles.vaults import SMALL, make_machine, make_vault
from holdfast.crypto.passwords import TEST_PARAMETERS
from holdfast.format import names
from holdfast.keys.changes import Change, WayIn, add_slot, rotate
from holdfast.keys.unlockers import PasswordUnlocker
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.blind import blind_verify
from holdfast.vault.check import check
from holdfast.vault.gc import Patience, apply_gc, plan_gc
from holdfast.vault.report import ProblemKind
from holdfast.vault.verify import verify

PATIENT = Patience(patience_seconds=180)
EVERYBODY_DEAD = Patience(is_dead=lambda _session: True)


@pytest.mark.parametrize("suite", [0, 1, 4, 6])
def test_every_suite_is_checked_verified_and_collected(suite: int, tmp_path: Path) -> None:
    vault = make_vault(
        MemoryBackend(), make_machine(tmp_path / "m"), template=replace(SMALL, suite=suite)
    )
    points = []
    for seed, source in enumerate(("gone", "home", "home")):
        write_source(tmp_path / source, seed, files=9 - 3 * seed)
        points.append(back_up(vault, tmp_path / source, source))
    ring = vault.readable().ring
    rich = RichVault(vault, tuple(points), tmp_path, ring)
    forget(vault, points[0])
    machine = vault.machine
    result = apply_gc(rich.objects(), ring, clock=machine.clock, random=machine.random)
    opened = verify(rich.objects(), ring, random=machine.random)
    structure = check(rich.objects(), ring)

    assert result.packs > 0
    assert (opened.problems, structure.problems) == ((), ())
    assert opened.counts["garbage"] == 0
    pack = next(item.name for item in vault.backend.list("") if "/packs/" in item.name)
    lies = LyingBackend(vault.backend)
    lies.flip(pack, lies.size(pack) // 2)
    damaged = verify(rich.objects(lies), ring, random=machine.random)
    assert [problem.name for problem in damaged.problems] == [pack]


@pytest.fixture
def rich(tmp_path: Path) -> RichVault:
    return make_rich_vault(MemoryBackend(), tmp_path)


def half(rich: RichVault, change: Change) -> list[str]:
    """Store a change of keys without its statement, as one that died; return what was stored."""
    for item in change.objects[:-1]:
        rich.vault.backend.put(item.name, item.data)
    return [item.name for item in change.objects[:-1]]


def half_changes(rich: RichVault) -> list[str]:
    machine, readable = rich.vault.machine, rich.vault.readable()
    certificates = rich.vault.closed().certificates()
    way_in = WayIn(PasswordUnlocker("third"), "", TEST_PARAMETERS)
    clock, random = machine.clock, machine.random
    added = add_slot(readable.chain, readable.ring, way_in, clock=clock, random=random)
    rotated = rotate(readable.chain, readable.ring, certificates, clock=clock, random=random)
    return half(rich, added) + half(rich, rotated)


def test_keys_that_were_half_changed_are_no_damage(rich: RichVault) -> None:
    assert len(half_changes(rich)) == 2
    report = verify(rich.objects(), rich.ring, random=rich.vault.machine.random)

    assert report.problems == ()


def test_a_patient_gc_removes_what_a_half_change_of_keys_left(rich: RichVault) -> None:
    left = half_changes(rich)
    machine = rich.vault.machine
    apply_gc(rich.objects(), rich.ring, clock=machine.clock, random=machine.random)
    assert all(rich.vault.backend.exists(name) for name in left)
    assert plan_gc(rich.objects()).is_empty
    assert plan_gc(rich.objects(), patience=PATIENT).keys == len(left)

    result = apply_gc(
        rich.objects(), rich.ring, clock=machine.clock, random=machine.random, patience=PATIENT
    )
    assert result.keys == len(left)
    assert not any(rich.vault.backend.exists(name) for name in left)
    assert rich.vault.closed().unlock([PasswordUnlocker(SECOND_PASSWORD)])


def test_a_patient_gc_spares_a_way_in_whose_statement_is_not_listed_yet(rich: RichVault) -> None:
    """Its silence may be shorter than the listing delay, and without the slot nobody gets in."""
    machine, readable = rich.vault.machine, rich.vault.readable()
    clock = machine.clock
    assert isinstance(clock, ManualClock)
    apply_gc(rich.objects(), rich.ring, clock=clock, random=machine.random, patience=EVERYBODY_DEAD)
    third = PasswordUnlocker("third")
    change = add_slot(
        readable.chain,
        readable.ring,
        WayIn(third, "", TEST_PARAMETERS),
        clock=clock,
        random=machine.random,
    )
    delayed = DelayedListingBackend(rich.vault.backend, clock, 600.0)
    *slots, statement = change.objects
    for item in slots:
        rich.vault.backend.put(item.name, item.data)
    delayed.put(statement.name, statement.data)

    result = apply_gc(
        rich.objects(delayed), rich.ring, clock=clock, random=machine.random, patience=PATIENT
    )

    assert result.keys == 0
    assert result.waited_seconds >= 1200
    assert rich.vault.closed().unlock([third])


def test_what_this_machine_has_seen_and_what_is_gone_is_missing(rich: RichVault) -> None:
    """The newest point of a series whose session is gone too leaves no other trace."""
    newest = rich.points[-1]
    session = rich.vault.readable()
    known = session.known()
    assert known is not None
    lies = LyingBackend(rich.vault.backend)
    lies.forget(names.point_name(rich.vault.vault_id, newest))
    for item in rich.vault.backend.list(""):
        if "/leases/" in item.name:
            lies.forget(item.name)
    without = blind_verify(rich.objects(lies))
    report = blind_verify(rich.objects(lies), known=known)

    assert without.problems == ()
    assert [problem.kind for problem in report.problems] == [ProblemKind.MISSING]
    assert report.points == (newest,)


def test_without_the_key_statements_everything_else_is_still_read(rich: RichVault) -> None:
    """The vault cannot be opened; damage beside the vault object's is found all the same."""
    vault_name = names.vault_name(rich.vault.vault_id)
    pack = next(item.name for item in rich.vault.backend.list("") if "/packs/" in item.name)
    lies = LyingBackend(rich.vault.backend)
    lies.flip(vault_name, 60)
    lies.flip(pack, 60)
    report = verify(rich.objects(lies), None, random=rich.vault.machine.random)

    assert {problem.name for problem in report.problems} == {vault_name, pack}
    assert report.points == tuple(sorted(rich.points))
    assert not report.contents_opened
