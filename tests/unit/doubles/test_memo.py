"""The memory of the campaigns: does a command say the same with it as without?"""

import shutil
from pathlib import Path

import pytest

from doubles.damaged_vault import BLIND, VERIFY, DamagedVault, kind_of
from doubles.memo import remembering
from doubles.scenario import build_scenario, listing


def _answers(vault: DamagedVault) -> list[object]:
    """Return what whole commands make of a bit near both ends of an object of each kind."""
    answers: list[object] = []
    for name in {kind_of(name): name for name in sorted(vault.objects)}.values():
        for position in (9, len(vault.objects[name]) * 2 // 3):
            changes = {name: vault.flipped(name, position)}
            for words in (VERIFY, BLIND):
                answer = vault.answer(changes, *words)
                answers += [name, answer.code, answer.err, {**answer.document, "seconds": 0}]
            for point in sorted(vault.scenario.contents):
                target = vault.folder / str(len(answers))
                answer = vault.answer(changes, *vault.words_of_restore(point, target))
                answers += [answer.code, answer.err.replace(str(target), "")]
                answers.append(listing(target) if target.exists() else None)
                shutil.rmtree(target, ignore_errors=True)
    return answers


@pytest.mark.slow
def test_commands_answer_the_same_whether_pure_functions_remember_or_not(tmp_path: Path) -> None:
    scenario = build_scenario(tmp_path / "scenario")
    computed = _answers(DamagedVault(scenario, tmp_path / "computed"))

    with remembering():
        vault = DamagedVault(scenario, tmp_path / "remembered")
        once, again = _answers(vault), _answers(vault)

    assert once == computed
    assert again == computed
