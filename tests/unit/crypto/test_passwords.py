"""Passwords, key files and the bounds of what they may cost."""

import signal
import threading
from datetime import UTC, datetime

import pytest

from holdfast.base.sizes import GIB, MIB
from holdfast.crypto import passwords
from holdfast.crypto.errors import KdfParametersError, KeyFileError
from holdfast.crypto.passwords import (
    TEST_PARAMETERS,
    KdfParameters,
    calibrate,
    check_parameters,
    key_file_secret,
    run_kdf,
)


class SteppingClock:
    """Each derivation seems to take as long as its memory and passes say."""

    def __init__(self, seconds_for_floor: float) -> None:
        self._seconds = seconds_for_floor
        self._time = 0.0

    def now(self) -> datetime:
        """Return a fixed day."""
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic_seconds(self) -> float:
        """Return how long all work took so far."""
        return self._time

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._time += seconds

    def work(self, parameters: KdfParameters) -> None:
        """Let as much time pass as *parameters* cost."""
        work = parameters.passes * parameters.memory_kib
        self._time += self._seconds * work / (3 * 64 * 1024)


@pytest.mark.parametrize(
    ("seconds_for_floor", "expected"),
    [
        (1.0, KdfParameters.argon2id(3, 64 * 1024, 4)),
        (0.25, KdfParameters.argon2id(3, 64 * 1024, 4)),
        (0.1, KdfParameters.argon2id(3, 128 * 1024, 4)),
        (0.05, KdfParameters.argon2id(3, 256 * 1024, 4)),
        (0.001, KdfParameters.argon2id(8, 1024 * 1024, 4)),
    ],
)
def test_calibration_spends_what_it_may_and_never_less_than_the_floor(
    seconds_for_floor: float, expected: KdfParameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory first, then passes, within what every reader accepts."""
    clock = SteppingClock(seconds_for_floor)
    monkeypatch.setattr(passwords, "run_kdf", lambda chosen, _salt, _input: clock.work(chosen))
    monkeypatch.setattr(passwords, "machine_memory_bytes", lambda: 64 * GIB)

    chosen = calibrate(clock)

    assert chosen == expected
    check_parameters(chosen, available_memory_bytes=4 * GIB, test_vault=False)


def test_a_slot_may_use_half_of_the_machines_memory() -> None:
    """A slot must not push a rescue machine into swapping itself to death."""
    parameters = KdfParameters.argon2id(3, 1024 * 1024, 4)

    check_parameters(parameters, available_memory_bytes=2 * GIB, test_vault=False)
    with pytest.raises(KdfParametersError):
        check_parameters(parameters, available_memory_bytes=2 * GIB - 1, test_vault=False)


def test_cheap_parameters_are_for_test_vaults_only() -> None:
    """Weak parameters in storage are an attack as well."""
    check_parameters(TEST_PARAMETERS, available_memory_bytes=GIB, test_vault=True)
    with pytest.raises(KdfParametersError):
        check_parameters(TEST_PARAMETERS, available_memory_bytes=GIB, test_vault=False)


@pytest.mark.parametrize("array", [[], [0, 1], [1, 3], [2], [3, 1], [4], [9, 9, 9]])
def test_an_unknown_derivation_is_refused(array: list[int]) -> None:
    """What the format does not list is nothing to guess about."""
    with pytest.raises(KdfParametersError):
        KdfParameters.from_array(array)


@pytest.mark.parametrize(
    "parameters",
    [
        KdfParameters.none(),
        KdfParameters.hkdf(),
        KdfParameters.pbkdf2(700_000),
        KdfParameters.argon2id(4, 99_999, 2),
    ],
)
def test_parameters_come_back_from_their_array(parameters: KdfParameters) -> None:
    """Slots hold arrays."""
    assert KdfParameters.from_array(parameters.to_array()) == parameters


@pytest.mark.parametrize("length", [0, 31, MIB + 1])
def test_a_key_file_of_a_strange_size_is_refused(length: int) -> None:
    """Too short to be a key, or not a key at all."""
    with pytest.raises(KeyFileError):
        key_file_secret(bytes(32), bytes(length))


def test_a_key_file_counts_with_its_length() -> None:
    """Zero bytes at the end make another key."""
    assert (
        key_file_secret(bytes(32), bytes(32)).reveal()
        != key_file_secret(bytes(32), bytes(33)).reveal()
    )


def test_parameters_that_the_library_refuses_stay_our_error() -> None:
    """Nothing of the library's own errors leaves the room."""
    with pytest.raises(KdfParametersError):
        run_kdf(KdfParameters.argon2id(1, 1, 1), bytes(32), b"password")
    with pytest.raises(KdfParametersError):
        run_kdf(KdfParameters.none(), bytes(32), b"password")


def test_a_derivation_can_be_interrupted() -> None:
    """Ctrl-C works while Argon2id, which hears no signals, is at work."""
    main = threading.get_ident()
    timer = threading.Timer(0.1, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run_kdf(KdfParameters.argon2id(8, 256 * 1024, 1), bytes(32), b"password")
    timer.join()
    left_behind = [item for item in threading.enumerate() if item.name == "key-derivation"]

    assert len(left_behind) == 1
    left_behind[0].join()
