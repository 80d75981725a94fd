"""``holdfast doctor`` and ``holdfast probe``."""

from typing import Annotated

import typer

from holdfast.base.sizes import format_size
from holdfast.cli.errors import UsageError
from holdfast.cli.invocation import Invocation
from holdfast.cli.options import GlobalCommand, family
from holdfast.cli.output import printable, table
from holdfast.operations import doctor as doctor_operation
from holdfast.operations import probe as probe_operation
from holdfast.operations.errors import SelfTestError, UnusableStorageError
from holdfast.storage.probe import ProbeReport

app = family("This program and its storage.")


@app.command("doctor", cls=GlobalCommand)
def doctor(
    ctx: typer.Context,
    *,
    forget_address: Annotated[
        str | None,
        typer.Option(
            "--forget-address",
            metavar="URL",
            help="Forget which repository this machine has seen at URL.",
        ),
    ] = None,
) -> None:
    """Say what runs here, what it keeps on this machine, whom it talks to, and whether it works.

    With --forget-address, as 'ssh-keygen -R' does: when another repository is there on purpose,
    or the same one with other keys, this machine lets go of the one that it knows (errors H404,
    H606 and H607). Nothing else is touched.
    """
    invocation = Invocation.of(ctx)
    if invocation.options.repo is not None:
        raise UsageError(
            "'doctor' looks at this machine and at no repository, so it takes no -r.",
            hint="'holdfast check' looks at a repository, 'holdfast probe' at its storage.",
        )
    if forget_address is not None:
        _forget(invocation, forget_address)
        return
    found = doctor_operation.run(invocation.context)
    libraries = ", ".join(f"{name} {version}" for name, version in found.libraries)
    places = table(
        ("kept here", "size", "where"),
        [
            (place.purpose, format_size(place.size_bytes), printable(str(place.path)))
            for place in found.places
        ],
        right=(1,),
    )
    tests = "\n".join(
        f"  {'ok' if test.problem is None else 'FAILS'}  {test.name}"
        + (f": {test.problem}" if test.problem else "")
        for test in found.tests
    )
    listens = ", ".join(found.listeners) or "nothing"
    outbound = ", ".join(f"{a} ({s})" for a, s in found.outbound)
    invocation.output.result(
        f"holdfast {found.version}, vault format {found.format}, engine {found.engine}\n"
        f"Python {found.python}, {found.system}, {found.processors} processors\n"
        f"{libraries}\n\n{places}\n\n"
        f"listens: {listens}\n"
        f"outbound addresses: {outbound or 'none (they would come from -r, HOLDFAST_REPOSITORY)'}"
        f"\n\nself-tests:\n{tests}"
    )
    invocation.output.document(
        "doctor",
        {
            "version": found.version,
            "python": found.python,
            "system": found.system,
            "engine": found.engine,
            "libraries": dict(found.libraries),
            "places": [
                {"purpose": p.purpose, "path": str(p.path), "bytes": p.size_bytes}
                for p in found.places
            ],
            "listeners": list(found.listeners),
            "outbound": [{"address": a, "setting": s} for a, s in found.outbound],
            "tests": [{"name": t.name, "problem": t.problem} for t in found.tests],
            "healthy": found.is_healthy,
        },
    )
    if not found.is_healthy:
        names = ", ".join(test.name for test in found.tests if test.problem)
        raise SelfTestError(f"This does not work here: {names}.")


def _forget(invocation: Invocation, address: str) -> None:
    is_dry = invocation.options.dry_run
    gone = doctor_operation.forget_address(address, invocation.context, dry_run=is_dry)
    vaults = ", ".join(vault[:12] for vault in gone.vaults)
    invocation.output.result(
        f"{'This machine would forget' if is_dry else 'This machine has forgotten'} that vault "
        f"{vaults} is at {printable(gone.address)}, and how far its key statements go. The next "
        "command takes what is there: compare its vault id with your recovery kit."
    )
    invocation.output.document(
        "doctor", {"dry_run": is_dry, "address": gone.address, "vaults": list(gone.vaults)}
    )


@app.command("probe", cls=GlobalCommand)
def probe(
    ctx: typer.Context,
    *,
    repository: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="The storage, instead of -r.")
    ] = None,
) -> None:
    """Try whether a storage gives what a repository needs. Puts about 8 MiB and removes them."""
    invocation = Invocation.of(ctx)
    address = invocation.repository if repository is None else repository
    if invocation.options.dry_run:
        shown = probe_operation.check(address, invocation.context)
        invocation.would(
            "probe",
            f"Would put about 8 MiB into {printable(shown)} and remove them again.",
            {"repository": shown},
        )
        return
    report = probe_operation.run(address, invocation.context)
    _show(invocation, report)
    if not report.is_usable:
        raise UnusableStorageError(
            f"The storage at {report.address} does not give what a repository needs.",
            hint="docs/design/storage-requirements.md says what that is, and why.",
        )


def _show(invocation: Invocation, report: ProbeReport) -> None:
    promises = {
        "objects are never overwritten": report.is_write_once,
        "a retry is a success": report.is_retry_safe,
        "what was written can be read": report.reads_what_was_written,
        "parts of objects can be read": report.reads_ranges,
        "deleted objects are gone": report.is_deleted_at_once,
        "listings show what was put": report.put_listing_delay_seconds is not None,
        "listings do not show what was deleted": report.delete_listing_delay_seconds is not None,
        "writes survive a power cut": report.capabilities.durable_put,
    }
    lines = [f"  {'yes' if holds else 'NO '}  {name}" for name, holds in promises.items()]
    free = "unknown" if report.free_bytes is None else format_size(report.free_bytes)
    invocation.output.result(
        f"{printable(report.address)}\n"
        + "\n".join(lines)
        + f"\n  4 KiB objects: put in {report.small_put_seconds * 1000:.1f} ms, read in "
        f"{report.small_get_seconds * 1000:.1f} ms\n"
        f"  8 MiB object: put at {format_size(int(report.large_put_bytes_per_second))}/s, read at "
        f"{format_size(int(report.large_get_bytes_per_second))}/s\n"
        f"  free: {free}"
    )
    invocation.output.document(
        "probe",
        {
            "repository": report.address,
            "usable": report.is_usable,
            "promises": promises,
            "small_put_seconds": report.small_put_seconds,
            "small_get_seconds": report.small_get_seconds,
            "large_put_bytes_per_second": report.large_put_bytes_per_second,
            "large_get_bytes_per_second": report.large_get_bytes_per_second,
            "free_bytes": report.free_bytes,
        },
    )
