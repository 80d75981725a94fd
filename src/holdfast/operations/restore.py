"""Put a restore point back: all of it or a part, somewhere else or where it came from."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.base.progress import Finding, Listener, Progress
from holdfast.core.named_paths import outermost
from holdfast.core.restore_rules import LeftOutRules
from holdfast.format.point import LeftOut, PointKind, PointRecord
from holdfast.operations.context import Context
from holdfast.operations.list_tree import kind_of
from holdfast.operations.opening import opened, unlocked
from holdfast.operations.point_reader import PointReader, open_point
from holdfast.recovery.errors import RestoreRequestError
from holdfast.recovery.files import FileRestore, RestoreWish, path_below, refuse_in_repository
from holdfast.storage.address import parse_address
from holdfast.vault.seen_points import see_points

_ERROR_CODE: Final = re.compile(r"H\d{3}")

ADDITIONAL: Final = "additional"
SPARED: Final = "spared"
"""Codes of the findings of `extras`: what goes, what stays because the backup left it out."""
_NAMES_SHOWN: Final = 20


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
    """What a restore would do.

    Attributes:
        below: what of the point, as paths below its root; empty for everything.
        replaces: whether anything is there that could be kept or replaced.
        removals: how many names would be removed; a folder with all in it is one.
        removed_names: the first of them, as paths below the point's root; folders end
            with a slash.
        spared: how many names stay because the backup may have left them out.
        spared_names: the first of them.
        says_left_out: the point says by which rules its backup left things out.
        findings: how many there were in its backup. What could not be read then is not in the
            point, and nothing tells it from what came later.
    """

    point_id: str
    series: str
    folder: bytes
    below: tuple[bytes, ...]
    overwrite: str
    delete: bool
    replaces: bool
    include: tuple[bytes, ...]
    exclude: tuple[bytes, ...]
    removals: int
    removed_names: tuple[bytes, ...]
    spared: int
    spared_names: tuple[bytes, ...]
    says_left_out: bool
    findings: int


@dataclass(frozen=True, slots=True)
class RestoredFiles:
    """What is back.

    Attributes:
        compared: how many entries were compared afterwards; None if that was not asked for.
        differences: how many of them differ.
        removed: how many names are gone that the restore point does not have; a folder with all
            in it is one.
        findings: how many entries could not be restored as they were.
        damaged: how many of those are because something stored is damaged or missing.
    """

    point_id: str
    series: str
    folder: bytes
    items: int
    bytes_written: int
    removed: int
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
        _refuse_target(request)
        vault = unlocked(closed, context)
        points = see_points(vault)
        point = points.select(request.point, source=request.source, host=request.host)
        record = point.opened()
        extras = _Extras()
        with open_point(vault, point, context, extras) as reader:
            restore = _planned(request, record, reader)
            with restore.look_at_target() as target:
                if target is not None and restore.rules.delete:
                    reader.pumped(
                        reader.engine.extras(reader.root, restore.below, target, restore.rules)
                    )
        return RestorePlan(
            point.id.hex(),
            point.series,
            restore.folder,
            restore.below or outermost(record.selection),
            restore.rules.overwrite,
            restore.rules.delete,
            request.wish.may_destroy,
            tuple(restore.rules.include),
            tuple(restore.rules.exclude),
            extras.removed.count,
            tuple(extras.removed.names),
            extras.spared.count,
            tuple(extras.spared.names),
            record.left_out is not None,
            record.statistics.findings,
        )


def run(request: RestoreRequest, context: Context, listener: Listener) -> RestoredFiles:
    """Restore; the same call again goes on where it was cut short, if it says what to overwrite.

    Raises:
        KeysError: nothing that was given opens the vault. Nothing was written.
        NoSuchPointError, AmbiguousPointError, PathNotInPointError: nothing was written.
        PointsInDoubtError: ``latest`` may be a damaged or missing point. Nothing was written.
        TargetInRepositoryError, TargetNotEmptyError, TargetError: the target will not do. Nothing
            was written.
        IntegrityError: what is needed is damaged or missing; what was restored so far is right.
    """
    counting = _Counting(listener)
    with opened(request.address, context) as closed:
        _refuse_target(request)
        vault = unlocked(closed, context)
        points = see_points(vault)
        point = points.select(request.point, source=request.source, host=request.host)
        record = point.opened()
        with open_point(vault, point, context, counting, announce=True) as reader:
            restore = _planned(request, record, reader)
            compared, differences = None, 0
            with restore.open_target() as (target, rules):
                restored = reader.pumped(
                    reader.engine.restore(reader.root, restore.below, target, rules),
                    phase="restore",
                )
                findings = counting.count
                if request.verify:
                    comparison = reader.pumped(
                        reader.engine.compare(reader.root, restore.below, target, rules),
                        phase="compare",
                    )
                    compared, differences = comparison.items, comparison.differences
        return RestoredFiles(
            point_id=point.id.hex(),
            series=point.series,
            folder=restore.folder,
            items=restored.items,
            bytes_written=restored.bytes_written,
            removed=restored.removed,
            findings=findings,
            damaged=counting.damaged,
            compared=compared,
            differences=differences,
        )


def _planned(request: RestoreRequest, record: PointRecord, reader: PointReader) -> FileRestore:
    """Find out where things land.

    Raises:
        RestoreRequestError: what --delete would mean here is not what anybody could want.
        TargetInRepositoryError: it would land in the repository.
    """
    wish = request.wish
    repository = _repository(request)
    if wish.target is None and record.kind is PointKind.STREAM:
        raise RestoreRequestError(
            "This restore point is a stream, which came from no folder.",
            hint="Say where its file shall lie: --to DIR.",
        )
    relative, _ = path_below(wish.path, record.root)
    is_folder = kind_of(reader, relative) == "folder"
    restore = FileRestore.planned(
        wish,
        record.root,
        is_folder=is_folder,
        selection=record.selection,
        spared=(repository,),
        left_out=None if record.left_out is None else _rules(record.left_out, record.selection),
    )
    # In place, or below a folder that the person named, it is the point that says where.
    refuse_in_repository(restore.folder, repository)
    roots = restore.rules.roots
    if wish.delete and roots and not any(kind_of(reader, root) == "folder" for root in roots):
        raise RestoreRequestError(
            "--delete goes with folders, and what is to be restored is a file.",
            hint="Leave --delete out; what lies beside the file was not backed up with it.",
        )
    return restore


def _repository(request: RestoreRequest) -> bytes:
    return os.fsencode(parse_address(request.address).path)


def _refuse_target(request: RestoreRequest) -> None:
    """Refuse a target in the repository before anybody is asked for a password.

    Raises:
        TargetInRepositoryError: it lies there.
    """
    if request.wish.target is not None:
        refuse_in_repository(os.fsencode(request.wish.target), _repository(request))


def _rules(left_out: LeftOut, selection: Sequence[bytes]) -> LeftOutRules:
    return LeftOutRules(
        patterns=left_out.patterns,
        caches=left_out.caches,
        if_present=left_out.if_present,
        larger_bytes=left_out.larger_than[0] if left_out.larger_than else None,
        one_file_system=left_out.one_file_system,
        named=selection,
    )


class _Names:
    """Counts names and keeps the first."""

    def __init__(self) -> None:
        self.count = 0
        self.names: list[bytes] = []

    def take(self, name: bytes) -> None:
        self.count += 1
        if len(self.names) < _NAMES_SHOWN:
            self.names.append(name)


class _Extras:
    """Hears what a restore would remove, and what not though the restore point has it not."""

    def __init__(self) -> None:
        self.removed = _Names()
        self.spared = _Names()

    def progress(self, progress: Progress) -> None:
        """Nobody watches a plan being made."""

    def finding(self, finding: Finding) -> None:
        """Take a name; damage is met again, and told, by the restore itself."""
        if finding.code == ADDITIONAL:
            self.removed.take(finding.path)
        elif finding.code == SPARED:
            self.spared.take(finding.path)


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
