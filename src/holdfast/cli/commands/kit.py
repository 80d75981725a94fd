"""``holdfast recovery-kit``: as text, and as a page with a QR code."""

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.invocation import Invocation
from holdfast.cli.kit_page import html_page
from holdfast.cli.options import GlobalCommand, family
from holdfast.cli.output import printable, show_time
from holdfast.operations import kit
from holdfast.operations.kit import KitPage

app = family("Recovery kits.")


@app.command("recovery-kit", cls=GlobalCommand)
def recovery_kit(
    ctx: typer.Context,
    *,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page to print, with a QR code."),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write text, with copies of all key objects."
        ),
    ] = None,
) -> None:
    """Print the page for the drawer: where the repository is, how to open it from anywhere.

    It holds no password and no key. Make it again after every change of the ways in.
    """
    invocation = Invocation.of(ctx)
    page = kit.run(invocation.repository, invocation.context)
    output = invocation.output
    if html is not None:
        kit.write(html, html_page(page, kit_text(page, with_objects=False)))
        output.say(f"Wrote {printable(str(html))}: open it in a browser and print it.")
    if text is not None:
        kit.write(text, kit_text(page, with_objects=True))
        output.say(f"Wrote {printable(str(text))}.")
    if html is None and text is None:
        output.result(kit_text(page, with_objects=False))
    output.document(
        "recovery-kit",
        {
            "repository": page.address,
            "vault": page.vault_id,
            "made": page.made_at.isoformat(),
            "ways_in": [
                {"id": way.slot_hash.hex(), "kind": way.kind, "hint": way.hint.strip('"')}
                for way in page.ways_in
            ],
            "objects": {name: data.hex() for name, data in page.kit.objects},
        },
    )


def kit_text(page: KitPage, *, with_objects: bool) -> str:
    """Return the kit as text of at most 78 columns."""
    ways = "\n".join(
        f"              {way.kind} {way.slot_hash.hex()[:8]}"
        + (f", hint {printable(way.hint)}" if way.hint.strip('"') else "")
        for way in page.ways_in
    )
    text = f"""\
---------------------------- HOLDFAST RECOVERY KIT ----------------------------
repository    {printable(page.address)}
              on machine {printable(page.host)}
vault         {page.vault_id[:32]}
              {page.vault_id[32:]}
              {page.kit.suite}, format {page.kit.format}, key statement {page.kit.statement.number}
opened by     any one of
{ways}
made          {show_time(page.made_at)} by {page.program}

To restore on another machine:
  1  Bring the repository there, or reach it there. It is a folder of files.
  2  Install Holdfast, or take the single file holdfast-extract, which needs
     nothing but Python and the vault's format: docs/spec/vault-format.md.
  3  holdfast points  -r FOLDER
  4  holdfast restore -r FOLDER latest --to NEW-FOLDER
     It asks for the password. The vault's id must be the one above.

Whoever finds this page still needs a password or key file. Without any of
them nobody can open the repository, and that includes its makers.
--------------------------------------------------------------------------------"""
    if with_objects:
        text += f"""

Copies of the objects without which no password opens anything. To put one
back, decode its lines (base64) into a file of that name in the repository.

{page.key_objects}"""
    return text + "\n"
