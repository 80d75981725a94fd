"""What people see of the writers of a vault."""

from dataclasses import replace
from pathlib import Path

import pytest

from doubles.vaults import TestVault, make_machine, make_vault
from holdfast.cli.output import show_time
from holdfast.format import frames, names
from holdfast.format.writer import WriterCertificate
from holdfast.operations.writers import list_writers
from holdfast.storage.memory import MemoryBackend
from holdfast.vault.trust import Authority


@pytest.fixture
def vault(tmp_path: Path) -> TestVault:
    return make_vault(MemoryBackend(), make_machine(tmp_path / "here"))


@pytest.mark.parametrize("seconds", [-(2**63), 2**62, 10**12])
def test_a_certificate_of_a_time_beyond_the_calendar_does_not_end_the_list(
    vault: TestVault, seconds: int
) -> None:
    """Whoever once had a way in can sign one; `key remove` lists the writers, too."""
    objects = vault.closed().objects
    (listed,) = objects.list(frames.KIND_WRITER)
    body = replace(objects.load(listed.name, WriterCertificate).body, time=seconds)
    sign = Authority(vault.readable().ring.authority_seed()).sign
    data = frames.build(frames.KIND_WRITER, body.to_body(), sign=sign, vault_id=vault.vault_id)
    vault.backend.delete(listed.name)
    vault.backend.put(names.writer_name(vault.vault_id, frames.object_hash(data)), data)

    (shown,) = list_writers(vault.closed(), None)

    assert (shown.problem, shown.since.year) == (None, 1 if seconds < 0 else 9999)
    assert show_time(shown.since)
