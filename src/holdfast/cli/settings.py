"""Everything that the command line takes from the environment; the only reader of it here.

``docs/reference/cli.md`` lists the variables from :data:`VARIABLES`.
"""

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from holdfast.base.secrets import Secret

VARIABLES: Final = {
    "HOLDFAST_REPOSITORY": "the repository, where -r is not given",
    "HOLDFAST_PASSWORD_FILE": "a file that holds the password",
    "HOLDFAST_PASSWORD_COMMAND": "a command that prints the password; run without a shell",
    "HOLDFAST_PASSWORD": "the password itself: the last resort, other programs may see it",
    "HOLDFAST_KEY_FILE": "a key file that opens the vault",
    "HOLDFAST_CONFIG_DIR": "where writer keys lie, instead of ~/.config/holdfast",
    "HOLDFAST_STATE_DIR": "where state of series and known vaults lie, instead of "
    "~/.local/state/holdfast",
    "HOLDFAST_CACHE_DIR": "where the opened index lies, instead of ~/.cache/holdfast",
    "HOLDFAST_DEBUG": "anything: show where in the program an error arose",
}


def environment_without_secrets() -> dict[str, str]:
    """Return this process's environment for other programs: without ways to the password."""
    return {
        name: value
        for name, value in os.environ.items()  # noqa: TID251 - this is the one file that may
        if not name.startswith("HOLDFAST_PASSWORD")
    }


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says. Empty variables count as absent."""

    repository: str | None
    password_file: Path | None
    password_command: str | None = field(repr=False)
    password: Secret | None
    key_file: Path | None
    config_folder: Path
    state_folder: Path
    cache_folder: Path
    is_debugging: bool

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read *environment*, by default that of this process."""
        source = os.environ if environment is None else environment  # noqa: TID251 - this is the one file that may

        def text(name: str) -> str | None:
            return source.get(name) or None

        def path(name: str) -> Path | None:
            value = text(name)
            return None if value is None else Path(value)

        def folder(name: str, xdg: str, *default: str) -> Path:
            own = path(name)
            if own is not None:
                return own
            # The XDG specification: a relative path is invalid and ignored.
            base = path(xdg)
            if base is None or not base.is_absolute():
                base = _home(source).joinpath(*default)
            return base / "holdfast"

        password = text("HOLDFAST_PASSWORD")
        return cls(
            repository=text("HOLDFAST_REPOSITORY"),
            password_file=path("HOLDFAST_PASSWORD_FILE"),
            password_command=text("HOLDFAST_PASSWORD_COMMAND"),
            password=None if password is None else Secret(os.fsencode(password)),
            key_file=path("HOLDFAST_KEY_FILE"),
            config_folder=folder("HOLDFAST_CONFIG_DIR", "XDG_CONFIG_HOME", ".config"),
            state_folder=folder("HOLDFAST_STATE_DIR", "XDG_STATE_HOME", ".local", "state"),
            cache_folder=folder("HOLDFAST_CACHE_DIR", "XDG_CACHE_HOME", ".cache"),
            is_debugging=text("HOLDFAST_DEBUG") is not None,
        )


def _home(environment: Mapping[str, str]) -> Path:
    """Return this user's home folder; where HOME says nothing that counts, what the system says."""
    home = Path(environment.get("HOME", ""))
    if home.is_absolute():
        return home
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # A user without an entry, as in containers.
        return Path("/")
