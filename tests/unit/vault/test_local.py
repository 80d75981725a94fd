"""What a machine remembers: whole, for its owner only, and only ever newer."""

import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from holdfast.base.ids import GroupId, ObjectHash, PointId, SeriesId, SessionId, VaultId, WriterId
from holdfast.base.secrets import Secret
from holdfast.keys.statements import SeenStatement
from holdfast.vault import files
from holdfast.vault.errors import LocalStateError, UnsafeFileError, WriterKeyFileError
from holdfast.vault.files import file_lock
from holdfast.vault.local import (
    KnownVault,
    KnownVaults,
    LocalFolders,
    SeenHead,
    WriterKey,
)

VAULT = VaultId(b"v" * 32)
SERIES = (WriterId(b"w" * 16), SeriesId(b"s" * 16))
KEY = WriterKey(
    VAULT, WriterId(b"w" * 16), Secret(b"x" * 32), ObjectHash(b"c" * 32), "sftp://a@b/c: d"
)


def test_what_was_seen_is_read_back_as_it_was(tmp_path: Path) -> None:
    known = KnownVaults(tmp_path / "state" / "known.json")
    head = SeenHead(3, PointId(b"p" * 32))
    statement = SeenStatement(2, ObjectHash(b"h" * 32))

    known.change(
        VAULT,
        is_encrypted=True,
        how=lambda vault: vault.with_heads({SERIES: head}).with_statement(statement),
    )

    assert known.find(VAULT) == KnownVault(
        VAULT, is_encrypted=True, statement=statement, heads={SERIES: head}
    )
    assert (tmp_path / "state" / "known.json").stat().st_mode & 0o777 == 0o600


def test_an_older_head_or_statement_never_takes_the_place_of_a_newer_one() -> None:
    newer = KnownVault(VAULT, is_encrypted=True).with_heads({SERIES: SeenHead(3, PointId(b"n"))})
    newer = newer.with_statement(SeenStatement(5, ObjectHash(b"n")))

    older = newer.with_heads({SERIES: SeenHead(2, PointId(b"o"))})
    older = older.with_statement(SeenStatement(4, ObjectHash(b"o")))

    assert older == newer


def test_a_head_that_is_seen_again_gets_the_epoch_that_an_earlier_release_did_not_note() -> None:
    point = PointId(b"p" * 32)
    noted = KnownVault(VAULT, is_encrypted=True).with_heads({SERIES: SeenHead(3, point)})

    assert noted.with_heads({SERIES: SeenHead(3, point, 2)}).heads[SERIES].epoch == 2
    assert noted.with_heads({SERIES: SeenHead(3, PointId(b"o" * 32), 2)}) == noted


def test_a_state_that_others_can_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    path.write_text('{"schema": 1, "vaults": []}')
    path.chmod(0o620)

    with pytest.raises(UnsafeFileError):
        KnownVaults(path).load()


ENDLESS = (
    '{"schema": 1, "vaults": [{"vault": "'
    + "00" * 32
    + '", "name": "", "encrypted": true, "addresses": [], "heads": [], "statement": [1e999, ""]}]}'
)


@pytest.mark.parametrize(
    "text",
    [
        '{"schema": 1, "vaults": [{',
        "[]",
        "[" * 100_000,
        ENDLESS,
    ],
    ids=["torn", "of another shape", "deep", "a number that is none"],
)
def test_a_state_that_is_none_is_refused_with_a_way_out(tmp_path: Path, text: str) -> None:
    path = tmp_path / "known.json"
    path.write_text(text)
    path.chmod(0o600)

    with pytest.raises(LocalStateError) as caught:
        KnownVaults(path).load()

    assert str(path) in caught.value.message
    assert "Remove it" in (caught.value.hint or "")


def test_a_writer_key_is_read_back_as_it_was(tmp_path: Path) -> None:
    KEY.save(tmp_path / "writers" / "a.key")

    loaded = WriterKey.load(tmp_path / "writers" / "a.key")

    assert loaded.seed.reveal() == KEY.seed.reveal()
    assert (loaded.vault_id, loaded.writer_id, loaded.certificate, loaded.repository) == (
        KEY.vault_id,
        KEY.writer_id,
        KEY.certificate,
        KEY.repository,
    )
    assert not loaded.is_readable_by_others


