"""``holdfast forget``, ``prune`` and ``gc``: each shows its plan first."""

from typing import Annotated

import typer

from holdfast.base.sizes import format_size
from holdfast.cli.errors import UsageError
from holdfast.cli.invocation import Invocation
from holdfast.cli.options import ADVANCED, GlobalCommand, family
from holdfast.cli.output import local_zone, printable, show_time
from holdfast.cli.words import HostOption, SourceOption, counted, parse_tags
from holdfast.operations import forget as operation
from holdfast.operations import gc as gc_operation
from holdfast.operations.forget import DropPlan
from holdfast.operations.gc import GcRequest
from holdfast.policy.duration import Duration
from holdfast.policy.retention import KeepRules, parse_count
from holdfast.policy.retention_calendar import ASCII_MARKS, UNICODE_MARKS, render_calendar
from holdfast.vault.gc import GcPlan, GcResult

app = family("Make room.")

Last = Annotated[str | None, typer.Option("--keep-last", metavar="N", help="Keep the N newest.")]
Hourly = Annotated[
    str | None, typer.Option("--keep-hourly", metavar="N", help="... one an hour, of N hours.")
]
Daily = Annotated[
    str | None, typer.Option("--keep-daily", metavar="N", help="... one a day, of N days.")
]
Weekly = Annotated[
    str | None, typer.Option("--keep-weekly", metavar="N", help="... one a week, of N weeks.")
]
Monthly = Annotated[
    str | None, typer.Option("--keep-monthly", metavar="N", help="... one a month, of N months.")
]
Yearly = Annotated[
    str | None, typer.Option("--keep-yearly", metavar="N", help="... one a year, of N years.")
]
Within = Annotated[
    str | None,
    typer.Option("--keep-within", metavar="SPAN", help="Keep all of the last 7d, 2w, 6m, 1y."),
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--keep-tag", metavar="TAG[,TAG]", help="Keep what has these tags; repeatable."),
]
Minimum = Annotated[
    int,
    typer.Option(
        "--minimum-points", metavar="N", help="Never leave a series with fewer.", show_default=True
    ),
]


@app.command("forget", cls=GlobalCommand)
def forget(
    ctx: typer.Context,
    *,
    points: Annotated[
        list[str] | None,
        typer.Argument(metavar="POINT...", help="Ids, beginnings of ids, or 'latest'."),
    ] = None,
    source: SourceOption = None,
    host: HostOption = None,
    keep_last: Annotated[str | None, typer.Option("--keep-last", hidden=True)] = None,
    keep_hourly: Annotated[str | None, typer.Option("--keep-hourly", hidden=True)] = None,
    keep_daily: Annotated[str | None, typer.Option("--keep-daily", hidden=True)] = None,
    keep_weekly: Annotated[str | None, typer.Option("--keep-weekly", hidden=True)] = None,
    keep_monthly: Annotated[str | None, typer.Option("--keep-monthly", hidden=True)] = None,
    keep_yearly: Annotated[str | None, typer.Option("--keep-yearly", hidden=True)] = None,
    keep_within: Annotated[str | None, typer.Option("--keep-within", hidden=True)] = None,
    keep_tag: Annotated[list[str] | None, typer.Option("--keep-tag", hidden=True)] = None,
) -> None:
    """Drop restore points by name. Their space is freed by 'gc'.

    One that is missing, as 'points' says, may be named, too: then its loss is accepted.
    """
    invocation = Invocation.of(ctx)
    rules = _rules(
        keep_last,
        keep_hourly,
        keep_daily,
        keep_weekly,
        keep_monthly,
        keep_yearly,
        keep_within,
        keep_tag,
    )
    if rules:
        if points:
            raise UsageError(
                "Name restore points, or give keep rules, not both.",
                hint="'holdfast forget POINT' drops what is named, 'holdfast prune --keep-daily 7' "
                "what no rule keeps.",
            )
        _prune(invocation, rules, 1, source, host)
        return
    if not points:
        raise UsageError(
            "No restore point was named.",
            hint="Name them as 'holdfast points' does; to drop by age, use 'holdfast prune'.",
        )
    plan = operation.plan_named(
        invocation.repository, points, invocation.context, source=source, host=host
    )
    _drop(invocation, "forget", plan)


