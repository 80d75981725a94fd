"""A prune whose plan is overtaken by what others do."""

from collections.abc import Callable

import pytest

from doubles.command_line import CommandLine
from holdfast import main
from holdfast.base.progress import Listener
from holdfast.operations import forget as operation
from holdfast.operations.context import Context
from holdfast.operations.forget import Dropped, DropPlan
from holdfast.policy.errors import PlanOutdatedError

Meanwhile = Callable[[Callable[[], object]], CommandLine]


@pytest.fixture
def meanwhile(filled: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Two restore points, and something that is done between a plan and its doing."""
    filled.done("backup", filled.source(second=b"2"), password=False)
    for name, value in filled.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOLDFAST_PASSWORD_FILE", str(filled.password_file))
    apply = operation.apply

    def overtaken(work: Callable[[], object]) -> CommandLine:
        def slow(plan: DropPlan, context: Context, listener: Listener) -> Dropped:
            work()
            return apply(plan, context, listener)

        monkeypatch.setattr(operation, "apply", slow)
        return filled

    return overtaken


def ids(holdfast: CommandLine) -> list[str]:
    return [point["id"] for point in holdfast.done("points", "--json").document["points"]]


def test_a_backup_that_ends_meanwhile_does_not_stop_it(
    filled: CommandLine, meanwhile: Meanwhile
) -> None:
    """What was to go would go by a new plan too; the new point stays."""
    source = filled.source(third=b"3")
    holdfast = meanwhile(lambda: filled.done("backup", source, password=False))
    before = ids(holdfast)

    assert main.execute(["prune", "--keep-last", "1", "--yes"]) == 0

    after = ids(holdfast)
    assert after[0] == before[1]
    assert len(after) == 2


def test_a_forget_that_ends_meanwhile_does(
    filled: CommandLine, meanwhile: Meanwhile, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was to go would stay by a new plan."""
    newest = ids(filled)[-1]
    holdfast = meanwhile(lambda: filled.done("forget", newest, "--yes"))

    assert main.execute(["prune", "--keep-last", "1", "--yes"]) == 2
    assert PlanOutdatedError.code in capsys.readouterr().err
    assert len(ids(holdfast)) == 1
