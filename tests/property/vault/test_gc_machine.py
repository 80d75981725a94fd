"""Backups, forgets, deaths and gcs in any order: what is visible is whole, garbage goes away."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from doubles.rich_vaults import back_up, forget, write_source
from doubles.storage import DyingBackend, PowerCut
from doubles.vaults import make_machine, make_vault
from holdfast.base.ids import PointId
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.gc import Patience, apply_gc
from holdfast.vault.objects import ObjectStore
from holdfast.vault.verify import verify

DEAD = Patience(is_dead=lambda _session: True)


class VaultLife(RuleBasedStateMachine):
    """One machine, two sources, a storage that dies now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="vault-life-"))
        self.vault = make_vault(MemoryBackend(), make_machine(self.folder / "machine"))
        self.ring = self.vault.readable().ring
        self.points: set[PointId] = set()
        self.seed = 0

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def objects(self) -> ObjectStore:
        return ObjectStore(self.vault.backend, self.vault.vault_id, clock=self.vault.machine.clock)

    def change(self, source: str, files: int) -> Path:
        self.seed += 1
        write_source(self.folder / source, self.seed, files)
        return self.folder / source

    @rule(source=st.sampled_from(["home", "other"]), files=st.integers(1, 6))
    def backs_up(self, source: str, files: int) -> None:
        self.points.add(back_up(self.vault, self.change(source, files), source))

    @rule(source=st.sampled_from(["home", "other"]), dies_before=st.integers(1, 60))
    def dies_backing_up(self, source: str, dies_before: int) -> None:
        before = set(self.visible())
        dying = DyingBackend(self.vault.backend, dies_before=dies_before)
        with suppress(PowerCut):
            back_up(self.vault.on(dying), self.change(source, 4), source)
        assert before <= set(self.visible())
        self.points = set(self.visible())

    @precondition(lambda self: self.points)
    @rule(data=st.data())
    def forgets(self, data: st.DataObject) -> None:
        point = data.draw(st.sampled_from(sorted(self.points)))
        forget(self.vault, point)
        self.points.remove(point)

    @rule()
    def collects(self) -> None:
        self.gc(self.vault.backend)
        report = verify(self.objects(), self.ring, random=self.vault.machine.random)
        assert report.counts["garbage"] == 0
        assert not report.counts.get("tombstones")

    @rule(dies_before=st.integers(1, 120))
    def dies_collecting(self, dies_before: int) -> None:
        with suppress(PowerCut):
            self.gc(DyingBackend(self.vault.backend, dies_before=dies_before))

    def gc(self, backend: MemoryBackend | DyingBackend) -> None:
        machine = self.vault.machine
        objects = ObjectStore(backend, self.vault.vault_id, clock=machine.clock)
        apply_gc(objects, self.ring, clock=machine.clock, random=machine.random, patience=DEAD)

    def visible(self) -> list[PointId]:
        listed = self.vault.backend.list(f"vaults/{self.vault.vault_id.hex()}/points/")
        return [PointId(bytes.fromhex(item.name.rpartition("/")[2])) for item in listed]

    @invariant()
    def all_that_is_visible_is_whole(self) -> None:
        report = verify(self.objects(), self.ring, random=self.vault.machine.random)
        assert report.problems == ()
        assert set(self.visible()) == self.points


VaultLife.TestCase.settings = settings(max_examples=15, stateful_step_count=10, deadline=None)
TestVaultLife = VaultLife.TestCase
