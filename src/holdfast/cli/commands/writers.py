"""``holdfast writer``: list, add."""

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.invocation import Invocation
from holdfast.cli.options import GlobalCommand, GlobalGroup, family
from holdfast.cli.output import printable, show_time, table
from holdfast.cli.words import plain_text
from holdfast.operations import writers

app = family("Writers.")
writer = family("Machines that may write: they add restore points and can read none of them.")
app.add_typer(writer, name="writer", cls=GlobalGroup)


@writer.command("list", cls=GlobalCommand)
def list_(ctx: typer.Context) -> None:
    """List the machines that may write; their names are shown with a password."""
    invocation = Invocation.of(ctx)
    found = writers.run_list(invocation.repository, invocation.context)
    rows = [
        (
            item.writer_id[:8],
            printable(item.name) if item.name is not None else "(needs a password)",
            show_time(item.since) if item.problem is None else "",
            item.problem
            or ", ".join(
                word
                for word, applies in (
                    ("this machine", item.is_here),
                    ("may not write any more", not item.is_current),
                )
                if applies
            ),
        )
        for item in found
    ]
    invocation.output.result(table(("id", "name", "since", ""), rows))
    invocation.output.document(
        "writer list",
        {
            "writers": [
                {
                    "id": item.writer_id,
                    "name": item.name,
                    "since": item.since.isoformat(),
                    "epoch": item.epoch,
                    "current": item.is_current,
                    "this_machine": item.is_here,
                    "problem": item.problem,
                }
                for item in found
            ]
        },
    )


@writer.command("add", cls=GlobalCommand)
def add(
    ctx: typer.Context,
    *,
    name: Annotated[
        str | None, typer.Option("--name", help="How it is called; this machine's name if absent.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Put the key into FILE, for another machine."
        ),
    ] = None,
) -> None:
    """Let a machine write: this one, or one that gets the key file.

    The key file belongs into ~/.config/holdfast/writers/ of that machine, under the name printed.
    """
    invocation = Invocation.of(ctx)
    context = invocation.context
    called = plain_text(context.host if name is None else name, "name")
    if invocation.options.dry_run:
        path = writers.plan_add(invocation.repository, called, file, context)
        invocation.would(
            "writer add",
            f"Would add writer {printable(called)}, with its key in {printable(str(path))}.",
            {"name": called, "key_file": str(path)},
        )
        return
    made = writers.run_add(invocation.repository, called, file, context)
    output = invocation.output
    output.result(f"Added writer {made.writer_id[:8]} ({printable(made.name)}).")
    output.say(f"Its key: {made.key_file}")
    if file is not None:
        output.say(f"On that machine: ~/.config/holdfast/writers/{made.vault_id}.key")
    output.document(
        "writer add",
        {"id": made.writer_id, "name": made.name, "key_file": str(made.key_file)},
    )
