"""The chain of key statements: which of them count (section 5.3).

The chain begins with the vault object, whose hash is the vault id. Whoever knows the id, because it
is pinned or because a password opened a slot that was made for it, needs to trust nobody else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from holdfast.base.errors import HoldfastError, IntegrityError
from holdfast.base.ids import ObjectHash, VaultId
from holdfast.crypto.errors import BadSignatureError
from holdfast.crypto.signatures import verify
from holdfast.crypto.suites import Suite, suite_numbered
from holdfast.format.frames import (
    KIND_STATEMENT,
    KIND_VAULT,
    StoredObject,
    object_hash,
    parse,
    signed_message,
)
from holdfast.format.names import check_hash, vault_name
from holdfast.format.statement import Statement
from holdfast.format.vault_object import VaultObject
from holdfast.keys.errors import ChainError, RollbackError, UnknownEpochError


@dataclass(frozen=True, slots=True)
class SeenStatement:
    """What a client remembers of a vault: the highest statement that it has seen."""

    number: int
    hash: ObjectHash


@dataclass(frozen=True, slots=True)
class Link:
    """One statement of the chain, verified."""

    name: str
    hash: ObjectHash
    data: bytes
    body: Statement

    @property
    def seen(self) -> SeenStatement:
        """What to remember of it."""
        return SeenStatement(self.body.number, self.hash)


@dataclass(frozen=True, slots=True)
class Problem:
    """A statement object that is not used, and why."""

    name: str
    error: HoldfastError


@dataclass(frozen=True, slots=True)
class _Candidate:
    link: Link
    stored: StoredObject


class KeyChain:
    """The verified statements of one vault, from number 0 to the current one.

    Attributes:
        vault_id: what everything hangs on.
        vault: the vault object.
        suite: the vault's suite for segments.
        links: the statements that stand, in order.
        forks: names of statements that lost against one with a lower hash, and what followed them.
        beaten: those of the forks that follow a link themselves, verified.
        problems: statement objects that are damaged or unsigned; empty unless asked for.
    """

    def __init__(
        self,
        vault_data: bytes,
        links: tuple[Link, ...],
        forks: tuple[str, ...] = (),
        problems: tuple[Problem, ...] = (),
        beaten: tuple[Link, ...] = (),
    ) -> None:
        self.vault_id = VaultId(object_hash(vault_data))
        self.vault_data = vault_data
        self.vault = VaultObject.from_body(parse(KIND_VAULT, vault_data).body)
        self.suite: Suite = suite_numbered(self.vault.suite)
        self.links = links
        self._last = {link.body.epoch: link for link in links}
        self.forks = forks
        self.beaten = beaten
        self.problems = problems

    @classmethod
    def read(
        cls,
        vault_id: VaultId,
        vault_data: bytes,
        statements: Mapping[str, bytes],
        *,
        seen: SeenStatement | None = None,
        report_problems: bool = False,
    ) -> Self:
        """Verify the vault object and its statements, given by name.

        With *report_problems* damaged and unsigned statement objects are listed instead of
        refused, and the chain is what the others give: for repair and for reading what is left.

        Raises:
            IntegrityError: the vault object or a statement object is damaged.
            ChainError: no chain reaches the vault object, or a link is missing or wrong.
            RollbackError: as :meth:`check_seen`.
        """
        check_hash(vault_name(vault_id), vault_data)
        candidates, problems = _read_all(vault_id, statements)
        vault = VaultObject.from_body(parse(KIND_VAULT, vault_data).body)
        links, beaten, forks, wrong = _walk(vault_id, vault, candidates)
        problems += wrong
        if problems and not report_problems:
            raise next(
                (item.error for item in problems if isinstance(item.error, IntegrityError)),
                problems[0].error,
            )
        if not links:
            raise ChainError("no key statement of the vault reaches its vault object")
        chain = cls(vault_data, tuple(links), tuple(forks), tuple(problems), tuple(beaten))
        if seen is not None:
            chain.check_seen(seen)
        return chain

    @property
    def current(self) -> Link:
        """The statement that counts now."""
        return self.links[-1]

    @property
    def settled(self) -> SeenStatement | None:
        """What to remember: the highest statement that began an epoch, or that none lies beside.

        Of two that were made at the same moment some clients see only one at first. Who remembers
        neither takes the other for no attack. One that began an epoch is remembered all the same:
        it took the authority away from somebody, who could else put another one beside it, and so
        keep the way open for a third that brings him back.
        """
        contested = {link.body.predecessor for link in self.beaten}
        for link in reversed(self.links):
            if link.body.predecessor not in contested or self._begins_epoch(link):
                return link.seen
        return None

    def _begins_epoch(self, link: Link) -> bool:
        number = link.body.number
        return number > 0 and link.body.epoch != self.links[number - 1].body.epoch

    @property
    def epoch(self) -> int:
        """The epoch of the current statement."""
        return self.current.body.epoch

    @property
    def epochs(self) -> range:
        """All epochs so far."""
        return range(self.epoch + 1)

    @property
    def authority_keys(self) -> dict[int, bytes]:
        """The authority's public key of each epoch."""
        return {epoch: link.body.authority_public_key for epoch, link in self._last.items()}

    def statement(self, number: int) -> Link:
        """Return the statement with this *number*.

        Raises:
            ChainError: the chain does not reach so far.
        """
        if not 0 <= number < len(self.links):
            raise ChainError(f"there is no key statement {number}")
        return self.links[number]

    def last_of_epoch(self, epoch: int) -> Link:
        """Return the last statement of *epoch*.

        Raises:
            UnknownEpochError: no statement belongs to it.
        """
        if epoch in self._last:
            return self._last[epoch]
        raise UnknownEpochError(f"no key statement belongs to epoch {epoch}")

    def check_seen(self, seen: SeenStatement) -> None:
        """Return only if the chain contains *seen*, or it lost fairly against the one that stands.

        That is so if it is still there and began no epoch. Then whoever signed what stands could
        as well have signed what follows *seen*: the authority is the same. A statement that began
        an epoch took that away from somebody, who must not get it back by one with a lower hash.

        Raises:
            RollbackError: it ends earlier, or another statement stands there.
        """
        if seen.number >= len(self.links):
            raise RollbackError(
                f"the key statements end at number {len(self.links) - 1}; this machine has seen "
                f"number {seen.number}: the storage was set back, or somebody removed statements"
            )
        if self.links[seen.number].hash != seen.hash and not self._lost_fairly(seen):
            raise RollbackError(
                f"key statement {seen.number} is another one than this machine has seen: "
                "the vault's keys were forked"
            )

    def _lost_fairly(self, seen: SeenStatement) -> bool:
        return any(
            link.hash == seen.hash and link.body.epoch == self.links[seen.number - 1].body.epoch
            for link in self.beaten
            # Number 0 is made with the vault, by one person, once.
            if seen.number > 0
        )

    def extended(self, name: str, data: bytes) -> "KeyChain":
        """Return the chain with one more statement, verified like all others.

        Raises:
            ChainError: it does not follow the current one.
        """
        statements = {link.name: link.data for link in self.links} | {name: data}
        return KeyChain.read(self.vault_id, self.vault_data, statements, seen=self.current.seen)


