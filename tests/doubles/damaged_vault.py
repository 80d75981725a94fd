"""The vault of ``doubles.scenario`` with damage in it, and what whole commands make of that."""

import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from doubles.command_line import Answer
from doubles.in_process import InProcess
from doubles.scenario import PASSWORD, Desk, Listing, Scenario, listing, objects_of
from holdfast.base.ids import PointId
from holdfast.format import names
from holdfast.storage.interface import Bytes, ObjectInfo
from holdfast.storage.memory import MemoryBackend

VERIFY = ("--json", "verify")
BLIND = ("--json", "verify", "--blind")

Changes = Mapping[str, bytes | None]
"""Objects that are others, or not there."""


@dataclass(frozen=True)
class Verdict:
    """What a verify said of a damaged vault."""

    code: int
    points: Mapping[str, frozenset[PointId]]
    """For each object that it names: the points that it touches."""

    @classmethod
    def of(cls, answer: Answer) -> "Verdict":
        (vault,) = answer.document["vaults"]
        named: dict[str, set[PointId]] = {}
        for problem in vault["problems"]:
            points = (PointId(bytes.fromhex(point)) for point in problem["points"])
            named.setdefault(problem["object"], set()).update(points)
        return cls(answer.code, {name: frozenset(points) for name, points in named.items()})

    @property
    def touched(self) -> frozenset[PointId]:
        nobody: frozenset[PointId] = frozenset()
        return nobody.union(*self.points.values())


class DamagedVault:
    """The scenario, its objects by name, and machines that look at twins of it.

    Every command runs on a machine that has never seen the vault, so that nothing comes out of a
    cache.
    """

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        """*folder* is for those machines."""
        self.scenario = scenario
        self.objects = objects_of(scenario.memory)
        self.folder = folder
        self._holdfast = InProcess(folder / "home", PASSWORD)
        self._listings: dict[str, list[ObjectInfo]] = {}
        self._roots = {
            point.id: point.opened().root.decode() for point in self.scenario.desk.points()
        }

    # --- damage -------------------------------------------------------------------------------

    def of_kind(self, kind: int) -> list[str]:
        return [name for name in self.objects if kind_of(name) == kind]

    def flipped(self, name: str, position: int) -> bytes:
        """Return an object with one bit turned over, always the same one."""
        changed = bytearray(self.objects[name])
        changed[position] ^= 1 << random.Random(f"{name} {position}").randrange(8)
        return bytes(changed)

    def stored(self, changes: Changes) -> MemoryBackend:
        """Return a storage with *changes*."""
        objects = {**self.objects, **changes}
        # Where only bytes differ, nothing is listed twice.
        lists_same = all(
            data is not None and name in self.objects and len(data) == len(self.objects[name])
            for name, data in changes.items()
        )
        return _Stored(
            {name: data for name, data in objects.items() if data is not None},
            self._listings if lists_same else {},
        )

    def twin(self, changes: Changes) -> Desk:
        """Return a new machine at a storage with *changes*."""
        shutil.rmtree(self.folder, ignore_errors=True)
        return Desk(self.stored(changes), self.folder / "machine", seed="stranger")

    # --- whole commands -----------------------------------------------------------------------

    def answer(self, changes: Changes, *words: str | Path) -> Answer:
        """Run ``holdfast``; a blind verify gets no key, everything else the password."""
        return self._holdfast(self.stored(changes), *words, password="--blind" not in words)

    def verify(self, changes: Changes) -> Verdict:
        """Run ``holdfast verify``."""
        return Verdict.of(self.answer(changes, *VERIFY))

    def verify_blind(self, changes: Changes) -> Verdict:
        """Run ``holdfast verify --blind`` where nobody has a key."""
        return Verdict.of(self.answer(changes, *BLIND))

    def words_of_restore(self, point: PointId, target: Path) -> tuple[str | Path, ...]:
        """Return the words that put what *point* holds right into *target*."""
        return "--json", "restore", f"{point.hex()}:{self._roots[point]}", "--to", target

    def restore(self, changes: Changes, point: PointId) -> Listing:
        """Run ``holdfast restore``, which has to succeed; return what it brought back."""
        target = self.folder / "target"
        shutil.rmtree(target, ignore_errors=True)
        answer = self.answer(changes, *self.words_of_restore(point, target))
        assert answer.code == 0, answer.err
        return listing(target)


def kind_of(name: str) -> int:
    """Return the kind of the object of this name."""
    parsed = names.parse_name(name)
    assert parsed is not None
    return parsed.kind


class _Stored(MemoryBackend):
    """Objects that are stored from the start; *listings* are those that are known already."""

    def __init__(self, objects: Mapping[str, bytes], listings: dict[str, list[ObjectInfo]]) -> None:
        super().__init__()
        self._objects = dict(objects)
        self._listings = listings

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        if prefix not in self._listings:
            self._listings[prefix] = [*super().list(prefix)]
        return iter(self._listings[prefix])

    def put(self, name: str, data: Bytes | Sequence[Bytes]) -> bool:
        self._listings = {}
        return super().put(name, data)

    def delete(self, name: str) -> None:
        self._listings = {}
        super().delete(name)
