"""Passwords and key files: right, wrong, lost, taken away; and what the nightly machine holds."""

import html
import subprocess
import sys
from pathlib import Path

import pytest

from doubles.command_line import PASSWORD, CommandLine

EXTRACT = Path(__file__).resolve().parents[2] / "tools" / "holdfast-extract"


def secret_file(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_wrong_password_is_told_apart_from_damage(filled: CommandLine) -> None:
    """Exit code 12, one sentence, and nothing is changed."""
    wrong = secret_file(filled.folder / "wrong", b"wrong\n")

    answer = filled("points", "--password-file", wrong)

    assert answer.code == 12
    assert "H401" in answer.err
    assert "Nothing is damaged" in answer.err


def test_a_password_file_may_end_with_one_newline(filled: CommandLine) -> None:
    """The newline that every editor writes is not part of the password."""
    without = secret_file(filled.folder / "without", PASSWORD.encode())
    windows = secret_file(filled.folder / "windows", PASSWORD.encode() + b"\r\n")
    two = secret_file(filled.folder / "two", PASSWORD.encode() + b"\n\n")

    assert filled("key", "verify", "--password-file", without).code == 0
    assert filled("key", "verify", "--password-file", windows).code == 0
    assert filled("key", "verify", "--password-file", two).code == 12


def test_a_password_comes_from_a_command_that_no_shell_sees(filled: CommandLine) -> None:
    """Quotes work, pipes do not."""
    good = filled("key", "verify", "--password-command", f"printf '%s' '{PASSWORD}'")
    bad = filled("key", "verify", "--password-command", "false")
    absent = filled("key", "verify", "--password-command", "/no/such/command")

    assert good.code == 0
    assert (bad.code, absent.code) == (2, 2)
    assert "H905" in bad.err


def test_one_secret_from_two_sources_is_refused(filled: CommandLine) -> None:
    """One of them would be left out without a word."""
    new = secret_file(filled.folder / "new", b"new password\n")
    key = secret_file(filled.folder / "key", bytes(range(64)))

    twice = filled("key", "verify", "--password-file", new, "--password-command", "echo x")
    both = filled("key", "add", "--new-password-file", new, "--new-key-file", key, password=True)

    assert (twice.code, both.code) == (2, 2)
    assert len(filled.done("key", "list", "--json").document["ways_in"]) == 1


def test_a_hint_keeps_its_own_quotes(filled: CommandLine) -> None:
    """Also when the password is changed without a word about the hint."""
    key = secret_file(filled.folder / "key", bytes(range(64)))
    new = secret_file(filled.folder / "new", b"new password\n")
    filled.done("key", "add", "--new-key-file", key, "--hint", 'say "friend"')
    words = ("key", "change-password", "--key-file", key, "--new-password-file", new)
    assert filled(*words).code == 0

    ways = filled.done("key", "list", "--json", password=False).document["ways_in"]
    assert [way["hint"] for way in ways] == ["", 'say "friend"']


def test_a_secret_file_that_others_can_change_is_refused(filled: CommandLine) -> None:
    """And one that others can read is warned about: ssh's rule."""
    writable = secret_file(filled.folder / "writable", PASSWORD.encode(), 0o622)
    readable = secret_file(filled.folder / "readable", PASSWORD.encode(), 0o644)

    refused = filled("key", "verify", "--password-file", writable)
    warned = filled("key", "verify", "--password-file", readable)

    assert refused.code == 12
    assert "H904" in refused.err
    assert warned.code == 0
    assert "can be read by others" in warned.err


def test_without_a_password_and_a_terminal_the_refusal_says_so(filled: CommandLine) -> None:
    """A script does not hang."""
    answer = filled("restore", "latest", "--to", "x")

    assert answer.code == 12
    assert "no terminal" in answer.err


@pytest.mark.parametrize("option", ["--source", "--host", "--tag"])
def test_points_of_a_name_are_not_said_to_be_none_by_whoever_cannot_read_names(
    filled: CommandLine, option: str
) -> None:
    """A script would take "none" for true; without a name the outside is listed as ever."""
    for words in (("points", option, "x"), ("points", option, "x", "--json")):
        refused = filled(*words)
        assert (refused.code, refused.out) == (12, "")
        assert "H810" in refused.err
        assert "--password-file" in refused.err
    assert filled("points").code == 0
    assert filled.done("points", option, "x", "--json").document["points"] == []


def test_points_of_a_name_need_no_password_where_nothing_is_sealed(
    holdfast: CommandLine,
) -> None:
    """Neither where there is no restore point yet."""
    holdfast.init()
    assert holdfast("points", "--source", "x").code == 0
    holdfast.environment["HOLDFAST_REPOSITORY"] = str(holdfast.folder / "open")
    holdfast.done("init", "--cipher", "none", password=False)
    holdfast.done("backup", holdfast.source(), "--tag", "weekly", password=False)

    assert len(holdfast("points", "--tag", "weekly", "--json").document["points"]) == 1


def test_the_nightly_machine_needs_no_password_and_can_read_nothing(filled: CommandLine) -> None:
    """Its key makes restore points; names, lists and contents stay closed to it."""
    quiet = filled("-q", "backup", filled.source())
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    points = filled("points")
    listed = filled("ls", "latest")
    restored = filled("restore", "latest", "--to", "x")

    assert filled("backup", filled.source()).code == 0
    assert points.code == 0
    assert "source" not in points.out.splitlines()[1]
    assert "names and sizes need one" in points.err
    assert (listed.code, restored.code) == (12, 12)


def test_a_machine_without_a_key_becomes_a_writer_with_the_password(filled: CommandLine) -> None:
    """And says so; without a password it is told what to do."""
    other = {"HOME": str(filled.folder / "other")}
    refused = filled("backup", filled.source(), environment=other)
    assert refused.code == 12
    assert "no key" in refused.err

    made = filled("backup", filled.source(), environment=other, password=True)
    assert made.code == 0
    assert "it is now" in made.err
    assert filled("backup", filled.source(), environment=other).code == 0
    assert len(filled.done("writer", "list", "--json").document["writers"]) == 2


def test_the_key_file_of_another_vault_opens_nothing(filled: CommandLine) -> None:
    """It is a wrong key, not damage."""
    own = secret_file(filled.folder / "own.key", bytes(range(64)))
    foreign = secret_file(filled.folder / "foreign.key", bytes(64))
    filled.done("key", "add", "--new-key-file", own)

    assert filled("key", "verify", "--key-file", own).code == 0
    assert filled("key", "verify", "--key-file", foreign).code == 12


def test_removing_a_way_in_shows_who_stays_and_shuts_the_removed_one_out(
    filled: CommandLine,
) -> None:
    """The plan first; then the removed password opens nothing, the other one everything."""
    second = secret_file(filled.folder / "second", b"second password\n")
    added = filled.done("key", "add", "--new-password-file", second, "--json").document["added"]
    refused = filled("key", "remove", added, password=True)
    assert refused.code == 4
    assert "stays" in refused.out

    filled.done("key", "remove", added, "--yes")

    assert filled("key", "verify", "--password-file", second).code == 12
    assert filled("backup", filled.source()).code == 0
    assert filled.done("restore", "latest", "--to", filled.folder / "x").code == 0
    assert filled.done("key", "list", "--json").document["epoch"] == 1


def test_the_last_way_in_cannot_be_removed(filled: CommandLine) -> None:
    """Nobody could open the vault any more."""
    only = filled.done("key", "list", "--json").document["ways_in"][0]["id"]

    answer = filled("key", "remove", only[:8], "--yes", password=True)

    assert answer.code == 2
    assert "last way in" in answer.err


def test_a_changed_password_replaces_the_old_one(filled: CommandLine) -> None:
    """The old one opens no more."""
    new = secret_file(filled.folder / "new", b"new password\n")

    filled.done("key", "change-password", "--new-password-file", new)

    assert filled("key", "verify", "--password-file", new).code == 0
    assert filled("key", "verify", password=True).code == 12


def test_a_writer_key_that_others_can_change_is_refused(filled: CommandLine) -> None:
    """Whoever can change it could let this machine write with a key of his own."""
    key = next((filled.home / ".config" / "holdfast" / "writers").glob("*.key"))
    key.chmod(0o666)

    answer = filled("backup", filled.source())

    assert answer.code == 12
    assert "H609" in answer.err


def test_a_damaged_writer_key_says_how_to_get_another(filled: CommandLine) -> None:
    """The hint works: moved away, the machine gets a new one."""
    key = next((filled.home / ".config" / "holdfast" / "writers").glob("*.key"))
    key.write_text("nonsense", encoding="utf-8")

    answer = filled("backup", filled.source())
    assert (answer.code, "H610" in answer.err) == (12, True)
    assert "writer add" in answer.err

    key.rename(filled.folder / "away")
    filled.done("writer", "add")
    assert filled("backup", filled.source()).code == 0


def test_the_recovery_kit_is_written_for_its_owner_only(filled: CommandLine) -> None:
    """As text with the key objects, and as a page with a QR code; never over another file."""
    text, page = filled.folder / "kit.txt", filled.folder / "kit.html"
    filled.done("recovery-kit", "-o", text, "--html", page)

    assert text.stat().st_mode & 0o777 == 0o600
    assert page.stat().st_mode & 0o777 == 0o600
    assert "<svg" in page.read_text(encoding="utf-8")
    assert str(filled.repository) in text.read_text(encoding="utf-8")
    assert filled("recovery-kit", "-o", text, password=True).code == 1


def test_a_kit_that_cannot_be_written_is_refused_before_anything_is_made(
    holdfast: CommandLine,
) -> None:
    """As far as it can be seen: a folder that is missing, or a file that is there."""
    for kit in (holdfast.folder / "nowhere" / "kit", Path("/dev/full")):
        refused = holdfast("init", "--kit", kit, password=True)
        assert (refused.code, "H807" in refused.err) == (1, True)
        assert not holdfast.repository.exists()
        assert not list(holdfast.home.glob(".config/holdfast/writers/*"))


def test_a_kit_whose_writing_fails_hides_nothing_of_what_was_made(holdfast: CommandLine) -> None:
    """The kit is shown instead, and the hint writes it."""
    impossible = holdfast.folder / ("x" * 300)
    made = holdfast("init", "--kit", impossible, password=True)

    assert (made.code, "H807" in made.err) == (1, True)
    assert "The repository is made" in made.err
    assert f"holdfast recovery-kit -r {holdfast.repository} -o FILE" in made.err
    assert f"Made the repository {holdfast.repository}" in made.out
    assert "HOLDFAST RECOVERY KIT" in made.out
    assert "The recovery kit is in" not in made.out
    holdfast.done("recovery-kit", "-o", holdfast.folder / "kit")


def test_the_commands_of_the_recovery_kit_restore_on_another_machine(filled: CommandLine) -> None:
    """Those of Holdfast and those of the single file; the printed page has the same ones."""
    printed, page = filled.done("recovery-kit").out, filled.folder / "kit.html"
    filled.done("recovery-kit", "--html", page)
    elsewhere = CommandLine(filled.folder / "elsewhere")
    lines = [line.strip() for line in printed.splitlines() if "FOLDER" in line.split()]
    assert len(lines) == 4

    for number, line in enumerate(lines):
        assert line in html.unescape(page.read_text(encoding="utf-8"))
        target = filled.folder / f"again{number}"
        means = {"FOLDER": str(filled.repository), "NEW-FOLDER": str(target)}
        program, *words = [means.get(word, word) for word in line.split()]
        if program == "holdfast":
            elsewhere.done(*words)
        else:
            assert (program, words.pop(0)) == ("v/bin/python", EXTRACT.name)
            way = ["--password-file", str(filled.password_file)]
            subprocess.run([sys.executable, str(EXTRACT), *way, *words], check=True)
        if "restore" in words:
            (restored,) = target.rglob("hello.txt")
            assert restored.read_bytes() == b"hello\n"


def test_a_vault_without_encryption_needs_no_password(holdfast: CommandLine) -> None:
    """And says so where it lists who can open."""
    holdfast.done("init", "--cipher", "none", password=False)
    holdfast.done("backup", holdfast.source(), password=False)
    holdfast.done("restore", "latest", "--to", holdfast.folder / "x", password=False)

    assert "anybody" in holdfast.done("points", password=False).out


def test_the_kit_of_a_vault_without_encryption_says_that_anybody_can_read_it(
    holdfast: CommandLine,
) -> None:
    """It names no password, and no encryption that is not there."""
    made = holdfast.done("init", "--cipher", "none", password=False)
    printed = holdfast.done("recovery-kit", password=False).out

    assert "not encrypted, whoever has the folder can read it" in printed
    assert "encrypted with" not in made.out
    for text in (made.out, printed):
        assert "still needs a password" not in text
        assert "asks for the password" not in text


def test_a_password_for_a_new_vault_without_encryption_is_refused(holdfast: CommandLine) -> None:
    """It would be a promise that nothing keeps; nothing is made."""
    answer = holdfast("init", "--cipher", "none", password=True)
    dry = holdfast("init", "--cipher", "none", "--hint", "x", "-n")

    assert (answer.code, dry.code) == (2, 2)
    assert "H803" in answer.err
    assert "--cipher none" in answer.err
    assert not holdfast.repository.exists()


def test_with_a_password_configured_a_vault_without_encryption_is_refused(
    holdfast: CommandLine,
) -> None:
    """Somebody may have put it in the place of the true one."""
    holdfast.done("init", "--cipher", "none", password=False)

    for words in (
        ("backup", holdfast.source()),
        ("points",),
        ("key", "list"),
        ("verify",),
        ("check",),
    ):
        answer = holdfast(*words, password=True)
        assert (answer.code, "H815" in answer.err) == (21, True), words
    answer = holdfast("points", environment={"HOLDFAST_PASSWORD": PASSWORD})
    assert answer.code == 21
    assert not holdfast.objects("packs")


def test_a_new_password_has_one_line(holdfast: CommandLine) -> None:
    """Nobody could type it, and most who hand over such a file have named the wrong one."""
    lines = secret_file(holdfast.folder / "lines", b"one\ntwo\n")

    answer = holdfast("init", "--password-file", lines)
    assert answer.code == 2
    assert "H915" in answer.err

    holdfast.init()
    answer = holdfast("key", "add", "--new-password-file", lines, password=True)
    assert (answer.code, "H915" in answer.err) == (2, True)


def test_one_password_is_not_two_ways_in(ready: CommandLine) -> None:
    """Whoever removed one of them would believe that it opens nothing any more."""
    other = secret_file(ready.folder / "other", b"other\n")
    ready.done("key", "add", "--new-password-file", other)

    for new in (ready.password_file, other):
        for command in ("add", "change-password"):
            answer = ready("key", command, "--new-password-file", new, password=True)
            assert (answer.code, "H412" in answer.err) == (2, True)
            assert "already" in answer.err
    assert len(ready.done("key", "list", "--json").document["ways_in"]) == 2


def test_a_wrong_key_file_is_not_blamed_on_the_keyboard(ready: CommandLine) -> None:
    """Only passwords are typed."""
    key = secret_file(ready.folder / "key", bytes(range(64)))
    ready.done("key", "add", "--new-key-file", key)
    wrong = secret_file(ready.folder / "wrong", bytes(64))

    answer = ready("key", "verify", "--key-file", wrong)

    assert (answer.code, "keyboard" in answer.err) == (12, False)