def _read_all(
    vault_id: VaultId, statements: Mapping[str, bytes]
) -> tuple[list[_Candidate], list[Problem]]:
    """Parse every statement object; nothing is verified but its own hash."""
    candidates: list[_Candidate] = []
    problems: list[Problem] = []
    for name, data in statements.items():
        try:
            parsed = check_hash(name, data)
            stored = parse(KIND_STATEMENT, data)
            body = Statement.from_body(stored.body)
        except IntegrityError as error:
            problems.append(Problem(name, error))
            continue
        if (parsed.kind, parsed.vault_id, parsed.number) != (
            KIND_STATEMENT,
            vault_id,
            body.number,
        ):
            mismatch = ChainError(f"'{name}' holds a statement of another number or vault")
            problems.append(Problem(name, mismatch))
            continue
        candidates.append(_Candidate(Link(name, object_hash(data), data, body), stored))
    return candidates, problems


def _walk(
    vault_id: VaultId, vault: VaultObject, candidates: list[_Candidate]
) -> tuple[list[Link], list[Link], list[str], list[Problem]]:
    """Follow the chain from the vault object; sort what is beside it.

    Returns the links, the verified ones that lost, the names of these and of what follows them,
    and the problems.
    """
    children: dict[bytes, list[_Candidate]] = {}
    for candidate in sorted(candidates, key=lambda item: item.link.hash):
        children.setdefault(candidate.link.body.predecessor or b"", []).append(candidate)
    links: list[Link] = []
    losers: list[_Candidate] = []
    problems: list[Problem] = []
    predecessor: bytes = b""
    while True:
        standing: Link | None = None
        for candidate in children.pop(predecessor, []):
            try:
                _verify(vault_id, vault, links[-1] if links else None, candidate)
            except HoldfastError as error:
                problems.append(Problem(candidate.link.name, error))
                continue
            # Sorted by hash: the first that holds is the one that stands.
            if standing is None:
                standing = candidate.link
            else:
                losers.append(candidate)
        if standing is None:
            break
        links.append(standing)
        predecessor = standing.hash
    beaten = [loser.link for loser in losers]
    forks: list[str] = []
    while losers:
        loser = losers.pop()
        forks.append(loser.link.name)
        losers += children.pop(loser.link.hash, [])
    for stranded in children.values():
        problems += [
            Problem(
                item.link.name,
                ChainError(f"key statement '{item.link.name}' follows one that is not there"),
            )
            for item in stranded
        ]
    return links, beaten, forks, problems


def _verify(
    vault_id: VaultId, vault: VaultObject, before: Link | None, candidate: _Candidate
) -> None:
    """Check that a statement may follow *before*: numbers, keys, signatures."""
    name, body = candidate.link.name, candidate.link.body
    if before is None:
        authority = vault.authority_public_key
        follows = body.number == 0 and body.epoch == 0 and body.authority_public_key == authority
    else:
        authority = before.body.authority_public_key
        follows = body.number == before.body.number + 1 and _epoch_follows(before.body, body)
    if not follows:
        raise ChainError(f"key statement '{name}' does not follow the one that it names")
    # In this order and no other: a second order would be a second hash for the same statement,
    # and the storage could choose which of the two stands.
    signers = list(dict.fromkeys((authority, body.authority_public_key)))
    if [signature.public_key for signature in candidate.stored.signatures] != signers:
        raise BadSignatureError(f"key statement '{name}' is not signed by whom it must be")
    message = signed_message(candidate.link.data, vault_id)
    for signature in candidate.stored.signatures:
        verify(signature.public_key, message, signature.signature)


def _epoch_follows(before: Statement, body: Statement) -> bool:
    same_keys = (
        body.authority_public_key == before.authority_public_key
        and body.vault_public_key == before.vault_public_key
        and body.root_commitment == before.root_commitment
        and body.certificates == before.certificates
    )
    if body.epoch == before.epoch:
        return same_keys
    return (
        body.epoch == before.epoch + 1 and body.authority_public_key != before.authority_public_key
    )
