"""Can we still read what earlier releases wrote, and can a reader that shares no line with us?

Every suite, whole; and twins of one vault that are named by their damage.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from doubles import golden
from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from doubles.scenario import Desk, Listing, listing
from holdfast.base.errors import HoldfastError, IntegrityError
from holdfast.base.ids import PointId
from holdfast.keys.errors import WrongPasswordError
from holdfast.storage.local import LocalBackend

TOOL = Path(__file__).resolve().parents[2] / "tools" / "holdfast-extract"
ALONE = (
    # Whatever the environment has installed: nothing of Holdfast can be imported.
    "import runpy, sys; sys.modules['holdfast'] = None; sys.argv = sys.argv[1:];"
    " runpy.run_path(sys.argv[0], run_name='__main__')"
)
SUITE = "aes-256-gcm"


@contextmanager
def _desk(repository: Path, folder: Path) -> Iterator[Desk]:
    backend = LocalBackend(repository, clock=ManualClock(), random=CountedRandom())
    try:
        yield golden.golden_desk(backend, folder)
    finally:
        backend.close()


@dataclass
class Extract:
    """The tool, as a process of its own that finds no Holdfast."""

    repository: Path
    password_file: Path

    def __call__(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        way = ["--password-file", self.password_file] if self.password_file.exists() else []
        command = [sys.executable, "-I", "-c", ALONE, TOOL, *way, self.repository, *arguments]
        return subprocess.run(
            [str(item) for item in command], capture_output=True, text=True, check=False
        )


def _extract(repository: Path, folder: Path, password: str | None = golden.PASSWORD) -> Extract:
    folder.mkdir(exist_ok=True)
    password_file = folder / "password"
    if password is not None:
        password_file.write_text(password)
    return Extract(repository, password_file)


def _restored_by(extract: Extract, point: str, target: Path) -> Listing:
    result = extract("restore", point, target)
    assert result.returncode == 0, result.stderr
    return listing(target)


@pytest.mark.parametrize("suite", golden.suites())
def test_the_engine_opens_verifies_and_restores_every_suite(suite: str, tmp_path: Path) -> None:
    golden.unpack(suite, tmp_path / "repository")
    with _desk(tmp_path / "repository", tmp_path / "machine") as desk:
        expected = golden.expected(suite)
        assert {point.id.hex() for point in desk.points()} == expected.keys()
        for report in (desk.verify(), desk.verify_blind()):
            assert not report.problems
            assert not report.notes
        for point, tree in expected.items():
            found = desk.restore(PointId(bytes.fromhex(point)), tmp_path / "target")
            assert found == tree


@pytest.mark.parametrize("suite", golden.suites())
def test_the_specification_alone_restores_every_suite(suite: str, tmp_path: Path) -> None:
    golden.unpack(suite, tmp_path / "repository")
    password = None if suite == "none" else golden.PASSWORD
    extract = _extract(tmp_path / "repository", tmp_path / "machine", password)

    checked = extract("check")

    assert checked.returncode == 0, checked.stderr
    for point, tree in golden.expected(suite).items():
        assert _restored_by(extract, point, tmp_path / point) == tree


# --- damaged twins --------------------------------------------------------------------------------


@dataclass
class Twin:
    """A damaged copy of one golden vault, seen by both readers."""

    repository: Path
    desk: Desk
    extract: Extract
    points: list[str]
    """Of the whole vault, the older one first."""
    folder: Path

    def named(self) -> str:
        """Return the names of everything that verify and its blind twin report, joined."""
        seeing, blind = self.desk.verify(), self.desk.verify_blind()
        assert seeing.problems
        assert [item.name for item in seeing.problems] == [item.name for item in blind.problems]
        return " ".join(item.name for item in seeing.problems)

    def restores(self, point: str) -> bool:
        """Tell whether the engine restores a point; whole, or not at all without an error."""
        try:
            found = self.desk.restore(PointId(bytes.fromhex(point)), self.folder / "by-engine")
        except (HoldfastError, ValueError, AssertionError):
            shutil.rmtree(self.folder / "by-engine", ignore_errors=True)
            return False
        assert found == golden.expected(SUITE)[point]
        return True

    def extracts(self, point: str) -> tuple[int, bool]:
        """Return the exit status of the tool, 20 for any damage met, and whether all came back."""
        target = self.folder / "by-tool"
        result = self.extract("restore", point, target)
        is_whole = target.exists() and listing(target) == golden.expected(SUITE)[point]
        assert is_whole or result.returncode
        shutil.rmtree(target, ignore_errors=True)
        return result.returncode, is_whole


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[Twin]:
    repository = tmp_path / "repository"
    golden.unpack(SUITE, repository)
    with _desk(repository, tmp_path / "machine") as desk:
        points = [point.id.hex() for point in sorted(desk.points(), key=lambda item: item.time_ns)]
        extract = _extract(repository, tmp_path / "tool")
        # A machine that has never seen this vault looks at it.
        shutil.rmtree(tmp_path / "machine")
        yield Twin(repository, desk, extract, points, tmp_path)


def _objects(twin: Twin, folder: str) -> list[Path]:
    return sorted(
        path for path in twin.repository.glob(f"vaults/*/{folder}/**/*") if path.is_file()
    )


def test_twin_index_missing(twin: Twin) -> None:
    """Named by both; the tool reads on from the directories of the packs."""
    for path in _objects(twin, "index"):
        path.unlink()

    assert "/index/" in twin.named()
    assert not twin.restores(twin.points[0])
    assert all(is_whole for _, is_whole in map(twin.extracts, twin.points))


def test_twin_pack_truncated(twin: Twin) -> None:
    path = max(_objects(twin, "packs"), key=lambda item: item.stat().st_size)
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)

    assert path.name in twin.named()
    touched = {point.hex() for point in twin.desk.verify().points}
    assert touched
    assert twin.extract("check").returncode == 20
    for point in twin.points:
        if point not in touched:
            assert twin.restores(point)
            assert twin.extracts(point)[1]


def test_twin_point_rolled_back(twin: Twin) -> None:
    """The newest point is gone, and nobody has forgotten it: the lease of its session tells."""
    (path,) = (item for item in _objects(twin, "points") if item.name == twin.points[1])
    path.unlink()

    assert twin.points[1] in twin.named()
    assert twin.restores(twin.points[0])
    assert twin.extracts(twin.points[0]) == (0, True)
    assert not twin.restores(twin.points[1])
    assert twin.extracts(twin.points[1]) == (1, False)


def test_twin_refs_missing(twin: Twin) -> None:
    """A point counts only with its refs; the other point is as it was."""
    refs = {point.id.hex(): point.body.refs_hash.hex() for point in twin.desk.points()}
    (path,) = (item for item in _objects(twin, "refs") if item.name == refs[twin.points[1]])
    path.unlink()

    assert refs[twin.points[1]] in twin.named()
    assert twin.restores(twin.points[0])
    assert twin.extracts(twin.points[0]) == (20, True)
    assert not twin.restores(twin.points[1])
    assert twin.extracts(twin.points[1])[0] in (1, 20)


def test_twin_point_damaged(twin: Twin) -> None:
    (path,) = (item for item in _objects(twin, "points") if item.name == twin.points[1])
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    path.write_bytes(bytes(data))

    assert twin.points[1] in twin.named()
    assert twin.extract("check").returncode == 20
    assert twin.restores(twin.points[0])
    assert twin.extracts(twin.points[0]) == (20, True)
    assert not twin.restores(twin.points[1])
    assert twin.extracts(twin.points[1])[0] in (1, 20)


def test_twin_statement_missing(twin: Twin) -> None:
    """The chain of keys is broken in the middle: nothing is opened by what follows."""
    (path,) = (item for item in _objects(twin, "keys") if item.name.startswith("1-"))
    path.unlink()

    assert path.name in twin.named()
    assert twin.extract("check").returncode == 20
    assert set(twin.desk.verify().points) == {bytes.fromhex(point) for point in twin.points}


def test_twin_slot_damaged(twin: Twin) -> None:
    """The only way in: no password is wrong, the slot is."""
    slot = twin.desk.readable().ring.slot_hash.hex()
    (path,) = (item for item in _objects(twin, "slots") if item.name == slot)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    assert path.name in twin.named()
    with pytest.raises(IntegrityError):
        twin.desk.readable()
    assert twin.extract("list").returncode == 20


@pytest.mark.parametrize("password", ["golden passwort", golden.REMOVED_PASSWORD])
def test_a_wrong_password_is_told_apart_from_damage(twin: Twin, password: str) -> None:
    extract = _extract(twin.repository, twin.folder / "tool", password)
    twin.desk.password = password

    with pytest.raises(WrongPasswordError):
        twin.desk.readable()
    assert extract("list").returncode == 12
