"""What if one object of a vault is not what was stored? Every object, every byte, and worse.

In the vault of ``doubles.scenario``: verify and its blind twin exit with 20 and name the damaged
object and the points that it touches, and every other point restores as always. The commands are
whole ones, from their words to their exit codes, each on a machine that has never seen the vault.
"""

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from doubles.damaged_vault import Changes, DamagedVault, kind_of
from doubles.memo import remembering
from doubles.reach import unreferenced
from doubles.scenario import build_scenario
from holdfast.base.clock import SystemClock
from holdfast.base.ids import PackId, PointId
from holdfast.base.secrets import Secret
from holdfast.crypto.signatures import sign as crypto_sign
from holdfast.crypto.signatures import signing_public_key
from holdfast.format import frames, names
from holdfast.format.errors import FormatError
from holdfast.format.session import Packlist, Session
from holdfast.format.tables import Body
from holdfast.format.writer import WriterCertificate
from holdfast.vault.errors import DamagedObjectError
from holdfast.vault.inventory_reading import read_inventory
from holdfast.vault.objects import ObjectStore, parse
from holdfast.vault.pack_looks import PackLook
from holdfast.vault.relations import Relations

pytestmark = pytest.mark.slow

FRAME_FIELDS = (0, 8, 9, 10, 15, 19, 27, 31)
"""Magic, kind, version, zero, the last bytes of the three lengths, zero."""
DAMAGE_FOUND = 20
SHARES = 64


@pytest.fixture(scope="module", autouse=True)
def _remembering() -> Iterator[None]:
    """Compute for each twin only what its damage changes."""
    with remembering():
        yield


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> DamagedVault:
    scenario = build_scenario(tmp_path_factory.mktemp("scenario"))
    return DamagedVault(scenario, tmp_path_factory.mktemp("machines"))


def _check_commands(vault: DamagedVault, changes: Changes, *named: str) -> frozenset[PointId]:
    """See that verify and its blind twin name what is damaged, and both the same points.

    Returns the points that both say are touched.
    """
    seeing, blind = vault.verify(changes), vault.verify_blind(changes)
    assert (seeing.code, blind.code) == (DAMAGE_FOUND, DAMAGE_FOUND)
    for name in named:
        assert name in seeing.points, f"verify names {sorted(seeing.points)}"
        assert name in blind.points, f"verify --blind names {sorted(blind.points)}"
        assert seeing.points[name] == blind.points[name]
    return seeing.touched & blind.touched


def _check_restores(vault: DamagedVault, changes: Changes) -> int:
    """Restore every point that no damage touches; return how many there are."""
    untouched = vault.scenario.contents.keys() - vault.verify(changes).touched
    for point in sorted(untouched):
        assert vault.restore(changes, point) == vault.scenario.contents[point]
    return len(untouched)


# --- one bit --------------------------------------------------------------------------------------


def test_no_bit_of_any_object_can_turn_over_unnoticed(vault: DamagedVault) -> None:
    """Every byte of every object: what all commands read objects by refuses it."""
    backend = _OneObject()
    objects = ObjectStore(backend, vault.scenario.desk.closed().vault_id, clock=SystemClock())
    for name, data in sorted(vault.objects.items()):
        if kind_of(name) == frames.KIND_PACK:
            continue
        for position in range(len(data)):
            backend.data = vault.flipped(name, position)
            if kind_of(name) in (frames.KIND_MARKER, frames.KIND_LEASE):
                # Their names hold no hash: they end with one.
                with pytest.raises(FormatError):
                    frames.parse_hash_ended(kind_of(name), backend.data)
            else:
                with pytest.raises(DamagedObjectError, match=name):
                    objects.get(name)


def test_no_bit_of_any_pack_can_turn_over_unnoticed(vault: DamagedVault) -> None:
    """Every byte of every pack, padding included: the look of verify and its blind twin."""
    closed = vault.scenario.desk.closed()
    look = PackLook(closed.objects, Relations(read_inventory(closed.objects)))
    for name in sorted(vault.of_kind(frames.KIND_PACK)):
        pack_id = PackId(bytes.fromhex(name.rpartition("/")[2]))
        assert not list(look.findings(pack_id, memoryview(vault.objects[name])))
        for position in range(len(vault.objects[name])):
            first = next(iter(look.findings(pack_id, memoryview(vault.flipped(name, position)))))
            assert first.name == name


class _OneObject:
    """A storage that answers every read with the same bytes."""

    data = b""

    def get(self, name: str, *, most_bytes: int | None = None) -> bytes:
        del name, most_bytes
        return self.data

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


