"""Damage as a person meets it: processes at a folder say what the tests of every bit rest on.

Those (``adversary/test_damaged_objects.py``) run the same commands without a process of their own,
on a storage in memory.
"""

from pathlib import Path

import pytest

from doubles.command_line import CommandLine
from doubles.damaged_vault import BLIND, VERIFY, DamagedVault, Verdict, kind_of
from doubles.scenario import PASSWORD, build_scenario, listing


@pytest.mark.slow
def test_processes_answer_damage_in_each_kind_of_object_as_the_commands_within_tests_do(
    tmp_path: Path,
) -> None:
    vault = DamagedVault(build_scenario(tmp_path / "scenario"), tmp_path / "machines")
    restored = 0

    for number, name in enumerate({kind_of(item): item for item in vault.objects}.values()):
        folder = tmp_path / f"machine {number}"
        holdfast = CommandLine(folder)
        holdfast.password_file.write_text(PASSWORD, encoding="utf-8")
        changes = {name: vault.flipped(name, len(vault.objects[name]) // 2)}
        for stored, data in (vault.objects | changes).items():
            (holdfast.repository / stored).parent.mkdir(parents=True, exist_ok=True)
            (holdfast.repository / stored).write_bytes(data)

        for words in (VERIFY, BLIND):
            answer = holdfast(*words, password="--blind" not in words)
            within = vault.answer(changes, *words)
            assert answer.code == within.code == 20
            assert answer.err == within.err
            assert {**answer.document, "seconds": 0} == {**within.document, "seconds": 0}
        untouched = sorted(vault.scenario.contents.keys() - Verdict.of(answer).touched)
        for point in untouched[number % 3 :][:1]:
            holdfast.done(*vault.words_of_restore(point, folder / "target"))
            assert listing(folder / "target") == vault.scenario.contents[point]
            restored += 1

    assert restored >= 3
