"""Frames and signatures: what every object but a pack is wrapped in (section 3)."""

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from holdfast.base.ids import ObjectHash, VaultId
from holdfast.base.sizes import KIB, MIB
from holdfast.format.cbor import Bytes, decode, encode
from holdfast.format.errors import (
    AttachmentError,
    FrameError,
    SignatureBlockError,
    UnencodableError,
    UnsupportedFormatError,
)

KIND_MARKER: Final = 0
KIND_VAULT: Final = 1
KIND_STATEMENT: Final = 2
KIND_WRITER: Final = 3
KIND_SLOT: Final = 4
KIND_SESSION: Final = 5
KIND_LEASE: Final = 6
KIND_PACK: Final = 7
KIND_INDEX: Final = 8
KIND_PACKLIST: Final = 9
KIND_REFS: Final = 10
KIND_POINT: Final = 11
KIND_FORGET: Final = 12
KIND_TOMBSTONE: Final = 13
KIND_MOVES: Final = 14
KIND_QUARANTINE: Final = 15
KIND_ATTESTATION: Final = 16
KIND_NOTE: Final = 17
KIND_PARITY: Final = 18
KIND_EVIDENCE: Final = 19
KIND_BUNDLE: Final = 20
KIND_GRANT: Final = 21
KIND_REVOCATION: Final = 22

MAGIC: Final = b"HOLDFAST"
VERSION: Final = 0
FRAME_BYTES: Final = 32
ALGORITHM_ED25519: Final = 1
SIGNATURE_BYTES: Final = 1 + 32 + 64
"""Algorithm, public key and signature."""
POINT_BODY_LIMIT: Final = 4 * MIB
ATTACHMENT_HASH_KEY: Final = 0

_FRAME: Final = struct.Struct(">8sBBHIIQI")
_HASH_BYTES: Final = 32
_MESSAGE_PREFIX: Final = b"holdfast/0 signature\0"


@dataclass(frozen=True, slots=True)
class _Kind:
    """What section 3 says about one kind of object."""

    word: str
    limit_bytes: int
    signers: tuple[int, ...] = (1,)
    has_attachment: bool = False
    ends_with_hash: bool = False


_KINDS: Final = {
    KIND_MARKER: _Kind("marker", 4 * KIB, (0,), ends_with_hash=True),
    KIND_VAULT: _Kind("vault object", 64 * KIB, (0,)),
    KIND_STATEMENT: _Kind("key statement", 4 * MIB, (1, 2)),
    KIND_WRITER: _Kind("writer certificate", 256 * KIB),
    KIND_SLOT: _Kind("slot", 64 * KIB),
    KIND_SESSION: _Kind("session object", 4 * MIB),
    KIND_LEASE: _Kind("lease", 4 * KIB, ends_with_hash=True),
    KIND_INDEX: _Kind("index object", 64 * MIB, has_attachment=True),
    KIND_PACKLIST: _Kind("packlist", 4 * MIB),
    KIND_REFS: _Kind("refs object", 16 * MIB),
    KIND_POINT: _Kind("restore point", 16 * MIB, has_attachment=True),
    KIND_FORGET: _Kind("forget", 4 * MIB),
    KIND_TOMBSTONE: _Kind("tombstone", 4 * MIB),
    KIND_QUARANTINE: _Kind("quarantine", 4 * MIB),
}

