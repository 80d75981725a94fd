"""A prune whose plan is overtaken by a backup."""

import pytest

from doubles.command_line import CommandLine
from holdfast import main
from holdfast.base.progress import Listener
from holdfast.operations import forget as operation
from holdfast.operations.context import Context
from holdfast.operations.forget import Dropped, DropPlan
from holdfast.policy.errors import PlanOutdatedError


@pytest.fixture
def overtaken(filled: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Two restore points; a third one is made between the first plan and its doing."""
    filled.done("backup", filled.source(second=b"2"), password=False)
    for name, value in filled.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOLDFAST_PASSWORD_FILE", str(filled.password_file))
    apply = operation.apply
    late = [filled.source(third=b"3")]

    def slow(plan: DropPlan, context: Context, listener: Listener) -> Dropped:
        while late:
            filled.done("backup", late.pop(), password=False)
        return apply(plan, context, listener)

    monkeypatch.setattr(operation, "apply", slow)
    return filled


def test_with_yes_it_plans_again(overtaken: CommandLine) -> None:
    """Nobody was asked, so nobody has to look at the new plan; a nightly prune does its work."""
    assert main.execute(["prune", "--keep-last", "1", "--yes"]) == 0
    assert len(overtaken.done("points", "--json").document["points"]) == 1


def test_a_person_has_to_see_the_new_plan(
    overtaken: CommandLine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What he agreed to is not what would be done."""
    monkeypatch.setattr("holdfast.cli.invocation.Invocation.confirm", lambda *_, **__: True)

    assert main.execute(["prune", "--keep-last", "1"]) == 2
    assert PlanOutdatedError.code in capsys.readouterr().err
    assert len(overtaken.done("points", "--json").document["points"]) == 3
