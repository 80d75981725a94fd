"""How the next key statement is put together: plan, seal, sign, carry writers over.

The promises are those of ``changes``, which is what the rest of the program calls.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from holdfast.base.clock import Clock
from holdfast.base.errors import HoldfastError
from holdfast.base.ids import ObjectHash, VaultId, WriterId
from holdfast.base.randomness import Random
from holdfast.base.secrets import Secret
from holdfast.crypto.boxes import seal_box
from holdfast.crypto.hpke import hpke_seal, kem_public_key
from holdfast.crypto.passwords import (
    FLOOR_PARAMETERS,
    KdfParameters,
    check_parameters,
    machine_memory_bytes,
)
from holdfast.crypto.signatures import signing_public_key
from holdfast.crypto.suites import suite_numbered
from holdfast.format.frames import KIND_STATEMENT, build, object_hash
from holdfast.format.names import (
    STATEMENTS_LIMIT,
    slot_name,
    statement_name,
    writer_name,
)
from holdfast.format.packs import EPOCHS_LIMIT
from holdfast.format.statement import (
    SLOTS_LIMIT,
    Demands,
    IndexKey,
    SecretGroup,
    SecretsRecord,
    SlotKind,
    Statement,
    StatementGroup,
    StatementSlot,
)
from holdfast.format.vault_object import VaultObject
from holdfast.keys._signed import signed_by
from holdfast.keys.errors import (
    KeyRequestError,
    NoSuchWayInError,
    TooManyWaysInError,
)
from holdfast.keys.keyring import (
    SECRET_BYTES,
    ReadRing,
    root_commitment,
    statement_key,
    vault_seed,
)
from holdfast.keys.opening import root_info, secrets_context
from holdfast.keys.slots import NewSlot, new_slot
from holdfast.keys.statements import KeyChain, Problem
from holdfast.keys.unlockers import Unlocker
from holdfast.keys.writers import (
    CertificateTerms,
    ValidCertificate,
    WriterPublic,
    make_certificate,
    newest_first,
    read_certificate,
)


class NewObject(NamedTuple):
    """An object to store under its name."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class WayIn:
    """A way in to be made. *parameters* are for passwords: calibrate them on this machine."""

    unlocker: Unlocker
    hint: str = ""
    parameters: KdfParameters = FLOOR_PARAMETERS


