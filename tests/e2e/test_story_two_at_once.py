"""Commands that change keys, or make a repository, at the same moment."""

import os
import subprocess
from pathlib import Path

from doubles.command_line import PASSWORD as FIRST
from doubles.command_line import Answer, CommandLine

_ROUNDS = 3


def at_once(*commands: tuple[CommandLine, tuple[str | Path, ...]]) -> list[Answer]:
    """Run all *commands* at once, as processes; return what they left, in order."""
    running = []
    for line, words in commands:
        own = {**line.environment, "HOLDFAST_PASSWORD_FILE": str(line.password_file)}
        running.append(
            subprocess.Popen(
                line.command(*words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=line.folder,
                env=own,
            )
        )
    answers = []
    for process in running:
        out, err = process.communicate(timeout=120)
        answers.append(Answer(process.returncode, out.decode(), err.decode()))
    return answers


def new_secret(path: Path, text: str) -> Path:
    path.write_text(text + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def test_whoever_is_told_that_keys_were_changed_has_them_changed(ready: CommandLine) -> None:
    """Also when somebody else does so at the same moment; and nobody cries wolf afterwards."""
    now, key_files = FIRST, []
    for number in range(_ROUNDS):
        new_secret(ready.password_file, now)
        text = f"password {number}"
        password = new_secret(ready.folder / f"new-{number}", text)
        key = ready.folder / f"key-{number}"
        key.write_bytes(os.urandom(64))
        key.chmod(0o600)
        added, changed = at_once(
            (ready, ("key", "add", "--new-key-file", key)),
            (ready, ("key", "change-password", "--new-password-file", password)),
        )

        # Whoever comes second finds the other's change done: then the old password opens nothing.
        assert changed.code == 0, changed.err
        assert added.code == 0 or (added.code, "H401" in added.err) == (12, True), added.err
        assert ready("key", "verify", "--password-file", ready.password_file).code == 12
        assert ready("key", "verify", "--password-file", password).code == 0
        key_files += [key] if added.code == 0 else []
        now = text
    for key in key_files:
        assert ready("key", "verify", "--key-file", key).code == 0
    new_secret(ready.password_file, now)
    listed = ready.done("key", "list", "--json", password=False).document
    assert len(listed["ways_in"]) == 1 + len(key_files)
    checked = ready.done("check")
    assert "lost against one beside it" not in checked.out + checked.err


def test_of_several_inits_at_once_one_makes_the_repository(holdfast: CommandLine) -> None:
    """The others find one there already, and nothing of theirs is left."""
    answers = at_once(*[(holdfast, ("init",))] * 3)

    codes = sorted(answer.code for answer in answers)
    assert codes == [0, 2, 2], [answer.err for answer in answers]
    assert sum("H602" in answer.err for answer in answers) == 2
    (vault,) = (holdfast.repository / "vaults").iterdir()
    keys = holdfast.home / ".config" / "holdfast" / "writers"
    assert [path.name for path in keys.iterdir()] == [f"{vault.name}.key"]
    assert len(holdfast.objects("keys")) == len(holdfast.objects("slots")) == 1
    assert len(holdfast.objects("writers")) == 1
    holdfast.done("check")
