"""The door to the system's generator."""

from holdfast.crypto.randomness import SystemRandom


def test_the_system_gives_fresh_bytes_of_the_asked_length() -> None:
    """Two takes never agree."""
    random = SystemRandom()

    assert len(random.take(17)) == 17
    assert random.take(32) != random.take(32)
