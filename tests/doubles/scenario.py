"""The commands of Holdfast, done in this process on any storage; and a vault that has seen a bit.

Everything is as small as the format allows and the same in every run, so that a test can do a
command hundreds of times: once for every call that it makes of its storage, or for every byte.
"""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from holdfast.base.errors import IntegrityError, SignatureError
from holdfast.base.ids import GroupId, ObjectHash, PointId, SessionId, VaultId
from holdfast.base.progress import Finding, Progress
from holdfast.base.randomness import Random
from holdfast.core import Limits, RestoreRules, ScanRules
from holdfast.core.python.engine import PythonEngine
from holdfast.core.python.metadata import OWNER
from holdfast.crypto.passwords import TEST_PARAMETERS, KdfParameters
from holdfast.crypto.suites import suite_named
from holdfast.format import frames, names
from holdfast.format.maintenance import ForgetReason, Tombstone
from holdfast.format.vault_object import ChunkingRule, NodeRule, VaultObject
from holdfast.keys.changes import Change, WayIn, add_slot, new_vault, new_writer, remove_slot
from holdfast.keys.errors import WrongPasswordError
from holdfast.keys.keyring import ReadRing
from holdfast.keys.unlockers import OpenUnlocker, PasswordUnlocker
from holdfast.keys.writers import WriterIdentity
from holdfast.storage.interface import StorageBackend
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.blind import blind_verify
from holdfast.vault.errors import NoRepositoryError
from holdfast.vault.forget import apply_forget, plan_forget
from holdfast.vault.gc import apply_gc
from holdfast.vault.gc_apply import GcResult, Patience
from holdfast.vault.index_cache import opened_index
from holdfast.vault.local import LocalFolders, WriterKey
from holdfast.vault.objects import ObjectStore
from holdfast.vault.point_loading import load_points
from holdfast.vault.points import RestorePoint
from holdfast.vault.publishing import SourceDescription
from holdfast.vault.reading import pump
from holdfast.vault.report import Report
from holdfast.vault.repository import create_repository, open_repository
from holdfast.vault.sessions import BackupResult, BackupSession
from holdfast.vault.states import ClosedVault, Machine, ReadableVault
from holdfast.vault.verify import verify

PASSWORD = "correct horse"
SECOND_PASSWORD = "battery staple"
PATIENCE_SECONDS = 600.0
LIMITS = Limits(memory_bytes=32 << 20, threads=1)
TINY = VaultObject(
    authority_public_key=bytes(32),
    nonce=bytes(32),
    chunking=ChunkingRule(minimum=512, centre=1024, maximum=4096),
    segment_target=8 << 10,
    pack_bytes=64 << 10,
    node_rule=NodeRule(bits=2, minimum_entries=2, maximum_entries=8, maximum_cost=1024),
    small_session_bytes=16 << 10,
    index_bytes=32 << 10,
    is_test=True,
)
"""A test vault whose packs are filled by a few files."""

Listing = Mapping[str, tuple[object, ...]]
"""What a restored tree is compared by: for every path its type, mode, mtime and content."""


@dataclass
class Notes:
    """Listens and remembers."""

    findings: list[Finding] = field(default_factory=list)

    def progress(self, progress: Progress) -> None:
        del progress

    def finding(self, finding: Finding) -> None:
        self.findings.append(finding)


