"""Restore points or what they rest on are damaged: nothing older is passed off as the newest."""

import base64
import random
import shutil
from itertools import takewhile
from pathlib import Path

import pytest

from doubles.command_line import Answer, CommandLine


@pytest.fixture
def two(filled: CommandLine) -> CommandLine:
    """``holdfast`` with two restore points, seen by the machine that made them."""
    filled.source(**{"hello.txt": b"hello again\n"})
    filled.done("backup", filled.folder / "source", password=False)
    return filled


def _newest(two: CommandLine) -> tuple[str, str]:
    older, newest = two.done("points", "--json").document["points"]
    return str(older["id"]), str(newest["id"])


def _object(two: CommandLine, kind: str, object_hash: str) -> Path:
    (path,) = [path for path in two.objects(kind) if object_hash in path.name]
    return path


def _damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


def _elsewhere(two: CommandLine, name: str) -> CommandLine:
    """Another machine that has never seen the repository."""
    other = CommandLine(two.folder / name)
    other.environment["HOLDFAST_REPOSITORY"] = str(two.repository)
    return other


def _is_refused(answer: Answer, word: str) -> None:
    assert answer.code == 20, answer.err
    assert "H620" in answer.err
    assert word in answer.err


def test_latest_is_refused_when_a_point_is_damaged(two: CommandLine) -> None:
    """Whose newest it is nobody can tell; by its id the older one comes back."""
    older, newest = _newest(two)
    _damage(_object(two, "points", newest))
    other = _elsewhere(two, "other")

    _is_refused(other("restore", "latest", "--to", "back", password=True), newest)
    _is_refused(other("ls", "latest", password=True), newest)
    _is_refused(other("ls", newest[:8], password=True), newest)
    _is_refused(other("points", password=True), newest)
    _is_refused(other("prune", "--keep-last", "1", "--yes", password=True), newest)
    _is_refused(other("forget", older, "--yes", password=True), newest)
    assert len(two.objects("points")) == 2
    assert not (other.folder / "back").exists()
    other.done("restore", older, "--to", "back")


def test_latest_is_refused_when_the_newest_point_is_gone(two: CommandLine) -> None:
    """A machine that only listed the points remembers their heads as the one that made them."""
    older, newest = _newest(two)
    reader = _elsewhere(two, "reader")
    reader.done("points")
    _object(two, "points", newest).unlink()

    for machine in (two, reader):
        _is_refused(machine("ls", "latest", password=True), newest[:8])
        _is_refused(machine("points", password=True), newest[:8])
        machine.done("ls", older)
    stranger = _elsewhere(two, "stranger")
    stranger.done("ls", "latest")


def test_a_restore_remembers_what_it_saw(two: CommandLine) -> None:
    """Whoever restored once is not handed an older point later."""
    _, newest = _newest(two)
    reader = _elsewhere(two, "reader")
    reader.done("restore", "latest", "--to", "back")
    _object(two, "points", newest).unlink()

    _is_refused(reader("ls", "latest", password=True), newest[:8])


def test_what_was_dropped_on_purpose_is_no_doubt(two: CommandLine) -> None:
    """A signed forget explains why the newest is gone."""
    older, newest = _newest(two)
    reader = _elsewhere(two, "reader")
    reader.done("points")
    two.done("forget", newest, "--yes")

    for machine in (two, reader):
        machine.done("ls", "latest")
        assert [p["id"] for p in machine.done("points", "--json").document["points"]] == [older]


def test_a_damaged_certificate_is_named_and_not_taken_for_an_empty_repository(
    two: CommandLine,
) -> None:
    """Every point of its writer rests on it."""
    (certificate,) = two.objects("writers")
    _damage(certificate)
    other = _elsewhere(two, "other")

    answer = other("points", password=True)

    _is_refused(answer, certificate.name)
    assert "No restore points" not in answer.out
    _is_refused(other("ls", "latest", password=True), certificate.name)
    _is_refused(other("restore", "latest", "--to", "back", password=True), certificate.name)
    _is_refused(other("prune", "--keep-last", "1", "--yes", password=True), certificate.name)


def test_missing_refs_of_the_newest_point_make_latest_doubtful(two: CommandLine) -> None:
    """Without them the point does not count, and an older one is not the latest."""
    before = set(two.objects("refs"))
    two.source(**{"hello.txt": b"third\n"})
    two.done("backup", two.folder / "source", password=False)
    (refs,) = set(two.objects("refs")) - before
    refs.unlink()

    _is_refused(two("ls", "latest", password=True), "refs")