@app.command("prune", cls=GlobalCommand)
def prune(
    ctx: typer.Context,
    *,
    keep_last: Last = None,
    keep_hourly: Hourly = None,
    keep_daily: Daily = None,
    keep_weekly: Weekly = None,
    keep_monthly: Monthly = None,
    keep_yearly: Yearly = None,
    keep_within: Within = None,
    keep_tag: Tags = None,
    minimum_points: Minimum = 1,
    source: SourceOption = None,
    host: HostOption = None,
) -> None:
    """Drop restore points that no keep rule keeps, series by series.

    Shows the plan as a calendar first. Space is freed by 'gc' afterwards.
    """
    invocation = Invocation.of(ctx)
    rules = _rules(
        keep_last,
        keep_hourly,
        keep_daily,
        keep_weekly,
        keep_monthly,
        keep_yearly,
        keep_within,
        keep_tag,
    )
    _prune(invocation, rules, minimum_points, source, host)


@app.command("gc", cls=GlobalCommand)
def gc(
    ctx: typer.Context,
    *,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait",
            help="Wait some minutes to learn which backups of other machines were cut off.",
            hidden=True,
            rich_help_panel=ADVANCED,
        ),
    ] = False,
) -> None:
    """Free the space that no restore point needs. Safe while backups run."""
    invocation = Invocation.of(ctx)
    request = GcRequest(invocation.repository, wait)
    plan = gc_operation.plan(request, invocation.context)
    if plan.is_empty and not (wait and plan.spared_sessions):
        swept = 0 if invocation.options.dry_run else gc_operation.sweep(request, invocation.context)
        invocation.output.result(f"Nothing to free.{_spared(plan)}")
        invocation.output.summary("gc", {"packs": 0, "pack_bytes": 0, "temporary_files": swept})
        return
    if not invocation.confirm("Free it?", show=lambda: _show_gc_plan(invocation, plan, wait=wait)):
        return
    with invocation.listen() as listener:
        done = gc_operation.run(request, invocation.context, listener)
    invocation.output.result(
        f"Freed {format_size(done.pack_bytes)} in {done.packs} packs.{_spared(done)}"
    )
    invocation.output.summary(
        "gc",
        {
            "packs": done.packs,
            "pack_bytes": done.pack_bytes,
            "points": done.points,
            "refs": done.refs,
            "sessions": done.sessions,
            "packlists": done.packlists,
            "leases": done.leases,
            "tombstones": done.tombstones,
            "index_written": done.index_written,
            "index_deleted": done.index_deleted,
            "keys": done.keys,
            "temporary_files": done.temporary_files,
            "spared_packs": done.spared_packs,
            "spared_bytes": done.spared_bytes,
            "waited_seconds": round(done.waited_seconds, 3),
            "seconds": round(listener.seconds, 3),
        },
    )


def _prune(
    invocation: Invocation,
    rules: KeepRules,
    minimum_points: int,
    source: str | None,
    host: str | None,
) -> None:
    plan = operation.plan_prune(
        invocation.repository,
        rules,
        invocation.context,
        zone=local_zone(),
        minimum_points=minimum_points,
        source=source,
        host=host,
    )
    _drop(invocation, "prune", plan)


def _drop(invocation: Invocation, command: str, plan: DropPlan) -> None:
    output = invocation.output
    if not plan.dropped and not plan.lost:
        _show_drop(invocation, plan)
        output.result(f"Nothing to drop; {_staying(plan)}.")
        output.summary(command, {"dropped": [], "staying": plan.staying})
        return
    question = f"Drop {counted(len(plan.dropped) + len(plan.lost), 'restore point')}?"
    if not invocation.confirm(question, show=lambda: _show_drop(invocation, plan)):
        return
    with invocation.listen() as listener:
        done = operation.apply(plan, invocation.context, listener)
    output.result(f"Dropped {counted(len(done.points), 'restore point')}; {_staying(plan)}.")
    output.say("'holdfast gc' frees their space.")
    output.summary(command, {"dropped": list(done.points), "staying": plan.staying})


