"""What this machine remembers and keeps to itself: docs/design/local-state.md.

Keys of this machine's writers, what was seen of each repository, the state of each source, locks.
"""

import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from holdfast.base.ids import (
    GroupId,
    ObjectHash,
    PointId,
    SeriesId,
    SessionId,
    VaultId,
    WriterId,
)
from holdfast.base.secrets import Secret
from holdfast.keys.errors import RollbackError
from holdfast.keys.statements import SeenStatement
from holdfast.vault.errors import (
    DowngradeError,
    LocalStateError,
    SeriesBusyError,
    VaultChangedError,
    WriterKeyFileError,
)
from holdfast.vault.files import check_owner_only_writes, file_lock, make_folder, replace_file

_SCHEMA: Final = 1
_INDEX_COPIES: Final = 64
_KEY_MAGIC: Final = "holdfast writer key 0"
_KEY_FIELDS: Final = ("vault", "writer", "seed", "certificate", "repository")

_NEW_KEY_HINT: Final = (
    "If it cannot be put right, move it away; 'holdfast writer add' then makes a new one."
)

_CACHE_TAG_NAME: Final = "CACHEDIR.TAG"
_KNOWN_VAULTS_NAME: Final = "known-vaults.json"
_OWN_NAMES: Final = frozenset((_CACHE_TAG_NAME, _KNOWN_VAULTS_NAME, f"{_KNOWN_VAULTS_NAME}.lock"))
_VAULT_FOLDER: Final = re.compile("[0-9a-f]{64}")
_CACHE_TAG: Final = """Signature: 8a477f597d28d172789f06886806bc55
# What is here, Holdfast can make again: https://bford.info/cachedir/
"""

T = TypeVar("T")
SeriesKey = tuple[WriterId, SeriesId]
"""A series everywhere: ids of series are one writer's own."""


