"""``--dry-run`` does everything but what changes anything."""

from pathlib import Path

from doubles.command_line import CommandLine


def everything(folder: Path) -> dict[str, bytes | None]:
    """Return the paths below a folder, with what files hold; not what commands remember."""
    return {
        name: path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if not (name := str(path.relative_to(folder))).startswith(("home/.local", "home/.cache"))
    }


def another_password(holdfast: CommandLine) -> None:
    """Make the file ``new``, which opens nothing."""
    new = holdfast.folder / "new"
    new.write_bytes(b"another password, of forty or more bytes\n")
    new.chmod(0o600)


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(ready: CommandLine) -> None:
    """One line for people; for programs it is the plan."""
    another_password(ready)
    before = everything(ready.folder)
    rotate = ("key", "change-password", "--new-key-file", "new", "--rotate")
    for words, said in (
        (("key", "add", "--new-password-file", "new"), "Would add a password."),
        (rotate, "by a key file, and begin new keys (epoch 1)."),
        (("writer", "add", "-o", "writer"), "with its key in writer."),
        (("recovery-kit", "-o", "kit", "--html", "page"), "Would write page and kit."),
        (("probe",), f"Would put about 8 MiB into {ready.repository} and"),
        (("init", "other"), "A repository would be made at other"),
    ):
        text = ready.done(*words, "--dry-run")
        assert said in text.out
        assert text.out.count("\n") == 1, words
        assert everything(ready.folder) == before, words

    event = ready.done("--json", "-n", *rotate).document
    assert (event["type"], event["command"], event["epoch"]) == ("plan", "key change-password", 1)


def test_a_dry_run_is_refused_as_the_run_would_be(ready: CommandLine) -> None:
    """Whoever tries first learns what would be in the way."""
    another_password(ready)
    before = everything(ready.folder)
    for words, code in (
        (("key", "add", "--new-password-file", "password"), 2),
        (("writer", "add"), 1),
        (("writer", "add", "-o", "absent/x"), 1),
        (("recovery-kit", "-o", "absent/x"), 1),
        (("probe", "absent"), 10),
    ):
        for dry in ((), ("--dry-run",)):
            assert ready(*words, *dry, password=True).code == code, words
    assert ready("key", "add", "--new-password-file", "new", "--dry-run").code == 12
    assert everything(ready.folder) == before