@dataclass
class Desk:
    """One machine and one storage, and the commands that somebody runs there.

    *folder* is where the machine keeps its keys, state and cache; all that it remembers is there,
    so a copy of the folder is a copy of the machine.
    """

    backend: StorageBackend
    folder: Path
    seed: str = ""
    clock: ManualClock = field(
        default_factory=lambda: ManualClock(datetime(2040, 1, 1, tzinfo=UTC))
    )
    password: str = PASSWORD
    host: str = "laptop"
    chance: Random | None = None
    """Where random bytes come from; None for those that repeat."""
    parameters: KdfParameters = TEST_PARAMETERS
    """What a password costs."""

    def __post_init__(self) -> None:
        self.random = self.chance or CountedRandom(f"{self.seed} {self.host}")
        self.folders = LocalFolders(
            self.folder / "config", self.folder / "state", self.folder / "cache"
        )
        self.machine = Machine(self.clock, self.random, self.folders)
        self.engine = PythonEngine()
        self.notes = Notes()

    def on(self, backend: StorageBackend) -> "Desk":
        """Return the same machine as it looks at another storage."""
        twin = replace(self, backend=backend)
        twin.random, twin.machine = self.random, self.machine
        return twin

    def after_reboot(self, backend: StorageBackend) -> "Desk":
        """Return the machine as it is after the power came back: later, and with other chance."""
        self.clock.advance(3600)
        return replace(self, backend=backend, seed=self.seed + "'")

    def moved(self, backend: StorageBackend, folder: Path) -> "Desk":
        """Return a copy of the machine, with its own memory from now on."""
        if self.folder.exists():
            shutil.copytree(self.folder, folder, symlinks=True)
        clock = ManualClock(self.clock.now())
        seed = f"{self.seed} moved"
        return replace(self, backend=backend, folder=folder, clock=clock, seed=seed)

    # --- opening ------------------------------------------------------------------------------

    def closed(self) -> ClosedVault:
        repository = open_repository(self.backend, self.clock)
        (vault_id,) = repository.vaults
        return ClosedVault.load(repository, vault_id, self.machine)

    def readable(self) -> ReadableVault:
        closed = self.closed()
        unlocker = PasswordUnlocker(self.password) if closed.is_sealed else OpenUnlocker()
        return closed.unlock([unlocker])

    def writer_key(self) -> WriterKey:
        (path,) = self.folders.writers.glob("*.key")
        return WriterKey.load(path)

    # --- commands that write ------------------------------------------------------------------

    def init(
        self,
        template: VaultObject = TINY,
    ) -> VaultId:
        """Make a repository and this machine's write-only key, as ``holdfast init`` does."""
        is_sealed = template.suite != suite_named("none").number
        way = (
            WayIn(PasswordUnlocker(self.password), "a hint", self.parameters)
            if is_sealed
            else WayIn(OpenUnlocker())
        )
        change = new_vault(
            template, name="main", ways_in=[way], clock=self.clock, random=self.random
        )
        identity = WriterIdentity.fresh(change.chain.vault_id, self.random)
        made = new_writer(
            change.chain,
            change.ring,
            identity.public,
            name=self.host,
            clock=self.clock,
            random=self.random,
        )
        self._save_key(identity, made.name)
        create_repository(
            self.backend, [*change.objects, made], clock=self.clock, random=self.random
        )
        self.closed()
        return change.chain.vault_id

    def add_writer(self) -> None:
        """Give this machine a write-only key of its own; the old ones are forgotten."""
        vault = self.readable()
        identity = WriterIdentity.fresh(vault.vault_id, self.random)
        made = new_writer(
            vault.chain,
            vault.ring,
            identity.public,
            name=self.host,
            clock=self.clock,
            random=self.random,
        )
        vault.objects.put(made.name, made.data)
        self._save_key(identity, made.name)

    def backup(self, source: Path, *, root: bytes | None = None) -> BackupResult:
        """Back the folder *source* up; its name is the series', *root* what the point says."""
        self.clock.advance(60)
        session = BackupSession(
            self.closed().with_writer(self.writer_key()),
            self.engine,
            SourceDescription(host=self.host, name=source.name, root=root or os.fsencode(source)),
            limits=LIMITS,
            listener=self.notes,
            uploads=0,
        )
        with _opened_folder(source) as root_fd:
            return session.run(
                lambda writer, state, started_ns: writer.files(
                    root_fd, ScanRules(), state, started_ns=started_ns
                )
            )

    def forget(
        self, *points: PointId, reason: ForgetReason = ForgetReason.FORGET
    ) -> tuple[PointId, ...]:
        """Drop those of *points* that are there."""
        self.clock.advance(60)
        vault = self.readable()
        listed = load_points(vault)
        there = {point.id for point in (*listed.points, *listed.incomplete)}
        wanted = [point for point in points if point in there]
        if wanted:
            apply_forget(vault, plan_forget(listed, wanted, reason))
        return tuple(wanted)

    def add_password(self, text: str) -> ObjectHash:
        self.clock.advance(60)
        vault = self.readable()
        way = WayIn(PasswordUnlocker(text), "", self.parameters)
        change = add_slot(vault.chain, vault.ring, way, clock=self.clock, random=self.random)
        self._apply(vault, change)
        assert change.added is not None
        return change.added

    def remove_password(self, text: str) -> None:
        """Rotate to keys that *text* does not open; nothing to do if it opens nothing now."""
        self.clock.advance(60)
        vault = self.readable()
        slot = self._slot_of(text)
        if slot is None:
            return
        change = remove_slot(
            vault.chain,
            vault.ring,
            slot,
            self.closed().certificates(),
            clock=self.clock,
            random=self.random,
        )
        self._apply(vault, change)

    def collect(self, patience: Patience | None = None) -> GcResult:
        """Run a gc to its end; on its own machine it knows which sessions are dead."""
        self.clock.advance(3600)
        vault = self.readable()

        def is_dead(session_id: SessionId) -> bool:
            return self.folders.is_alive(vault.vault_id, session_id) is False

        return apply_gc(
            vault.objects,
            vault.ring,
            clock=self.clock,
            random=self.random,
            patience=patience or Patience(patience_seconds=PATIENCE_SECONDS, is_dead=is_dead),
            cache=self.folders.cache,
        )

    def leave_tombstone(self, *, packs: Sequence[Any] = (), refs: Sequence[Any] = ()) -> str:
        """Put the tombstone of a collector that died right afterwards; returns its name."""
        vault = self.readable()
        maintainer = vault.maintainer
        body = Tombstone(
            run_id=self.random.take(16),
            packs=tuple(sorted(packs)),
            refs=tuple(sorted(refs)),
            time=self.machine.now_seconds(),
            writer_id=maintainer.writer_id,
            sessions=(),
        )
        data = frames.build(
            frames.KIND_TOMBSTONE, body.to_body(), sign=maintainer.sign, vault_id=vault.vault_id
        )
        name = names.tombstone_name(vault.vault_id, frames.object_hash(data))
        vault.objects.put(name, data)
        return name

    # --- commands that read -------------------------------------------------------------------

    def points(self) -> tuple[RestorePoint, ...]:
        return load_points(self.readable()).points

    def verify(self) -> Report:
        """Read and open everything; without keys if the vault cannot be opened."""
        objects = self._bare_objects()
        ring: ReadRing | None = None
        with suppress(IntegrityError, SignatureError, NoRepositoryError):
            ring = self.readable().ring
        return verify(objects, ring, random=self.random, cache=self.folders.cache)

    def verify_blind(self) -> Report:
        """Read everything without any key."""
        return blind_verify(self._bare_objects())

    def _bare_objects(self) -> ObjectStore:
        parsed = (names.parse_name(item.name) for item in self.backend.list("vaults/"))
        (vault_id,) = {item.vault_id for item in parsed if item and item.vault_id is not None}
        return ObjectStore(self.backend, vault_id, clock=self.clock)

    def opens(self, text: str) -> bool:
        """Tell whether a password is a way in now."""
        return self._slot_of(text) is not None

    def restore(self, point_id: PointId, target: Path) -> Listing:
        """Restore a point into the new folder *target*; return what is there, and remove it."""
        vault = self.readable()
        (point,) = (item for item in load_points(vault).points if item.id == point_id)
        record = point.opened()
        sessions = sorted({point.body.session_id, *point.body.sessions})
        group_id = _group(vault)
        keys = vault.read_keys(group_id, [SessionId(item) for item in sessions])
        rules = RestoreRules(overwrite="never", delete=False, sparse=True, numeric_ids=True)
        target.mkdir()
        with opened_index(vault, self.engine, vault.index_keys(group_id), reads=True) as cache:
            cache.refresh()
            reader = self.engine.reader(keys, vault.parameters, cache.index, LIMITS, self.random)
            try:
                with _opened_folder(target) as target_fd:
                    notes = Notes()
                    run = reader.restore(record.root_node, (), target_fd, rules)
                    pump(run, vault.objects, notes)
                    # Whose things the point holds, only root can make them again.
                    found = [one for one in notes.findings if one.code != OWNER or not os.geteuid()]
                    assert not found, found
            finally:
                reader.close()
        try:
            return listing(target)
        finally:
            shutil.rmtree(target)

    # --- helpers ------------------------------------------------------------------------------

    def _slot_of(self, text: str) -> ObjectHash | None:
        try:
            return self.closed().unlock([PasswordUnlocker(text)]).ring.slot_hash
        except WrongPasswordError:
            return None

    def _apply(self, vault: ReadableVault, change: Change) -> None:
        for item in change.objects:
            vault.objects.put(item.name, item.data)
        after = self.closed()
        assert change.chain.current.hash in {link.hash for link in after.chain.links}

    def _save_key(self, identity: WriterIdentity, certificate: str) -> None:
        key = WriterKey(
            identity.vault_id,
            identity.writer_id,
            identity.seed,
            ObjectHash(bytes.fromhex(certificate.rpartition("/")[2])),
            self.backend.address,
        )
        for old in self.folders.writers.glob("*.key"):
            old.unlink()
        key.save(self.folders.writer_key(identity.vault_id))