@dataclass(frozen=True, slots=True)
class LocalFolders:
    """Where things lie on this machine. Only *config* is worth a backup of its own.

    *warn* is told, once, that the cache cannot be used and something else takes its place.
    """

    config: Path
    state: Path
    cache: Path
    warn: Callable[[str], None] = field(default=lambda _text: None, compare=False)
    _warned: list[Path] = field(default_factory=list, compare=False, repr=False)

    @property
    def known_vaults(self) -> Path:
        """The file of :class:`KnownVaults`."""
        return self.state / _KNOWN_VAULTS_NAME

    @property
    def writers(self) -> Path:
        """The folder of writer key files."""
        return self.config / "writers"

    def writer_key(self, vault_id: VaultId) -> Path:
        """The file of this machine's writer key for a vault."""
        return self.writers / f"{vault_id.hex()}.key"

    def tree_state(self, vault_id: VaultId, series_id: SeriesId) -> Path:
        """The file with the nodes of a series' last restore point."""
        return self.state / vault_id.hex() / series_id.hex() / "tree.state"

    def objects(self, vault_id: VaultId) -> Path:
        """The folder for copies of small objects."""
        return self.cache / vault_id.hex() / "objects"

    @contextmanager
    def index(self, vault_id: VaultId, group_id: GroupId) -> Iterator[Path]:
        """Give a folder for the opened index of a group that no other process uses meanwhile.

        Commands that run at the same time have a copy each; alone, they all use the same. Where the
        cache cannot be used, the folder is a :meth:`makeshift` one.
        """
        above = self.cache / vault_id.hex() / group_id.hex()
        with ExitStack() as stack:
            try:
                folder = _free_copy(above, stack)
                make_folder(folder)
                _tag_as_cache(self.cache)
            except OSError as error:
                folder = stack.enter_context(self.makeshift(error))
            yield folder

    @contextmanager
    def makeshift(self, reason: OSError) -> Iterator[Path]:
        """Give a private temporary folder in place of the cache, which failed for *reason*.

        Raises:
            OSError: *reason*, with a file name; there is no place for that either.
        """
        if reason.filename is None:
            reason.filename = str(self.cache)
        if not self._warned:
            self._warned.append(self.cache)
            self.warn(
                f"the cache folder '{self.cache}' cannot be used ({reason.strerror or reason}); a "
                "temporary folder takes its place, and everything is fetched again each time; "
                "HOLDFAST_CACHE_DIR names another"
            )
        try:
            folder = Path(tempfile.mkdtemp(prefix="holdfast-"))
        except OSError:
            raise reason from None
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def only_own(self) -> list[Path]:
        """Return those of the cache and state folders in which nothing lies but Holdfast's files.

        They are wherever the environment says, so that other things may lie in them.
        """
        return [folder for folder in (self.cache, self.state) if _has_only_own(folder)]

    def with_scratch(self, vault_id: VaultId, act: Callable[[Path], T]) -> T:
        """Return what *act* makes of a folder of the cache that it may put folders in.

        Where the cache cannot be used, *act* is called again with a :meth:`makeshift` folder.

        Raises:
            OSError: why the cache cannot be used; the other folder cannot be, either.
        """
        folder = self.cache / vault_id.hex()
        try:
            make_folder(folder)
            return act(folder)
        except BrokenPipeError:
            raise  # Nobody listens any more: that is not the cache's fault.
        except OSError as error:
            with self.makeshift(error) as elsewhere:
                try:
                    return act(elsewhere)
                except BrokenPipeError:
                    raise
                except OSError:
                    raise error from None

    def spool(self, vault_id: VaultId, session_id: SessionId) -> Path:
        """The folder in which a session's packs grow, where the storage has none."""
        return self.spools(vault_id) / session_id.hex()

    def spools(self, vault_id: VaultId) -> Path:
        """The folder of all those folders."""
        return self.cache / vault_id.hex() / "spool"

    @contextmanager
    def series_lock(self, vault_id: VaultId, series_id: SeriesId) -> Iterator[None]:
        """Keep other sessions of this machine out of a series.

        Raises:
            SeriesBusyError: there is one.
        """
        path = self.tree_state(vault_id, series_id).with_name("lock")
        with file_lock(path, wait=False) as is_got:
            if not is_got:
                raise SeriesBusyError(
                    "Another backup of the same source runs on this machine.",
                    hint="Wait until it is done, or give this one a name of its own (--source).",
                )
            yield

    @contextmanager
    def alive_lock(self, vault_id: VaultId, session_id: SessionId) -> Iterator[None]:
        """Show other processes of this machine that a session runs, until this process ends."""
        path = self._alive(vault_id, session_id)
        # Who looks whether it is alive holds the lock for a moment; without it, it would seem dead.
        with file_lock(path, wait=True):
            yield
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def is_alive(self, vault_id: VaultId, session_id: SessionId) -> bool | None:
        """Tell whether a session of this machine runs; None if it is not of this machine.

        A killed session leaves its file behind, unlocked: it is known to be dead at once. One whose
        file cannot be locked, as on a file system that takes no writes, counts as running.
        """
        path = self._alive(vault_id, session_id)
        try:
            if not path.exists():
                return None
            with file_lock(path, wait=False) as is_got:
                return not is_got
        except OSError:
            return True

    def drop_dead(self, vault_id: VaultId, stored: Callable[[], Collection[SessionId]]) -> None:
        """Remove the files of killed sessions that are not among those that are *stored* any more.

        Until then they tell gc that such a session is dead.
        """
        dead: list[SessionId] = []
        for path in self._alive(vault_id, SessionId(b"")).glob("*"):
            with suppress(ValueError):
                session_id = SessionId(bytes.fromhex(path.name))
                if self.is_alive(vault_id, session_id) is False:
                    dead.append(session_id)
        left = stored() if dead else ()
        for session_id in dead:
            if session_id not in left:
                path = self._alive(vault_id, session_id)
                with suppress(OSError), file_lock(path, wait=False) as is_got:
                    # One that only begins has taken the lock meanwhile, or begins anew.
                    if is_got:
                        path.unlink(missing_ok=True)

    def _alive(self, vault_id: VaultId, session_id: SessionId) -> Path:
        return self.state / vault_id.hex() / "alive" / session_id.hex()


def _has_only_own(folder: Path) -> bool:
    try:
        names = [entry.name for entry in folder.iterdir()]
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return all(name in _OWN_NAMES or _VAULT_FOLDER.fullmatch(name) for name in names)


def _tag_as_cache(folder: Path) -> None:
    """Say to programs that make backups, this one included, that *folder* needs none."""
    with suppress(OSError), (folder / _CACHE_TAG_NAME).open("x", encoding="ascii") as tag:
        tag.write(_CACHE_TAG)


def _free_copy(above: Path, stack: ExitStack) -> Path:
    """Return the first folder in *above* whose lock is free; *stack* holds the lock.

    Raises:
        OSError: the locks cannot be used.
    """
    for number in range(_INDEX_COPIES):
        if stack.enter_context(file_lock(above / f"{number}.lock", wait=False)):
            return above / str(number)
    raise SeriesBusyError("Too many commands read this vault on this machine at once.")


