"""The light table of all commands: what help shows, and where each command's code lies.

Reading it imports nothing, so that ``holdfast --help`` is quick; a command's module is imported
when the command is run.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One command, or a group of commands such as ``key``.

    Attributes:
        name: what people type.
        section: the heading in help.
        summary: one line of help.
        module: below ``holdfast.cli.commands``.
        attribute: the name of the command in that module.
        is_hidden: an alias, for habits from other programs.
    """

    name: str
    section: str
    summary: str
    module: str
    attribute: str
    is_hidden: bool = False


def _family(section: str, module: str, **summaries: str) -> tuple[CommandEntry, ...]:
    return tuple(
        CommandEntry(name.replace("_", "-"), section, summary, module, name.replace("_", "-"))
        for name, summary in summaries.items()
    )


_BACK_UP: Final = "Back up"
_LOOK: Final = "Look and restore"
_PROVE: Final = "Prove"
_ROOM: Final = "Make room"
_KEYS: Final = "Keys"
_HELP: Final = "This program and its storage"

COMMANDS: Final[tuple[CommandEntry, ...]] = (
    *_family(_BACK_UP, "init", init="Make a new, encrypted repository."),
    *_family(_BACK_UP, "backup", backup="Back up files and folders, or what a command prints."),
    *_family(
        _LOOK,
        "points",
        points="List the restore points of a repository.",
        ls="List the files of a restore point.",
    ),
    *_family(_LOOK, "restore", restore="Put files back, all of them or some."),
    *_family(
        _PROVE,
        "check",
        check="Is the repository complete and consistent? Reads no contents.",
        verify="Are the stored bytes right? Reads contents.",
    ),
    *_family(
        _ROOM,
        "forget",
        forget="Drop restore points by name.",
        prune="Drop restore points that no keep rule keeps.",
        gc="Free the space that no restore point needs.",
    ),
    *_family(_KEYS, "keys", key="Passwords and key files: list, add, change, remove, verify."),
    *_family(_KEYS, "writers", writer="Machines that may write: list, add."),
    *_family(_KEYS, "kit", recovery_kit="Print the page for the drawer: how to open it all."),
    *_family(
        _HELP,
        "doctor",
        doctor="What runs here, what it stores on this machine, and does it work?",
        probe="Try whether a storage gives what a repository needs.",
    ),
    # What people of restic, Borg and Kopia type.
    CommandEntry("snapshots", _LOOK, "See points.", "points", "points", is_hidden=True),
    CommandEntry("list", _LOOK, "See points or ls.", "points", "list", is_hidden=True),
    CommandEntry("extract", _LOOK, "See restore.", "restore", "restore", is_hidden=True),
    CommandEntry("compact", _ROOM, "See gc.", "forget", "gc", is_hidden=True),
    CommandEntry("delete", _ROOM, "See forget.", "forget", "forget", is_hidden=True),
)


def entry_named(name: str) -> CommandEntry | None:
    """Return the command that *name* stands for."""
    return next((entry for entry in COMMANDS if entry.name == name), None)