def test_a_writer_key_that_others_can_write_is_refused_and_one_they_can_read_is_marked(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.key"
    KEY.save(path)
    path.chmod(0o644)
    assert WriterKey.load(path).is_readable_by_others

    path.chmod(0o602)

    with pytest.raises(UnsafeFileError):
        WriterKey.load(path)


@pytest.mark.parametrize("text", ["", "holdfast writer key 0\n", "holdfast writer key 0\nvault: x"])
def test_what_is_no_writer_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.key"
    path.write_text(text)
    path.chmod(0o600)

    with pytest.raises(WriterKeyFileError):
        WriterKey.load(path)


def test_a_killed_session_of_this_machine_is_known_to_be_dead(tmp_path: Path) -> None:
    folders = LocalFolders(tmp_path / "config", tmp_path / "state", tmp_path / "cache")
    session = SessionId(b"i" * 16)
    assert folders.is_alive(VAULT, session) is None

    seen = []
    with pytest.raises(KeyboardInterrupt), folders.alive_lock(VAULT, session):  # noqa: PT012 - what happens inside is the test
        seen.append(folders.is_alive(VAULT, session))
        raise KeyboardInterrupt

    assert seen == [True]
    assert folders.is_alive(VAULT, session) is False


def test_the_dead_are_remembered_as_long_as_something_of_them_is_stored(tmp_path: Path) -> None:
    """A session that runs is never touched, and nobody lists the storage without need."""
    folders = LocalFolders(tmp_path, tmp_path, tmp_path)
    stored, gone, running = (SessionId(bytes([number]) * 16) for number in (1, 2, 3))
    for session in (stored, gone):
        with pytest.raises(KeyboardInterrupt), folders.alive_lock(VAULT, session):
            raise KeyboardInterrupt

    with folders.alive_lock(VAULT, running):
        folders.drop_dead(VAULT, lambda: {stored})
        assert folders.is_alive(VAULT, running)

    assert folders.is_alive(VAULT, stored) is False
    assert folders.is_alive(VAULT, gone) is None

    folders.drop_dead(VAULT, set)
    folders.drop_dead(VAULT, lambda: pytest.fail("nobody is dead"))
    assert folders.is_alive(VAULT, stored) is None


def test_commands_at_the_same_time_have_an_index_folder_each(tmp_path: Path) -> None:
    folders = LocalFolders(tmp_path / "config", tmp_path / "state", tmp_path / "cache")
    group = GroupId(b"g" * 16)
    with folders.index(VAULT, group) as one, folders.index(VAULT, group) as other:
        assert one != other
    with folders.index(VAULT, group) as again:
        assert again == one


def test_backups_leave_the_cache_out_by_its_tag(tmp_path: Path) -> None:
    folders = LocalFolders(tmp_path / "config", tmp_path / "state", tmp_path / "cache")
    for _ in range(2):
        with folders.index(VAULT, GroupId(b"g" * 16)):
            pass

    tag = (tmp_path / "cache" / "CACHEDIR.TAG").read_text("ascii")
    assert tag.startswith("Signature: 8a477f597d28d172789f06886806bc55\n")


def test_a_session_that_begins_while_somebody_looks_does_not_seem_dead(tmp_path: Path) -> None:
    """Who looks holds its lock for a moment; its packs would be taken for those of a dead one."""
    folders = LocalFolders(tmp_path / "config", tmp_path / "state", tmp_path / "cache")
    session = SessionId(b"n" * 16)
    begun, ended = threading.Event(), threading.Event()

    def run() -> None:
        with folders.alive_lock(VAULT, session):
            begun.set()
            ended.wait()

    thread = threading.Thread(target=run)
    with file_lock(folders._alive(VAULT, session), wait=False) as is_got:
        assert is_got
        thread.start()
        assert not begun.wait(0.2)
    try:
        assert begun.wait(10)
        assert folders.is_alive(VAULT, session) is True
    finally:
        ended.set()
        thread.join()
    assert folders.is_alive(VAULT, session) is None


@pytest.mark.parametrize("begins", ["before it is dropped", "while it is dropped"])
def test_a_session_that_begins_while_the_dead_are_cleared_away_stays_alive(
    tmp_path: Path, begins: str
) -> None:
    folders = LocalFolders(tmp_path / "config", tmp_path / "state", tmp_path / "cache")
    session = SessionId(b"n" * 16)
    path = folders._alive(VAULT, session)
    with file_lock(path, wait=False):
        """As it is before its session has taken the lock."""
    with ExitStack() as stack:

        def stored() -> list[SessionId]:
            if begins == "before it is dropped":
                stack.enter_context(folders.alive_lock(VAULT, session))
            return []

        folders.drop_dead(VAULT, stored)
        if begins == "while it is dropped":
            # It waited for the lock of the file that is gone.
            assert not path.exists()
            stack.enter_context(folders.alive_lock(VAULT, session))
        assert folders.is_alive(VAULT, session) is True


def test_a_lock_of_a_file_that_is_taken_away_is_that_of_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    got = threading.Event()

    def wait_for_it() -> None:
        with file_lock(path, wait=True) as is_got:
            assert is_got
            got.set()
            assert not _is_free(path)

    thread = threading.Thread(target=wait_for_it)
    with file_lock(path, wait=False):
        thread.start()
        assert not got.wait(0.2)
        path.unlink()
    thread.join()
    assert got.is_set()


def _is_free(path: Path) -> bool:
    with file_lock(path, wait=False) as is_got:
        return is_got


def test_a_key_that_is_written_is_as_durable_as_the_folders_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut its certificate is in the repository; the key has to be here."""
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync_folder", synced.append)

    KEY.save(tmp_path / "config" / "writers" / "a.key")

    assert synced == [tmp_path, tmp_path / "config", tmp_path / "config" / "writers"]