# --- writer keys --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WriterKey:
    """A writer key as it lies on its machine: enough to write, nothing that reads."""

    vault_id: VaultId
    writer_id: WriterId
    seed: Secret
    certificate: ObjectHash
    repository: str
    is_readable_by_others: bool = False

    def save(self, path: Path) -> None:
        """Write the key file, for its owner only."""
        values = (
            self.vault_id.hex(),
            self.writer_id.hex(),
            self.seed.reveal().hex(),
            self.certificate.hex(),
            self.repository,
        )
        lines = [f"{name}: {value}" for name, value in zip(_KEY_FIELDS, values, strict=True)]
        # The repository's path need not be text: its bytes are kept as they are.
        text = "\n".join([_KEY_MAGIC, *lines, ""])
        replace_file(path, text.encode("utf-8", "surrogateescape"))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a key file.

        Raises:
            WriterKeyFileError: there is none, or it is not one.
            UnsafeFileError: others can write it.
        """
        try:
            is_readable = check_owner_only_writes(path)
            lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        except FileNotFoundError:
            raise WriterKeyFileError(
                f"There is no writer key '{path}' on this machine.",
                hint="'holdfast writer add' makes one for a machine; it asks for the password.",
            ) from None
        except OSError as error:
            raise WriterKeyFileError(
                f"The writer key '{path}' cannot be read: {error}", hint=_NEW_KEY_HINT
            ) from error
        values = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        if lines[:1] != [_KEY_MAGIC] or tuple(values) != _KEY_FIELDS:
            raise WriterKeyFileError(f"The file '{path}' is not a writer key.", hint=_NEW_KEY_HINT)
        try:
            vault, writer, seed, certificate = (
                _unhex(values[name], length)
                for name, length in zip(_KEY_FIELDS, (32, 16, 32, 32), strict=False)
            )
        except ValueError:
            raise WriterKeyFileError(
                f"The writer key '{path}' is damaged.", hint=_NEW_KEY_HINT
            ) from None
        return cls(
            VaultId(vault),
            WriterId(writer),
            Secret(seed),
            ObjectHash(certificate),
            values["repository"],
            is_readable_by_others=is_readable,
        )


# --- what was seen ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeenHead:
    """The newest restore point of a series that this machine has seen or made."""

    counter: int
    point: PointId
    epoch: int = 0
    """Of the keys that it was made under: a forget of an earlier epoch does not explain its end."""


@dataclass(frozen=True, slots=True)
class KnownVault:
    """What this machine knows of a vault, so that nobody can take it back."""

    vault_id: VaultId
    is_encrypted: bool
    name: str = ""
    addresses: tuple[str, ...] = ()
    statement: SeenStatement | None = None
    heads: Mapping[SeriesKey, SeenHead] = field(default_factory=dict)

    def with_heads(self, heads: Mapping[SeriesKey, SeenHead]) -> "KnownVault":
        """Return the same with *heads*, where they are newer."""
        merged = dict(self.heads)
        for series, head in heads.items():
            seen = merged.get(series)
            is_same = seen is not None and seen.point == head.point
            if seen is None or seen.counter < head.counter or (is_same and seen.epoch < head.epoch):
                merged[series] = head
        return replace(self, heads=merged)

    def without_heads(self, heads: Mapping[SeriesKey, SeenHead]) -> "KnownVault":
        """Return the same without *heads*: their points were forgotten on purpose."""
        kept = {series: head for series, head in self.heads.items() if heads.get(series) != head}
        return replace(self, heads=kept)

    def with_statement(self, seen: SeenStatement) -> "KnownVault":
        """Return the same with a key statement that is at least as new."""
        if self.statement is not None and self.statement.number > seen.number:
            return self
        return replace(self, statement=seen)


class KnownVaults:
    """The vaults that this machine has seen, in one file. Safe for several processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[VaultId, KnownVault]:
        """Return all of them; none when there is no file.

        Raises:
            LocalStateError: the file is not one.
            UnsafeFileError: others can write it.
            OSError: it cannot be read.
        """
        try:
            check_owner_only_writes(self._path)
            document = json.loads(self._path.read_bytes())
            if document["schema"] != _SCHEMA:
                raise LocalStateError(
                    f"A newer Holdfast wrote '{self._path}'.", hint="Use that one on this machine."
                )
            known = [_vault_from(item) for item in document["vaults"]]
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,  # a number that is no number, such as 1e999
            RecursionError,  # brackets deeper than the interpreter goes
        ) as error:
            raise LocalStateError(
                f"The file '{self._path}' cannot be read: {error}",
                hint="Remove it to begin anew; a repository that was set back meanwhile will then"
                " not be noticed.",
            ) from error
        return {vault.vault_id: vault for vault in known}

    def find(self, vault_id: VaultId) -> KnownVault | None:
        """Return what is known of a vault."""
        return self.load().get(vault_id)

    def at(self, address: str) -> list[KnownVault]:
        """Return the vaults that were seen at *address*."""
        return [vault for vault in self.load().values() if address in vault.addresses]

    def change(
        self, vault_id: VaultId, *, is_encrypted: bool, how: Callable[[KnownVault], KnownVault]
    ) -> None:
        """Replace what is known of a vault by what *how* makes of it, under a lock."""
        with file_lock(self._path.with_name(self._path.name + ".lock"), wait=True):
            known = self.load()
            before = known.get(vault_id) or KnownVault(vault_id, is_encrypted)
            after = how(before)
            if after != before or vault_id not in known:
                known[vault_id] = after
                self._save(known.values())

    def forget_address(self, address: str, *, with_statements: bool = False) -> None:
        """Let go of *address*: somebody says that another repository is there on purpose.

        *with_statements* also of the key statements that were seen of the vaults there: somebody
        says that they are meant to be as they are.
        """
        if not self.at(address):
            return
        with file_lock(self._path.with_name(self._path.name + ".lock"), wait=True):
            known = self.load()
            left = [
                replace(
                    vault,
                    addresses=tuple(a for a in vault.addresses if a != address),
                    statement=None
                    if with_statements and address in vault.addresses
                    else vault.statement,
                )
                for vault in known.values()
            ]
            if left != list(known.values()):
                self._save(left)

    def check_address(
        self, address: str, found: Collection[VaultId], *, encrypted: Collection[VaultId]
    ) -> None:
        """Refuse a repository that is not the one that was known at *address*.

        *encrypted* are those of *found* whose suite seals.

        Raises:
            DowngradeError: encrypted vaults have given way to vaults without encryption.
            VaultChangedError: none of the known vaults is there any more.
        """
        known = self.at(address)
        if not known or any(vault.vault_id in found for vault in known):
            return
        hint = (
            "If it was made anew on purpose: holdfast doctor --forget-address "
            f"{shlex.quote(address)}. If not, somebody has replaced it: write nothing to it."
        )
        if any(vault.is_encrypted for vault in known) and not encrypted:
            raise DowngradeError(
                f"The repository at {address} was encrypted and now is not.", hint=hint
            )
        raise VaultChangedError(
            f"The repository at {address} holds another vault than the one known to this machine.",
            hint=hint,
        )

    def _save(self, known: Collection[KnownVault]) -> None:
        vaults = [_vault_to(vault) for vault in sorted(known, key=lambda item: item.vault_id)]
        text = json.dumps({"schema": _SCHEMA, "vaults": vaults}, indent=1)
        replace_file(self._path, text.encode())


