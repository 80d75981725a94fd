"""Reading an inventory: everything in a vault that needs no key, once.

Every object but packs is read whole: name against grammar, hash against name, frame, body,
signature. What is wrong becomes a finding and is not used; nothing stops the rest.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from holdfast.base.errors import HoldfastError, IntegrityError, SignatureError
from holdfast.base.ids import (
    IndexId,
    ObjectHash,
    PackId,
    PointId,
)
from holdfast.crypto.errors import BadSignatureError
from holdfast.crypto.signatures import verify
from holdfast.format import frames, names
from holdfast.format.errors import UnsupportedFormatError
from holdfast.format.index_body import IndexBody
from holdfast.format.maintenance import Forget, Tombstone, quarantined_packs
from holdfast.format.point import Point, Refs
from holdfast.format.session import Lease, Packlist, Session
from holdfast.format.slot import Slot
from holdfast.format.statement import Statement
from holdfast.format.tables import Body
from holdfast.format.vault_object import Marker, VaultObject
from holdfast.format.writer import WriterCertificate
from holdfast.keys.doubts import find_doubt
from holdfast.keys.errors import ChainError
from holdfast.keys.slots import read_slot
from holdfast.keys.statements import KeyChain
from holdfast.keys.writers import read_certificate
from holdfast.storage.interface import local_files
from holdfast.vault.attribution import check_attributed
from holdfast.vault.check_errors import MisplacedObjectError
from holdfast.vault.errors import (
    DamagedObjectError,
    MissingObjectError,
    WrongSignerError,
)
from holdfast.vault.inventory import (
    NOT_HANDED_OUT,
    Finding,
    Inventory,
    NamedPacklist,
    NamedSession,
)
from holdfast.vault.objects import Listed, Loaded, ObjectStore, parse
from holdfast.vault.report import ProblemKind
from holdfast.vault.trust import Verifier

_BODIES: Final[Mapping[int, type[Body]]] = {
    frames.KIND_SLOT: Slot,
    frames.KIND_WRITER: WriterCertificate,
    frames.KIND_SESSION: Session,
    frames.KIND_LEASE: Lease,
    frames.KIND_PACKLIST: Packlist,
    frames.KIND_INDEX: IndexBody,
    frames.KIND_REFS: Refs,
    frames.KIND_POINT: Point,
    frames.KIND_FORGET: Forget,
    frames.KIND_TOMBSTONE: Tombstone,
}
_ORDER: Final = (
    # What is relied on is listed after what relies on it, so that work going on at the same time
    # shows nothing that seems to be missing. Packs before the index: a drop is put before its pack
    # is deleted. Points before forgets: a forget is put before its point is deleted.
    frames.KIND_POINT,
    frames.KIND_REFS,
    frames.KIND_PACK,
    frames.KIND_INDEX,
    frames.KIND_PACKLIST,
    frames.KIND_LEASE,
    frames.KIND_SESSION,
    frames.KIND_FORGET,
    frames.KIND_TOMBSTONE,
    frames.KIND_WRITER,
    frames.KIND_SLOT,
    frames.KIND_STATEMENT,
    frames.KIND_MOVES,
    frames.KIND_QUARANTINE,
    frames.KIND_ATTESTATION,
    frames.KIND_NOTE,
    frames.KIND_PARITY,
    frames.KIND_EVIDENCE,
    frames.KIND_BUNDLE,
)
_READING: Final = (
    # Whose signature is needed is read before what is signed.
    frames.KIND_SLOT,
    frames.KIND_WRITER,
    frames.KIND_SESSION,
    frames.KIND_POINT,
    frames.KIND_LEASE,
    frames.KIND_PACKLIST,
    frames.KIND_REFS,
    frames.KIND_INDEX,
    frames.KIND_FORGET,
    frames.KIND_TOMBSTONE,
)
_ATTEMPTS: Final = 8


def read_inventory(
    objects: ObjectStore, *, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Inventory:
    """Read all of a vault but the contents of packs and index objects.

    *objects* must not be a store with a cache, or damage in the storage would stay hidden.
    *progress* is told how many objects of how many have been read.

    Raises:
        StorageError: the storage failed.
    """
    found = Inventory(objects.vault_id)
    for kind in _ORDER:
        found.listed[kind] = _list(objects, kind, found)
    _read_root(objects, found)
    _read_chain(objects, found)
    verifier = None if found.chain is None else Verifier(found.chain, objects)
    if verifier is not None:
        verifier.expect_sessions()
    total, done = sum(len(found.listed[kind]) for kind in _READING), 0
    for kind in _READING:
        for listed in found.listed[kind]:
            _read_one(objects, listed, verifier, found)
            done += 1
            progress(done, total)
    _read_stand_ins(objects, verifier, found)
    for listed in found.listed[frames.KIND_PACK]:
        found.packs[PackId(listed.hash)] = listed.size_bytes
    _read_quarantines(objects, verifier, found)
    _settle_points(objects, verifier, found)
    return found


def _read_stand_ins(objects: ObjectStore, verifier: Verifier | None, found: Inventory) -> None:
    """Read index objects that somebody put for others which he then removed, all the while."""
    read = {item.name for item in found.listed[frames.KIND_INDEX]}
    missed = read & found.unreadable
    for _ in range(_ATTEMPTS):
        if not missed:
            return
        new = [item for item in _list(objects, frames.KIND_INDEX, found) if item.name not in read]
        for listed in new:
            found.listed[frames.KIND_INDEX].append(listed)
            _read_one(objects, listed, verifier, found)
        read.update(item.name for item in new)
        missed = {item.name for item in new} & found.unreadable


# --- names ----------------------------------------------------------------------------------------


def _list(objects: ObjectStore, kind: int, found: Inventory) -> list[Listed]:
    listed = objects.list(kind)
    found.sizes.update(
        (item.name, item.size_bytes) for item in listed if item.name not in found.unreadable
    )
    return listed


def _read_root(objects: ObjectStore, found: Inventory) -> None:
    """Read the marker and look for names that are none."""
    listed = objects.tried(lambda: list(objects.backend.list("")))
    for item in listed:
        parsed = names.parse_name(item.name)
        if parsed is None:
            found.report_stranger(item.name)
        elif parsed.vault_id == objects.vault_id and parsed.kind == frames.KIND_VAULT:
            found.sizes[item.name] = item.size_bytes
    local = local_files(objects.backend)
    for path in () if local is None else local.strangers():
        found.report_stranger(path)
    name = names.MARKER_NAME
    try:
        data = objects.get(name)
        marker = Marker.from_body(frames.parse_hash_ended(frames.KIND_MARKER, data).body)
    except MissingObjectError:
        found.report(name, ProblemKind.MISSING, "There are vaults, and the marker is missing.")
    except IntegrityError as error:
        found.report(name, ProblemKind.DAMAGED, error.message)
    else:
        found.sizes[name] = len(data)
        found.repository_id = marker.repository_id
        found.listing_delay_seconds = marker.listing_delay_milliseconds / 1000


def _settle_points(objects: ObjectStore, verifier: Verifier | None, found: Inventory) -> None:
    """Leave out points that somebody forgot while the rest was being read; read why.

    One that is still listed after the storage's delay, and cannot be read, is missing.
    """
    listed = _leave_vanished(objects, verifier, found)
    hidden = listed & found.unreadable - _forgotten_names(found)
    delay_seconds = max(
        found.listing_delay_seconds, objects.backend.capabilities.listing_delay_seconds
    )
    if hidden and delay_seconds:
        objects.clock.sleep(2 * delay_seconds)
        hidden &= _leave_vanished(objects, verifier, found) - _forgotten_names(found)
    for name in sorted(hidden):
        found.findings.append(Finding(name, ProblemKind.MISSING, NOT_HANDED_OUT))


def _leave_vanished(objects: ObjectStore, verifier: Verifier | None, found: Inventory) -> set[str]:
    """Drop points that are not listed any more, read new forgets; return the points' names."""
    still = {item.name for item in objects.list(frames.KIND_POINT)}
    for point_id in list(found.points):
        name = names.point_name(found.vault_id, point_id)
        if name not in still:
            del found.points[point_id]
            found.sizes.pop(name, None)
    # After the points: a forget is put before its point is deleted.
    read = {item.name for item in found.listed[frames.KIND_FORGET]}
    for listed in _list(objects, frames.KIND_FORGET, found):
        if listed.name not in read:
            found.listed[frames.KIND_FORGET].append(listed)
            _read_one(objects, listed, verifier, found)
    return still


