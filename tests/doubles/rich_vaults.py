"""A vault with some of everything, for whoever damages, kills or cleans one."""

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from doubles.vaults import PASSWORD, TestVault, make_machine, make_vault, reading
from holdfast.base.ids import PackId, PointId, WriterId
from holdfast.crypto.passwords import TEST_PARAMETERS
from holdfast.format import frames, names
from holdfast.format.maintenance import Tombstone
from holdfast.keys.changes import WayIn, add_slot, rotate
from holdfast.keys.keyring import ReadRing
from holdfast.keys.unlockers import PasswordUnlocker
from holdfast.storage.interface import StorageBackend
from holdfast.vault.forget import apply_forget, plan_forget
from holdfast.vault.gc import GcResult, Patience, apply_gc
from holdfast.vault.local import KnownVault
from holdfast.vault.objects import ObjectStore
from holdfast.vault.point_loading import load_points

SECOND_PASSWORD = "battery staple"
EVERYBODY_IS_DEAD = Patience(is_dead=lambda _session: True)


@dataclass(frozen=True)
class RichVault:
    """A vault and the restore points in it, oldest first."""

    vault: TestVault
    points: tuple[PointId, ...]
    folder: Path
    ring: ReadRing

    def objects(self, backend: StorageBackend | None = None) -> ObjectStore:
        """Return the vault's objects as *backend* shows them."""
        shown = self.vault.backend if backend is None else backend
        return ObjectStore(shown, self.vault.vault_id, clock=self.vault.machine.clock)


def write_source(folder: Path, seed: int, files: int = 12) -> None:
    """Fill a folder with files whose bytes depend on *seed*."""
    folder.mkdir(parents=True, exist_ok=True)
    random = make_machine(folder, seed=str(seed)).random
    for number in range(files):
        (folder / f"file-{number}").write_bytes(random.take(700 + 350 * number))


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """Open a folder for as long as a backup reads it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def back_up(vault: TestVault, folder: Path, source: str) -> PointId:
    """Make one restore point of *folder*."""
    vault.machine.clock.sleep(10)
    with opened(folder) as descriptor:
        return vault.backup(reading(descriptor), source=source).point_id


def put_tombstone(vault: TestVault, packs: tuple[PackId, ...]) -> str:
    """Leave a tombstone as a collector that died leaves it; return its name."""
    maintainer = vault.readable().maintainer
    body = Tombstone(
        run_id=vault.machine.random.take(16),
        packs=packs,
        refs=(),
        sessions=(),
        time=0,
        writer_id=maintainer.writer_id,
    )
    data = frames.build(
        frames.KIND_TOMBSTONE, body.to_body(), sign=maintainer.sign, vault_id=vault.vault_id
    )
    name = names.tombstone_name(vault.vault_id, frames.object_hash(data))
    vault.backend.put(name, data)
    return name


def add_password(vault: TestVault) -> None:
    """Add a second way in."""
    readable = vault.readable()
    change = add_slot(
        readable.chain,
        readable.ring,
        WayIn(PasswordUnlocker(SECOND_PASSWORD), "", TEST_PARAMETERS),
        clock=vault.machine.clock,
        random=vault.machine.random,
    )
    for item in change.objects:
        vault.backend.put(item.name, item.data)


def rotate_keys(vault: TestVault, *, without_writers: Collection[WriterId] = ()) -> None:
    """Begin a new epoch with the same ways in and writers, but for those to be left out."""
    readable = vault.readable()
    change = rotate(
        readable.chain,
        readable.ring,
        vault.closed().certificates(),
        clock=vault.machine.clock,
        random=vault.machine.random,
        without_writers=without_writers,
    )
    for item in change.objects:
        vault.backend.put(item.name, item.data)


def forget(vault: TestVault, *points: PointId) -> None:
    """Drop restore points on purpose."""
    readable = vault.readable()
    apply_forget(readable, plan_forget(load_points(readable), points))


def make_rich_vault(backend: StorageBackend, folder: Path) -> RichVault:
    """Make a vault with two series, two passwords, a rotated epoch, a forget and a tombstone.

    The first restore point of the first series has been forgotten; what it alone needed is there.
    """
    vault = make_vault(backend, make_machine(folder / "machine"))
    home, other = folder / "home", folder / "other"
    write_source(home, 1)
    write_source(other, 2)
    first = back_up(vault, home, "home")
    points = [back_up(vault, other, "other")]
    add_password(vault)
    write_source(home, 3, files=6)
    points.append(back_up(vault, home, "home"))
    rotate_keys(vault)
    write_source(home, 4, files=3)
    points.append(back_up(vault, home, "home"))
    write_source(other, 5, files=4)
    points.append(back_up(vault, other, "other"))
    forget(vault, first)
    put_tombstone(vault, (PackId(bytes(32)),))
    return RichVault(vault, tuple(points), folder, vault.readable().ring)


__all__ = ["PASSWORD", "SECOND_PASSWORD", "RichVault", "back_up", "make_rich_vault"]


def run_gc(
    rich: RichVault,
    backend: StorageBackend | None = None,
    *,
    patience: Patience = EVERYBODY_IS_DEAD,
    known: KnownVault | None = None,
) -> GcResult:
    """Collect what nobody needs, as *backend* shows the vault."""
    machine = rich.vault.machine
    return apply_gc(
        rich.objects(backend),
        rich.ring,
        clock=machine.clock,
        random=machine.random,
        patience=patience,
        known=known,
    )
