"""For names of any bytes, scanning gives exactly the order of tree keys (8.1)."""

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.python import scan
from holdfast.core.python.linux import FOLDER_FLAGS
from holdfast.core.scan_rules import ScanRules

NAMES = st.binary(min_size=1, max_size=6).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in {b".", b".."}
)
# A few names that stand near each other: where orders by path and by key differ.
NEAR = st.sampled_from([b"a", b"a\x01", b"a ", b"a.", b"ab", b"\x01", b"\xff", b"A", b"a\n"])


@settings(max_examples=60, deadline=None)
@given(st.sets(st.lists(NEAR | NAMES, min_size=1, max_size=4).map(tuple), max_size=25))
def test_the_order_of_a_scan_is_the_order_of_keys(paths: set[tuple[bytes, ...]]) -> None:
    expected = {b"\0"}
    with tempfile.TemporaryDirectory() as name:
        for path in sorted(paths):
            for depth in range(1, len(path) + 1):
                folder, last = path[: depth - 1], path[depth - 1]
                expected.add(b"".join(part + b"\0" for part in folder) + b"\0" + last)
            Path(os.fsdecode(os.path.join(os.fsencode(name), *path))).mkdir(  # noqa: PTH118 - bytes
                parents=True, exist_ok=True
            )
        fd = os.open(name, FOLDER_FLAGS)
        walk = scan.Scanner(fd, ScanRules(), lambda _: None)
        keys = [piece.prefix + b"\0" + one for piece in walk.slices() for one in piece.names]
        os.close(fd)

    assert keys == sorted(expected)