Sign = Callable[[bytes], Sequence[tuple[bytes, bytes]]]
"""Takes the message to sign; returns public key (32) and signature (64) of each signer."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature as it stands in an object; nobody has verified it yet."""

    algorithm: int
    public_key: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object taken apart. Its structure is right; name and signatures are unchecked.

    The body is without key 0, which :func:`parse` has compared with the attachment. The attachment
    is a view of the bytes that were parsed; for markers and leases it is empty.
    """

    kind: int
    body: dict[int, Any]
    signatures: tuple[Signature, ...]
    attachment: Bytes


def size_limit(kind: int) -> int:
    """Return how many bytes an object of *kind* has at most; for packs see ``packs``.

    Raises:
        UnsupportedFormatError: this release does not know *kind*.
    """
    return _known(kind).limit_bytes


def object_hash(data: Bytes) -> ObjectHash:
    """Return H of the whole object: what its name ends with (section 2)."""
    return ObjectHash(hashlib.sha256(data).digest())


def build(
    kind: int,
    body: dict[int, Any],
    *,
    attachment: Bytes = b"",
    sign: Sign | None = None,
    vault_id: VaultId | None = None,
    signers: int = 1,
) -> bytes:
    """Return the bytes of an object.

    Key 0 is added to *body* when there is an attachment. The frame, which is signed, states the
    length of the signatures, so *signers* says beforehand how many *sign* will return (only a key
    statement between two authorities has 2).

    Raises:
        UnencodableError: the object would break a rule of section 3.
    """
    if _known(kind).ends_with_hash:
        raise UnencodableError("Markers and leases are built by build_hash_ended.")
    if ATTACHMENT_HASH_KEY in body:
        raise UnencodableError("Key 0 of a body belongs to the attachment.")
    if bool(attachment) != _known(kind).has_attachment:
        raise UnencodableError(
            f"A {_known(kind).word} lacks its attachment, or has one it must not have."
        )
    if attachment:
        body = {ATTACHMENT_HASH_KEY: hashlib.sha256(attachment).digest(), **body}
    head = _signed_head(kind, encode(body), len(attachment), sign, vault_id, signers)
    return _checked_size(kind, b"".join((head, attachment)))


def build_hash_ended(
    kind: int,
    body: dict[int, Any],
    *,
    sign: Sign | None = None,
    vault_id: VaultId | None = None,
) -> bytes:
    """Return the bytes of a marker or lease, which ends with the hash of what is before.

    Raises:
        UnencodableError: the object would break a rule of section 3.
    """
    if not _known(kind).ends_with_hash:
        raise UnencodableError("Only markers and leases end with a hash.")
    head = _signed_head(kind, encode(body), _HASH_BYTES, sign, vault_id, 1)
    return _checked_size(kind, head + hashlib.sha256(head).digest())


def parse(kind: int, data: Bytes) -> StoredObject:
    """Take an object of *kind* apart after every check of section 3 that needs no key.

    Name and signatures are left to the caller.

    Raises:
        FormatError: a leaf that says what is wrong.
    """
    known = _known(kind)
    if known.ends_with_hash:
        raise FrameError(f"A {known.word} is read by parse_hash_ended.")
    return _parse(kind, known, memoryview(data))


def parse_hash_ended(kind: int, data: Bytes) -> StoredObject:
    """Take a marker or lease apart, its closing hash compared.

    Raises:
        FormatError: a leaf that says what is wrong.
    """
    known = _known(kind)
    if not known.ends_with_hash:
        raise FrameError(f"A {known.word} is read by parse.")
    return _parse(kind, known, memoryview(data))


def signed_message(data: Bytes, vault_id: VaultId) -> bytes:
    """Return what the signatures of the object *data* sign.

    *data* is bytes that :func:`parse` or :func:`parse_hash_ended` has accepted.

    Raises:
        FrameError: *data* is no object.
    """
    if len(data) < FRAME_BYTES:
        raise FrameError("The object is shorter than its frame.")
    _, kind, _, _, body_bytes, *_ = _FRAME.unpack_from(data)
    return _message(kind, vault_id, memoryview(data)[: FRAME_BYTES + body_bytes])


def _known(kind: int) -> _Kind:
    if kind not in _KINDS:
        raise UnsupportedFormatError(
            f"This release does not know objects of kind {kind}.",
            hint="A newer Holdfast may have written it.",
        )
    return _KINDS[kind]


def _message(kind: int, vault_id: VaultId, frame_and_body: Bytes) -> bytes:
    digest = hashlib.sha256(frame_and_body).digest()
    return _MESSAGE_PREFIX + bytes((kind,)) + vault_id + digest


def _signed_head(
    kind: int,
    body: bytes,
    attachment_bytes: int,
    sign: Sign | None,
    vault_id: VaultId | None,
    signers: int,
) -> bytes:
    """Return frame, body and signatures."""
    known = _known(kind)
    if sign is None or vault_id is None:
        signers = 0
    if signers not in known.signers:
        raise UnencodableError(f"A {known.word} cannot have {signers} signatures.")
    if kind == KIND_POINT and len(body) > POINT_BODY_LIMIT:
        raise UnencodableError(f"The body of a restore point has {len(body)} bytes, over 4 MiB.")
    if len(body) + attachment_bytes > known.limit_bytes:
        raise UnencodableError(f"A {known.word} would be larger than its limit.")
    frame = _FRAME.pack(
        MAGIC, kind, VERSION, 0, len(body), signers * SIGNATURE_BYTES, attachment_bytes, 0
    )
    if sign is None or vault_id is None:
        return frame + body
    made = sign(_message(kind, vault_id, frame + body))
    if len(made) != signers or len({public_key for public_key, _ in made}) != signers:
        raise UnencodableError(f"{signers} different signers were announced, not {len(made)}.")
    block = b"".join(bytes((ALGORITHM_ED25519,)) + key + signature for key, signature in made)
    if len(block) != signers * SIGNATURE_BYTES:
        raise UnencodableError("A public key must have 32 bytes and a signature 64.")
    return frame + body + block


def _checked_size(kind: int, data: bytes) -> bytes:
    if len(data) > _known(kind).limit_bytes:
        raise UnencodableError(f"A {_known(kind).word} would be larger than its limit.")
    return data


def _parse(kind: int, known: _Kind, data: memoryview) -> StoredObject:
    body_bytes, signature_bytes, attachment_bytes = _parse_frame(kind, known, data)
    body_end = FRAME_BYTES + body_bytes
    signatures_end = body_end + signature_bytes
    body = decode(data[FRAME_BYTES:body_end])
    if not isinstance(body, dict):
        raise FrameError(f"The body of the {known.word} is not a map.")
    signatures = _parse_signatures(known, bytes(data[body_end:signatures_end]))
    attachment = data[signatures_end:]
    if known.ends_with_hash:
        if not _ends_with_its_hash(data):
            raise AttachmentError(f"The hash at the end of the {known.word} is not its own.")
        return StoredObject(kind, body, signatures, b"")
    if bool(attachment_bytes) != known.has_attachment:
        raise AttachmentError(
            f"The {known.word} lacks its attachment, or has one it must not have."
        )
    if known.has_attachment:
        if body.pop(ATTACHMENT_HASH_KEY, None) != hashlib.sha256(attachment).digest():
            raise AttachmentError(f"The {known.word} does not name its attachment by its hash.")
    elif ATTACHMENT_HASH_KEY in body:
        raise AttachmentError(f"The {known.word} names an attachment and has none.")
    return StoredObject(kind, body, signatures, attachment)


def _ends_with_its_hash(data: memoryview) -> bool:
    digest = hashlib.sha256().digest_size
    return hashlib.sha256(data[:-digest]).digest() == data[-digest:]


def _parse_frame(kind: int, known: _Kind, data: memoryview) -> tuple[int, int, int]:
    """Check the frame; return the lengths of body, signatures and attachment."""
    if len(data) > known.limit_bytes:
        raise FrameError(f"The {known.word} is larger than {known.limit_bytes} bytes.")
    if len(data) < FRAME_BYTES:
        raise FrameError(f"The {known.word} is shorter than its frame.")
    magic, stated_kind, version, zero, body, signatures, attachment, more_zero = _FRAME.unpack_from(
        data
    )
    if magic != MAGIC:
        raise FrameError(f"The {known.word} does not begin like an object of Holdfast.")
    if version != VERSION:
        if known.ends_with_hash and not _ends_with_its_hash(data):
            # No name tells damage from a newer version here.
            raise AttachmentError(f"The hash at the end of the {known.word} is not its own.")
        raise UnsupportedFormatError(
            f"The {known.word} has format version {version}; this release knows version {VERSION}.",
            hint="A newer Holdfast may have written it.",
        )
    if stated_kind != kind:
        raise FrameError(f"An object of kind {stated_kind} stands where a {known.word} belongs.")
    if zero or more_zero:
        raise FrameError(f"The reserved bytes in the frame of the {known.word} are not zero.")
    if len(data) != FRAME_BYTES + body + signatures + attachment:
        raise FrameError(f"The {known.word} has not the length that its frame states.")
    if kind == KIND_POINT and body > POINT_BODY_LIMIT:
        raise FrameError("The body of the restore point is larger than 4 MiB.")
    return body, signatures, attachment


def _parse_signatures(known: _Kind, block: bytes) -> tuple[Signature, ...]:
    count, rest = divmod(len(block), SIGNATURE_BYTES)
    if rest or count not in known.signers:
        raise SignatureBlockError(f"The {known.word} has not the signatures that it must have.")
    signatures = tuple(
        Signature(block[at], block[at + 1 : at + 33], block[at + 33 : at + SIGNATURE_BYTES])
        for at in range(0, len(block), SIGNATURE_BYTES)
    )
    if any(signature.algorithm != ALGORITHM_ED25519 for signature in signatures):
        raise SignatureBlockError(f"The {known.word} is signed with an unknown algorithm.")
    if len({signature.public_key for signature in signatures}) != count:
        raise SignatureBlockError(f"One key signed the {known.word} twice.")
    return signatures
