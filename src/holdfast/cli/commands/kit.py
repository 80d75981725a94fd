"""``holdfast recovery-kit``: as text, and as a page with a QR code."""

from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer

from holdfast.cli.invocation import Invocation
from holdfast.cli.kit_page import html_page
from holdfast.cli.options import GlobalCommand, family
from holdfast.cli.output import printable, show_time
from holdfast.operations import kit
from holdfast.operations.kit import KitPage

app = family("Recovery kits.")


class _Words(NamedTuple):
    asked: str
    finder: str
    objects: str


_SEALED: Final = _Words(
    """\
Both ask for the password; for a key file, write --key-file FILE
     after the name of the program.""",
    """\
Whoever finds this page still needs a password or key file. Without any of
them nobody can open the repository, and that includes its makers.""",
    "Copies of the objects without which no password opens anything.",
)
_OPEN: Final = _Words(
    "Neither asks for a password.",
    """\
There is no password: whoever has the folder can read everything in it, and
change it.""",
    "Copies of the objects without which nothing can be read.",
)


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
    files = [path for path in (html, text) if path is not None]
    for path in files:
        kit.check(path, invocation.repository)
    page = kit.run(invocation.repository, invocation.context)
    output = invocation.output
    if files and invocation.options.dry_run:
        names = [str(path) for path in files]
        invocation.would(
            "recovery-kit",
            f"Would write {' and '.join(printable(name) for name in names)}.",
            {"repository": page.address, "vault": page.vault_id, "files": names},
        )
        return
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
                {"id": way.slot_hash.hex(), "kind": way.kind, "hint": way.plain_hint}
                for way in page.ways_in
            ],
            "objects": {name: data.hex() for name, data in page.kit.objects},
        },
    )


def kit_text(page: KitPage, *, with_objects: bool) -> str:
    """Return the kit as text of at most 78 columns."""
    words = _SEALED if page.is_encrypted else _OPEN
    text = f"""\
---------------------------- HOLDFAST RECOVERY KIT ----------------------------
repository    {printable(page.address)}
              on machine {printable(page.host)}
vault         {page.vault_id[:32]}
              {page.vault_id[32:]}
              {_suite(page)}, format {page.kit.format}, key statement {page.kit.statement.number}
opened by     {_openers(page)}
made          {show_time(page.made_at)} by {page.program}

To restore on another machine:
  1  Bring the repository there, or reach it there. It is a folder of files.
  2  Install Holdfast: 'make install' in its source code. Or take the single
     file tools/holdfast-extract from there, written from the format alone
     (docs/spec/vault-format.md); keep a copy of it. It needs Python 3.11 or
     later and three packages (from Python 3.14 on without backports.zstd):
       python3 -m venv v
       v/bin/pip install cryptography blake3 backports.zstd
     In a clone after 'make environment', .venv/bin/python has them.
  3  See what is there:
       holdfast points -r FOLDER
       v/bin/python holdfast-extract FOLDER list
  4  Restore it; the id of a restore point can stand for latest:
       holdfast restore -r FOLDER latest --to NEW-FOLDER
       v/bin/python holdfast-extract FOLDER restore latest NEW-FOLDER
     {words.asked}
     What FOLDER/vaults holds must have the vault's id above as its name.

{words.finder}
--------------------------------------------------------------------------------"""
    if with_objects:
        text += f"""

{words.objects} To put one
back, decode its lines (base64) into a file of that name in the repository.

{page.key_objects}"""
    return text + "\n"


def _suite(page: KitPage) -> str:
    return page.kit.suite if page.is_encrypted else "not encrypted"


def _openers(page: KitPage) -> str:
    if not page.is_encrypted:
        return "anybody: not encrypted, whoever has the folder can read it"
    ways = (
        f"\n              {way.kind} {way.slot_hash.hex()[:8]}"
        + (f", hint {printable(way.hint)}" if way.plain_hint else "")
        for way in page.ways_in
    )
    return "any one of" + "".join(ways)
