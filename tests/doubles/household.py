"""A vault with its keys as one storage would hold them: objects by name, changes applied."""

from doubles.clock import ManualClock
from doubles.randomness import CountedRandom
from holdfast.base.ids import ObjectHash
from holdfast.crypto.passwords import TEST_PARAMETERS
from holdfast.crypto.suites import suite_named
from holdfast.format.names import parse_name, slots_prefix, statements_prefix, writers_prefix
from holdfast.format.vault_object import VaultObject
from holdfast.keys.changes import (
    Change,
    WayIn,
    add_slot,
    change_password,
    new_vault,
    new_writer,
    remove_slot,
    rotate,
)
from holdfast.keys.keyring import ReadRing
from holdfast.keys.opening import open_ring
from holdfast.keys.statements import KeyChain, SeenStatement
from holdfast.keys.unlockers import KeyFileUnlocker, OpenUnlocker, PasswordUnlocker, Unlocker
from holdfast.keys.writers import WriterIdentity, WriterRing, certificate_for_writing

PASSWORD = "correct horse"


def password(text: str = PASSWORD, hint: str = "") -> WayIn:
    return WayIn(PasswordUnlocker(text), hint, TEST_PARAMETERS)


def key_file(byte: int = 1) -> WayIn:
    return WayIn(KeyFileUnlocker(bytes([byte]) * 32), "on the stick")


class Household:
    """A test vault whose objects lie in a dict, opened by its first way in."""

    def __init__(
        self, *ways_in: WayIn, suite: str = "aes-256-gcm", seed: str = "household"
    ) -> None:
        self.clock = ManualClock()
        self.random = CountedRandom(seed)
        template = VaultObject(
            suite=suite_named(suite).number,
            authority_public_key=bytes(32),
            nonce=bytes(32),
            is_test=True,
        )
        default = WayIn(OpenUnlocker()) if suite == "none" else password()
        self.objects: dict[str, bytes] = {}
        self.last = self.apply(
            new_vault(
                template,
                name="main",
                ways_in=ways_in or (default,),
                clock=self.clock,
                random=self.random,
            )
        )
        self.vault_id = self.chain.vault_id

    def apply(self, change: Change) -> Change:
        for name, data in change.objects:
            assert name not in self.objects
            assert parse_name(name) is not None
            self.objects[name] = data
        self.chain, self.ring, self.last = change.chain, change.ring, change
        self.clock.advance(60)
        return change

    def under(self, prefix: str) -> dict[str, bytes]:
        return {name: data for name, data in self.objects.items() if name.startswith(prefix)}

    @property
    def statements(self) -> dict[str, bytes]:
        return self.under(statements_prefix(self.vault_id))

    @property
    def slots(self) -> dict[str, bytes]:
        return self.under(slots_prefix(self.vault_id))

    @property
    def certificates(self) -> dict[str, bytes]:
        return self.under(writers_prefix(self.vault_id))

    @property
    def vault_data(self) -> bytes:
        return self.objects[f"vaults/{self.vault_id.hex()}/vault"]

    def read(self, seen: SeenStatement | None = None) -> KeyChain:
        return KeyChain.read(self.vault_id, self.vault_data, self.statements, seen=seen)

    def open(self, unlocker: Unlocker, slot: ObjectHash | None = None) -> ReadRing:
        return open_ring(self.read(), self.slots, unlocker, slot_hash=slot)

    def open_with(self, text: str) -> ReadRing:
        return self.open(PasswordUnlocker(text))

    def add(self, way_in: WayIn) -> ObjectHash:
        change = add_slot(self.chain, self.ring, way_in, clock=self.clock, random=self.random)
        added = self.apply(change).added
        assert added is not None
        return added

    def remove(self, slot: ObjectHash) -> Change:
        return self.apply(
            remove_slot(
                self.chain,
                self.ring,
                slot,
                self.certificates,
                clock=self.clock,
                random=self.random,
            )
        )

    def change(self, text: str, *, rotating: bool = False) -> Change:
        return self.apply(
            change_password(
                self.chain,
                self.ring,
                password(text),
                clock=self.clock,
                random=self.random,
                rotate=rotating,
                certificates=self.certificates,
            )
        )

    def rotate(self) -> Change:
        return self.apply(
            rotate(self.chain, self.ring, self.certificates, clock=self.clock, random=self.random)
        )

    def new_writer(self, name: str = "laptop", expiry: int = 0) -> WriterIdentity:
        identity = WriterIdentity.fresh(self.vault_id, self.random)
        made = new_writer(
            self.chain,
            self.ring,
            identity.public,
            name=name,
            clock=self.clock,
            random=self.random,
            expiry=expiry,
        )
        self.objects[made.name] = made.data
        self.clock.advance(60)
        return identity

    def writer_ring(self, identity: WriterIdentity) -> WriterRing:
        chain = self.read()
        now = int(self.clock.now().timestamp())
        certificate = certificate_for_writing(chain, self.certificates, identity.writer_id, now)
        return WriterRing(chain, certificate, identity)

    def copy(self) -> "Household":
        """Return what a storage could keep of today, to show it again later."""
        twin = object.__new__(Household)
        twin.__dict__ = {**self.__dict__, "objects": dict(self.objects)}
        return twin


def flipped(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)
