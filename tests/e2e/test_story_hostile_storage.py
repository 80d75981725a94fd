"""The repository, or a file of this machine, was made by somebody who means harm."""

import shlex
from pathlib import Path

import pytest

from doubles.command_line import PASSWORD, CommandLine
from holdfast.base.clock import SystemClock
from holdfast.crypto.passwords import KdfParameters
from holdfast.crypto.randomness import SystemRandom
from holdfast.keys import _making
from holdfast.keys.changes import WayIn, new_vault
from holdfast.keys.unlockers import PasswordUnlocker
from holdfast.operations.ciphers import EncryptionWish
from holdfast.storage.address import create_backend
from holdfast.vault.repository import create_repository


@pytest.mark.parametrize(
    "parameters",
    [KdfParameters.argon2id(1, 8 * 1024, 1), KdfParameters.pbkdf2(1)],
    ids=["weak Argon2id", "weak PBKDF2"],
)
def test_key_derivation_out_of_bounds_is_refused_before_any_work(
    holdfast: CommandLine, monkeypatch: pytest.MonkeyPatch, parameters: KdfParameters
) -> None:
    """A storage that plants cheap parameters would learn the password by trying."""
    monkeypatch.setattr(_making, "check_parameters", lambda *_, **__: None)
    clock, random = SystemClock(), SystemRandom()
    change = new_vault(
        EncryptionWish().vault_object(),
        name="main",
        ways_in=[WayIn(PasswordUnlocker(PASSWORD), parameters=parameters)],
        clock=clock,
        random=random,
    )
    backend = create_backend(str(holdfast.repository), clock=clock, random=random)
    create_repository(backend, change.objects, clock=clock, random=random)

    answer = holdfast("points", password=True)

    assert answer.code == 20
    assert "H106" in answer.err
    assert "nothing was tried" in answer.err


def test_state_that_others_can_write_is_not_believed(filled: CommandLine) -> None:
    """It is what notices a repository that goes back in time."""
    known = filled.home / ".local" / "state" / "holdfast" / "known-vaults.json"
    known.chmod(0o666)

    answer = filled("points")

    assert answer.code == 12
    assert "H609" in answer.err


def test_another_repository_in_the_place_of_a_known_one_is_noticed(
    filled: CommandLine, tmp_path: Path
) -> None:
    """Exit code 21: nothing is written to it and no password is asked for it."""
    other = CommandLine(tmp_path / "other")
    other.init()
    filled.repository.rename(tmp_path / "stolen")
    other.repository.rename(filled.repository)

    answer = filled("backup", filled.source())

    assert answer.code == 21
    assert "H606" in answer.err


@pytest.mark.parametrize(("cipher", "code"), [("gcm", "H606"), ("none", "H607")])
def test_the_hint_for_another_repository_on_purpose_is_a_command_that_works(
    filled: CommandLine, tmp_path: Path, cipher: str, code: str
) -> None:
    """As ssh-keygen -R: nothing but the address is forgotten, and nothing by -n."""
    other = CommandLine(tmp_path / "other")
    other.done("init", "--cipher", cipher, password=cipher != "none")
    filled.repository.rename(tmp_path / "away")
    other.repository.rename(filled.repository)
    refused = filled("points")
    assert (refused.code, code in refused.err) == (21, True)
    words = shlex.split(refused.err.partition("holdfast doctor ")[2].partition(". ")[0])

    filled.done("doctor", *words, "-n", password=False)
    assert filled("points").code == 21
    told = filled.done("doctor", *words, "--json", password=False).document
    assert told["address"] == str(filled.repository)
    assert len(told["vaults"]) == 1

    assert filled("points").code == 0
    again = filled("doctor", "--forget-address", tmp_path / "nowhere")
    assert (again.code, "H809" in again.err) == (2, True)


def test_a_repository_that_went_back_in_time_is_noticed(
    filled: CommandLine, tmp_path: Path
) -> None:
    """A way in was removed; whoever has the old copy cannot bring it back unseen."""
    second = tmp_path / "second"
    second.write_text("second password", encoding="utf-8")
    second.chmod(0o600)
    added = filled.done("key", "add", "--new-password-file", second, "--json").document["added"]
    before = {path: path.read_bytes() for path in filled.objects("keys")}
    filled.done("key", "remove", added, "--yes")
    for path in filled.objects("keys"):
        if path not in before:
            path.unlink()

    answer = filled("points", password=True)

    assert (answer.code, "H404" in answer.err) == (21, True)
    # Whoever put the old copy there on purpose is told the way out.
    words = shlex.split(answer.err.partition("holdfast doctor ")[2])
    filled.done("doctor", *words, password=False)
    assert filled("points", password=True).code == 0


@pytest.mark.parametrize("command", [("check",), ("verify",)])
def test_the_checks_do_not_call_another_repository_sound(
    filled: CommandLine, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Nothing in it is damaged; it is only not the one that was asked about."""
    other = CommandLine(tmp_path / "other")
    other.init()
    filled.repository.rename(tmp_path / "stolen")
    other.repository.rename(filled.repository)

    answer = filled(*command, password=True)

    assert answer.code == 21
    assert "H606" in answer.err


@pytest.mark.parametrize("command", [("check",), ("verify",), ("verify", "--blind")])
def test_the_checks_name_a_key_statement_that_this_machine_has_seen(
    filled: CommandLine, tmp_path: Path, command: tuple[str, ...]
) -> None:
    second = tmp_path / "second"
    second.write_text("second password", encoding="utf-8")
    second.chmod(0o600)
    before = filled.objects("keys")
    filled.done("key", "add", "--new-password-file", second)
    (newest,) = set(filled.objects("keys")) - set(before)
    newest.unlink()

    answer = filled(*command, password=True)

    assert answer.code == 20
    assert newest.name in answer.out