def with_way_out(error: RollbackError, address: str, addresses: Collection[str]) -> RollbackError:
    """Return *error* with what helps whoever knows that the key statements are meant to be so.

    *addresses* are those where the vault was seen, *address* is where it is now.
    """
    seen_at = address if address in addresses else next(iter(addresses), address)
    return RollbackError(
        error.message,
        hint=f"{error.hint} If you know why it is so (an older copy was put back, two people "
        "changed the keys at the same moment), this takes the keys as they are: holdfast doctor "
        f"--forget-address {shlex.quote(seen_at)}",
    )


def _vault_to(vault: KnownVault) -> dict[str, Any]:
    statement = vault.statement
    return {
        "vault": vault.vault_id.hex(),
        "name": vault.name,
        "encrypted": vault.is_encrypted,
        "addresses": list(vault.addresses),
        "statement": None if statement is None else [statement.number, statement.hash.hex()],
        "heads": [
            [writer.hex(), series.hex(), head.counter, head.point.hex(), head.epoch]
            for (writer, series), head in sorted(vault.heads.items())
        ],
    }


def _vault_from(item: Mapping[str, Any]) -> KnownVault:
    statement = item["statement"]
    return KnownVault(
        VaultId(_unhex(item["vault"], 32)),
        bool(item["encrypted"]),
        str(item["name"]),
        tuple(str(address) for address in item["addresses"]),
        None
        if statement is None
        else SeenStatement(int(statement[0]), ObjectHash(_unhex(statement[1], 32))),
        {
            (WriterId(_unhex(writer, 16)), SeriesId(_unhex(series, 16))): SeenHead(
                int(counter), PointId(_unhex(point, 32)), *map(int, epoch)
            )
            # Files of earlier releases say nothing of the epoch.
            for writer, series, counter, point, *epoch in item["heads"]
        },
    )


def _unhex(text: str, length: int) -> bytes:
    value = bytes.fromhex(text)
    if len(value) != length:
        raise ValueError("an id has the wrong length")
    return value
