"""Put a restore point back: all of it or a part, somewhere else or where it came from."""

import re
from dataclasses import dataclass
from typing import Final

from holdfast.base.progress import Finding, Listener, Progress
from holdfast.operations.context import Context
from holdfast.operations.list_tree import kind_of
from holdfast.operations.opening import opened, unlocked
from holdfast.operations.point_reader import open_point
from holdfast.recovery.files import FileRestore, RestoreWish, path_below
from holdfast.vault.points import see_points

_ERROR_CODE: Final = re.compile(r"H\d{3}")


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What to restore, and where.

    Attributes:
        point: an id, a unique prefix, or ``latest``.
        verify: compare everything afterwards, contents included.
    """

    address: str
    point: str
    wish: RestoreWish
    source: str | None = None
    host: str | None = None
    verify: bool = False


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do."""

    point_id: str
    series: str
    folder: bytes
    below: tuple[bytes, ...]
    overwrite: str
    delete: bool


@dataclass(frozen=True, slots=True)
class RestoredFiles:
    """What is back.

    Attributes:
        compared: how many entries were compared afterwards; None if that was not asked for.
        differences: how many of them differ.
        findings: how many entries could not be restored as they were.
        damaged: how many of those are because something stored is damaged or missing.
    """

    point_id: str
    series: str
    folder: bytes
    items: int
    bytes_written: int
    findings: int
    damaged: int
    compared: int | None
    differences: int


def plan(request: RestoreRequest, context: Context) -> RestorePlan:
    """Say where everything would go; touches nothing.

    Raises:
        KeysError, RequestError: as :func:`run`.
    """
    with opened(request.address, context) as closed:
        vault = unlocked(closed, context)
        points = see_points(vault)
        point = points.select(request.point, source=request.source, host=request.host)
        record = point.opened()
        relative, _ = path_below(request.wish.path, record.root)
        with open_point(vault, point, context, _Counting(None)) as reader:
            is_folder = kind_of(reader, relative) == "folder"
        restore = FileRestore.planned(request.wish, record.root, is_folder=is_folder)
        return RestorePlan(
            point.id.hex(),
            point.series,
            restore.folder,
            restore.below,
            restore.rules.overwrite,
            restore.rules.delete,
        )


def run(request: RestoreRequest, context: Context, listener: Listener) -> RestoredFiles:
    """Restore; the same call again goes on where it was cut short, if it says what to overwrite.

    Raises:
        KeysError: nothing that was given opens the vault. Nothing was written.
        NoSuchPointError, AmbiguousPointError, PathNotInPointError: nothing was written.
        PointsInDoubtError: ``latest`` may be a damaged or missing point. Nothing was written.
        TargetNotEmptyError, TargetError: the target will not do. Nothing was written.
        IntegrityError: what is needed is damaged or missing; what was restored so far is right.
    """
    counting = _Counting(listener)
    with opened(request.address, context) as closed:
        vault = unlocked(closed, context)
        points = see_points(vault)
        point = points.select(request.point, source=request.source, host=request.host)
        record = point.opened()
        relative, _ = path_below(request.wish.path, record.root)
        with open_point(vault, point, context, counting, announce=True) as reader:
            is_folder = kind_of(reader, relative) == "folder"
            restore = FileRestore.planned(request.wish, record.root, is_folder=is_folder)
            compared, differences = None, 0
            with restore.open_target() as target:
                restored = reader.pumped(
                    reader.engine.restore(reader.root, restore.below, target, restore.rules),
                    phase="restore",
                )
                findings = counting.count
                if request.verify:
                    comparison = reader.pumped(
                        reader.engine.compare(reader.root, restore.below, target, restore.rules),
                        phase="compare",
                    )
                    compared, differences = comparison.items, comparison.differences
        return RestoredFiles(
            point_id=point.id.hex(),
            series=point.series,
            folder=restore.folder,
            items=restored.items,
            bytes_written=restored.bytes_written,
            findings=findings,
            damaged=counting.damaged,
            compared=compared,
            differences=differences,
        )


class _Counting:
    """Passes on what it hears and counts findings."""

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener
        self.count = 0
        self.damaged = 0

    def progress(self, progress: Progress) -> None:
        """Pass on."""
        if self._listener is not None:
            self._listener.progress(progress)

    def finding(self, finding: Finding) -> None:
        """Count and pass on."""
        self.count += 1
        # Engines report damage under the code of its error, everything else under a word.
        self.damaged += _ERROR_CODE.fullmatch(finding.code) is not None
        if self._listener is not None:
            self._listener.finding(finding)