def _group(vault: ReadableVault) -> GroupId:
    (group,) = vault.chain.current.body.groups
    return group.group_id


@contextmanager
def _opened_folder(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


# --- folders --------------------------------------------------------------------------------------


def listing(root: Path) -> Listing:
    """Return what a tree is compared by; the root itself is left out."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        content: object = None
        if stat.S_ISLNK(status.st_mode):
            content = str(path.readlink())
        elif stat.S_ISREG(status.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(root))] = (status.st_mode, status.st_mtime_ns, content)
    return found


def fill(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write *files* below *folder*, with times that are the same in every run."""
    for number, (name, data) in enumerate(sorted(files.items())):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o644)
        os.utime(path, ns=(0, 1_700_000_000_123_456_789 + number))
    for path in (folder, *(item for item in folder.rglob("*") if item.is_dir())):
        path.chmod(0o755)
        os.utime(path, ns=(0, 1_700_000_001_000_000_000))


def noise(seed: str, size_bytes: int) -> bytes:
    """Return bytes that do not compress, the same for the same seed."""
    return hashlib.shake_256(seed.encode()).digest(size_bytes)


# --- the vault ------------------------------------------------------------------------------------


@dataclass
class Scenario:
    """A vault with two series, two passwords, a rotated epoch, a forgotten point, a tombstone.

    *contents* says for every restore point what restoring it has to bring back.
    """

    desk: Desk
    """The machine of the first series: ``laptop/papers``."""
    other: Desk
    """The machine of the second series: ``server/photos``."""
    papers: Path
    photos: Path
    contents: dict[PointId, Listing]
    forgotten: PointId
    tombstone: str

    @property
    def memory(self) -> MemoryBackend:
        assert isinstance(self.desk.backend, MemoryBackend)
        return self.desk.backend


