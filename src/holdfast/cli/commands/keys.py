"""``holdfast key``: list, add, change-password, remove, verify."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from holdfast.base.clock import moment
from holdfast.cli.invocation import Invocation
from holdfast.cli.options import GlobalCommand, GlobalGroup, family
from holdfast.cli.output import JsonValue, show_time, table
from holdfast.cli.secret_sources import SecretOptions
from holdfast.cli.words import counted
from holdfast.keys.ways import WayInListing
from holdfast.operations import keys
from holdfast.operations.keys import KeyChanged, RemovalPlan

app = family("Ways in.")
key = family("Ways in: passwords and key files. Whoever has one of them opens everything.")
app.add_typer(key, name="key", cls=GlobalGroup)

NewPasswordFile = Annotated[
    Path | None,
    typer.Option("--new-password-file", metavar="FILE", help="Take the new password from FILE."),
]
NewPasswordCommand = Annotated[
    str | None,
    typer.Option("--new-password-command", metavar="CMD", help="... from what CMD prints."),
]
NewKeyFile = Annotated[
    Path | None,
    typer.Option("--new-key-file", metavar="FILE", help="The new way in is this key file."),
]
Hint = Annotated[
    str | None,
    typer.Option("--hint", help="A reminder that everybody can read."),
]


@key.command("list", cls=GlobalCommand)
def list_(ctx: typer.Context) -> None:
    """List the ways in. Needs no password."""
    invocation = Invocation.of(ctx)
    found = keys.list_keys(invocation.repository, invocation.context)
    invocation.output.result(_table(found.ways_in))
    invocation.output.say(
        f"{found.suite}, epoch {found.epoch}, key statement {found.statement}"
        if invocation.output.verbosity
        else f"Any one of them opens everything, {found.suite}."
    )
    invocation.output.document(
        "key list",
        {
            "vault": found.vault_id.hex(),
            "encryption": found.suite,
            "epoch": found.epoch,
            "statement": found.statement,
            "ways_in": _fields(found.ways_in),
        },
    )


@key.command("add", cls=GlobalCommand)
def add(
    ctx: typer.Context,
    *,
    new_password_file: NewPasswordFile = None,
    new_password_command: NewPasswordCommand = None,
    new_key_file: NewKeyFile = None,
    hint: Hint = None,
) -> None:
    """Add a password or a key file. It opens everything that is there, too."""
    invocation = Invocation.of(
        ctx, new_secret=SecretOptions(new_password_file, new_password_command, new_key_file)
    )
    is_dry = invocation.options.dry_run
    made = keys.add(invocation.repository, hint or "", invocation.context, dry_run=is_dry)
    if is_dry:
        _would(invocation, "key add", made, f"Would add {_new_kind(invocation)}.")
        return
    _changed(invocation, "key add", made, f"Added {made.added}.")


@key.command("change-password", cls=GlobalCommand)
def change_password(
    ctx: typer.Context,
    *,
    new_password_file: NewPasswordFile = None,
    new_password_command: NewPasswordCommand = None,
    new_key_file: NewKeyFile = None,
    hint: Hint = None,
    rotate: Annotated[
        bool,
        typer.Option(
            "--rotate", help="Also begin new keys: the old password opens nothing stored later."
        ),
    ] = False,
) -> None:
    """Replace the password that is given by a new one.

    Somebody who knows the old password and has kept a copy of the repository's keys still opens
    with it, unless --rotate begins new ones; and what is stored already stays open to him.
    """
    invocation = Invocation.of(
        ctx, new_secret=SecretOptions(new_password_file, new_password_command, new_key_file)
    )
    is_dry = invocation.options.dry_run
    made = keys.change(
        invocation.repository, hint, invocation.context, rotate=rotate, dry_run=is_dry
    )
    if is_dry:
        text = f"Would replace {made.removed} by {_new_kind(invocation)}" + (
            f", and begin new keys (epoch {made.epoch})." if rotate else "."
        )
        _would(invocation, "key change-password", made, text)
        return
    text = f"Replaced {made.removed} by {made.added}."
    _changed(invocation, "key change-password", made, text)


@key.command("remove", cls=GlobalCommand)
def remove(
    ctx: typer.Context,
    *,
    id_: Annotated[str, typer.Argument(metavar="ID", help="The id that 'key list' shows.")],
) -> None:
    """Remove a way in. New keys begin for everybody else, who need not do anything."""
    invocation = Invocation.of(ctx)
    plan = keys.plan_removal(invocation.repository, id_, invocation.context)
    if not invocation.confirm("Remove it?", show=lambda: _show_plan(invocation, plan)):
        return
    made = keys.remove(invocation.repository, plan, invocation.context)
    _changed(invocation, "key remove", made, f"Removed {made.removed}; new keys are in use.")


@key.command("verify", cls=GlobalCommand)
def verify(ctx: typer.Context) -> None:
    """Try whether a password or key file opens the repository."""
    invocation = Invocation.of(ctx)
    found = keys.verify(invocation.repository, invocation.context)
    invocation.output.result(f"It opens: {found.kind} {found.slot}.")
    invocation.output.document(
        "key verify", {"opens": True, "id": found.slot, "kind": found.kind, "epoch": found.epoch}
    )


def _show_plan(invocation: Invocation, plan: RemovalPlan) -> None:
    output = invocation.output
    removed = plan.removed
    hint = f", hint {removed.hint}" if removed.plain_hint else ""
    writers = ", ".join(w.name or w.writer_id[:8] for w in plan.writers) or "none"
    output.result(
        f"Plan: remove {removed.kind} {keys.short(removed.slot_hash)}{hint}\n"
        f"  stays:    {_words(plan.staying)}\n"
        f"  writers that go on: {writers}\n"
        f"  new keys (epoch {plan.epoch}) for everything stored from now on\n"
        f"  The {counted(plan.points, 'restore point')} of today can still be read by whoever is "
        "removed and has kept a copy,\n  for as long as such a copy exists: removing takes back "
        "nothing that could be read before."
    )
    output.event(
        "plan",
        {
            "command": "key remove",
            "removed": _fields([removed])[0],
            "staying": _fields(plan.staying),
            "writers": [writer.writer_id for writer in plan.writers],
            "epoch": plan.epoch,
            "points": plan.points,
        },
    )


def _new_kind(invocation: Invocation) -> str:
    return "a password" if invocation.new_secret.key_file is None else "a key file"


def _would(invocation: Invocation, command: str, made: KeyChanged, text: str) -> None:
    for problem in made.problems:
        invocation.output.warn(problem)
    fields = {"removed": made.removed, "epoch": made.epoch, "ways_in": _fields(made.ways_in)}
    invocation.would(command, text, fields)


def _changed(invocation: Invocation, command: str, made: KeyChanged, text: str) -> None:
    output = invocation.output
    output.result(text)
    for problem in made.problems:
        output.warn(problem)
    output.say(_table(made.ways_in))
    output.say("Make a new recovery kit: holdfast recovery-kit")
    output.summary(
        command,
        {
            "added": made.added,
            "removed": made.removed,
            "epoch": made.epoch,
            "ways_in": _fields(made.ways_in),
        },
    )


def _table(ways: Sequence[WayInListing]) -> str:
    rows = [
        (
            keys.short(way.slot_hash),
            way.kind,
            "?" if way.time is None else show_time(moment(way.time)),
            way.problem.message if way.problem is not None else way.plain_hint,
        )
        for way in ways
    ]
    return table(("id", "kind", "since", "hint"), rows)


def _words(ways: Sequence[WayInListing]) -> str:
    return ", ".join(f"{way.kind} {keys.short(way.slot_hash)}" for way in ways)


def _fields(ways: Sequence[WayInListing]) -> list[dict[str, JsonValue]]:
    return [
        {
            "id": way.slot_hash.hex(),
            "kind": way.kind,
            "hint": way.plain_hint,
            "time": way.time,
            "problem": None if way.problem is None else way.problem.message,
        }
        for way in ways
    ]