def test_missing_refs_are_named_stop_prune_and_gc_and_their_loss_is_accepted(
    two: CommandLine,
) -> None:
    """The older point must not vanish without a word, nor its data with it."""
    older, newest = _newest(two)
    third = set(two.objects("refs"))
    two.source(**{"hello.txt": b"third\n"})
    two.done("backup", two.folder / "source", password=False)
    (refs,) = set(two.objects("refs")) - third
    latest = str(two.done("points", "--json").document["points"][-1]["id"])
    refs.unlink()

    answer = two("points", password=True)
    _is_refused(answer, f"{refs.name}' is missing, which restore point {latest[:8]} needs")
    assert older[:8] in answer.out
    assert newest[:8] in answer.out
    _is_refused(two("prune", "--keep-last", "1", "--yes", password=True), refs.name)
    _is_refused(two("ls", latest[:8], password=True), refs.name)
    freed = two("gc", "--yes", password=True)
    assert freed.code == 20
    assert "H641" in freed.err
    assert refs.name in freed.err
    assert f"holdfast forget {latest[:8]}" in freed.err

    two.done("forget", latest[:8], "--yes")
    for words in (("points",), ("check",), ("ls", "latest"), ("gc", "--yes"), ("verify",)):
        two.done(*words)


def test_a_point_that_only_its_session_names_is_missed_by_gc_and_its_loss_accepted(
    two: CommandLine,
) -> None:
    """It was the newest, and this machine has never seen it."""
    _, newest = _newest(two)
    _object(two, "points", newest).unlink()
    other = _elsewhere(two, "other")

    freed = other("gc", "--yes", password=True)
    assert freed.code == 20
    assert f"holdfast forget {newest[:8]}" in freed.err
    other.done("forget", newest[:8], "--yes")

    for words in (("gc", "--yes"), ("points",), ("check",), ("ls", "latest")):
        other.done(*words)


def test_a_restore_without_part_of_the_index_says_so_and_a_new_backup_heals(
    two: CommandLine,
) -> None:
    """The guide's way out: take the damaged index object away, back up again."""
    (index,) = set(two.objects("index")) - set(_first_index(two))
    _damage(index)
    other = _elsewhere(two, "other")

    broken = other("restore", "latest", "--to", "back", password=True)

    assert broken.code == 20, broken.err
    assert index.name in broken.err
    assert "holdfast verify" in broken.err
    index.unlink()
    two.done("backup", two.folder / "source", password=False)
    other.done("restore", "latest", "--to", "again")


def test_what_was_stored_again_serves_older_restore_points_too(ready: CommandLine) -> None:
    """Its packs are of a later session than the older point draws on."""
    source = ready.source()
    ready.done("backup", source, password=False)
    first = ready.done("points", "--json").document["points"][0]["id"]
    for index in ready.objects("index"):
        index.unlink()
    ready.done("backup", "--reread", source, password=False)

    ready.done("restore", first, "--to", "again")
    assert ready.done("restore", first, "--to", "again", "--overwrite", "if-changed", "--yes")


def _first_index(two: CommandLine) -> list[Path]:
    """Return the index objects but the newest."""
    return sorted(two.objects("index"), key=lambda path: path.stat().st_mtime_ns)[:-1]


def test_a_lost_vault_object_is_damage_and_comes_back_from_the_kit(two: CommandLine) -> None:
    """The repository is not taken for one that was never finished."""
    kit = two.folder / "kit.txt"
    two.done("recovery-kit", "-o", kit)
    (lost,) = two.repository.glob("vaults/*/vault")
    before = lost.read_bytes()
    lost.unlink()
    stranger = _elsewhere(two, "stranger")

    for machine in (two, stranger):
        answer = machine("points", password=True)
        assert answer.code == 20, answer.err
        assert "H603" in answer.err
        assert str(lost.relative_to(two.repository)) in answer.err
        assert "recovery-kit" in answer.err
    assert two("check").code == 20

    lines = kit.read_text(encoding="utf-8").splitlines()
    start = lines.index(str(lost.relative_to(two.repository))) + 1
    text = "".join(line.strip() for line in takewhile(lambda line: line[:2] == "  ", lines[start:]))
    lost.write_bytes(base64.b64decode(text))
    assert lost.read_bytes() == before
    two.done("points")


def test_check_and_gc_explain_garbage_that_stays(two: CommandLine) -> None:
    """A backup of another machine began and was cut off: nobody can tell at once."""
    older, newest = _newest(two)
    before = {kind: set(two.objects(kind)) for kind in ("sessions", "leases")}
    two.done("backup", two.folder / "source", "--reread", password=False)
    (point,) = set(two.objects("points")) - {
        _object(two, "points", older),
        _object(two, "points", newest),
    }
    point.unlink()
    for path in sorted(set(two.objects("leases")) - before["leases"])[1:]:
        path.unlink()
    other = _elsewhere(two, "other")

    checked = other("check", password=True)
    freed = other("gc", "--yes", password=True)
    patient = other("gc", "--wait", "--dry-run")

    assert "Garbage is what no restore point needs" in checked.out
    assert freed.code == 0, freed.err
    assert "Nothing to free. 1 session of backups, restores or gcs may still run" in freed.out
    assert "1 session may still run: some minutes will tell" in patient.out


