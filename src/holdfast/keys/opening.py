"""From something that people hold to a ring of keys (section 11, step 3)."""

from collections.abc import Mapping
from typing import NamedTuple

from holdfast.base.errors import IntegrityError
from holdfast.base.ids import GroupId, ObjectHash, VaultId
from holdfast.base.secrets import Secret
from holdfast.crypto.boxes import open_box
from holdfast.crypto.errors import KdfParametersError, WrongKeyError
from holdfast.crypto.hpke import hpke_open
from holdfast.crypto.passwords import check_parameters, machine_memory_bytes
from holdfast.format.frames import object_hash
from holdfast.format.names import slot_name
from holdfast.format.slot import Slot
from holdfast.format.statement import SecretsRecord, SlotKind, Statement
from holdfast.keys.errors import (
    MissingKeyObjectError,
    NoSuchWayInError,
    SlotError,
    StatementError,
    WrongPasswordError,
)
from holdfast.keys.keyring import (
    GroupSecrets,
    ReadRing,
    check_root,
    epoch_bytes,
    statement_key,
)
from holdfast.keys.slots import open_slot, parameters_of, read_slot
from holdfast.keys.statements import KeyChain, Link
from holdfast.keys.unlockers import SLOT_WORDS, Unlocker


class _Candidate(NamedTuple):
    hash: ObjectHash
    data: bytes
    slot: Slot


def open_ring(
    chain: KeyChain,
    slots: Mapping[str, bytes],
    unlocker: Unlocker,
    *,
    slot_hash: ObjectHash | None = None,
    memory_bytes: int | None = None,
) -> ReadRing:
    """Open the vault with *unlocker*: every slot of its kind, the newest first, or only one.

    *slots* are slot objects by name; only those that the current statement names are looked at.
    Bounds of all of them are checked before any work is done. *memory_bytes* is this machine's
    memory, asked of the system by default.

    Raises:
        WrongPasswordError: none of the slots opens; none was damaged or left out.
        NoSuchWayInError: there is no slot of this kind, or not the named one.
        KdfParametersError: none of the others opens, and one asks for too much or too little.
        IntegrityError: none of the others opens, and one is damaged or missing. Or what opened
            contradicts the statement.
    """
    memory = machine_memory_bytes() if memory_bytes is None else memory_bytes
    candidates, refused = _candidates(chain, slots, unlocker, slot_hash, memory)
    for candidate in candidates:
        try:
            seed = open_slot(candidate.data, chain.vault_id, unlocker)
        except WrongPasswordError:
            continue
        except IntegrityError as error:
            refused.append(error)
            continue
        return _ring(chain, candidate.hash, seed)
    if refused:
        raise refused[0]
    check = "whether it is the file of this vault"
    if unlocker.kind is SlotKind.PASSWORD:
        # Of a password file all lines count: usually the wrong file, or a remark in it.
        has_lines = bool(set(b"\r\n") & set(unlocker.secret_input()))
        check = (
            "the password file: it has several lines, and all of them were taken"
            if has_lines
            else "the keyboard layout"
        )
    raise WrongPasswordError(
        f"the {SLOT_WORDS[unlocker.kind]} opens none of the vault's ways in",
        hint=f"Nothing is damaged. Check {check}, or try another way in.",
    )


def root_info(vault_id: VaultId, number: int, epoch: int, slot_hash: ObjectHash) -> bytes:
    """Return what a sealed root is bound to (section 5.3)."""
    return b"holdfast/0 root\x00" + vault_id + epoch_bytes(number) + epoch_bytes(epoch) + slot_hash


def secrets_context(vault_id: VaultId, number: int, epoch: int) -> bytes:
    """Return what the secrets record of a statement is bound to (section 5.3)."""
    return b"statement\x00" + vault_id + epoch_bytes(number) + epoch_bytes(epoch)


