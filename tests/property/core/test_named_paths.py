"""For any tree and any named paths: what is taken is what the rules say, and a restore knows it."""

import os
import tempfile
from pathlib import Path
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.engine_store import EngineStore, open_folder
from holdfast.core.named_paths import outermost
from holdfast.core.python import scan
from holdfast.core.python.linux import FOLDER_FLAGS
from holdfast.core.restore_rules import LeftOutRules, RestoreRules
from holdfast.core.scan_rules import ScanRules
from holdfast.policy.patterns import compile_patterns

PATHS: Final = st.lists(st.sampled_from("abm"), min_size=1, max_size=4).map("/".join)
TREES: Final = st.sets(PATHS, min_size=1, max_size=12)
PATTERNS: Final = st.lists(
    st.sampled_from(["a", "/a", "b/", "/b/a", "a/**", "*", "!a", "!/b", "m"]), max_size=3
)


def build(root: Path, paths: set[str]) -> list[str]:
    """Make the paths as files, or as folders where others lie below; return all there is."""
    for path in sorted(paths, reverse=True):
        place = root / path
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(path)
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def expected(
    root: Path, there: list[str], named: list[str], patterns: list[str], markers: list[str]
) -> set[str]:
    """Say path by path what is taken, from the meaning of the rules alone."""
    compiled = compile_patterns([os.fsencode(pattern) for pattern in patterns])

    def is_taken(path: str) -> bool:
        if any((one + "/").startswith(path + "/") for one in named):
            return True  # It is named, or leads there.
        starts = [one for one in named if one == "." or path.startswith(one + "/")]
        if not starts:
            return False
        start = max(starts, key=lambda one: 0 if one == "." else len(one))
        names = path.split("/") if start == "." else path[len(start) + 1 :].split("/")
        place = root / start
        for depth, name in enumerate(names):
            if depth and any((place / marker).exists() for marker in markers):
                return False
            place /= name
            seen = os.fsencode("/".join(names[: depth + 1]))
            if compiled.excludes(seen, place.is_dir()):
                return False
        return True

    return set(filter(is_taken, there))


@settings(max_examples=300, deadline=None)
@given(TREES, PATTERNS, st.sampled_from([[], ["m"]]), st.data())
def test_rules_are_seen_from_the_deepest_named_path_and_a_restore_sees_them_so(
    paths: set[str], patterns: list[str], markers: list[str], data: st.DataObject
) -> None:
    """Right after a backup, a restore that removes finds nothing that it would remove."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name, "source")
        root.mkdir()
        there = build(root, paths)
        named = data.draw(st.lists(st.sampled_from([".", *there]), min_size=1, max_size=4))
        rules = ScanRules(
            exclude=[os.fsencode(pattern) for pattern in patterns],
            exclude_if_present=[os.fsencode(marker) for marker in markers],
            selection=[os.fsencode(path) for path in named],
        )
        fd = os.open(root, FOLDER_FLAGS)
        walk = scan.Scanner(fd, rules, lambda _: None)
        taken = {os.fsdecode(piece.path(one)) for piece in walk.slices() for one in piece.names}
        os.close(fd)

        assert taken - {""} == expected(root, there, named, patterns, markers)
        assert removals(Path(name, "spool"), root, rules) == []


def removals(spool: Path, root: Path, rules: ScanRules) -> list[bytes]:
    """Back up, and return what a restore in place would remove."""
    store = EngineStore(spool)
    tree = store.write(root, rules).root
    left_out = LeftOutRules(
        patterns=rules.exclude, if_present=rules.exclude_if_present, named=rules.selection
    )
    restore = RestoreRules(
        "always",
        delete=True,
        sparse=True,
        numeric_ids=False,
        roots=outermost(rules.selection),
        left_out=left_out,
    )
    with open_folder(root) as fd:
        store.pump(store.reader.extras(tree, (), fd, restore))
    return [one.path for one in store.findings if one.code == "additional"]