def _forgotten_names(found: Inventory) -> set[str]:
    return {names.point_name(found.vault_id, point) for point in found.forgotten()}


# --- keys -----------------------------------------------------------------------------------------


def _read_chain(objects: ObjectStore, found: Inventory) -> None:
    vault_name = names.vault_name(objects.vault_id)
    statements = _read_statements(objects, found)
    has_damage = any(item.name in found.damaged for item in found.listed[frames.KIND_STATEMENT])
    try:
        data = objects.get(vault_name)
        VaultObject.from_body(frames.parse(frames.KIND_VAULT, data).body)
    except MissingObjectError as error:
        found.report(vault_name, ProblemKind.MISSING, error.message)
        return
    except IntegrityError as error:
        found.report(vault_name, ProblemKind.DAMAGED, error.message)
        return
    try:
        chain = KeyChain.read(objects.vault_id, data, statements, report_problems=True)
    except ChainError as error:
        if not has_damage:
            _report_gap(statements, error, found)
        return
    found.chain = chain
    doubt = find_doubt(chain, statements)
    if doubt is not None:
        found.keys_in_doubt = doubt.name
    _report_beside(chain, statements, found, has_damage=has_damage)
    found.notes += [f"Key statement '{name}' lost against one beside it." for name in chain.forks]


