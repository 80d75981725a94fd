"""Slots: one way in each, a KEM key pair whose seed is wrapped by what opens it (section 5.4).

Nothing of a slot is believed because it opened: whoever opens a slot checks the root that the
statement seals to it (``opening``).
"""

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

from holdfast.base.clock import Clock
from holdfast.base.ids import ObjectHash, VaultId
from holdfast.base.randomness import Random
from holdfast.base.secrets import Secret
from holdfast.crypto.boxes import open_box, seal_box
from holdfast.crypto.errors import WrongKeyError
from holdfast.crypto.hpke import SEED_BYTES, kem_public_key
from holdfast.crypto.passwords import SALT_BYTES, KdfParameters, run_kdf
from holdfast.format.frames import KIND_SLOT, build, object_hash, parse
from holdfast.format.slot import HINT_LIMIT, OPEN_SEED_BYTES, WRAPPED_SEED_BYTES, Slot
from holdfast.format.statement import SlotKind
from holdfast.keys._signed import check_one_signer, signed_by
from holdfast.keys.errors import KeyRequestError, NoSuchWayInError, SlotError, WrongPasswordError
from holdfast.keys.unlockers import SLOT_WORDS, Unlocker


class NewSlot(NamedTuple):
    """A slot that nobody has stored yet."""

    data: bytes
    hash: ObjectHash
    kind: SlotKind
    kem_public_key: bytes


def new_slot(
    unlocker: Unlocker,
    *,
    hint: str,
    vault_id: VaultId,
    authority_seed: Secret,
    parameters: KdfParameters,
    clock: Clock,
    random: Random,
) -> NewSlot:
    """Make a slot with a fresh key pair that *unlocker* opens.

    *parameters* are for passwords; a key file and an open slot have their own. The hint is
    readable by everybody who sees the storage.

    Raises:
        KeyRequestError: the hint is too long or not printable.
    """
    check_hint(hint)
    is_open = unlocker.kind is SlotKind.OPEN
    if is_open:
        parameters = KdfParameters.none()
    elif unlocker.kind is SlotKind.KEY_FILE:
        parameters = KdfParameters.hkdf()
    seed = Secret(random.take(SEED_BYTES))
    unwrapped = Slot(
        kind=unlocker.kind,
        kem_public_key=kem_public_key(seed),
        key_derivation=tuple(parameters.to_array()),
        salt=random.take(SALT_BYTES),
        hint=hint,
        wrapped_seed=bytes(OPEN_SEED_BYTES if is_open else WRAPPED_SEED_BYTES),
        time=int(clock.now().timestamp()),
    )
    if is_open:
        wrapped = seed.reveal()
    else:
        key = run_kdf(parameters, unwrapped.salt, unlocker.secret_input())
        wrapped = seal_box(key, _context(vault_id, unwrapped), seed.reveal(), random)
    slot = replace(unwrapped, wrapped_seed=wrapped)
    data = build(KIND_SLOT, slot.to_body(), sign=signed_by(authority_seed), vault_id=vault_id)
    return NewSlot(data, object_hash(data), slot.kind, slot.kem_public_key)


def read_slot(data: bytes, vault_id: VaultId, authority_keys: Collection[bytes]) -> Slot:
    """Return the slot in *data*, signed by an authority of the vault, its parameters unjudged.

    Raises:
        FormatError: it is no slot.
        BadSignatureError: no authority of this vault signed it.
    """
    stored = parse(KIND_SLOT, data)
    slot = Slot.from_body(stored.body)
    check_one_signer(stored, data, vault_id, authority_keys, "a slot")
    return slot


def parameters_of(slot: Slot) -> KdfParameters:
    """Return the key derivation that *slot* asks for, unjudged."""
    return KdfParameters.from_array(slot.key_derivation)


def open_slot(data: bytes, vault_id: VaultId, unlocker: Unlocker) -> Secret:
    """Return the seed that the slot in *data* wraps. Check parameters and signature before.

    Raises:
        WrongPasswordError: the password or key file is not the one of this slot.
        AuthenticationError: the wrapped seed is damaged.
        SlotError: the seed is not that of the slot's public key.
        NoSuchWayInError: the slot is of another kind.
    """
    slot = Slot.from_body(parse(KIND_SLOT, data).body)
    if slot.kind is not unlocker.kind:
        raise NoSuchWayInError(f"this way in is not opened by a {SLOT_WORDS[unlocker.kind]}")
    if slot.kind is SlotKind.OPEN:
        seed = Secret(slot.wrapped_seed)
    else:
        key = run_kdf(parameters_of(slot), slot.salt, unlocker.secret_input())
        try:
            seed = Secret(open_box(key, _context(vault_id, slot), slot.wrapped_seed))
        except WrongKeyError:
            raise WrongPasswordError(
                f"the {SLOT_WORDS[slot.kind]} does not open this way in"
            ) from None
    if kem_public_key(seed) != slot.kem_public_key:
        raise SlotError("a slot's wrapped seed does not belong to its public key")
    return seed


def check_hint(hint: str) -> None:
    """Return only if *hint* may stand in a slot.

    Raises:
        KeyRequestError: it is longer than 100 characters or not printable.
    """
    if len(hint) > HINT_LIMIT or not hint.isprintable():
        raise KeyRequestError(
            f"a hint has at most {HINT_LIMIT} printable characters",
            hint="It is readable by everybody who can read the storage: keep it vague.",
        )


def shown_hint(hint: str) -> str:
    """Return *hint* as it may be shown before anything has proved it: quoted, cut, harmless."""
    harmless = "".join(letter if letter.isprintable() else "?" for letter in hint)
    return f'"{harmless[:HINT_LIMIT]}"'


def _context(vault_id: VaultId, slot: Slot) -> bytes:
    """Bind the wrap to this vault and to every clear field of the slot."""
    return b"slot\x00" + vault_id + slot.bound_hash()