def _candidates(
    chain: KeyChain,
    slots: Mapping[str, bytes],
    unlocker: Unlocker,
    wanted: ObjectHash | None,
    memory_bytes: int,
) -> tuple[list[_Candidate], list[IntegrityError]]:
    """Return the slots to try, newest first, and why others are not tried."""
    named = [
        entry
        for entry in chain.current.body.slots
        if (wanted is None or entry.slot_hash == wanted) and entry.kind is unlocker.kind
    ]
    if not named:
        raise NoSuchWayInError(
            f"the vault has no {SLOT_WORDS[unlocker.kind]} way in"
            + ("" if wanted is None else f" with the id {wanted.hex()}"),
            hint="'holdfast key list' shows the ways in.",
        )
    candidates: list[_Candidate] = []
    refused: list[IntegrityError] = []
    for entry in named:
        name = slot_name(chain.vault_id, entry.slot_hash)
        try:
            if name not in slots:
                raise MissingKeyObjectError(f"the slot '{name}' is missing")
            data = slots[name]
            slot = named_slot(chain, entry.slot_hash, data)
            check_parameters(
                parameters_of(slot),
                available_memory_bytes=memory_bytes,
                test_vault=chain.vault.is_test,
            )
        except KdfParametersError as error:
            refused.append(KdfParametersError(f"{error} ('{name}')", hint=error.hint))
        except IntegrityError as error:
            refused.append(error)
        else:
            candidates.append(_Candidate(entry.slot_hash, data, slot))
    candidates.sort(key=lambda item: (item.slot.time, item.hash), reverse=True)
    return candidates, refused


def named_slot(chain: KeyChain, slot_hash: ObjectHash, data: bytes) -> Slot:
    """Return the slot in *data*, which is the one that the current statement names *slot_hash*.

    Raises:
        SlotError: the bytes are others, or contradict the statement.
        FormatError: they are no slot.
        BadSignatureError: no authority of the vault signed it.
    """
    name = slot_name(chain.vault_id, slot_hash)
    if object_hash(data) != slot_hash:
        raise SlotError(f"the slot '{name}' is damaged")
    slot = read_slot(data, chain.vault_id, chain.authority_keys.values())
    named = {entry.slot_hash: entry for entry in chain.current.body.slots}.get(slot_hash)
    if named is None or (named.kind, named.kem_public_key) != (slot.kind, slot.kem_public_key):
        raise SlotError(f"the slot '{name}' is not as the key statement describes it")
    return slot


def _ring(chain: KeyChain, slot_hash: ObjectHash, seed: Secret) -> ReadRing:
    """Open the root that is sealed to the slot, then all roots before it."""
    current = chain.current.body
    (entry,) = (item for item in current.slots if item.slot_hash == slot_hash)
    info = root_info(chain.vault_id, current.number, current.epoch, slot_hash)
    root = Secret(hpke_open(seed, info, entry.sealed_root))
    record = _open_record(chain, chain.current, root)
    groups = _groups(current, record)
    roots = {current.epoch: root}
    previous = record.previous_root
    for epoch in range(current.epoch - 1, -1, -1):
        if previous is None:
            raise StatementError(f"the root of epoch {epoch} is not where it should be")
        roots[epoch] = Secret(previous)
        link = chain.last_of_epoch(epoch)
        previous = _open_record(chain, link, roots[epoch]).previous_root
    if previous is not None:
        raise StatementError("epoch 0 names a root before it")
    return ReadRing(chain.vault_id, chain.suite, roots, record.vault_name, groups, slot_hash)


def _open_record(chain: KeyChain, link: Link, root: Secret) -> SecretsRecord:
    body = link.body
    check_root(chain.vault_id, root, body)
    key = statement_key(chain.vault_id, root, body.epoch)
    context = secrets_context(chain.vault_id, body.number, body.epoch)
    try:
        opened = open_box(key, context, body.secrets, sealed=chain.suite.key_bytes > 0)
    except WrongKeyError:
        raise StatementError(
            f"the secrets of key statement {body.number} are sealed under another key"
        ) from None
    return SecretsRecord.from_bytes(opened)


def _groups(statement: Statement, record: SecretsRecord) -> dict[GroupId, GroupSecrets]:
    groups = {
        group.group_id: GroupSecrets(
            group.group_id,
            group.name,
            Secret(group.secret),
            {entry.epoch: Secret(entry.key) for entry in group.index_keys},
        )
        for group in record.groups
    }
    if groups.keys() != {group.group_id for group in statement.groups} or any(
        statement.epoch not in group.index_keys for group in groups.values()
    ):
        raise StatementError(
            f"key statement {statement.number} and its secrets disagree about the groups"
        )
    return groups
