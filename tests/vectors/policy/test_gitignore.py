"""``vectors/gitignore.txt`` and git itself: we agree with both."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from holdfast.policy.patterns import compile_patterns

VECTORS = Path(__file__).parents[3] / "vectors" / "gitignore.txt"
GIT = shutil.which("git")
needs_git = pytest.mark.skipif(GIT is None, reason="git is not installed")


@dataclass
class Vector:
    """One block of the vector file."""

    name: str = ""
    patterns: list[bytes] = field(default_factory=list)
    expected: dict[bytes, bool] = field(default_factory=dict)

    @property
    def paths(self) -> list[bytes]:
        """The paths, folders with a separator at their end."""
        return list(self.expected)


def unquote(value: str) -> bytes:
    """Read %XX as the byte of that number."""
    return re.sub(rb"%([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), value.encode())


def read_vectors() -> list[Vector]:
    """Return every block that expects something."""
    vectors = []
    for block in re.split(r"\n\n+", VECTORS.read_text().strip("\n")):
        vector = Vector()
        for line in block.split("\n"):
            if line.startswith("#"):
                continue
            key, value = line.split(": ", 1)
            match key:
                case "name":
                    vector.name = value
                case "pattern":
                    vector.patterns.append(unquote(value))
                case "excluded" | "included":
                    vector.expected[unquote(value)] = key == "excluded"
                case _:
                    pytest.fail(f"unknown key {key}")
        if vector.expected:
            vectors.append(vector)
    return vectors


def answers(patterns: Sequence[bytes], paths: Iterable[bytes]) -> dict[bytes, bool]:
    """Say what Holdfast leaves out."""
    compiled = compile_patterns(patterns)
    return {p: compiled.excludes_within(p.removesuffix(b"/"), p.endswith(b"/")) for p in paths}


def git(*arguments: str, root: Path, stdin: bytes = b"") -> bytes:
    """Run git in *root* and return what it prints."""
    assert GIT is not None
    done = subprocess.run(
        [GIT, f"--git-dir={root}/git", f"--work-tree={root}/tree", *arguments],
        input=stdin,
        capture_output=True,
        cwd=root / "tree",
        # Nothing of the machine's or the person's configuration may speak here.
        env={"GIT_CONFIG_NOSYSTEM": "1", "HOME": str(root), "PATH": os.defpath},
        timeout=60,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr  # 1: no path is ignored
    return done.stdout


@pytest.fixture(scope="module")
def git_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose tree and patterns each question replaces."""
    root = tmp_path_factory.mktemp("git")
    (root / "tree").mkdir()
    git("init", "--quiet", "--template=", root=root)
    (root / "git" / "info").mkdir()
    return root


def git_answers(root: Path, patterns: Sequence[bytes], paths: Sequence[bytes]) -> dict[bytes, bool]:
    """Ask git about *paths*, which are made as real files and folders first."""
    shutil.rmtree(os.fsencode(root / "tree"))
    (root / "tree").mkdir()
    for path in paths:
        where = os.path.join(os.fsencode(root / "tree"), path)  # noqa: PTH118 - names are bytes
        os.makedirs(os.path.dirname(where), exist_ok=True)  # noqa: PTH103, PTH120 - as above
        if not path.endswith(b"/"):
            Path(os.fsdecode(where)).touch()
    (root / "git" / "info" / "exclude").write_bytes(b"".join(line + b"\n" for line in patterns))
    # "./" keeps a leading ":" from being pathspec magic.
    stdin = b"".join(b"./" + path.removesuffix(b"/") + b"\0" for path in paths)
    options = ("check-ignore", "--no-index", "--stdin", "-z", "-v", "-n")
    fields = git(*options, root=root, stdin=stdin).split(b"\0")[:-1]
    found = {}
    for path, source, pattern in zip(paths, fields[::4], fields[2::4], strict=True):
        found[path] = bool(source) and not pattern.startswith(b"!")
    return found


@pytest.mark.parametrize("vector", read_vectors(), ids=lambda vector: vector.name)
def test_every_vector_holds(vector: Vector) -> None:
    """The file is the contract for every engine."""
    assert answers(vector.patterns, vector.paths) == vector.expected


@needs_git
@pytest.mark.parametrize("vector", read_vectors(), ids=lambda vector: vector.name)
def test_git_agrees_with_every_vector(vector: Vector, git_root: Path) -> None:
    """The file is hand-written; git is the authority on its own dialect."""
    # A file and a folder of one name cannot both stand on a disk: ask for them one after another.
    found = git_answers(git_root, vector.patterns, _without_parents(vector.paths))
    for path in set(vector.paths) - set(found):
        found |= git_answers(git_root, vector.patterns, [path])
    assert found == vector.expected


def _without_parents(paths: Sequence[bytes]) -> list[bytes]:
    """Drop files that would have to be folders for another path to exist."""
    return [p for p in paths if not any(other.startswith(p + b"/") for other in paths)]


names = st.text("aab.", min_size=1, max_size=3).filter(lambda n: n not in {".", ".."})
byte_names = st.binary(min_size=1, max_size=4).filter(
    lambda name: not set(name) & set(b"/\0") and name not in {b".", b"..", b".git"}
)
any_name = st.one_of(names.map(str.encode), names.map(str.encode), byte_names)
some_paths = st.lists(
    st.tuples(
        st.lists(any_name, min_size=1, max_size=4).map(b"/".join), st.sampled_from([b"", b"/"])
    ),
    min_size=1,
    max_size=8,
).map(lambda drawn: list(dict.fromkeys(path + end for path, end in drawn)))

PIECES = (
    rb"a a b . * * ** ? / / **/ /** /**/ ! # ] [ \ \/ \* [ab] [!a] [a- [^.-b] [[:alpha:]] []a]"
    rb" [a-b-.] [\a-\b] [[:a] [/a]"
)
pieces = st.sampled_from([*PIECES.split(b" "), b" ", b"\\ ", b"\r", b"\xff"])
some_patterns = st.lists(
    st.tuples(
        st.sampled_from([b"", b"", b"!", b"/"]), st.lists(pieces, max_size=6).map(b"".join)
    ).map(b"".join),
    min_size=1,
    max_size=4,
)


def _is_told_apart_by_git_versions(pattern: bytes) -> bool:
    """``x**/y``: before 2.50, git took these stars as if they stood at the pattern's start."""
    return re.search(rb"[^/*!]\*\*+(\\?/|$)|^!?\\.*\*\*", pattern) is not None and b"/" in pattern


@needs_git
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(patterns=some_patterns, paths=some_paths)
def test_git_agrees_on_any_patterns_and_paths(
    patterns: list[bytes], paths: list[bytes], git_root: Path
) -> None:
    """No vector file is complete: drawn patterns find the corners that nobody thought of."""
    paths = _without_parents(paths)
    assume(paths)
    assume(not any(_is_told_apart_by_git_versions(pattern) for pattern in patterns))

    assert answers(patterns, paths) == git_answers(git_root, patterns, paths)