@pytest.mark.slow
def test_the_loss_of_points_after_an_older_copy_took_their_place_is_accepted_by_forget(
    filled: CommandLine,
) -> None:
    """Both have gone; the copies of this machine tell the id of the one before the newest."""
    shutil.copytree(filled.repository, filled.folder / "copy")
    for content in (b"second", b"third"):
        filled.source(**{"hello.txt": content})
        filled.done("backup", filled.folder / "source", password=False)
    kept, *lost = [str(p["id"]) for p in filled.done("points", "--json").document["points"]]
    shutil.rmtree(filled.repository)
    (filled.folder / "copy").rename(filled.repository)

    answer = filled("points", password=True)

    _is_refused(answer, "an older copy of the repository")
    assert all(point[:8] in answer.err for point in lost)
    assert filled("check", password=True).code == 20
    # One after the other: what the first one followed is still known.
    for point in reversed(lost):
        dropped = filled.done("forget", point[:8], "--yes")
        assert f"{point[:8]}  is missing" in dropped.out
    for words in (("points",), ("check",), ("verify",), ("verify", "--blind"), ("ls", "latest")):
        filled.done(*words)
    filled.done("backup", filled.folder / "source", password=False)
    points = filled.done("points", "--json").document["points"]
    assert (len(points), points[0]["id"]) == (2, kept)
    filled.done("check")


def test_a_missing_point_that_another_one_follows_is_accepted_by_forget(two: CommandLine) -> None:
    """A machine that never saw it finds its id in the point that came after it."""
    older, _ = _newest(two)
    _object(two, "points", older).unlink()
    other = _elsewhere(two, "other")

    _is_refused(other("points", password=True), older[:8])
    refused = other("forget", older[:8], password=True)
    assert refused.code == 4
    other.done("forget", older[:8], "--yes")

    for words in (("points",), ("check",), ("verify", "--blind"), ("ls", "latest")):
        other.done(*words)


def test_a_missing_key_statement_is_refused_with_the_way_to_put_it_back(
    filled: CommandLine,
) -> None:
    """The recovery kit has a copy; without it nothing opens any more."""
    kit = filled.folder / "kit.txt"
    filled.done("recovery-kit", "-o", kit)
    (statement,) = filled.objects("keys")
    statement.unlink()

    answer = filled("restore", "latest", "--to", "back", password=True)

    assert answer.code == 21, answer.err
    assert "H403" in answer.err
    assert "'recovery-kit -o'" in answer.err
    assert statement.name in kit.read_text(encoding="utf-8")
    assert "missing: " in filled("verify", "--blind").out


def test_gc_removes_the_garbage_that_check_says_it_removes(two: CommandLine) -> None:
    """A restore leaves its leases, and nothing else was there to free."""
    two.done("restore", "latest", "--to", "back")
    before = two.done("check", "--json").document["vaults"][0]["counts"]["garbage"]

    two.done("gc", "--yes")

    after = two.done("check", "--json").document["vaults"][0]["counts"]["garbage"]
    assert (before > 0, after) == (True, 0)
    assert "Nothing to free." in two.done("gc", "--yes").out


@pytest.mark.parametrize("command", [("check",), ("verify",), ("verify", "--blind")])
def test_a_foreign_file_in_the_repository_is_not_called_damage(
    filled: CommandLine, command: tuple[str, ...]
) -> None:
    """It is named, with 20, and the words do not make anybody fear for a backup."""
    (filled.repository / "extra").write_text("x", encoding="utf-8")

    answer = filled(*command, password="--blind" not in command)

    assert answer.code == 20, answer.err
    assert "additional: extra" in answer.out
    assert "Whoever put it here may remove it" in answer.out
    assert "1 thing that does not belong there was found; the first is extra" in answer.err
    assert "damaged" not in answer.err


def test_a_pack_that_is_gone_costs_what_is_in_it(filled: CommandLine) -> None:
    """Everything else comes back, what does not is named, and the exit code is that of damage."""
    before = set(filled.objects("packs"))
    source = filled.source(**{"more.bin": random.Random("more").randbytes(5_000_000)})
    filled.done("backup", source, password=False)
    new = [path for path in filled.objects("packs") if path not in before]
    max(new, key=lambda path: path.stat().st_size).unlink()

    answer = filled("restore", "latest", "--to", "back", password=True)

    assert answer.code == 20, answer.err
    assert "H613" in answer.err
    assert "more.bin" in answer.err
    back = Path(f"{filled.folder / 'back'}{source}")
    assert (back / "hello.txt").exists()
    assert not (back / "more.bin").exists()


@pytest.mark.parametrize("command", [("check",), ("verify",), ("verify", "--blind")])
def test_the_checks_name_a_newest_point_that_only_this_machine_remembers(
    two: CommandLine, command: tuple[str, ...]
) -> None:
    """No later point, no lease and no forget speaks of it any more."""
    _, newest = _newest(two)
    _object(two, "points", newest).unlink()
    for lease in two.objects("leases"):
        lease.unlink()

    answer = two(*command, password=True)

    assert answer.code == 20
    assert newest in answer.out
    assert _elsewhere(two, "stranger")(*command, password=True).code == 0


def test_a_backup_stops_at_an_index_object_that_was_cut_short(two: CommandLine) -> None:
    """Also on the machine that knows from its cache what the object said."""
    path = max(two.objects("index"), key=lambda path: path.stat().st_size)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-9])

    refused = two("backup", two.folder / "source")
    assert refused.code == 20
    assert path.name in refused.err
    assert len(two.objects("points")) == 2
