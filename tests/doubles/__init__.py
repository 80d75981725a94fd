"""Stand-ins for tests: clocks, randomness, file systems and storage that misbehave on purpose."""
