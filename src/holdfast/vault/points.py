"""Restore points as values: chained, in doubt, chosen (vault-format.md 5.10)."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from holdfast.base.errors import HoldfastError, KeysError
from holdfast.base.ids import PointId, WriterId
from holdfast.format.maintenance import ForgottenPoint
from holdfast.format.point import Point, PointRecord
from holdfast.vault.errors import (
    AmbiguousPointError,
    NoSuchPointError,
    PointsInDoubtError,
    PointUnreadableError,
)
from holdfast.vault.local import SeenHead, SeriesKey

SHORTEST_PREFIX: Final = 4
LATEST: Final = "latest"
_CHECK_HINT: Final = (
    "'holdfast check' names all damage; the other restore points restore by their ids."
)

_BEREFT_HINT: Final = (
    "Put it back from a copy of the repository, or accept the loss with 'holdfast forget ID'."
)


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """A restore point whose writer's signature holds.

    *record* is what it says to those who can open it; *unreadable* says why it is not there.
    *epoch* is that of the keys that it was made under.
    """

    id: PointId
    name: str
    size_bytes: int
    body: Point
    has_refs: bool
    record: PointRecord | None = None
    unreadable: HoldfastError | None = None
    epoch: int = 0

    @property
    def refs_name(self) -> str:
        """The name of its refs."""
        return f"{self.name.rpartition('points/')[0]}refs/{self.body.refs_hash.hex()}"

    @property
    def series_key(self) -> SeriesKey:
        """The series that it belongs to."""
        return self.body.writer_id, self.body.series_id

    @property
    def series(self) -> str:
        """The name of the series as people know it, or its id."""
        if self.record is None:
            return self.body.series_id.hex()
        return f"{self.record.host}/{self.record.source}"

    @property
    def time_ns(self) -> int:
        """The time that the point stands for, in nanoseconds, as exact as it is known."""
        return self.body.time * 10**9 if self.record is None else self.record.stands_for

    def opened(self) -> PointRecord:
        """Return the record.

        Raises:
            PointUnreadableError: the keys at hand do not open it.
            HoldfastError: it is damaged.
        """
        if self.record is not None:
            return self.record
        if self.unreadable is not None and not isinstance(self.unreadable, KeysError):
            raise self.unreadable
        raise PointUnreadableError(
            f"The keys at hand do not open restore point {self.id.hex()[:8]}.",
            hint=None if self.unreadable is None else self.unreadable.message,
        )


@dataclass(frozen=True, slots=True)
class PointProblem:
    """An object among the points, refs or forgets that cannot be believed.

    *point* is the id of the restore point that it would be.
    """

    name: str
    error: HoldfastError
    point: PointId | None = None

    def __str__(self) -> str:
        """Return a sentence that names the object and what is wrong."""
        return f"'{self.name}' is not used: {self.error.message}"


@dataclass(frozen=True, slots=True)
class Series:
    """All that is visible of one series, by ascending counter."""

    key: SeriesKey
    points: tuple[RestorePoint, ...]
    forks: tuple[tuple[RestorePoint, ...], ...]
    """Points that share a counter with another one."""
    missing: tuple[range, ...]
    """Counters below the newest that neither a point nor a forget explains."""

    @property
    def name(self) -> str:
        """The name as people know it, or the id."""
        named = [point for point in self.points if point.record is not None]
        return (named or self.points)[-1].series

    @property
    def head(self) -> RestorePoint:
        """The newest point; of a fork the one with the lower id."""
        newest = self.points[-1].body.counter
        return min(
            (point for point in self.points if point.body.counter == newest),
            key=lambda point: point.id,
        )


@dataclass(frozen=True, slots=True)
class PointList:
    """What a storage listed at one time.

    *points* are visible: their refs are there. *incomplete* are points whose refs are not (their
    making or removing was cut short): they count for the chain only. *gone* are heads that this
    machine has seen and that nobody dropped, as far as it was asked. *lost* are all points that are
    gone, nobody dropped, and whose id is known: these heads, and predecessors of what is known.
    *bereft* are those of the incomplete ones that their writer did not give up, as far as it was
    asked: they were whole once. *forgotten_in* has the newest epoch that dropped each point.
    """

    points: tuple[RestorePoint, ...]
    incomplete: tuple[RestorePoint, ...] = ()
    forgotten: Mapping[PointId, ForgottenPoint] = field(default_factory=dict)
    problems: tuple[PointProblem, ...] = ()
    gone: Mapping[SeriesKey, SeenHead] = field(default_factory=dict)
    lost: Mapping[PointId, ForgottenPoint] = field(default_factory=dict)
    bereft: tuple[RestorePoint, ...] = ()
    forgotten_in: Mapping[PointId, int] = field(default_factory=dict)

    def series(self) -> list[Series]:
        """Return every series with a point that is stored, visible or not."""
        of_series: defaultdict[SeriesKey, list[RestorePoint]] = defaultdict(list)
        for point in (*self.points, *self.incomplete):
            of_series[point.series_key].append(point)
        dropped: defaultdict[SeriesKey, set[int]] = defaultdict(set)
        for item in self.forgotten.values():
            dropped[item.writer_id, item.series_id].add(item.counter)
        return [_series(key, points, dropped[key]) for key, points in sorted(of_series.items())]

    def heads(self) -> dict[SeriesKey, SeenHead]:
        """Return the newest stored point of every series."""
        return {
            item.key: SeenHead(item.head.body.counter, item.head.id, item.head.epoch)
            for item in self.series()
        }

    def dropped(self, head: SeenHead) -> bool:
        """Tell whether a head was dropped on purpose, under its keys or later ones."""
        return self.forgotten_in.get(head.point, -1) >= head.epoch

    def vanished(self, seen: Mapping[SeriesKey, SeenHead]) -> dict[SeriesKey, SeenHead]:
        """Return those of *seen* that are neither stored nor forgotten on purpose."""
        stored = {point.id for point in (*self.points, *self.incomplete)}
        return {
            key: head
            for key, head in seen.items()
            if head.point not in stored and not self.dropped(head)
        }

    def forgotten_heads(self, seen: Mapping[SeriesKey, SeenHead]) -> dict[SeriesKey, SeenHead]:
        """Return those of *seen* that were forgotten on purpose."""
        return {key: head for key, head in seen.items() if self.dropped(head)}

    def select(
        self, text: str, *, source: str | None = None, host: str | None = None
    ) -> RestorePoint:
        """Return the visible point that people mean: by id, unique prefix, or ``latest``.

        Raises:
            NoSuchPointError: there is none.
            AmbiguousPointError: several fit; the message has their list.
            PointsInDoubtError: the newest may be one that is damaged or missing, or the id is that
                of a damaged one.
        """
        chosen = of_series(self.points, source, host)
        if text == LATEST:
            for doubt in self._doubts(source, host):
                raise PointsInDoubtError(
                    f"Nobody can tell which restore point is the latest: {doubt}",
                    hint="Name one by its id: 'holdfast points' lists those that can be believed,"
                    " and 'holdfast check' says what is damaged.",
                )
            # A source that is called so goes before a series that is shown so: not that of a
            # writer who calls its own like the series of somebody else.
            writers = {point.body.writer_id for point in chosen}
            chosen += [
                point
                for point in of_series(self.points, None, host)
                if source is not None
                and point.series == _as_called(source)
                and point.body.writer_id not in writers
            ]
            return _latest(chosen, {item.key: item.name for item in self.series()})
        wanted = text.lower()
        if len(wanted) < SHORTEST_PREFIX or set(wanted) - set("0123456789abcdef"):
            raise NoSuchPointError(
                f"'{text}' names no restore point.",
                hint="Write at least four characters of an id from 'holdfast points', or 'latest'.",
            )
        found = [point for point in chosen if point.id.hex().startswith(wanted)]
        if not found:
            for problem in self.problems:
                if problem.point is not None and problem.point.hex().startswith(wanted):
                    raise PointsInDoubtError(str(problem), hint=_CHECK_HINT)
            for point in self.bereft:
                if point.id.hex().startswith(wanted):
                    raise PointsInDoubtError(f"{_bereft(point)}.", hint=_BEREFT_HINT)
            raise NoSuchPointError(
                f"There is no restore point {text}.", hint="'holdfast points' lists them."
            )
        if len(found) > 1:
            ids = ", ".join(sorted(point.id.hex()[: len(wanted) + 4] for point in found))
            raise AmbiguousPointError(f"Several restore points begin with {text}: {ids}.")
        return found[0]

    def find_lost(self, text: str) -> ForgottenPoint | None:
        """Return the lost point that people mean by an id or its unique beginning, or None.

        Raises:
            AmbiguousPointError: several points begin with it.
        """
        wanted = text.lower()
        found = [item for item in self.lost.values() if item.point.hex().startswith(wanted)]
        if len(wanted) < SHORTEST_PREFIX or not found:
            return None
        if len(found) > 1 or any(point.id.hex().startswith(wanted) for point in self.points):
            raise AmbiguousPointError(f"Several restore points begin with {text}.")
        return found[0]

    def find_bereft(self, text: str) -> RestorePoint | None:
        """Return the point without its refs that people mean by an id or its beginning, or None.

        Also one that its writer gave up, which nobody misses.

        Raises:
            AmbiguousPointError: several points begin with it.
        """
        wanted = text.lower()
        found = [point for point in self.incomplete if point.id.hex().startswith(wanted)]
        if len(wanted) < SHORTEST_PREFIX or not found:
            return None
        if len(found) > 1 or any(point.id.hex().startswith(wanted) for point in self.points):
            raise AmbiguousPointError(f"Several restore points begin with {text}.")
        return found[0]

    def require_whole(self) -> None:
        """Return only if every stored restore point can be believed and has its refs.

        Raises:
            PointsInDoubtError: one cannot, or has not. Rules count what is there.
        """
        self.require_believable()
        for point in self.bereft:
            raise PointsInDoubtError(
                f"Not every restore point is known: {_bereft(point)}.", hint=_BEREFT_HINT
            )

    def require_believable(self) -> None:
        """Return only if every stored restore point can be believed.

        Raises:
            PointsInDoubtError: one cannot. Whoever drops points has to know all of them.
        """
        for problem in self.problems:
            if problem.point is not None:
                raise PointsInDoubtError(
                    f"Not every restore point is known: {problem}", hint=_CHECK_HINT
                )

    def _doubts(self, source: str | None, host: str | None) -> Iterator[str]:
        """Say why a point may be newer than those of *source* and *host* that can be read."""
        yield from (str(problem) for problem in self.problems if problem.point is not None)
        stored = (*self.points, *self.incomplete)
        named = {point.series_key for point in stored if point.record is not None}
        fitting = {
            point.series_key
            for point in of_series(stored, source, host)
            if point.record is not None
        }
        newest: dict[SeriesKey, int] = {}
        for point in self.points:
            if point.record is not None:
                newest[point.series_key] = max(newest.get(point.series_key, 0), point.body.counter)

        def concerns(key: SeriesKey, counter: int) -> bool:
            # A series without a readable point has no known name: it may be the one that is meant.
            return counter > newest.get(key, 0) if key in fitting else key not in named

        for key, head in self.gone.items():
            if concerns(key, head.counter):
                yield _gone(head)
        for point in self.bereft:
            if concerns(point.series_key, point.body.counter):
                yield f"the refs of restore point {point.id.hex()[:8]} are missing"
        for point in self.points:
            error = point.unreadable
            is_damaged = error is not None and not isinstance(error, KeysError)
            if is_damaged and concerns(point.series_key, point.body.counter):
                yield f"'{point.name}' cannot be read: {'' if error is None else error.message}"

    @property
    def lacks_points(self) -> bool:
        """Whether points are missing, or seem to be, that nobody dropped."""
        return bool(
            self.gone or self.lost or self.bereft or any(one.missing for one in self.series())
        )

    def damage(self) -> Iterator[str]:
        """Yield a sentence on everything that is damaged, missing or not believed."""
        yield from map(str, self.problems)
        named: defaultdict[SeriesKey, set[int]] = defaultdict(set)
        for item in self.lost.values():
            named[item.writer_id, item.series_id].add(item.counter)
        for series in self.series():
            for gap in series.missing:
                # A hostile writer's gap may be longer than anybody can count.
                unnamed = gap.stop - gap.start - sum(one in gap for one in named[series.key])
                if unnamed:
                    yield (
                        f"series {series.name}: {unnamed} points are missing and nobody dropped"
                        " them"
                    )
        yield from map(_gone, self.gone.values())
        heads = {head.point for head in self.gone.values()}
        for item in self.lost.values():
            if item.point not in heads:
                yield (
                    f"point {item.point.hex()[:8]}, number {item.counter} of its series, is gone"
                    " and nobody dropped it"
                )
        yield from map(_bereft, self.bereft)
        for point in self.points:
            if point.unreadable is not None and not isinstance(point.unreadable, KeysError):
                yield f"'{point.name}' cannot be read: {point.unreadable.message}"


def of_series(
    points: Iterable[RestorePoint], source: str | None, host: str | None
) -> list[RestorePoint]:
    """Return those *points* that belong to a source and a machine, as far as these are named.

    *source* is the name alone or, as series are shown, behind that of the machine. A source that is
    called so itself goes before, so that none is taken for another one that looks like it.
    """
    if source is None and host is None:
        return list(points)
    if source is not None:
        source = _as_called(source)
    named = [
        (point, point.record.source)
        for point in points
        if point.record is not None and host in {None, point.record.host}
    ]
    called = [point for point, name in named if source in {None, name}]
    return called or [point for point, _ in named if point.series == source]


def _as_called(source: str) -> str:
    """Return *source* as a series is called after a path: bytes that are no text as escapes."""
    return os.fsencode(source).decode("utf-8", "backslashreplace")


def in_time(point: RestorePoint) -> tuple[int, int, PointId]:
    """Order points by the time that they stand for."""
    return point.time_ns, point.body.counter, point.id


def _bereft(point: RestorePoint) -> str:
    return f"'{point.refs_name}' is missing, which restore point {point.id.hex()[:8]} needs"


def _gone(head: SeenHead) -> str:
    return (
        f"point {head.point.hex()[:8]}, which this machine has seen, is gone and nobody dropped it"
    )


def _series(key: SeriesKey, points: Iterable[RestorePoint], dropped: set[int]) -> Series:
    ordered = tuple(sorted(points, key=lambda point: (point.body.counter, point.id)))
    by_counter: defaultdict[int, list[RestorePoint]] = defaultdict(list)
    for point in ordered:
        by_counter[point.body.counter].append(point)
    explained = sorted(dropped | by_counter.keys())
    missing = [
        range(before + 1, after)
        for before, after in zip([0, *explained], explained, strict=False)
        if after - before > 1
    ]
    forks = tuple(tuple(same) for same in by_counter.values() if len(same) > 1)
    return Series(key, ordered, forks, tuple(missing))


def _latest(points: Sequence[RestorePoint], called: Mapping[SeriesKey, str]) -> RestorePoint:
    """Return the newest point; *called* are the names of all series."""
    if not points:
        raise NoSuchPointError(
            "There is no restore point yet, or none of this source.",
            hint="'holdfast points' lists what is there.",
        )
    # Within a series the signed counter tells which is newer; a clock may have been wrong once.
    newest: dict[SeriesKey, RestorePoint] = {}
    for point in sorted(points, key=in_time):
        before = newest.setdefault(point.series_key, point)
        if point.body.counter >= before.body.counter:
            newest[point.series_key] = point
    series = sorted({called[key] for key in newest})
    if len(series) > 1:
        raise AmbiguousPointError(
            f"'{LATEST}' of which series? There are: {', '.join(series)}.",
            hint="Say --source with one of these names, or --host; or name a point by its id.",
        )
    of_writer: dict[WriterId, RestorePoint] = {}
    for point in sorted(newest.values(), key=in_time):
        of_writer[point.body.writer_id] = point
    if len(of_writer) > 1:
        # Every writer may give its points any name: one must not have its files restored as those
        # of another machine, and nobody but people can tell which of them is meant.
        each = ", ".join(
            f"{point.id.hex()[:8]} (writer {writer_id.hex()})"
            for writer_id, point in of_writer.items()
        )
        raise AmbiguousPointError(
            f"'{LATEST}' of which machine? Several with different keys have a series {series[0]},"
            f" and their newest restore points are: {each}.",
            hint="Name one by its id; 'holdfast writer list' says whose key is whose.",
        )
    return max(newest.values(), key=in_time)


def in_order(points: Iterable[RestorePoint]) -> list[RestorePoint]:
    """Return *points*, the oldest first: by time, yet none of a series behind one that followed it.

    A clock may have been wrong once; within a series the signed counter tells the order.
    """
    ordered: list[tuple[tuple[int, int, PointId], RestorePoint]] = []
    latest_ns: dict[SeriesKey, int] = {}
    by_counter = sorted(
        points, key=lambda item: (item.body.counter, item.time_ns, item.id), reverse=True
    )
    for point in by_counter:
        time_ns = min(point.time_ns, latest_ns.get(point.series_key, point.time_ns))
        latest_ns[point.series_key] = time_ns
        ordered.append(((time_ns, point.body.counter, point.id), point))
    return [point for _, point in sorted(ordered, key=lambda item: item[0])]
