"""What runs here, what it keeps on this machine, whom it talks to, and does it work?"""

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from holdfast import __version__
from holdfast.base.errors import HoldfastError
from holdfast.base.secrets import Secret
from holdfast.crypto.boxes import open_box, seal_box
from holdfast.crypto.hashing import keyed_hash, sha256
from holdfast.crypto.hpke import SEED_BYTES, hpke_open, hpke_seal, kem_public_key
from holdfast.crypto.passwords import TEST_PARAMETERS, run_kdf
from holdfast.crypto.signatures import sign, signing_public_key, verify
from holdfast.crypto.suites import SUITES, open_sealed, seal
from holdfast.format.cbor import decode, encode
from holdfast.format.vault_object import FORMAT
from holdfast.operations.context import Context
from holdfast.operations.errors import SelfTestError, UnknownAddressError
from holdfast.storage.address import parse_address

_LIBRARIES: Final = (
    "cryptography",
    "blake3",
    "backports.zstd",
    "pyfastcdc",
    "typer",
    "rich",
    "segno",
)
_SHORT_TEXT: Final = b"the quick brown fox"
# FIPS 180-4, "abc".
_SHA256_ABC: Final = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@dataclass(frozen=True, slots=True)
class SelfTest:
    """One part that was tried; *problem* is None if it works."""

    name: str
    problem: str | None


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A folder of this machine that Holdfast uses."""

    purpose: str
    path: Path
    is_there: bool
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found.

    Attributes:
        listeners: ports that this program listens on; the command line has none.
        outbound: addresses that it would connect to, each with the setting that names it.
    """

    version: str
    python: str
    system: str
    format: int
    engine: str
    libraries: tuple[tuple[str, str], ...]
    places: tuple[LocalPlace, ...]
    listeners: tuple[str, ...]
    outbound: tuple[tuple[str, str], ...]
    tests: tuple[SelfTest, ...]
    processors: int

    @property
    def is_healthy(self) -> bool:
        """Whether every self-test passed."""
        return all(test.problem is None for test in self.tests)


@dataclass(frozen=True, slots=True)
class ForgottenAddress:
    """An absolute address, and the ids of the vaults that were known there."""

    address: str
    vaults: tuple[str, ...]


def run(context: Context) -> Diagnosis:
    """Look around and try every part that a backup rests on; changes nothing."""
    return Diagnosis(
        version=__version__,
        python=sys.version.split()[0],
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        format=FORMAT,
        engine="python",
        libraries=tuple((name, _version(name)) for name in _LIBRARIES),
        places=(
            _place("writer keys", context.folders.writers),
            _place("state", context.folders.state),
            _place("cache", context.folders.cache),
        ),
        listeners=(),
        outbound=(),
        tests=tuple(_tried(name, test) for name, test in _tests(context).items()),
        processors=os.cpu_count() or 1,
    )


def forget_address(address: str, context: Context, *, dry_run: bool = False) -> ForgottenAddress:
    """Let go of the vaults that were seen at *address*: the next command takes what is there.

    That goes for their key statements, too. Which restore points were seen stays known.

    Raises:
        UnknownAddressError: none was seen there.
        RequestError: it is no address.
    """
    known = context.machine.known
    absolute = str(parse_address(address).path.absolute())
    vaults = tuple(vault.vault_id.hex() for vault in known.at(absolute))
    if not vaults:
        raise UnknownAddressError(
            f"This machine knows no repository at {absolute}.",
            hint="Write the address as the error message does.",
        )
    if not dry_run:
        known.forget_address(absolute, with_statements=True)
    return ForgottenAddress(absolute, vaults)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        # The standard library has zstd from Python 3.14 on.
        return "not needed" if name.endswith("zstd") and find_spec("compression") else "missing"


def _place(purpose: str, path: Path) -> LocalPlace:
    size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                size += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - os.walk gives text
            except OSError:
                continue
    return LocalPlace(purpose, path, path.is_dir(), size)


def _tests(context: Context) -> dict[str, Callable[[], None]]:
    seed = Secret(context.random.take(SEED_BYTES))

    def suites() -> None:
        for suite in SUITES.values():
            material = context.random.take(suite.material_bytes)
            sealed = seal(suite, material, b"associated", _SHORT_TEXT)
            _expect(open_sealed(suite, material, b"associated", sealed) == _SHORT_TEXT)

    def boxes() -> None:
        box = seal_box(seed, b"context", _SHORT_TEXT, context.random)
        _expect(open_box(seed, b"context", box) == _SHORT_TEXT)

    def recipients() -> None:
        sealed = hpke_seal(kem_public_key(seed), b"info", _SHORT_TEXT)
        _expect(hpke_open(seed, b"info", sealed) == _SHORT_TEXT)

    def signatures() -> None:
        verify(signing_public_key(seed), _SHORT_TEXT, sign(seed, _SHORT_TEXT))

    def hashes() -> None:
        _expect(sha256(b"abc").hex() == _SHA256_ABC)
        _expect(keyed_hash(bytes(32), b"a") != keyed_hash(bytes(32), b"b"))

    def passwords() -> None:
        first = run_kdf(TEST_PARAMETERS, bytes(32), b"password")
        _expect(first.reveal() == run_kdf(TEST_PARAMETERS, bytes(32), b"password").reveal())

    def encoding() -> None:
        _expect(decode(encode({1: [b"a", "b", 3, None]})) == {1: [b"a", "b", 3, None]})

    return {
        "ciphers": suites,
        "boxes": boxes,
        "recipients (HPKE, X-Wing)": recipients,
        "signatures (Ed25519)": signatures,
        "hashes (SHA-256, BLAKE3)": hashes,
        "passwords (Argon2id)": passwords,
        "encoding": encoding,
    }


def _expect(holds: bool) -> None:  # noqa: FBT001 - an assertion that stays
    if not holds:
        raise SelfTestError("it gives another result than it must")


def _tried(name: str, test: Callable[[], None]) -> SelfTest:
    try:
        test()
    except HoldfastError as error:
        return SelfTest(name, error.message)
    except Exception as error:  # noqa: BLE001 - a library that fails in its own way is what is looked for
        return SelfTest(name, f"{type(error).__name__}: {error}")
    return SelfTest(name, None)
