"""Small vaults for tests, an engine, and a run that does what it is told."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from holdfast.base.errors import HoldfastError, IntegrityError
from holdfast.base.ids import NodeId, PackId, VaultId
from holdfast.base.progress import Finding, Progress
from holdfast.base.randomness import Random
from holdfast.core import (
    Index,
    IndexKeys,
    Limits,
    Parameters,
    Run,
    ScanRules,
    Store,
    WriteKeys,
    Writer,
    Written,
    WrittenPack,
)
from holdfast.core.face import Statistics
from holdfast.core.python.index import PythonIndex
from holdfast.core.python.writer import PythonWriter
from holdfast.crypto.passwords import TEST_PARAMETERS
from holdfast.format.statement import ReuseRule
from holdfast.format.vault_object import ChunkingRule, VaultObject
from holdfast.format.writer import WriterClass
from holdfast.keys.changes import WayIn, new_vault, new_writer
from holdfast.keys.unlockers import OpenUnlocker, PasswordUnlocker
from holdfast.keys.writers import WriterIdentity
from holdfast.storage.interface import StorageBackend
from holdfast.vault.local import LocalFolders, WriterKey
from holdfast.vault.publishing import SourceDescription
from holdfast.vault.repository import create_repository, open_repository
from holdfast.vault.sessions import BackupResult, BackupSession
from holdfast.vault.states import ClosedVault, Machine, ReadableVault, WritableVault

Start = Callable[[Writer, Path | None, int], Run[Written]]

PASSWORD = "correct horse"
LIMITS = Limits(memory_bytes=32 << 20, threads=2)
SMALL = VaultObject(
    authority_public_key=bytes(32),
    nonce=bytes(32),
    chunking=ChunkingRule(minimum=512, centre=1024, maximum=4096),
    segment_target=8192,
    pack_bytes=64 << 10,
    small_session_bytes=32 << 10,
    is_test=True,
)
"""A test vault whose packs are filled by a few files."""


def make_machine(folder: Path, *, seed: str = "") -> Machine:
    """Return a machine with a clock that stands still and randomness that repeats."""
    folders = LocalFolders(folder / "config", folder / "state", folder / "cache")
    return Machine(ManualClock(), CountedRandom(f"{folder.name}{seed}"), folders)


@dataclass(frozen=True)
class TestVault:
    """A vault in a storage, and whoever uses it from one machine."""

    __test__ = False

    backend: StorageBackend
    machine: Machine
    vault_id: VaultId
    key: WriterKey

    def closed(self) -> ClosedVault:
        repository = open_repository(self.backend, self.machine.clock, known=[self.vault_id])
        return ClosedVault.load(repository, self.vault_id, self.machine)

    def readable(self) -> ReadableVault:
        closed = self.closed()
        return closed.unlock([PasswordUnlocker(PASSWORD) if closed.is_sealed else OpenUnlocker()])

    def writable(self) -> WritableVault:
        return self.closed().with_writer(self.key)

    def on(self, backend: StorageBackend) -> "TestVault":
        """Return the same vault as *backend* shows it."""
        return TestVault(backend, self.machine, self.vault_id, self.key)

    def backup(
        self,
        start: Start,
        *,
        source: str = "home",
        listener: "Notes | None" = None,
        uploads: int = 0,
        engine: "TestEngine | None" = None,
    ) -> BackupResult:
        """Run one backup session."""
        session = BackupSession(
            self.writable(),
            engine or TestEngine(),
            SourceDescription(host="here", name=source, root=b"/home"),
            limits=LIMITS,
            listener=listener or Notes(),
            uploads=uploads,
        )
        return session.run(start)

    def add_writer(
        self,
        machine: Machine,
        *,
        writer_class: WriterClass = WriterClass.WRITER,
        expiry: int = 0,
    ) -> "TestVault":
        """Return the vault as another machine with a writer key of its own sees it."""
        readable = self.readable()
        key = make_writer(
            readable,
            machine,
            self.backend.address,
            put=self.backend.put,
            writer_class=writer_class,
            expiry=expiry,
        )
        return TestVault(self.backend, machine, self.vault_id, key)


def make_writer(
    vault: ReadableVault,
    machine: Machine,
    address: str,
    *,
    put: Callable[[str, bytes], object],
    writer_class: WriterClass = WriterClass.WRITER,
    expiry: int = 0,
) -> WriterKey:
    """Make a writer, store its certificate with *put*, return its key."""
    identity = WriterIdentity.fresh(vault.vault_id, machine.random)
    made = new_writer(
        vault.chain,
        vault.ring,
        identity.public,
        name=machine.folders.config.parent.name,
        clock=machine.clock,
        random=machine.random,
        writer_class=writer_class,
        expiry=expiry,
    )
    put(made.name, made.data)
    certificate = made.name.rpartition("/")[2]
    return WriterKey(
        vault.vault_id, identity.writer_id, identity.seed, bytes.fromhex(certificate), address
    )


def make_vault(
    backend: StorageBackend,
    machine: Machine,
    *,
    template: VaultObject = SMALL,
    reuse: ReuseRule = ReuseRule.GROUP,
) -> TestVault:
    """Make a repository with one vault and one writer key, as ``holdfast init`` does."""
    unlocker = PasswordUnlocker(PASSWORD) if template.suite else OpenUnlocker()
    change = new_vault(
        template,
        name="main",
        ways_in=[WayIn(unlocker, "", TEST_PARAMETERS)],
        clock=machine.clock,
        random=machine.random,
        reuse=reuse,
    )
    identity = WriterIdentity.fresh(change.chain.vault_id, machine.random)
    made = new_writer(
        change.chain,
        change.ring,
        identity.public,
        name="here",
        clock=machine.clock,
        random=machine.random,
        writer_class=WriterClass.WRITER,
    )
    create_repository(backend, [*change.objects, made], clock=machine.clock, random=machine.random)
    certificate = bytes.fromhex(made.name.rpartition("/")[2])
    key = WriterKey(
        change.chain.vault_id, identity.writer_id, identity.seed, certificate, backend.address
    )
    return TestVault(backend, machine, change.chain.vault_id, key)


class TestEngine:
    """The plain engine, as far as writing goes."""

    __test__ = False
    name: ClassVar[Literal["python"]] = "python"

    def index(self, folder: Path, keys: IndexKeys) -> PythonIndex:
        return PythonIndex(folder, keys)

    def writer(
        self,
        keys: WriteKeys,
        parameters: Parameters,
        index: Index,
        spool: Path,
        limits: Limits,
        random: Random,
    ) -> PythonWriter:
        assert isinstance(index, PythonIndex)
        return PythonWriter(keys, parameters, index, spool, limits, random)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - there is nothing to return
        raise AssertionError(f"no test asks the engine for {name}")


@dataclass
class Notes:
    """Listens and remembers."""

    findings: list[Finding] = field(default_factory=list)

    def progress(self, progress: Progress) -> None:
        del progress

    def finding(self, finding: Finding) -> None:
        self.findings.append(finding)

    @property
    def codes(self) -> list[str]:
        return [finding.code for finding in self.findings]


class ScriptedRun:
    """A run that stores packs of the bytes it was given, then has a result; no file is read.

    Its packs are no packs: nothing but their names, rows and places is true.
    """

    def __init__(
        self,
        spool: Path,
        bodies: Sequence[bytes],
        *,
        needed: Sequence[PackId] = (),
        fails: HoldfastError | KeyboardInterrupt | None = None,
    ) -> None:
        self.is_cancelled = False
        self._packs = [fake_pack(body) for body in bodies]
        self._bodies = bodies
        self._spool = spool
        self._needed = tuple(needed)
        self._fails = fails
        self._acknowledged: set[int] = set()
        self._result: Written | None = None
        self._steps = self._work()

    def _work(self) -> Iterator[Store | None]:
        for ticket, (pack, body) in enumerate(zip(self._packs, self._bodies, strict=True)):
            path = self._spool / f"pack-{ticket}"
            path.write_bytes(body)
            yield Store(ticket, pack.pack_id, pack.kind, path, pack)
        if self._fails is not None:
            raise self._fails
        while len(self._acknowledged) < len(self._packs):
            yield None
        state = self._spool / "state"
        state.write_bytes(b"state of " + b", ".join(self._bodies))
        size = sum(map(len, self._bodies))
        self._result = Written(
            root=NodeId(bytes(32)),
            packs=tuple(self._packs),
            needed=self._needed,
            state=state,
            statistics=Statistics(len(self._bodies), 1, 0, size, 0, 0, size, 0),
        )

    def step(self, timeout_seconds: float) -> Sequence[Any]:
        del timeout_seconds
        event = next(self._steps, None)
        return () if event is None else (event,)

    def stored(self, tickets: Sequence[int]) -> None:
        self._acknowledged.update(tickets)

    def fetched(self, ticket: int, parts: Sequence[object]) -> None:
        raise AssertionError((ticket, parts))

    def failed(self, ticket: int, code: str) -> None:
        raise AssertionError((ticket, code))

    def lost(self, ticket: int, error: IntegrityError) -> None:
        raise AssertionError((ticket, error))

    def cancel(self) -> None:
        self.is_cancelled = True

    def result(self) -> Written | None:
        return self._result


def fake_pack(body: bytes) -> WrittenPack:
    """Return what an engine would say of a pack with these bytes and one chunk."""
    row = hashlib.sha256(b"locator" + body).digest()[:20] + bytes(8) + bytes(4)
    return WrittenPack(
        pack_id=PackId(hashlib.sha256(body).digest()),
        kind="both",
        stored_bytes=len(body),
        first_offset=0,
        segments=((len(body), len(body), 0),),
        index_table=row + len(body).to_bytes(4, "big"),
    )


def storing(
    *bodies: bytes,
    needed: Sequence[PackId] = (),
    fails: HoldfastError | KeyboardInterrupt | None = None,
) -> Start:
    """Return a source that is stored as packs of these bytes."""

    def start(writer: Writer, state: Path | None, started_ns: int) -> Run[Written]:
        del state, started_ns
        assert isinstance(writer, PythonWriter)
        return ScriptedRun(writer._spool, bodies, needed=needed, fails=fails)

    return start


def reading(root_fd: int, rules: ScanRules | None = None) -> Start:
    """Return a source that the plain engine reads."""
    return lambda writer, state, started_ns: writer.files(
        root_fd, rules or ScanRules(), state, started_ns=started_ns
    )