def _telling_positions(data: bytes) -> Iterator[int]:
    """Yield the fields of the frame, begin, middle and end of each part, and some by chance."""
    yield from FRAME_FIELDS
    yield 32
    yield len(data) // 2
    yield len(data) - 1
    if data[8] == frames.KIND_PACK:
        yield from (64, 99, 100, 1268)
    else:
        body = int.from_bytes(data[12:16], "big")
        signatures = int.from_bytes(data[16:20], "big")
        yield from (32 + body - 1, 32 + body // 2)
        if signatures:
            yield from (32 + body, 32 + body + 33)
    yield from random.Random(len(data)).sample(range(len(data)), 2)


@dataclass
class Flips:
    """Turns one bit over after the other, and counts what the whole commands made of it."""

    vault: DamagedVault
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    touched: dict[str, frozenset[PointId]] = field(default_factory=dict)
    """What the first bit of each object touched: every other one has to touch the same."""

    def check(self, name: str, position: int) -> None:
        """Both verifies, then a restore of one of the points that are not touched, by turns."""
        changes = {name: self.vault.flipped(name, position)}
        contents = self.vault.scenario.contents
        self.counts["bits turned over"] += 1
        self.counts["commands"] += 2
        touched = _check_commands(self.vault, changes, name)
        assert touched == self.touched.setdefault(name, touched)
        untouched = sorted(contents.keys() - touched)
        if not untouched:
            self.counts["bits that touch every restore point"] += 1
            return
        point = untouched[self.counts["restores"] % len(untouched)]
        self.counts["commands"] += 1
        self.counts["restores"] += 1
        assert self.vault.restore(changes, point) == contents[point]

    def check_all(self, positions: Callable[[bytes], Iterable[int]]) -> None:
        """Check *positions* of every object; what does not hold is in the failures."""
        begun = time.process_time()
        for name, data in sorted(self.vault.objects.items()):
            for position in positions(data):
                try:
                    self.check(name, position)
                except Exception as error:  # noqa: BLE001 - the other bits are looked at too
                    self.failures.append(f"{name}, byte {position}: {repr(error)[:500]}")
        self.counts["failures"] = len(self.failures)
        self.counts["seconds of processor time"] += round(time.process_time() - begun, 3)


def test_both_verifies_name_an_object_with_one_bit_turned_over_and_untouched_points_restore(
    vault: DamagedVault,
) -> None:
    flips = Flips(vault)

    flips.check_all(lambda data: sorted({at for at in _telling_positions(data) if at < len(data)}))

    assert not flips.failures
    assert flips.counts["restores"] > len(vault.objects)


@pytest.mark.campaign
@pytest.mark.parametrize("share", range(SHARES))
def test_the_whole_commands_with_a_bit_of_every_byte(
    vault: DamagedVault, share: int, record_property: Callable[[str, object], None]
) -> None:
    """``make flips``: about two hours of processor time, in shares for several processes."""
    flips = Flips(vault)

    flips.check_all(lambda data: range(share, len(data), SHARES))

    record_property("figures", dict(flips.counts))
    assert not flips.failures


def test_points_that_no_flip_touches_restore_as_always(vault: DamagedVault) -> None:
    restored = 0
    for name, data in sorted(vault.objects.items()):
        restored += _check_restores(vault, {name: vault.flipped(name, len(data) // 2)})
    assert restored > len(vault.objects)


# --- more than a bit ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["truncated", "halved", "cut to its frame", "emptied", "longer"])
def test_an_object_of_another_length_is_named(vault: DamagedVault, how: str) -> None:
    for name, data in sorted(vault.objects.items()):
        changed = {
            "truncated": data[:-1],
            "halved": data[: len(data) // 2],
            "cut to its frame": data[:32],
            "emptied": b"",
            "longer": data + b"\0",
        }[how]
        _check_commands(vault, {name: changed}, name)


def test_two_objects_of_one_kind_that_changed_places_are_named(vault: DamagedVault) -> None:
    for kind in range(1, 14):
        of_kind = sorted(vault.of_kind(kind))
        for first, second in itertools.pairwise(of_kind):
            changes = {first: vault.objects[second], second: vault.objects[first]}
            _check_commands(vault, changes, first, second)
            _check_restores(vault, changes)


def test_two_objects_of_different_kinds_that_changed_places_are_named(vault: DamagedVault) -> None:
    kinds = sorted({kind_of(name) for name in vault.objects})
    firsts = [min(vault.of_kind(kind)) for kind in kinds]
    for first, second in itertools.pairwise(firsts):
        changes = {first: vault.objects[second], second: vault.objects[first]}
        _check_commands(vault, changes, first, second)


def test_a_missing_object_is_named(vault: DamagedVault) -> None:
    """All that counts; left-overs for gc, leases, and ways in that were removed may be missing."""
    closed = vault.scenario.desk.closed()
    current = {slot.slot_hash.hex() for slot in closed.chain.current.body.slots}
    may_go = set(unreferenced(vault.objects))
    may_go |= {name for name in vault.of_kind(frames.KIND_SLOT) if name[-64:] not in current}
    may_go |= {*vault.of_kind(frames.KIND_LEASE), *vault.of_kind(frames.KIND_TOMBSTONE)}
    unnamed = set()
    for name in sorted(vault.objects.keys() - may_go):
        for verdict in (vault.verify({name: None}), vault.verify_blind({name: None})):
            assert verdict.code == DAMAGE_FOUND
            if not any(_names(said, name) for said in verdict.points):
                unnamed.add(name)
        _check_restores(vault, {name: None})
    assert not unnamed


def _names(said: str, name: str) -> bool:
    """Tell whether a report names an object, or what stands for one whose hash nobody knows.

    For any object that is its folder; for a forget, the point that nobody forgot now.
    """
    if "/forgets/" in name:
        return "/points/" in said
    return said == name or (said.endswith("/") and name.startswith(said))


def test_what_nobody_can_have_put_there_is_named(vault: DamagedVault) -> None:
    vault_id = vault.scenario.desk.closed().vault_id
    folder = f"vaults/{vault_id.hex()}"
    garbage = random.Random(1).randbytes(500)
    objects = sorted(vault.objects)
    strangers = {
        "notes": b"hello",
        f"{folder}/notes": b"hello",
        f"{folder}/points/abc": b"hello",
        f"{folder}/packs/zz/{'0' * 64}": b"hello",
        f"{folder}/keys/007-{'0' * 64}": b"hello",
        "vaults/nonsense": b"hello",
    }
    for kind in range(1, 14):
        of_kind = [name for name in objects if kind_of(name) == kind]
        if kind in (frames.KIND_VAULT, frames.KIND_LEASE):
            continue
        like = of_kind[0]
        for data in (garbage, b"", vault.objects[like] + b"\0", _headed(garbage, kind)):
            strangers[_renamed(like, frames.object_hash(data))] = data
        strangers[_renamed(like, bytes(32))] = vault.objects[like]
    for name, data in strangers.items():
        _check_commands(vault, {name: data}, name)
        desk = vault.twin({name: data})
        for point, wanted in vault.scenario.contents.items():
            assert desk.restore(point, vault.folder / "target") == wanted, name


def _renamed(name: str, object_hash: bytes) -> str:
    """Return the name of another object of the same kind in the same place."""
    new = object_hash.hex()
    if "/packs/" in name:
        return f"{name.partition('/packs/')[0]}/packs/{new[:2]}/{new}"
    return name[:-64] + new


def _headed(garbage: bytes, kind: int) -> bytes:
    """Return garbage in a frame that fits."""
    frame = b"HOLDFAST" + bytes([kind, 0, 0, 0]) + len(garbage).to_bytes(4, "big") + bytes(16)
    return frame + garbage


def test_a_valid_object_in_the_folder_of_another_session_is_named(vault: DamagedVault) -> None:
    for kind in (frames.KIND_SESSION, frames.KIND_PACKLIST):
        first, second, *_ = sorted(vault.of_kind(kind))
        moved = f"{first.rpartition('/')[0]}/{second.rpartition('/')[2]}"
        _check_commands(vault, {moved: vault.objects[second]}, moved)


def test_a_forged_object_is_named_also_beside_a_certificate_of_a_change_that_does_not_stand(
    vault: DamagedVault,
) -> None:
    """Left-overs of a half rotation excuse nothing that their writer did not sign."""
    chain = vault.scenario.desk.closed().chain
    forger = Secret(b"f" * 32)

    def sign(message: bytes) -> list[tuple[bytes, bytes]]:
        return [(signing_public_key(forger), crypto_sign(forger, message))]

    def forged(name: str, body: Body) -> tuple[str, bytes]:
        data = frames.build(kind_of(name), body.to_body(), sign=sign, vault_id=chain.vault_id)
        return _renamed(name, frames.object_hash(data)), data

    session_name = min(vault.of_kind(frames.KIND_SESSION))
    session = parse(session_name, vault.objects[session_name], Session).body
    certificate_name = names.writer_name(chain.vault_id, session.certificate_hash)
    certificate = parse(certificate_name, vault.objects[certificate_name], WriterCertificate).body
    left_over, left_data = forged(certificate_name, replace(certificate, epoch=chain.epoch + 1))
    packlist_name = next(
        name for name in vault.of_kind(frames.KIND_PACKLIST) if session.session_id.hex() in name
    )
    packlist = parse(packlist_name, vault.objects[packlist_name], Packlist).body
    false, false_data = forged(packlist_name, replace(packlist, first_position=1000))

    quiet = vault.twin({left_over: left_data})
    assert not quiet.verify().problems
    assert any(left_over in note for note in quiet.verify_blind().notes)
    _check_commands(vault, {left_over: left_data, false: false_data}, false)
