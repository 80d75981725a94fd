"""Signs of life of a session (vault-format.md 5.7). Advice for gc: no safety rule rests on them."""

from contextlib import suppress
from typing import Final

from holdfast.base.errors import HoldfastError
from holdfast.base.ids import PointId, SessionId, WriterId
from holdfast.format import frames, names
from holdfast.format.frames import Sign
from holdfast.format.session import Lease
from holdfast.vault.objects import ObjectStore

RENEW_SECONDS: Final = 60.0
SILENCE_SECONDS: Final = 180.0
"""A session that has not renewed its lease for so long is taken for dead."""


class LeaseKeeper:
    """Renews the lease of one session; called often from the thread that works."""

    def __init__(
        self,
        objects: ObjectStore,
        session_id: SessionId,
        *,
        writer_id: WriterId | None,
        sign: Sign,
        point: PointId | None = None,
    ) -> None:
        """*point* is for a reader's lease: what is being read."""
        self._objects = objects
        self._impatient = objects.impatient()
        self._session_id = session_id
        self._writer_id = writer_id
        self._sign = sign
        self._point = point
        self._number = 0
        self._renewed_at = 0.0

    def begin(self) -> None:
        """Put lease 0.

        Raises:
            StorageError: it could not be stored.
        """
        self._put(self._objects, ended=False, point=self._point)

    def beat(self) -> None:
        """Put the next lease if the last one is old; a storage that does not answer is ignored."""
        if self._objects.clock.monotonic_seconds() - self._renewed_at >= RENEW_SECONDS:
            with suppress(HoldfastError):
                self._put(self._impatient, ended=False, point=self._point)

    def give_up(self, point: PointId) -> None:
        """Say that *point*, which the session has put, is none: its refs were taken away.

        Another attempt may take hours, in which nobody shall miss what it needs.
        """
        with suppress(HoldfastError):
            self._put(self._objects, ended=False, point=point)

    def end(self, point: PointId | None) -> None:
        """Say that the session is over, with the point that it made; as well as it goes."""
        with suppress(HoldfastError):
            self._put(self._impatient, ended=True, point=point)

    def _put(self, objects: ObjectStore, *, ended: bool, point: PointId | None) -> None:
        body = Lease(
            session_id=self._session_id,
            number=self._number,
            ended=ended,
            point=point,
            writer_id=self._writer_id,
        )
        vault_id = objects.vault_id
        data = frames.build_hash_ended(
            frames.KIND_LEASE, body.to_body(), sign=self._sign, vault_id=vault_id
        )
        # Whatever becomes of this one: the next has another number, so that an answer that was
        # lost never stands in the way of a lease that says something else.
        name = names.lease_name(vault_id, self._session_id, self._number)
        self._number += 1
        self._renewed_at = objects.clock.monotonic_seconds()
        objects.put(name, data)