def _report_beside(
    chain: KeyChain, statements: Mapping[str, bytes], found: Inventory, *, has_damage: bool
) -> None:
    """Report what lies among the statements and is no link of the chain."""
    links = {link.hash for link in chain.links}
    for problem in chain.problems:
        if problem.name in found.damaged:
            continue
        if not isinstance(problem.error, ChainError):
            found.report(problem.name, _kind_of(problem.error), problem.error.message)
            continue
        body = parse(problem.name, statements[problem.name], Statement).body
        if body.predecessor is None or body.predecessor in links:
            found.report(problem.name, ProblemKind.UNSIGNED, problem.error.message)
        elif not has_damage:
            # What follows a damaged statement is stranded, not damaged itself.
            _report_gap({problem.name: statements[problem.name]}, problem.error, found)


def _read_statements(objects: ObjectStore, found: Inventory) -> dict[str, bytes]:
    """Read all key statements; damaged ones are reported, and among them all the same."""
    statements: dict[str, bytes] = {}
    for listed in found.listed[frames.KIND_STATEMENT]:
        try:
            statements[listed.name] = objects.raw(listed.name)
            names.check_hash(listed.name, statements[listed.name])
        except MissingObjectError:
            continue
        except IntegrityError as error:
            found.report(listed.name, ProblemKind.DAMAGED, error.message)
            statements.setdefault(listed.name, b"")
    return statements


def _report_gap(statements: Mapping[str, bytes], error: ChainError, found: Inventory) -> None:
    """Say which statement is missing before the first of these, or that this one is wrong."""
    bodies = {}
    for name, data in statements.items():
        try:
            bodies[name] = parse(name, data, Statement).body
        except IntegrityError as damage:
            found.report(name, ProblemKind.DAMAGED, damage.message)
    if not bodies:
        folder = names.statements_prefix(found.vault_id)
        found.report(folder, ProblemKind.MISSING, error.message)
        return
    name, body = min(bodies.items(), key=lambda item: item[1].number)
    if body.predecessor is not None and body.number:
        before = names.statement_name(found.vault_id, body.number - 1, body.predecessor)
        if before not in found.sizes:
            found.report(before, ProblemKind.MISSING, f"Key statement '{name}' follows it.")
        elif before not in found.damaged and len(statements) == 1:
            found.notes.append(f"Key statement '{name}' follows one that does not count.")
        return
    found.report(name, ProblemKind.UNSIGNED, error.message)