def objects_of(backend: StorageBackend) -> dict[str, bytes]:
    """Return everything that a storage holds."""
    return {item.name: backend.get(item.name) for item in backend.list("")}


def backend_of(objects: Mapping[str, bytes]) -> MemoryBackend:
    """Return a storage that holds *objects*."""
    backend = MemoryBackend()
    for name, data in objects.items():
        backend.put(name, data)
    return backend


def build_scenario(folder: Path, *, template: VaultObject = TINY) -> Scenario:
    """Make the vault in a new storage in memory; machines and sources go below *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    backend = MemoryBackend()
    desk = Desk(backend, folder / "laptop")
    desk.init(template)
    other = Desk(backend, folder / "server", host="server")
    other.add_writer()
    papers, photos = folder / "papers", folder / "photos"
    contents: dict[PointId, Listing] = {}

    def point(machine: Desk, source: Path) -> PointId:
        made = machine.backup(source).point_id
        contents[made] = listing(source)
        return made

    fill(
        papers,
        {
            "letters/one.txt": b"dear reader\n" * 40,
            "letters/two.txt": noise("two", 3_000),
            "big.bin": noise("big", 70_000),
            "empty": b"",
            **{f"many/{number:02}": noise(f"many {number}", 40 + number) for number in range(20)},
        },
    )
    first = point(desk, papers)
    fill(photos, {"a.raw": noise("a", 20_000), "b.raw": noise("b", 5_000)})
    point(other, photos)
    desk.add_password("third way")
    desk.add_password(SECOND_PASSWORD)
    desk.remove_password("third way")
    fill(papers, {"letters/three.txt": noise("three", 9_000), "letters/one.txt": b"changed\n"})
    point(desk, papers)
    fill(photos, {"c.raw": noise("c", 6_000)})
    point(other, photos)
    (refs,) = (item.body.refs_hash for item in desk.points() if item.id == first)
    desk.forget(first)
    del contents[first]
    tombstone = desk.leave_tombstone(refs=[refs])
    return Scenario(desk, other, papers, photos, contents, first, tombstone)