def _staying(plan: DropPlan) -> str:
    return f"{plan.staying:,} {'stays' if plan.staying == 1 else 'stay'}"


def _show_drop(invocation: Invocation, plan: DropPlan) -> None:
    output = invocation.output
    if plan.retention is not None:
        can_draw = "utf" in ((output.out and output.out.encoding) or "").lower()
        marks = UNICODE_MARKS if can_draw else ASCII_MARKS
        output.say(render_calendar(plan.retention, marks=marks, show=printable))
        for note in plan.retention.notes:
            output.say(note)
        if output.verbosity:
            for decision in plan.retention.decisions:
                candidate = decision.candidate
                output.say(
                    f"{candidate.point_id.hex()[:8]}  {show_time(candidate.taken_at)}  "
                    + (", ".join(decision.reasons) or "goes")
                )
    if plan.dropped or plan.lost:
        count = counted(len(plan.dropped) + len(plan.lost), "restore point")
        output.result(f"Plan: drop {count}, {_staying(plan)}.")
    for point in plan.dropped:
        output.result(f"  {point.id[:8]}  {show_time(point.time)}  {printable(point.series)}")
    for point_id in plan.lost:
        output.result(f"  {point_id[:8]}  is missing: it counts as dropped, even if it comes back")
    for series in plan.emptied:
        output.warn(f"no restore point of {printable(series)} would be left")
    output.event(
        "plan",
        {
            "dropped": [point.id for point in plan.dropped],
            "lost": list(plan.lost),
            "staying": plan.staying,
            "emptied": list(plan.emptied),
        },
    )


def _show_gc_plan(invocation: Invocation, plan: GcPlan, *, wait: bool) -> None:
    parts = {
        "restore points half dropped": plan.points,
        "lists of needs without a restore point": plan.refs,
        "sessions": plan.sessions,
        "traces of restores and of sessions that are over": plan.strays,
        "tombstones": plan.tombstones,
        "index objects": plan.index_objects,
        "traces of changes of keys that were cut off": plan.keys,
    }
    rest = "".join(f"\n  {count} {name}" for name, count in parts.items() if count)
    spared = _spared(plan)
    if wait and spared:
        sessions = counted(len(plan.spared_sessions), "session")
        spared = f" {sessions} may still run: some minutes will tell which were cut off."
    invocation.output.result(
        f"Plan: free about {format_size(plan.pack_bytes)} in {plan.packs} packs.{rest}"
        + (f"\n{spared.lstrip()}" if rest else spared)
    )
    invocation.output.event(
        "plan",
        {
            "packs": plan.packs,
            "pack_bytes": plan.pack_bytes,
            "points": plan.points,
            "refs": plan.refs,
            "sessions": plan.sessions,
            "strays": plan.strays,
            "tombstones": plan.tombstones,
            "index_objects": plan.index_objects,
            "keys": plan.keys,
            "spared_packs": plan.spared_packs,
            "spared_bytes": plan.spared_bytes,
        },
    )


def _spared(found: GcPlan | GcResult) -> str:
    if not found.spared_sessions:
        return ""
    if not found.spared_packs:
        sessions = counted(len(found.spared_sessions), "session")
        return (
            f" {sessions} of backups, restores or gcs may still run, and what they began is spared;"
            " 'gc --wait' tells which were cut off."
        )
    return (
        f" {format_size(found.spared_bytes)} more are spared, because backups that may use them "
        "seem to run."
    )


def _rules(
    last: str | None,
    hourly: str | None,
    daily: str | None,
    weekly: str | None,
    monthly: str | None,
    yearly: str | None,
    within: str | None,
    tags: list[str] | None,
) -> KeepRules:
    def count(text: str | None) -> int:
        return 0 if text is None else parse_count(text)

    return KeepRules(
        last=count(last),
        hourly=count(hourly),
        daily=count(daily),
        weekly=count(weekly),
        monthly=count(monthly),
        yearly=count(yearly),
        within=None if within is None else Duration.parse(within),
        tags=frozenset(frozenset(parse_tags([item])) for item in tags or ()),
    )