# --- objects --------------------------------------------------------------------------------------


def _read_one(
    objects: ObjectStore, listed: Listed, verifier: Verifier | None, found: Inventory
) -> None:
    kind = listed.parsed.kind
    try:
        loaded: Loaded[Any] = parse(listed.name, objects.get(listed.name), _BODIES[kind])
        _check_place(listed, loaded.body)
    except MissingObjectError:
        # Whoever needs it says so.
        found.unreadable.add(listed.name)
        found.sizes.pop(listed.name, None)
        return
    except UnsupportedFormatError as error:
        found.notes.append(f"'{listed.name}' is of a newer format: {error.message}")
        found.damaged.add(listed.name)
        return
    except IntegrityError as error:
        found.report(listed.name, _kind_of(error), error.message)
        return
    try:
        _check_signer(loaded, verifier, found)
    except _LostChangeError:
        # Not a lost writer: what does not hold under certificates that stand is not signed.
        found.unattributed.add(listed.name)
        found.notes.append(
            f"Writer certificate '{listed.name}' is of a change of keys that did not come to stand."
        )
        return
    except _DependencyError:
        found.unattributed.add(listed.name)
        writer_id = getattr(loaded.body, "writer_id", None)
        if writer_id is not None:
            found.lost_writers.add(writer_id)
        if kind == frames.KIND_WRITER:
            return
    except SignatureError as error:
        found.report(listed.name, _kind_of(error), error.message)
        return
    _take(listed, loaded, found)
    if kind == frames.KIND_FORGET and verifier is not None:
        # Where nobody can tell who signed it, it explains what is gone and drops nothing newer.
        is_judged = listed.name not in found.unattributed
        epoch = verifier.check_forget(loaded) if is_judged else 0
        found.forget_epochs[loaded.hash] = epoch


class _DependencyError(Exception):
    """A signature cannot be judged, because what it rests on is damaged or missing itself."""


class _LostChangeError(Exception):
    """A certificate was made by a change of keys that was cut short, or lost against another one.

    Nobody relies on it: no statement carries it over, and no authority that stands signed it.
    """


def _check_place(listed: Listed, body: Body) -> None:
    """Compare what the name says besides the hash."""
    parsed = listed.parsed
    match body:
        case Session() | Packlist():
            is_right = body.session_id == parsed.session_id
        case Lease():
            is_right = (body.session_id, body.number) == (parsed.session_id, parsed.number)
        case IndexBody():
            is_right = body.group_id == parsed.group_id
        case _:
            is_right = True
    if not is_right:
        raise MisplacedObjectError(f"'{listed.name}' holds an object that belongs elsewhere.")


def _check_signer(loaded: Loaded[Any], verifier: Verifier | None, found: Inventory) -> None:
    chain = found.chain
    if chain is None or verifier is None:
        return
    body = loaded.body
    try:
        if isinstance(body, Slot):
            read_slot(loaded.data, chain.vault_id, chain.authority_keys.values())
        elif isinstance(body, WriterCertificate):
            if found.chain_is_whole and _is_of_lost_change(loaded, chain):
                raise _LostChangeError
            read_certificate(chain, loaded.name, loaded.data)
        else:
            check_attributed(verifier, chain.vault_id, loaded)
    except (MissingObjectError, DamagedObjectError) as error:
        raise _DependencyError(error.message) from error
    except SignatureError as error:
        if not found.chain_is_whole or _rests_on_damage(body, found):
            raise _DependencyError(error.message) from error
        raise


