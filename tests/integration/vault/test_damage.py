"""Whatever happens to one object: verify and the blind look name it, and nothing else."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from doubles.rich_vaults import RichVault, make_rich_vault
from doubles.storage import Kind, LyingBackend, T, WrappedBackend
from holdfast.format import frames, names
from holdfast.storage.errors import StorageDeniedError, StorageUnavailableError
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.blind import blind_verify
from holdfast.vault.check import check
from holdfast.vault.inventory_reading import read_inventory
from holdfast.vault.report import ProblemKind, Report
from holdfast.vault.verify import verify

LEASES = frames.KIND_LEASE


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> RichVault:
    folder: Path = tmp_path_factory.mktemp("rich")
    return make_rich_vault(MemoryBackend(), folder)


def all_names(rich: RichVault) -> list[str]:
    return sorted(item.name for item in rich.vault.backend.list(""))


def kind_of(name: str) -> int:
    parsed = names.parse_name(name)
    assert parsed is not None
    return parsed.kind


def both(rich: RichVault, lies: LyingBackend) -> tuple[Report, Report]:
    """Return what verify and the blind look say; the vault was opened before the damage."""
    objects = rich.objects(lies)
    return (
        verify(objects, rich.ring, random=rich.vault.machine.random),
        blind_verify(objects),
    )


def check_all(rich: RichVault, harm: Callable[[LyingBackend, str], None]) -> None:
    """Do *harm* to each object on its own; both looks must name it and nothing else."""
    for name in all_names(rich):
        lies = LyingBackend(rich.vault.backend)
        harm(lies, name)
        for report in both(rich, lies):
            assert [problem.name for problem in report.problems] == [name]


def test_a_whole_vault_has_no_problem(rich: RichVault) -> None:
    lies = LyingBackend(rich.vault.backend)
    opened, blind = both(rich, lies)
    structure = check(rich.objects(), rich.ring)

    assert (opened.problems, blind.problems, structure.problems) == ((), (), ())
    assert opened.packs_read == opened.packs_total > 0
    assert opened.contents_opened
    assert not structure.contents_opened


@pytest.mark.parametrize("where", [0.0, 0.3, 0.7, 1.0])
def test_a_flipped_bit_anywhere_is_found_and_named(rich: RichVault, where: float) -> None:
    def flip(lies: LyingBackend, name: str) -> None:
        lies.flip(name, round(where * (lies.size(name) - 1)), bit=5)

    check_all(rich, flip)


def test_a_truncated_object_is_found_and_named(rich: RichVault) -> None:
    check_all(rich, lambda lies, name: lies.truncate(name, lies.size(name) - 1))


def test_an_emptied_object_is_found_and_named(rich: RichVault) -> None:
    check_all(rich, lambda lies, name: lies.truncate(name, 0))


def test_two_objects_that_changed_places_are_both_named(rich: RichVault) -> None:
    everything = all_names(rich)
    for first, second in pairwise(everything):
        lies = LyingBackend(rich.vault.backend)
        lies.swap(first, second)
        for report in both(rich, lies):
            assert {first, second} <= {problem.name for problem in report.problems}


def test_a_missing_object_is_noticed_unless_it_may_be_gone(rich: RichVault) -> None:
    """Of an object whose hash nothing says, the folder is named that it is missing from."""
    points = read_inventory(rich.objects()).points.values()
    needed = {point.refs_hash for point in points}
    for name in all_names(rich):
        parsed = names.parse_name(name)
        assert parsed is not None
        if parsed.kind in {LEASES, frames.KIND_TOMBSTONE} or (
            parsed.kind == frames.KIND_REFS and parsed.hash not in needed
        ):
            continue
        lies = LyingBackend(rich.vault.backend)
        lies.forget(name)
        for report in both(rich, lies):
            (problem,) = report.problems
            assert problem.kind is ProblemKind.MISSING
            if parsed.kind == frames.KIND_FORGET:
                assert kind_of(problem.name) == frames.KIND_POINT
            else:
                assert name.startswith(problem.name)


def test_an_additional_object_is_found_and_named(rich: RichVault) -> None:
    vault_id = rich.vault.vault_id.hex()
    junk = (
        "stray",
        f"vaults/{vault_id}/stray",
        f"vaults/{vault_id}/packs/00/{'00' * 32}",
        f"vaults/{vault_id}/points/{'11' * 32}",
        f"vaults/{vault_id}/refs/{'22' * 32}",
        f"vaults/{vault_id}/leases/{'33' * 16}/0",
        f"vaults/{vault_id}/keys/9-{'44' * 32}",
        f"vaults/{vault_id}/slots/{'55' * 32}",
    )
    for name in junk:
        lies = LyingBackend(rich.vault.backend)
        lies.replace(name, b"whatever this is")
        for report in both(rich, lies):
            assert [problem.name for problem in report.problems] == [name]


def test_a_whole_object_under_another_name_is_misplaced(rich: RichVault) -> None:
    """Its hash is right, and what it says of itself is not what its name says."""
    for name in all_names(rich):
        parsed = names.parse_name(name)
        assert parsed is not None
        if parsed.session_id is None:
            continue
        copy = name.replace(parsed.session_id.hex(), "ab" * 16)
        lies = LyingBackend(rich.vault.backend)
        lies.replace(copy, rich.vault.backend.get(name))
        for report in both(rich, lies):
            assert [problem.name for problem in report.problems] == [copy]
            assert report.problems[0].kind is ProblemKind.MISPLACED


def test_damage_touches_exactly_the_points_that_need_the_object(rich: RichVault) -> None:
    """Every pack is needed by the points whose refs reach it, and by no other."""
    for name in all_names(rich):
        if kind_of(name) != frames.KIND_PACK:
            continue
        lies = LyingBackend(rich.vault.backend)
        lies.flip(name, 200)
        opened, blind = both(rich, lies)
        structure = check(rich.objects(_without(rich, name)), rich.ring)

        assert opened.points == blind.points
        assert set(opened.points) < set(rich.points)
        assert set(structure.points) == set(opened.points)


def test_a_sample_reads_its_share_of_the_packs_and_at_least_one(rich: RichVault) -> None:
    ring = rich.ring
    random = rich.vault.machine.random
    report = verify(rich.objects(), ring, random=random, sample_percent=1)
    half = verify(rich.objects(), ring, random=random, sample_percent=50)

    assert report.packs_read == 1
    assert half.packs_read == round(half.packs_total / 2)


def _without(rich: RichVault, name: str) -> LyingBackend:
    lies = LyingBackend(rich.vault.backend)
    lies.forget(name)
    return lies


class _BadSector(WrappedBackend):
    """One object can be found and not be read."""

    name = ""
    is_away = False

    def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
        if self.is_away or (name == self.name and kind in ("get", "get_ranges")):
            raise StorageUnavailableError("Input/output error.")
        return act()


def test_a_pack_that_the_drive_cannot_read_any_more_is_named_and_the_rest_verified(
    rich: RichVault,
) -> None:
    backend = _BadSector(rich.vault.backend)
    backend.name = min(item.name for item in backend.list("") if "/packs/" in item.name)
    random = rich.vault.machine.random

    for report in (
        verify(rich.objects(backend), rich.ring, random=random),
        blind_verify(rich.objects(backend)),
    ):
        assert [problem.name for problem in report.problems] == [backend.name]
        assert report.packs_read == report.packs_total

    backend.is_away = True
    with pytest.raises(StorageUnavailableError):
        blind_verify(rich.objects(backend))


class _DeniedObject(WrappedBackend):
    """One object belongs to somebody else."""

    name = ""

    def _call(self, kind: Kind, name: str, act: Callable[[], T]) -> T:
        if name == self.name and kind in ("get", "get_ranges"):
            raise StorageDeniedError("This user may not do that.")
        return act()


def test_a_pack_that_this_user_may_not_read_is_named_and_the_rest_verified(
    rich: RichVault,
) -> None:
    backend = _DeniedObject(rich.vault.backend)
    backend.name = min(item.name for item in backend.list("") if "/packs/" in item.name)

    for report in (
        verify(rich.objects(backend), rich.ring, random=rich.vault.machine.random),
        blind_verify(rich.objects(backend)),
    ):
        ((name, detail),) = [(problem.name, problem.detail) for problem in report.problems]
        assert name == backend.name
        assert "denies it to this user" in detail
        assert report.packs_read == report.packs_total
