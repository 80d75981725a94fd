"""Forgets that keys from before a rotation signed: what they may drop, and what they may not."""

from pathlib import Path

import pytest

from doubles.rich_vaults import RichVault, make_rich_vault, run_gc
from holdfast.base.ids import PointId
from holdfast.format import frames, names
from holdfast.format.maintenance import Forget, ForgetReason, ForgottenPoint
from holdfast.keys.keyring import authority_seed
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.blind import blind_verify
from holdfast.vault.check import check
from holdfast.vault.check_errors import UpkeepRefusedError
from holdfast.vault.inventory_reading import read_inventory
from holdfast.vault.report import ProblemKind
from holdfast.vault.seen_points import see_points
from holdfast.vault.trust import Authority


@pytest.fixture
def rich(tmp_path: Path) -> RichVault:
    """A vault whose first point was made before its rotation and whose last one after it."""
    return make_rich_vault(MemoryBackend(), tmp_path)


def forget_with_old_keys(rich: RichVault, point: PointId) -> str:
    """Do what somebody does who knows a removed password and writes the storage."""
    body = read_inventory(rich.objects()).points[point]
    item = ForgottenPoint(
        point=point, writer_id=body.writer_id, series_id=body.series_id, counter=body.counter
    )
    forget = Forget(points=(item,), time=body.time, reason=ForgetReason.FORGET, writer_id=None)
    vault_id = rich.vault.vault_id
    old = Authority(authority_seed(rich.ring.root(0), 0))
    data = frames.build(frames.KIND_FORGET, forget.to_body(), sign=old.sign, vault_id=vault_id)
    name = names.forget_name(vault_id, frames.object_hash(data))
    rich.vault.backend.put(name, data)
    return name


def test_a_point_from_after_the_rotation_stays_and_the_forget_is_named(rich: RichVault) -> None:
    newest = rich.points[-1]
    name = forget_with_old_keys(rich, newest)

    run_gc(rich)

    listed = see_points(rich.vault.readable())
    assert newest in {point.id for point in listed.points}
    assert newest not in listed.forgotten
    assert any(name in text for text in listed.damage())
    for report in (check(rich.objects(), rich.ring), blind_verify(rich.objects())):
        assert [(item.name, item.kind) for item in report.problems] == [
            (name, ProblemKind.CONTRADICTION)
        ]


def test_a_point_from_before_the_rotation_is_dropped(rich: RichVault) -> None:
    """What was dropped before it stays dropped, and the vault is as it was."""
    oldest = rich.points[0]
    forget_with_old_keys(rich, oldest)

    run_gc(rich)

    inventory = read_inventory(rich.objects())
    assert set(inventory.points) == set(rich.points[1:])
    assert check(rich.objects(), rich.ring).problems == ()


def test_this_machine_misses_a_point_from_after_the_rotation_all_the_same(rich: RichVault) -> None:
    """It remembers under which keys the newest point of each series was made."""
    newest = rich.points[-1]
    see_points(rich.vault.readable())
    forget_with_old_keys(rich, newest)
    rich.vault.backend.delete(names.point_name(rich.vault.vault_id, newest))
    known = rich.vault.machine.known.find(rich.vault.vault_id)

    listed = see_points(rich.vault.readable())

    assert newest in {head.point for head in listed.gone.values()}
    assert newest in listed.lost
    problems = blind_verify(rich.objects(), known=known).problems
    assert names.point_name(rich.vault.vault_id, newest) in {item.name for item in problems}


def test_a_session_says_under_which_keys_a_point_was_made_that_is_gone(rich: RichVault) -> None:
    """No machine need remember it."""
    newest = rich.points[-1]
    forget_with_old_keys(rich, newest)
    name = names.point_name(rich.vault.vault_id, newest)
    rich.vault.backend.delete(name)

    assert name in {item.name for item in check(rich.objects(), rich.ring).problems}
    with pytest.raises(UpkeepRefusedError):
        run_gc(rich)
    assert newest in see_points(rich.vault.readable(), with_leases=True).lost
