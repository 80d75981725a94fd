"""``holdfast init``."""

from pathlib import Path
from typing import Annotated

import typer

from holdfast.cli.commands.kit import kit_text
from holdfast.cli.invocation import Invocation
from holdfast.cli.options import ADVANCED, GlobalCommand, family
from holdfast.cli.output import printable
from holdfast.operations import kit as kit_operation
from holdfast.operations.ciphers import EncryptionWish
from holdfast.operations.errors import KitError
from holdfast.operations.init import Initialised, InitRequest, check, run

app = family("Make repositories.")


@app.command("init", cls=GlobalCommand)
def init(
    ctx: typer.Context,
    *,
    repository: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="The new repository, instead of -r.")
    ] = None,
    hint: Annotated[
        str, typer.Option("--hint", help="A reminder of the password; everybody can read it.")
    ] = "",
    cipher: Annotated[
        str, typer.Option("--cipher", metavar="gcm|cbc|none", help="AES in GCM or in CBC.")
    ] = "gcm",
    key_bits: Annotated[
        int | None, typer.Option("--key-bits", metavar="128|192|256", help="The key length.")
    ] = None,
    level: Annotated[
        str | None,
        typer.Option("--level", metavar="low|normal|high", help="128, 192 or 256 bits."),
    ] = None,
    compression: Annotated[
        str, typer.Option("--compression", metavar="zstd:N|none", help="How to compress.")
    ] = "zstd:3",
    kit: Annotated[
        Path | None,
        typer.Option("--kit", metavar="FILE", help="Also write the recovery kit to FILE."),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            metavar="default",
            help="Which algorithms may be used.",
            hidden=True,
            rich_help_panel=ADVANCED,
        ),
    ] = "default",
) -> None:
    """Make a new, encrypted repository, and this machine's key that writes into it.

    Asks for a password twice, or takes it from --password-file, --password-command or the
    environment; with --key-file a key file opens the repository too. From then on, backups on this
    machine need no password: its own key can add restore points and read none of them.
    Prints the recovery kit: keep it where neither this machine nor the repository is.
    """
    if profile != "default":
        raise typer.BadParameter("the only profile of this release is 'default'")
    invocation = Invocation.of(ctx)
    address = invocation.repository if repository is None else repository
    wish = EncryptionWish(cipher, key_bits, level, compression)
    wish.vault_object()
    request = InitRequest(address, wish, hint)
    check(request, invocation.context)
    if kit is not None:
        kit_operation.check(kit, address)
    if invocation.options.dry_run:
        suite = wish.suite().name
        invocation.would(
            "init",
            f"A repository would be made at {printable(address)} ({suite}).",
            {"repository": address, "encryption": suite},
        )
        return
    made = run(request, invocation.context)
    problem = None if kit is None else _problem_of(kit, made)
    with invocation.output.after(
        "The repository is made", hint="'holdfast recovery-kit' prints its recovery kit again."
    ):
        _show(invocation, made, kit if problem is None else None)
    if problem is not None:
        raise problem


def _problem_of(kit: Path, made: Initialised) -> KitError | None:
    """Write the kit of what was *made*; return what is in the way of that, if anything is."""
    try:
        kit_operation.write(kit, kit_text(made.kit, with_objects=True))
    except KitError as error:
        return KitError(
            f"The repository is made, but its recovery kit is in no file: {error.message}",
            hint=f"'holdfast recovery-kit -r {printable(made.address)} -o FILE' writes the kit.",
        )
    return None


def _show(invocation: Invocation, made: Initialised, kit: Path | None) -> None:
    output = invocation.output
    output.document(
        "init",
        {
            "repository": made.address,
            "vault": made.vault_id.hex(),
            "encryption": made.suite,
            "writer_key": str(made.writer_key),
            "recovery_kit": None if kit is None else str(kit),
        },
    )
    encryption = f"encrypted with {made.suite}" if made.kit.is_encrypted else "not encrypted"
    output.result(f"Made the repository {printable(made.address)}, {encryption}.")
    output.say(f"This machine's key, which only writes: {made.writer_key}")
    if kit is not None:
        output.say(f"The recovery kit is in {kit}: move it away from this machine.")
    output.say("\n" + kit_text(made.kit, with_objects=False))
    output.say(f"Next:  holdfast backup -r {printable(made.address)} FOLDER")
