"""``holdfast check`` and ``holdfast verify``."""

from collections.abc import Sequence
from typing import Annotated

import typer

from holdfast.base.sizes import format_size
from holdfast.cli.errors import DamageFoundError, UsageError
from holdfast.cli.invocation import Invocation
from holdfast.cli.options import GlobalCommand, family
from holdfast.cli.output import JsonValue, printable, show_seconds, show_time
from holdfast.cli.words import parse_percent, parse_subset
from holdfast.operations import checks
from holdfast.operations.checks import Checked, CheckRequest, TouchedPoint
from holdfast.vault.report import Problem, ProblemKind

app = family("Prove.")

_WHOLE = 100.0
_SHOWN = 50


@app.command("check", cls=GlobalCommand)
def check(
    ctx: typer.Context,
    *,
    read_data: Annotated[bool, typer.Option("--read-data", hidden=True)] = False,
    read_data_subset: Annotated[str | None, typer.Option("--read-data-subset", hidden=True)] = None,
) -> None:
    """Is everything there that restore points need, and does it fit together?

    Reads no contents; 'verify' does.
    """
    invocation = Invocation.of(ctx)
    if read_data or read_data_subset is not None:
        share = _WHOLE if read_data_subset is None else parse_subset(read_data_subset)
        _run(invocation, "verify", CheckRequest(invocation.repository, "bytes", share))
        return
    _run(invocation, "check", CheckRequest(invocation.repository, "structure"))


@app.command("verify", cls=GlobalCommand)
def verify(
    ctx: typer.Context,
    *,
    sample: Annotated[
        str | None,
        typer.Option("--sample", metavar="PERCENT", help="Read only a random part, as 5%."),
    ] = None,
    blind: Annotated[
        bool, typer.Option("--blind", help="Verify what needs no key: for whoever keeps storage.")
    ] = False,
) -> None:
    """Read what is stored, decrypt it, and compare it with what was backed up.

    Damaged objects are named, with the restore points that they touch; all others are sound.
    With --blind no password is needed: every byte is held against hashes and signatures.
    """
    invocation = Invocation.of(ctx)
    if blind and sample is not None:
        raise UsageError(
            "--blind reads everything; it takes no --sample.",
            hint="Leave one of them away: --sample needs a password, --blind needs none.",
        )
    share = _WHOLE if sample is None else parse_percent(sample)
    depth: checks.Depth = "blind" if blind else "bytes"
    _run(invocation, "verify", CheckRequest(invocation.repository, depth, share))


def _run(invocation: Invocation, command: str, request: CheckRequest) -> None:
    with invocation.listen() as listener:
        found = checks.run(request, invocation.context, listener)
    for checked in found:
        _show(invocation, checked, request)
    all_problems = [problem for checked in found for problem in checked.report.problems]
    problems = len(all_problems)
    invocation.output.say(f"It took {show_seconds(listener.seconds)}.")
    invocation.output.summary(
        command,
        {
            "depth": request.depth,
            "sample_percent": request.sample_percent,
            "problems": problems,
            "vaults": [_fields(checked) for checked in found],
            "seconds": round(listener.seconds, 3),
        },
    )
    if problems:
        raise _found(all_problems)


def _found(problems: Sequence[Problem]) -> DamageFoundError:
    """Say how much is wrong; of what was only added nobody shall think that a backup suffers."""
    if all(item.kind is ProblemKind.ADDITIONAL and not item.points for item in problems):
        one, several = (
            "thing that does not belong there was",
            "things that do not belong there were",
        )
        hint = "Restore points do not need it. Find out who put it there before you remove it."
    else:
        one, several = "damaged object was", "damaged objects were"
        hint = "Restore points that no damaged object touches restore as always."
        if any(item.kind is ProblemKind.MISSING and "/points/" in item.name for item in problems):
            hint += " What to do about missing ones, 'holdfast points' says."
    count = f"1 {one}" if len(problems) == 1 else f"{len(problems)} {several}"
    return DamageFoundError(f"{count} found; the first is {problems[0].name}.", hint=hint)


def _show(invocation: Invocation, checked: Checked, request: CheckRequest) -> None:
    output, report = invocation.output, checked.report
    for problem in report.problems[: None if output.verbosity else _SHOWN]:
        touched = ", ".join(point.hex()[:8] for point in problem.points) or "no restore point"
        output.result(
            f"{problem.kind}: {printable(problem.name)}\n  {problem.detail}\n  touches {touched}"
        )
    if len(report.problems) > _SHOWN and not output.verbosity:
        output.result(f"... and {len(report.problems) - _SHOWN} more; -v names them all")
    for point in checked.touched:
        output.result(f"touched: restore point {_words(point)}")
    for note in report.notes:
        output.note(f"holdfast: note: {note}")
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(report.counts.items()) if count)
    output.say(f"Looked at: {counts}.")
    if report.counts.get("garbage"):
        output.say(
            "Garbage is what no restore point needs: 'holdfast gc' removes it, except what a backup"
            " may still use."
        )
    if report.packs_read:
        opened = "decrypted and compared" if report.contents_opened else "held against their hashes"
        output.say(
            f"Read {report.packs_read} of {report.packs_total} packs "
            f"({format_size(report.bytes_read)}) and {opened} them."
            if report.contents_opened
            else f"Read {report.packs_read} of {report.packs_total} packs "
            f"({format_size(report.bytes_read)}), {opened}."
        )
    if report.is_sound:
        output.result(
            "No damage found. Contents were not read: 'holdfast verify' does that."
            if request.depth == "structure"
            else "No damage found."
        )


def _words(point: TouchedPoint) -> str:
    words = [point.id[:8]]
    if point.time is not None:
        words.append(show_time(point.time))
    if point.series is not None:
        words.append(printable(point.series))
    return " ".join(words)


def _fields(checked: Checked) -> dict[str, JsonValue]:
    report = checked.report
    return {
        "vault": checked.vault_id.hex(),
        "sound": report.is_sound,
        "problems": [
            {
                "object": problem.name,
                "kind": str(problem.kind),
                "detail": problem.detail,
                "points": [point.hex() for point in problem.points],
            }
            for problem in report.problems
        ],
        "points_touched": [point.id for point in checked.touched],
        "notes": list(report.notes),
        "counts": dict(report.counts),
        "packs_read": report.packs_read,
        "packs_total": report.packs_total,
        "bytes_read": report.bytes_read,
        "contents_opened": report.contents_opened,
        "unopened": checked.unopened,
    }
