"""Where secrets come from, and who may have touched them."""

import io
import signal
import subprocess
import traceback
from pathlib import Path

import pytest

from holdfast.base.secrets import Secret
from holdfast.cli.errors import (
    InterruptedByUserError,
    NoSecretError,
    PasswordCommandError,
    SecretFileError,
    SecretFileWritableError,
)
from holdfast.cli.options import GlobalOptions
from holdfast.cli.output import Output
from holdfast.cli.secret_sources import SecretOptions, SecretSources
from holdfast.crypto.errors import PasswordError


def sources(*given: SecretOptions, new: SecretOptions | None = None) -> SecretSources:
    """Return what answers for passwords, with nobody to ask."""
    output = Output(out=io.StringIO(), err=io.StringIO())
    return SecretSources(output, given, () if new is None else (new,))


def password_of(found: SecretSources) -> bytes:
    """Return the first secret that would be tried."""
    return next(found.attempts([]))[0].secret_input()


def file_of(tmp_path: Path, content: bytes, mode: int = 0o600) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_the_first_source_that_is_named_counts(tmp_path: Path) -> None:
    """Options stand before the environment."""
    first = SecretOptions(password_file=file_of(tmp_path, b"file\n"))
    second = SecretOptions(password=Secret(b"environment"))

    assert password_of(sources(first, second)) == b"file"
    assert password_of(sources(SecretOptions(), second)) == b"environment"


def test_a_command_is_split_like_a_shell_would_and_run_without_one() -> None:
    """Its output loses one newline."""
    options = SecretOptions(password_command="echo 'two  words' $HOME")

    assert password_of(sources(options)) == b"two  words $HOME"


@pytest.mark.parametrize("command", ["", "'", "/no/such/program", "false"])
def test_a_command_that_fails_is_refused(command: str) -> None:
    """It never becomes an empty password."""
    options = SecretOptions(password_command=command or " ")

    with pytest.raises(PasswordCommandError):
        password_of(sources(options))


def test_a_command_that_prints_more_than_a_mebibyte_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may never end by itself; the limit is that of a password file."""
    whole = SecretOptions(password_command="sh -c 'head -c 1048576 /dev/zero | tr \\\\0 x'")
    assert len(password_of(sources(whole))) == 2**20
    begun: list[subprocess.Popen[bytes]] = []

    class Watched(subprocess.Popen[bytes]):
        def __init__(self, words: list[str], *, stdout: int) -> None:
            super().__init__(words, stdout=stdout)
            begun.append(self)

    monkeypatch.setattr("subprocess.Popen", Watched)

    with pytest.raises(PasswordCommandError, match="1 MiB"):
        password_of(sources(SecretOptions(password_command="head -c 99M /dev/zero")))
    assert [process.returncode for process in begun] == [-signal.SIGKILL]


def test_a_dash_is_no_password_file_and_the_hint_names_what_is() -> None:
    """Other programs take standard input for it."""
    for options in (SecretOptions(password_file=Path("-")), SecretOptions(key_file=Path("-"))):
        with pytest.raises(SecretFileError) as refused:
            password_of(sources(options))
        assert "/dev/stdin" in str(refused.value.hint)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_change_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever wrote it knows it."""
    options = SecretOptions(password_file=file_of(tmp_path, b"x", mode))

    with pytest.raises(SecretFileWritableError):
        password_of(sources(options))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """And a key file is read the same way."""
    with pytest.raises(SecretFileError, match="nowhere"):
        password_of(sources(SecretOptions(key_file=tmp_path / "nowhere")))


def test_a_key_file_is_taken_as_it_is(tmp_path: Path) -> None:
    """Newlines in it count."""
    path = file_of(tmp_path, bytes(31) + b"\n")

    assert password_of(sources(SecretOptions(key_file=path))) == bytes(31) + b"\n"


def test_with_nothing_given_and_nobody_to_ask_there_is_an_error() -> None:
    """No prompt hangs in a script."""
    with pytest.raises(NoSecretError):
        password_of(sources())
    with pytest.raises(NoSecretError) as nobody:
        sources().new_unlocker("new password")
    assert "--password-file FILE" in str(nobody.value.hint)


def test_an_empty_command_is_no_silence() -> None:
    """A script whose variable is empty must not meet another password."""
    given = SecretOptions(password_command=""), SecretOptions(password=Secret(b"environment"))
    with pytest.raises(PasswordCommandError):
        password_of(sources(*given))

    line = GlobalOptions().joined(GlobalOptions(password_command=""))
    assert line.password_command == ""


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        (EOFError(), NoSecretError),
        (KeyboardInterrupt(), InterruptedByUserError),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), PasswordError),
    ],
)
def test_what_ends_a_question_instead_of_a_password_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, ending: BaseException, error: type[Exception]
) -> None:
    """Ctrl-D, Ctrl-C, and bytes that are no text; what was typed is repeated nowhere."""

    def ends(_: str) -> str:
        raise ending

    monkeypatch.setattr("getpass.getpass", ends)
    monkeypatch.setattr(SecretSources, "can_ask", property(lambda _: True))

    for ask in (lambda: password_of(sources()), lambda: sources().new_unlocker("new password")):
        with pytest.raises(error) as raised:
            ask()
        assert "\\xff" not in "".join(traceback.format_exception(raised.value))


def test_a_password_file_of_more_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    """Not cut: whoever reads the vault with another program would have another password."""
    path = file_of(tmp_path, b"x" * 2**20)
    assert len(password_of(sources(SecretOptions(password_file=path)))) == 2**20

    with pytest.raises(SecretFileError, match="1 MiB"):
        password_of(sources(SecretOptions(password_file=file_of(tmp_path, b"x" * (2**20 + 1)))))


def test_no_representation_shows_a_secret() -> None:
    """Not even in a traceback."""
    assert "hunter2" not in repr(SecretOptions(password=Secret(b"hunter2")))
