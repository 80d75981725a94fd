"""Where the next restore point of a series stands (vault-format.md 5.10)."""

from holdfast.base.ids import PointId, SeriesId, WriterId
from holdfast.vault.local import SeenHead
from holdfast.vault.points import PointList


def next_place(
    points: PointList, key: tuple[WriterId, SeriesId], remembered: SeenHead | None
) -> tuple[int, PointId | None]:
    """Return counter and predecessor of the next point of a series.

    A head that this machine remembers and that is gone without a forget stays part of the chain:
    whoever took it away shall not make it look as if it had never been.
    """
    own = [point for point in (*points.points, *points.incomplete) if point.series_key == key]
    places: list[tuple[int, PointId | None]] = [(0, None)]
    places += [
        (item.counter, None)
        for item in points.forgotten.values()
        if (item.writer_id, item.series_id) == key
    ]
    newest = max((point.body.counter for point in own), default=0)
    lowest_ids = sorted(point.id for point in own if point.body.counter == newest)
    places += [(newest, point_id) for point_id in lowest_ids[:1]]
    if remembered is not None and not points.dropped(remembered):
        places.append((remembered.counter, remembered.point))
    last = max(counter for counter, _ in places)
    # A stored point of the highest counter comes before one that is only remembered.
    predecessors = [point_id for counter, point_id in places if counter == last and point_id]
    return last + 1, predecessors[0] if predecessors else None
