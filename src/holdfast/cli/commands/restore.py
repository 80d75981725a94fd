"""``holdfast restore``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from holdfast.base.sizes import format_size
from holdfast.cli.errors import DamageFoundError, RestoredPartlyError, UsageError
from holdfast.cli.invocation import Invocation
from holdfast.cli.options import ADVANCED, GlobalCommand, family
from holdfast.cli.output import printable, show_seconds
from holdfast.cli.words import HostOption, SourceOption, counted, split_point
from holdfast.operations import restore as operation
from holdfast.operations.restore import RestoredFiles, RestorePlan, RestoreRequest
from holdfast.recovery.files import RestoreWish, patterns

app = family("Restore.")

Overwrite = Literal["never", "if-changed", "always"]
_RULES: dict[str, Overwrite] = {
    "never": "never",
    "if-changed": "if-changed",
    "always": "always",
}


@app.command("restore", cls=GlobalCommand)
def restore(
    ctx: typer.Context,
    *,
    point: Annotated[
        str,
        typer.Argument(metavar="POINT[:PATH]", help="An id, or 'latest'; and what of it."),
    ],
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Restore into this folder.")
    ] = None,
    in_place: Annotated[
        bool,
        typer.Option("--in-place", help="Put everything where it came from, over what differs."),
    ] = False,
    include: Annotated[
        list[str] | None,
        typer.Option("-i", "--include", metavar="PATTERN", help="Only what matches; repeatable."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("-e", "--exclude", metavar="PATTERN", help="Not what matches; repeatable."),
    ] = None,
    overwrite: Annotated[
        str | None,
        typer.Option(
            "--overwrite",
            metavar="never|if-changed|always",
            help="What becomes of files that are there; if-changed goes by size and time.",
        ),
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove what the restore point does not have.")
    ] = False,
    delete_excluded: Annotated[
        bool,
        typer.Option("--delete-excluded", help="With --delete: also what the backup left out."),
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare everything afterwards, contents included.")
    ] = False,
    source: SourceOption = None,
    host: HostOption = None,
    no_sparse: Annotated[
        bool,
        typer.Option(
            "--no-sparse",
            help="Fill holes in files.",
            hidden=True,
            rich_help_panel=ADVANCED,
        ),
    ] = False,
    numeric_ids: Annotated[
        bool,
        typer.Option(
            "--numeric-ids",
            help="Owners by number, not by name.",
            hidden=True,
            rich_help_panel=ADVANCED,
        ),
    ] = False,
    target: Annotated[Path | None, typer.Option("-t", "--target", hidden=True)] = None,
) -> None:
    """Put a restore point back, or a part of it.

    Without PATH the original full path is rebuilt below DIR; with PATH, what PATH holds lands in
    DIR. DIR has to be empty, unless --overwrite says what becomes of what is there; --in-place
    without it is --overwrite if-changed: files of another size or modification time are replaced,
    all others stay as they are, and nobody reads them. --verify finds those whose contents differ
    all the same, and --overwrite always replaces them.
    What may replace or remove something shows its plan first and asks, or needs --yes.
    --delete removes nothing outside of the paths that were backed up, and nothing that the backup
    left out by its patterns and other rules, unless --delete-excluded says so. What the backup
    could not read is not in the restore point: the plan says how much that was, and it goes.
    DIR may be neither the repository nor a folder in it. Where it has to be made for a folder PATH,
    it gets mode, owner, times and attributes of that folder at the end, and is its owner's only
    until then; a DIR that is there keeps its own.
    A restore that was cut short goes on with --overwrite if-changed, in scripts with --yes too.
    """
    invocation = Invocation.of(ctx)
    folder = to or target
    if (folder is None) == (not in_place):
        if folder is None:
            raise UsageError(
                "Say where to: --to DIR, or --in-place.",
                hint="--to takes a new or empty folder and changes nothing else; --in-place puts "
                "everything back where it was.",
            )
        raise UsageError(
            "Give --to or --in-place, not both.",
            hint="Leave --in-place away to restore into the folder of --to.",
        )
    if overwrite is not None and overwrite not in _RULES:
        raise UsageError(
            f"'{overwrite}' is no rule.", hint="Rules are never, if-changed and always."
        )
    name, path = split_point(point)
    wish = RestoreWish(
        target=folder,
        path=path,
        overwrite=None if overwrite is None else _RULES[overwrite],
        delete=delete,
        delete_excluded=delete_excluded,
        include=patterns(include or ()),
        exclude=patterns(exclude or ()),
        sparse=not no_sparse,
        numeric_ids=numeric_ids,
    )
    request = RestoreRequest(invocation.repository, name, wish, source, host, verify)
    if invocation.options.dry_run or wish.may_destroy:
        plan = operation.plan(request, invocation.context)
        if not invocation.confirm("Restore?", show=lambda: _show_plan(invocation, plan)):
            return
    with invocation.listen() as listener:
        done = operation.run(request, invocation.context, listener)
    output, seconds = invocation.output, listener.seconds
    if (include or exclude) and not (done.items or done.findings):
        output.warn(
            "nothing in the restore point fits --include and --exclude, so nothing was restored"
        )
    rate = int(done.bytes_written / seconds) if seconds > 0 else 0
    with output.after(
        "The restore ran to its end",
        hint="What could not be restored, if anything, is named above; look where the output goes.",
    ):
        output.result(
            f"Restored {counted(done.items, 'item')} of {done.point_id[:8]} into"
            f" {printable(done.folder)}."
            + (f" Removed {done.removed:,} that it does not have." if delete else "")
        )
        output.say(
            f"Wrote {format_size(done.bytes_written)} in {show_seconds(seconds)} "
            f"({format_size(rate)}/s)."
        )
        if done.compared is not None:
            output.result(
                f"Compared {counted(done.compared, 'item')} with the restore point: "
                + (f"{done.differences:,} differ." if done.differences else "no difference.")
            )
        output.summary(
            "restore",
            {
                "point": done.point_id,
                "series": done.series,
                "folder": printable(done.folder),
                "items": done.items,
                "bytes_written": done.bytes_written,
                "removed": done.removed,
                "findings": done.findings,
                "damaged": done.damaged,
                "compared": done.compared,
                "differences": done.differences,
                "seconds": round(seconds, 3),
            },
        )
    if done.damaged:
        raise DamageFoundError(
            f"{counted(done.damaged, 'item')} could not be restored: what is stored of them is"
            " damaged or missing.",
            hint=f"{listener.where_named} 'holdfast verify' names the damaged objects and every"
            " restore point that they touch.",
        )
    if done.findings or done.differences:
        inexact = max(done.findings, done.differences)
        raise RestoredPartlyError(
            f"{counted(inexact, 'item')} could not be restored exactly.",
            hint=f"{listener.where_named} {_way_on(done)}",
        )


def _way_on(done: RestoredFiles) -> str:
    """Return what makes everything as it should be."""
    if done.differences:
        # What differs in its bytes alone is never written by a rule that does not read it.
        return (
            "Once the causes are gone, the same restore with --overwrite always replaces them;"
            " --overwrite if-changed goes by size and modification time alone."
        )
    return (
        "Once the causes are gone, such as a full disk, the same restore goes on with --overwrite"
        " if-changed."
    )


def _show_plan(invocation: Invocation, plan: RestorePlan) -> None:
    output = invocation.output
    what = ", ".join(printable(item) for item in plan.below) or "everything"
    if plan.include:
        what += f", only what matches {', '.join(printable(item) for item in plan.include)}"
    if plan.exclude:
        what += f", not what matches {', '.join(printable(item) for item in plan.exclude)}"
    kept = {"never": "kept", "if-changed": "replaced if size or time differ", "always": "replaced"}
    there = f"; files that are there are {kept[plan.overwrite]}" if plan.replaces else ""
    output.result(
        f"Plan: restore {what} of {plan.point_id[:8]} ({printable(plan.series)}) into "
        f"{printable(plan.folder)}{there}."
    )
    if plan.delete:
        output.result(
            f"To be removed, because the restore point does not have it: {plan.removals:,} names"
            + (", folders with all in them:" if plan.removals else ".")
        )
        for name in plan.removed_names:
            output.result(f"  {printable(name)}")
        if plan.removals > len(plan.removed_names):
            output.result(f"  and {plan.removals - len(plan.removed_names):,} more")
        _show_spared(invocation, plan)
    output.event(
        "plan",
        {
            "point": plan.point_id,
            "series": plan.series,
            "folder": printable(plan.folder),
            "below": [printable(item) for item in plan.below],
            "overwrite": plan.overwrite,
            "delete": plan.delete,
            "removals": plan.removals,
            "removed_names": [printable(name) for name in plan.removed_names],
            "spared": plan.spared,
            "spared_names": [printable(name) for name in plan.spared_names],
            "backup_findings": plan.findings,
        },
    )


def _show_spared(invocation: Invocation, plan: RestorePlan) -> None:
    output = invocation.output
    if not plan.says_left_out:
        output.result("The restore point does not say what its backup left out: that goes, too.")
    if plan.findings:
        output.result(
            f"The backup had {counted(plan.findings, 'finding')}: what it could not read is not in "
            "the restore point, and goes, too."
        )
    if not plan.spared:
        return
    output.result(
        f"{counted(plan.spared, 'item')} kept: the backup left them out (--delete-excluded "
        "removes them):"
    )
    for name in plan.spared_names:
        output.result(f"  {printable(name)}")
    if plan.spared > len(plan.spared_names):
        output.result(f"  and {plan.spared - len(plan.spared_names):,} more")