@dataclass(frozen=True, slots=True)
class Change:
    """What to store, in this order, and what is true once the last object is stored.

    Attributes:
        objects: new objects; the statement is the last one.
        chain: the chain with the new statement.
        ring: the keys after the change.
        added: the slot that the change made, if any.
        writers: who may go on writing, after a rotation.
        problems: certificates that were damaged or not signed and are not carried over.
    """

    objects: tuple[NewObject, ...]
    chain: KeyChain
    ring: ReadRing
    added: ObjectHash | None = None
    writers: tuple[WriterId, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Way:
    """A slot that the next statement names."""

    hash: ObjectHash
    kind: SlotKind
    kem_public_key: bytes


@dataclass(slots=True)
class Plan:
    """The next statement before it is sealed and signed."""

    number: int
    predecessor: ObjectHash | None
    ways: list[Way]
    groups: tuple[StatementGroup, ...]
    demands: Demands
    time: int
    certificates: list[ObjectHash] = field(default_factory=list)


def make_slot(
    vault_id: VaultId,
    vault: VaultObject,
    way_in: WayIn,
    authority: Secret,
    clock: Clock,
    random: Random,
) -> NewSlot:
    is_sealed = suite_numbered(vault.suite).key_bytes > 0
    if (way_in.unlocker.kind is SlotKind.OPEN) == is_sealed:
        raise KeyRequestError(
            "an open way in is for vaults without encryption, and those have no other"
        )
    if way_in.unlocker.kind is SlotKind.PASSWORD:
        # What this machine would refuse to read must not be written either.
        check_parameters(
            way_in.parameters,
            available_memory_bytes=machine_memory_bytes(),
            test_vault=vault.is_test,
        )
    return new_slot(
        way_in.unlocker,
        hint=way_in.hint,
        vault_id=vault_id,
        authority_seed=authority,
        parameters=way_in.parameters,
        clock=clock,
        random=random,
    )


def way_of(slot: NewSlot) -> Way:
    return Way(slot.hash, slot.kind, slot.kem_public_key)


def seconds(clock: Clock) -> int:
    return int(clock.now().timestamp())


def check_current(chain: KeyChain, ring: ReadRing) -> None:
    if ring.vault_id != chain.vault_id or ring.epoch != chain.epoch:
        raise KeyRequestError(
            "the keys at hand are not those of the current key statement",
            hint="Somebody else changed the keys: open the vault again.",
        )


def check_named(chain: KeyChain, slot_hash: ObjectHash) -> None:
    if all(slot.slot_hash != slot_hash for slot in chain.current.body.slots):
        raise NoSuchWayInError(
            f"the vault has no way in with the id {slot_hash.hex()}",
            hint="'holdfast key list' shows the ways in.",
        )


def next_plan(chain: KeyChain, clock: Clock) -> Plan:
    """Return a statement that says the same as the current one.

    Only what the authenticated statement names is carried over: a slot that the storage added is
    never given a root.
    """
    body = chain.current.body
    if body.number + 1 >= STATEMENTS_LIMIT:
        raise KeyRequestError(f"a vault has at most {STATEMENTS_LIMIT} key statements")
    return Plan(
        number=body.number + 1,
        predecessor=chain.current.hash,
        ways=[Way(slot.slot_hash, slot.kind, slot.kem_public_key) for slot in body.slots],
        groups=body.groups,
        demands=body.demands,
        time=seconds(clock),
        certificates=list(body.certificates),
    )


def same_epoch(
    chain: KeyChain, ring: ReadRing, plan: Plan, slots: Sequence[NewSlot], random: Random
) -> Change:
    statement = make_statement(plan, ring, (ring.authority_seed(),), random)
    return _change(chain, ring, statement, slots, ())


def next_epoch(
    chain: KeyChain,
    ring: ReadRing,
    plan: Plan,
    slots: Sequence[NewSlot],
    certificates: Mapping[str, bytes],
    without_writers: Collection[WriterId],
    random: Random,
) -> Change:
    """Make a new root, new index keys, and certificates for the writers that remain."""
    epoch = ring.epoch + 1
    if epoch >= EPOCHS_LIMIT:
        raise KeyRequestError(f"a vault has at most {EPOCHS_LIMIT} epochs")
    groups = {
        group.group_id: replace(
            group, index_keys={**group.index_keys, epoch: Secret(random.take(SECRET_BYTES))}
        )
        for group in ring.groups.values()
    }
    roots = {**ring.roots, epoch: Secret(random.take(SECRET_BYTES))}
    later = ReadRing(ring.vault_id, ring.suite, roots, ring.vault_name, groups, ring.slot_hash)
    remaining, problems = _remaining_writers(chain, certificates, plan.time, without_writers)
    objects = [_successor(certificate, ring, later, plan, random) for certificate in remaining]
    plan.certificates = [ObjectHash(object_hash(item.data)) for item in objects]
    authorities = (ring.authority_seed(), later.authority_seed())
    statement = make_statement(plan, later, authorities, random)
    change = _change(chain, later, statement, slots, objects)
    return replace(
        change,
        writers=tuple(certificate.body.writer_id for certificate in remaining),
        problems=tuple(problems),
    )


def _remaining_writers(
    chain: KeyChain,
    certificates: Mapping[str, bytes],
    now: int,
    without_writers: Collection[WriterId],
) -> tuple[list[ValidCertificate], list[Problem]]:
    """Return the newest valid certificate of each writer of the current epoch."""
    newest: dict[WriterId, ValidCertificate] = {}
    problems: list[Problem] = []
    for name, data in sorted(certificates.items()):
        try:
            certificate = read_certificate(chain, name, data)
        except HoldfastError as error:
            problems.append(Problem(name, error))
            continue
        body = certificate.body
        if body.epoch != chain.epoch or body.writer_id in without_writers:
            continue
        known = newest.get(body.writer_id)
        if known is None or newest_first(known) < newest_first(certificate):
            newest[body.writer_id] = certificate
    remaining = [item for item in newest.values() if not 0 < item.body.expiry <= now]
    return sorted(remaining, key=lambda item: item.body.writer_id), problems


def _successor(
    certificate: ValidCertificate, ring: ReadRing, later: ReadRing, plan: Plan, random: Random
) -> NewObject:
    body = certificate.body
    if body.group_id not in later.groups:
        raise KeyRequestError(f"writer {body.writer_id.hex()} is of a group that is not there")
    data = make_certificate(
        WriterPublic(body.writer_id, body.signing_public_key, body.kem_public_key),
        CertificateTerms(ring.writer_name(body), body.writer_class, body.expiry),
        later.groups[body.group_id],
        later,
        statement_number=plan.number,
        time=plan.time,
        random=random,
    )
    return NewObject(writer_name(later.vault_id, object_hash(data)), data)


def make_statement(
    plan: Plan, ring: ReadRing, authorities: Sequence[Secret], random: Random
) -> NewObject:
    """Seal the root to every way in, and sign: the authority before first, then the own one."""
    if len(plan.ways) > SLOTS_LIMIT:
        raise TooManyWaysInError(
            f"a vault has at most {SLOTS_LIMIT} ways in", hint="Remove one that is not used."
        )
    vault_id, epoch = ring.vault_id, ring.epoch
    root = ring.root(epoch)
    body = Statement(
        number=plan.number,
        predecessor=plan.predecessor,
        epoch=epoch,
        authority_public_key=signing_public_key(ring.authority_seed()),
        vault_public_key=kem_public_key(vault_seed(vault_id, root, epoch)),
        root_commitment=root_commitment(vault_id, root, epoch),
        slots=tuple(
            StatementSlot(
                slot_hash=way.hash,
                kind=way.kind,
                kem_public_key=way.kem_public_key,
                sealed_root=hpke_seal(
                    way.kem_public_key,
                    root_info(vault_id, plan.number, epoch, way.hash),
                    root.reveal(),
                ),
            )
            for way in sorted(plan.ways, key=lambda way: way.hash)
        ),
        groups=plan.groups,
        certificates=tuple(sorted(plan.certificates)),
        demands=plan.demands,
        time=plan.time,
        secrets=seal_box(
            statement_key(vault_id, root, epoch),
            secrets_context(vault_id, plan.number, epoch),
            _secrets_record(ring).to_bytes(),
            random,
            sealed=ring.is_sealed,
        ),
    )
    data = build(
        KIND_STATEMENT,
        body.to_body(),
        sign=signed_by(*authorities),
        vault_id=vault_id,
        signers=len(authorities),
    )
    return NewObject(statement_name(vault_id, plan.number, object_hash(data)), data)


def _secrets_record(ring: ReadRing) -> SecretsRecord:
    return SecretsRecord(
        vault_name=ring.vault_name,
        groups=tuple(
            SecretGroup(
                group_id=group.group_id,
                name=group.name,
                secret=group.secret.reveal(),
                index_keys=tuple(
                    IndexKey(epoch=epoch, key=key.reveal())
                    for epoch, key in sorted(group.index_keys.items())
                ),
            )
            for group in sorted(ring.groups.values(), key=lambda item: item.group_id)
        ),
        previous_root=ring.root(ring.epoch - 1).reveal() if ring.epoch else None,
    )


def _change(
    chain: KeyChain,
    ring: ReadRing,
    statement: NewObject,
    slots: Sequence[NewSlot],
    certificates: Sequence[NewObject],
) -> Change:
    objects = (
        *(NewObject(slot_name(chain.vault_id, slot.hash), slot.data) for slot in slots),
        *certificates,
        statement,
    )
    return Change(
        objects,
        chain.extended(statement.name, statement.data),
        ring,
        added=slots[0].hash if slots else None,
    )
