"""For every order of changes: the newest key opens all that is older, an old one nothing newer."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from doubles.household import Household, key_file
from holdfast.base.ids import ObjectHash, SessionId
from holdfast.keys.changes import change_password
from holdfast.keys.errors import LastWayInError, UnknownEpochError, WrongPasswordError
from holdfast.keys.keyring import NewSessionKey, ReadRing
from holdfast.keys.statements import SeenStatement
from holdfast.keys.unlockers import KeyFileUnlocker


class KeyChanges(RuleBasedStateMachine):
    """Ways in come and go, passwords change, writers join; a session is begun in every state."""

    @initialize()
    def begin(self) -> None:
        self.house = Household(key_file(0))
        self.live: dict[int, ObjectHash] = {0: self.house.ring.slot_hash}
        self.gone: dict[int, ReadRing] = {}
        self.writer = self.house.new_writer()
        self.sessions: list[tuple[int, SessionId, NewSessionKey]] = []
        self.roots: dict[int, bytes] = {0: self.house.ring.root(0).reveal()}
        self.seen: SeenStatement = self.house.chain.current.seen
        self.next = 1

    def _open(self, number: int) -> ReadRing:
        return self.house.open(KeyFileUnlocker(bytes([number]) * 32), self.live.get(number))

    def _took_place(self) -> None:
        ring = self.house.ring
        self.roots[ring.epoch] = ring.root(ring.epoch).reveal()

    @precondition(lambda self: self.next < 60)
    @rule()
    def add(self) -> None:
        self.live[self.next] = self.house.add(key_file(self.next))
        self.next += 1

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.live)))
        if len(self.live) == 1:
            with pytest.raises(LastWayInError):
                self.house.remove(self.live[number])
            return
        self.gone[number] = self._open(number)
        self.house.remove(self.live.pop(number))
        self._took_place()

    @precondition(lambda self: self.next < 60)
    @rule(data=st.data(), rotating=st.booleans())
    def change(self, data: st.DataObject, rotating: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        number = data.draw(st.sampled_from(sorted(self.live)))
        house = self.house
        self.gone[number] = self._open(number)
        change = house.apply(
            change_password(
                house.chain,
                house.ring,
                key_file(self.next),
                clock=house.clock,
                random=house.random,
                slot_hash=self.live.pop(number),
                rotate=rotating,
                certificates=house.certificates,
            )
        )
        assert change.added is not None
        self.live[self.next] = change.added
        self.next += 1
        self._took_place()

    @rule()
    def write(self) -> None:
        house = self.house
        ring = house.writer_ring(self.writer)
        session_id = SessionId(house.random.take(16))
        made = ring.new_session_key(session_id, house.random)
        self.sessions.append((ring.epoch, session_id, made))

    @invariant()
    def what_is_live_opens_everything(self) -> None:
        for number in sorted(self.live)[-2:]:
            ring = self._open(number)
            found = {epoch: ring.root(epoch).reveal() for epoch in self.house.chain.epochs}
            assert found == self.roots
            for epoch, session_id, made in self.sessions[-3:]:
                opened = ring._open_session(session_id, epoch, made.commitment, made.sealed)
                assert opened.data.reveal() == made.keys.data.reveal()

    @invariant()
    def what_is_gone_opens_nothing_that_came_later(self) -> None:
        for number, ring in list(self.gone.items())[-2:]:
            with pytest.raises(WrongPasswordError):
                self.house.open(KeyFileUnlocker(bytes([number]) * 32))
            later = [item for item in self.sessions if item[0] > ring.epoch]
            for epoch, session_id, made in later[-2:]:
                with pytest.raises(UnknownEpochError):
                    ring._open_session(session_id, epoch, made.commitment, made.sealed)

    @invariant()
    def the_chain_only_grows(self) -> None:
        chain = self.house.read(self.seen)
        self.seen = chain.current.seen
        assert chain.epoch == self.house.ring.epoch


TestKeyChanges = KeyChanges.TestCase
TestKeyChanges.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
