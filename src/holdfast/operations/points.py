"""List restore points: everything with a password, what stands outside without one."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from holdfast.base.clock import moment
from holdfast.base.errors import KeysError
from holdfast.format.point import LeftOut
from holdfast.keys.statements import KeyChain
from holdfast.keys.unlockers import SLOT_WORDS
from holdfast.operations.context import Context
from holdfast.operations.errors import NamesNeedKeyError
from holdfast.operations.opening import opened, unlocked_if_possible, unlocked_or_declined
from holdfast.vault.points import PointList, RestorePoint, of_series
from holdfast.vault.seen_points import see_points
from holdfast.vault.states import Vault


@dataclass(frozen=True, slots=True)
class PointsRequest:
    """Which points of which repository.

    Attributes:
        ask: ask a person for the password if nothing else gives it.
    """

    address: str
    source: str | None = None
    host: str | None = None
    tags: tuple[str, ...] = ()
    ask: bool = False

    @property
    def compares_names(self) -> bool:
        """Whether what is sealed in a point decides if it is listed."""
        return self.source is not None or self.host is not None or bool(self.tags)


@dataclass(frozen=True, slots=True)
class PointInfo:
    """One restore point as people see it; None where only a password would tell.

    Attributes:
        series: its name, or its id where the name cannot be read.
        encryption: name of the cipher suite.
        openers: what opens it, as ``2 passwords, 1 key file``.
        problem: why it cannot be read though a password was given.
        left_out: by which rules its backup left things out; None where it does not say.
    """

    id: str
    time: datetime
    series: str
    host: str | None
    source: str | None
    kind: str | None
    root: bytes | None
    size_bytes: int | None
    new_bytes: int | None
    files: int | None
    findings: int | None
    tags: tuple[str, ...]
    encryption: str
    openers: str
    problem: str | None = None
    left_out: LeftOut | None = None


@dataclass(frozen=True, slots=True)
class PointsListing:
    """What a repository lists.

    Attributes:
        is_open: names could be read.
        notes: sentences on what is unusual and no damage: forks.
        damage: sentences on what is damaged, missing or not believed.
        lacks_points: some of it is that points are missing that nobody dropped.
    """

    points: tuple[PointInfo, ...]
    is_open: bool
    notes: tuple[str, ...]
    damage: tuple[str, ...]
    lacks_points: bool = False


def run(request: PointsRequest, context: Context) -> PointsListing:
    """List the restore points, the oldest first.

    Raises:
        KeysError: what was given does not open the vault.
        NamesNeedKeyError: names are to be compared, there are points, and nothing opens the vault.
    """
    with opened(request.address, context) as closed:
        find = unlocked_or_declined if request.ask else unlocked_if_possible
        vault: Vault | None = find(closed, context)
        is_open = vault is not None
        listed = see_points(vault or closed)
        if request.compares_names and not is_open and listed.points:
            raise NamesNeedKeyError(
                "Names of sources and machines, and tags, can be compared only by whoever can open "
                "the vault.",
                hint="Give the password with --password-file or --password-command; without a "
                "name, 'holdfast points' lists the outside of all restore points.",
            )
        openers = openers_of(closed.chain)
        chosen = [
            describe(point, closed.chain.suite.name, openers)
            for point in of_series(listed.points, request.source, request.host)
            if _has_tags(point, request.tags)
        ]
        return PointsListing(
            tuple(chosen), is_open, forks_of(listed), tuple(listed.damage()), listed.lacks_points
        )


def describe(point: RestorePoint, suite: str, openers: str) -> PointInfo:
    """Return what people see of a point."""
    record = point.record
    time = moment(point.time_ns // 10**9)
    if record is None:
        problem = None
        if point.unreadable is not None and not isinstance(point.unreadable, KeysError):
            problem = point.unreadable.message
        return PointInfo(
            id=point.id.hex(),
            time=time,
            series=point.series,
            host=None,
            source=None,
            kind=None,
            root=None,
            size_bytes=None,
            new_bytes=None,
            files=None,
            findings=None,
            tags=(),
            encryption=suite,
            openers=openers,
            problem=problem,
        )
    statistics = record.statistics
    return PointInfo(
        id=point.id.hex(),
        time=time,
        series=point.series,
        host=record.host,
        source=record.source,
        kind=record.kind.name.lower(),
        root=record.root,
        size_bytes=statistics.source_bytes,
        new_bytes=statistics.new_stored_bytes,
        files=statistics.files,
        findings=statistics.findings,
        tags=tuple(record.tags),
        encryption=suite,
        openers=openers,
        left_out=record.left_out,
    )


def openers_of(chain: KeyChain) -> str:
    """Return what opens the vault, and with it every point up to now."""
    kinds = Counter(SLOT_WORDS[slot.kind] for slot in chain.current.body.slots)
    return ", ".join(
        "anybody" if kind == "open" else f"{count} {kind}{'s' if count > 1 else ''}"
        for kind, count in sorted(kinds.items())
    )


def forks_of(listed: PointList) -> tuple[str, ...]:
    """Return a sentence on every fork."""
    return tuple(
        f"series {series.name}: {len(fork)} points share the number {fork[0].body.counter}"
        for series in listed.series()
        for fork in series.forks
    )


def _has_tags(point: RestorePoint, tags: tuple[str, ...]) -> bool:
    return not tags or (point.record is not None and set(tags) <= set(point.record.tags))
