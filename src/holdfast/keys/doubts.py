"""What lies among the key statements and is no link of the chain (section 5.3).

Rubbish there must keep nobody out, and a statement that rotted must never be passed over for an
older one. What an object may be tells the two apart: its name says where it would stand, and what
is whole says whether an authority made it.
"""

from collections.abc import Mapping

from holdfast.base.errors import HoldfastError, IntegrityError, SignatureError
from holdfast.base.ids import VaultId
from holdfast.crypto.errors import BadSignatureError
from holdfast.crypto.signatures import verify
from holdfast.format.errors import FormatError, NameMismatchError, UnsupportedFormatError
from holdfast.format.frames import KIND_STATEMENT, StoredObject, parse, signed_message
from holdfast.format.names import check_hash, parse_name
from holdfast.format.statement import Statement
from holdfast.keys.statements import KeyChain, Link, Problem, SeenStatement


def read_chain(
    vault_id: VaultId,
    vault_data: bytes,
    statements: Mapping[str, bytes],
    *,
    seen: SeenStatement | None = None,
) -> KeyChain:
    """Verify the vault object and its statements as ``KeyChain.read``, past what does not count.

    Objects that are no statements of this vault are among the chain's problems, and nothing else
    comes of them.

    Raises:
        IntegrityError, SignatureError: as ``KeyChain.read``; of an object beside the chain only
            if that leaves the chain in doubt.
    """
    try:
        return KeyChain.read(vault_id, vault_data, statements, seen=seen)
    except (IntegrityError, SignatureError) as error:
        try:
            chain = KeyChain.read(vault_id, vault_data, statements, report_problems=True)
        except HoldfastError:
            # There is no chain at all, and this says best why.
            raise error from None
        problem = find_doubt(chain, statements)
        if problem is not None:
            raise problem.error from None
        if seen is not None:
            chain.check_seen(seen)
        return chain


def find_doubt(chain: KeyChain, statements: Mapping[str, bytes]) -> Problem | None:
    """Return a statement object that may count, though the *chain* is without it; None if none may.

    *chain* was read from *statements* with its problems reported. Of several the damaged one is
    returned that stands first: what follows it is only stranded.
    """
    found = [
        problem
        for problem in chain.problems
        if _is_ahead(problem.name, chain.current)
        and _may_count(problem.name, statements[problem.name], chain)
    ]
    return min(found, key=_place, default=None)


def _is_ahead(name: str, last: Link) -> bool:
    """Tell whether a statement of this *name* would come after *last*, or stand in its place.

    Who changes keys builds on what stands, so a statement that others follow has won already; and
    number 0 is made with the vault, by one person, once.
    """
    parsed = parse_name(name)
    if parsed is None or parsed.number is None or parsed.hash is None:
        return False
    if parsed.number == last.body.number:
        return parsed.number > 0 and parsed.hash < last.hash
    return parsed.number > last.body.number


def _may_count(name: str, data: bytes, chain: KeyChain) -> bool:
    """Tell whether an object can be a statement that somebody entitled made."""
    try:
        check_hash(name, data)
        stored = parse(KIND_STATEMENT, data)
    except (NameMismatchError, UnsupportedFormatError):
        # Damaged: nobody knows what it was. Or of a newer release, which knew what it did.
        return True
    except FormatError:
        return False
    if _is_signed_by(chain.current.body.authority_public_key, stored, data, chain.vault_id):
        return True
    try:
        body = Statement.from_body(stored.body)
    except FormatError:
        return False
    # One that names a link and does not follow it is a stranger's. Who made one that follows what
    # is not there, nobody can tell.
    links = {link.hash for link in chain.links}
    return body.predecessor is not None and body.predecessor not in links


def _is_signed_by(authority: bytes, stored: StoredObject, data: bytes, vault_id: VaultId) -> bool:
    message = signed_message(data, vault_id)
    for signature in stored.signatures:
        if signature.public_key == authority:
            try:
                verify(authority, message, signature.signature)
            except BadSignatureError:
                return False
            return True
    return False


def _place(problem: Problem) -> tuple[bool, int, str]:
    parsed = parse_name(problem.name)
    number = 0 if parsed is None or parsed.number is None else parsed.number
    return not isinstance(problem.error, IntegrityError), number, problem.name