def _is_of_lost_change(loaded: Loaded[WriterCertificate], chain: KeyChain) -> bool:
    """Tell whether a rotation that does not stand made a certificate.

    A rotation writes certificates before the statement that makes their epoch and its authority.
    """
    body = loaded.body
    (signature,) = loaded.stored.signatures
    if not 0 < body.epoch <= chain.epoch + 1:
        return False
    if signature.public_key in chain.authority_keys.values():
        return False
    if any(loaded.hash in link.body.certificates for link in chain.links):
        return False
    message = frames.signed_message(loaded.data, chain.vault_id)
    try:
        verify(signature.public_key, message, signature.signature)
    except BadSignatureError:
        return False
    return True


def _rests_on_damage(body: Body, found: Inventory) -> bool:
    """Tell whether the certificate or statement that a signature needs is itself not usable."""
    wanted = getattr(body, "statement_number", -1)
    if found.chain is not None and wanted >= len(found.chain.links):
        found.lacks_statements = True
    if found.lacks_statements:
        return True
    if getattr(body, "writer_id", None) in found.lost_writers:
        return True
    prefix = names.writers_prefix(found.vault_id)
    return any(name.startswith(prefix) for name in found.damaged)


def _take(  # noqa: C901 - one case for each kind
    listed: Listed, loaded: Loaded[Any], found: Inventory
) -> None:
    body = loaded.body
    match body:
        case Point():
            found.points[PointId(loaded.hash)] = body
        case Refs():
            found.refs[loaded.hash] = body
        case IndexBody():
            found.indexes[IndexId(loaded.hash)] = body
        case Packlist():
            found.packlists.setdefault(body.session_id, []).append(NamedPacklist(listed.name, body))
        case Lease():
            _take_lease(listed, body, found)
        case Session():
            _take_session(listed, loaded.hash, body, found)
        case Forget():
            found.forgets[loaded.hash] = body
        case Tombstone():
            found.tombstones[loaded.hash] = body
        case WriterCertificate():
            found.certificates[loaded.hash] = body
        case Slot():
            found.slots[loaded.hash] = body
        case _:
            raise DamagedObjectError(f"'{listed.name}' is of no kind that is read here.")


def _take_session(listed: Listed, object_hash: ObjectHash, body: Session, found: Inventory) -> None:
    taken = NamedSession(listed.name, object_hash, body)
    first = found.sessions.setdefault(body.session_id, taken)
    if first is taken:
        return
    if first.name in found.unattributed:
        # Nobody can tell who signed it: it must not stand before one that somebody did.
        found.sessions[body.session_id], taken = taken, first
    found.twins.setdefault(body.session_id, []).append(taken)


def _take_lease(listed: Listed, body: Lease, found: Inventory) -> None:
    writers = {item.body.writer_id for item in found.standing_for(body.session_id)}
    if writers and body.writer_id is not None and body.writer_id not in writers:
        # Else whoever stole another writer's key could say that this session made nothing.
        found.notes.append(f"'{listed.name}' is no lease of the writer of its session: not used.")
        return
    found.leases.setdefault(body.session_id, {})[body.number] = body


def _read_quarantines(objects: ObjectStore, verifier: Verifier | None, found: Inventory) -> None:
    for listed in found.listed[frames.KIND_QUARANTINE]:
        try:
            data = objects.get(listed.name)
            stored = frames.parse(frames.KIND_QUARANTINE, data)
            packs = quarantined_packs(stored.body)
            if verifier is not None:
                loaded: Loaded[Any] = Loaded(listed.name, listed.hash, data, stored, stored.body)
                verifier.check_quarantine(loaded)
        except MissingObjectError:
            continue
        except (IntegrityError, SignatureError) as error:
            found.report(listed.name, _kind_of(error), error.message)
        else:
            found.quarantined.update(packs)


def _kind_of(error: HoldfastError) -> ProblemKind:
    if isinstance(error, MisplacedObjectError):
        return ProblemKind.MISPLACED
    if isinstance(error, WrongSignerError | SignatureError):
        return ProblemKind.UNSIGNED
    return ProblemKind.DAMAGED
