"""What index objects may say of others (vault-format.md section 7)."""

from collections.abc import Iterator, Mapping

from holdfast.base.ids import IndexId
from holdfast.format.index_body import Drop, IndexBody


def replaced(bodies: Mapping[IndexId, IndexBody]) -> set[IndexId]:
    """Return the objects of *bodies* that another one stands in for.

    The object of a session replaces objects of that session only: one writer cannot hide what
    another one has stored. None replaces an object of a later epoch: whoever lost his way in by a
    rotation still has the keys before it.
    """
    return {
        name
        for body in bodies.values()
        for name in body.replaces
        if name in bodies
        and bodies[name].epoch <= body.epoch
        and (body.session_id is None or bodies[name].session_id == body.session_id)
    }


def drops(body: IndexBody) -> Iterator[Drop]:
    """Return the drops of an object that count: of a session's object, those of its own packs."""
    return (
        drop for drop in body.drops if body.session_id is None or drop.session_id == body.session_id
    )
