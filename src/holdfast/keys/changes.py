"""Changing who can open a vault: each change is a list of objects to store, in order.

Nothing is changed in place and nothing is deleted. What a change means is said honestly:

* Within an epoch (a way in added, a password changed) the root stays. An old slot object, once
  copied, opens that epoch and all before it for whoever knows the old password, for ever.
* A rotation (a way in removed) begins an epoch with a new root: whoever held the old one opens
  nothing that is first stored afterwards by writers that know of the rotation.

After storing a change, look again after twice the storage's listing delay: of two statements with
the same number the one with the lower hash stands, and the other change has to be made anew.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from holdfast.base.clock import Clock
from holdfast.base.ids import GroupId, ObjectHash, VaultId, WriterId
from holdfast.base.randomness import Random
from holdfast.base.secrets import Secret
from holdfast.crypto.hkdf import authority_seed
from holdfast.crypto.signatures import signing_public_key
from holdfast.crypto.suites import suite_numbered
from holdfast.format.frames import KIND_VAULT, build, object_hash
from holdfast.format.names import (
    slot_name,
    vault_name,
    writer_name,
)
from holdfast.format.statement import (
    Demands,
    ReuseRule,
    StatementGroup,
)
from holdfast.format.vault_object import VaultObject
from holdfast.format.writer import WriterClass
from holdfast.keys._making import (
    Change,
    NewObject,
    Plan,
    WayIn,
    check_current,
    check_named,
    make_slot,
    make_statement,
    next_epoch,
    next_plan,
    same_epoch,
    seconds,
    way_of,
)
from holdfast.keys.errors import (
    KeyRequestError,
    LastWayInError,
)
from holdfast.keys.keyring import (
    SECRET_BYTES,
    GroupSecrets,
    ReadRing,
)
from holdfast.keys.statements import KeyChain
from holdfast.keys.writers import (
    CertificateTerms,
    WriterPublic,
    make_certificate,
)

MAIN_GROUP: Final = "main"
_GROUP_ID_BYTES: Final = 16
_NONCE_BYTES: Final = 32


__all__ = [
    "Change",
    "NewObject",
    "WayIn",
    "add_slot",
    "change_password",
    "new_vault",
    "new_writer",
    "remove_slot",
    "rotate",
]


def new_vault(
    template: VaultObject,
    *,
    name: str,
    ways_in: Sequence[WayIn],
    clock: Clock,
    random: Random,
    reuse: ReuseRule = ReuseRule.ATTESTED,
) -> Change:
    """Make a vault: vault object, slots, statement 0 with one group, ``main``.

    Suite, sizes and rules are those of *template*; its key and nonce are replaced. A vault of the
    suite ``none`` has one open way in, all others have no open one. By default a writer relies on
    packs of others only once somebody who reads has attested them: they may not hold what they say.

    Raises:
        KeyRequestError: the ways in do not go with the suite.
        TooManyWaysInError: more than 64.
        KdfParametersError: parameters that no reader would accept.
    """
    is_sealed = suite_numbered(template.suite).key_bytes > 0
    root = Secret(random.take(SECRET_BYTES))
    authority = authority_seed(root, 0)
    vault = replace(
        template,
        authority_public_key=signing_public_key(authority),
        nonce=random.take(_NONCE_BYTES),
    )
    vault_data = build(KIND_VAULT, vault.to_body())
    vault_id = VaultId(object_hash(vault_data))
    if not ways_in:
        raise LastWayInError("a vault needs at least one way in")
    if not is_sealed and len(ways_in) != 1:
        raise KeyRequestError("a vault without encryption has one open way in and no other")
    slots = [make_slot(vault_id, vault, way_in, authority, clock, random) for way_in in ways_in]
    group = GroupSecrets(
        GroupId(random.take(_GROUP_ID_BYTES)),
        MAIN_GROUP,
        Secret(random.take(SECRET_BYTES)),
        {0: Secret(random.take(SECRET_BYTES))},
    )
    ring = ReadRing(
        vault_id,
        suite_numbered(vault.suite),
        {0: root},
        name,
        {group.group_id: group},
        slots[0].hash,
    )
    plan = Plan(
        number=0,
        predecessor=None,
        ways=[way_of(slot) for slot in slots],
        groups=(StatementGroup(group_id=group.group_id, reuse=reuse),),
        demands=Demands.ENCRYPTION if is_sealed else Demands.NOTHING,
        time=seconds(clock),
    )
    statement = make_statement(plan, ring, (authority,), random)
    chain = KeyChain.read(vault_id, vault_data, {statement.name: statement.data})
    objects = (
        NewObject(vault_name(vault_id), vault_data),
        *(NewObject(slot_name(vault_id, slot.hash), slot.data) for slot in slots),
        statement,
    )
    return Change(objects, chain, ring, added=slots[0].hash)


def add_slot(
    chain: KeyChain, ring: ReadRing, way_in: WayIn, *, clock: Clock, random: Random
) -> Change:
    """Add a way in: a slot and a statement in the same epoch. It opens everything older too.

    Raises:
        TooManyWaysInError: there are 64 already.
        KeyRequestError: the way in does not go with the suite, or *ring* is not current.
        KdfParametersError: parameters that no reader would accept.
    """
    check_current(chain, ring)
    if not ring.is_sealed:
        raise KeyRequestError("a vault without encryption has one open way in and no other")
    slot = make_slot(chain.vault_id, chain.vault, way_in, ring.authority_seed(), clock, random)
    plan = next_plan(chain, clock)
    plan.ways.append(way_of(slot))
    return same_epoch(chain, ring, plan, [slot], random)


def change_password(
    chain: KeyChain,
    ring: ReadRing,
    way_in: WayIn,
    *,
    clock: Clock,
    random: Random,
    slot_hash: ObjectHash | None = None,
    rotate: bool = False,
    certificates: Mapping[str, bytes] | None = None,
) -> Change:
    """Replace a way in, by default the one that *ring* was opened with, by a new one.

    The new slot has a key pair of its own, and the new statement no longer names the old slot: the
    old password opens the vault no more. Without *rotate* the epoch stays: whoever has a copy of
    the old slot **and** the old statement, and knows the old password, still opens this epoch, what
    is stored in it later included. With *rotate* a new epoch begins, and that person opens nothing
    that is stored afterwards; the writers' *certificates* (all of the vault, by name) are needed.

    Raises:
        NoSuchWayInError: the vault does not name the old slot.
        KeyRequestError: the way in does not go with the suite, or *ring* is not current.
        KdfParametersError: parameters that no reader would accept.
    """
    check_current(chain, ring)
    old = ring.slot_hash if slot_hash is None else slot_hash
    check_named(chain, old)
    if not ring.is_sealed:
        raise KeyRequestError("a vault without encryption has no password")
    slot = make_slot(chain.vault_id, chain.vault, way_in, ring.authority_seed(), clock, random)
    plan = next_plan(chain, clock)
    plan.ways = [way for way in plan.ways if way.hash != old] + [way_of(slot)]
    new_ring = ring.opened_by(slot.hash) if ring.slot_hash == old else ring
    if rotate:
        return next_epoch(chain, new_ring, plan, [slot], certificates or {}, (), random)
    return same_epoch(chain, new_ring, plan, [slot], random)


def remove_slot(
    chain: KeyChain,
    ring: ReadRing,
    slot_hash: ObjectHash,
    certificates: Mapping[str, bytes],
    *,
    clock: Clock,
    random: Random,
) -> Change:
    """Remove a way in, which begins a new epoch for everybody else.

    Nobody else's password is needed. *certificates* are all certificate objects of the vault by
    name: the newest of each writer that is valid now gets a successor.

    Raises:
        LastWayInError: it is the only way in.
        NoSuchWayInError: the vault does not name this slot.
        KeyRequestError: *ring* is not current.
    """
    check_current(chain, ring)
    check_named(chain, slot_hash)
    plan = next_plan(chain, clock)
    plan.ways = [way for way in plan.ways if way.hash != slot_hash]
    if not plan.ways:
        raise LastWayInError(
            "this is the last way in: without it nobody could open the vault any more",
            hint="Add another way in first, with 'holdfast key add'.",
        )
    return next_epoch(chain, ring, plan, [], certificates, (), random)


def rotate(
    chain: KeyChain,
    ring: ReadRing,
    certificates: Mapping[str, bytes],
    *,
    clock: Clock,
    random: Random,
    without_writers: Collection[WriterId] = (),
) -> Change:
    """Begin a new epoch with the same ways in, leaving out *without_writers*.

    Raises:
        KeyRequestError: *ring* is not current.
    """
    check_current(chain, ring)
    plan = next_plan(chain, clock)
    return next_epoch(chain, ring, plan, [], certificates, without_writers, random)


def new_writer(
    chain: KeyChain,
    ring: ReadRing,
    writer: WriterPublic,
    *,
    name: str,
    clock: Clock,
    random: Random,
    group_id: GroupId | None = None,
    writer_class: WriterClass = WriterClass.WRITER,
    expiry: int = 0,
) -> NewObject:
    """Make *writer* a writer, by default in the vault's only group; no statement is needed.

    By default it may write restore points and nothing else: whoever steals its key can neither drop
    any nor say which packs are gone.

    Raises:
        KeyRequestError: there is no such group, or several and none was named, or *ring* is not
            current.
        PublicKeyError: the writer's KEM key may not be used.
    """
    check_current(chain, ring)
    if group_id is None and len(ring.groups) != 1:
        raise KeyRequestError("the vault has several groups: say which one the writer belongs to")
    group = ring.groups.get(next(iter(ring.groups)) if group_id is None else group_id)
    if group is None:
        raise KeyRequestError("the vault has no such group")
    data = make_certificate(
        writer,
        CertificateTerms(name, writer_class, expiry),
        group,
        ring,
        statement_number=chain.current.body.number,
        time=seconds(clock),
        random=random,
    )
    return NewObject(writer_name(chain.vault_id, object_hash(data)), data)
