"""What the environment says."""

import os
import pwd
from pathlib import Path

import pytest

from holdfast.cli.settings import VARIABLES, Settings


def test_folders_follow_xdg_and_have_names_of_their_own() -> None:
    """HOLDFAST_ variables, then XDG, then the home folder; relative XDG paths are ignored."""
    plain = Settings.from_environment({"HOME": "/home/me"})
    xdg = Settings.from_environment({"HOME": "/h", "XDG_STATE_HOME": "/x", "XDG_CACHE_HOME": "y"})
    own = Settings.from_environment({"HOME": "/h", "HOLDFAST_CONFIG_DIR": "/own"})

    assert plain.config_folder == Path("/home/me/.config/holdfast")
    assert plain.state_folder == Path("/home/me/.local/state/holdfast")
    assert xdg.state_folder == Path("/x/holdfast")
    assert xdg.cache_folder == Path("/h/.cache/holdfast")
    assert own.config_folder == Path("/own")


@pytest.mark.parametrize("home", ["", "relative/home", None])
def test_without_a_home_that_counts_the_system_is_asked(home: str | None) -> None:
    """Never folders at the root of the file system or wherever the program was started."""
    of_system = Path(pwd.getpwuid(os.getuid()).pw_dir)

    settings = Settings.from_environment({} if home is None else {"HOME": home})

    assert settings.state_folder == of_system / ".local/state/holdfast"


def test_empty_variables_count_as_absent() -> None:
    """A script that unsets by emptying gets what it means."""
    settings = Settings.from_environment(dict.fromkeys(VARIABLES, "") | {"HOME": "/h"})

    assert settings.repository is None
    assert settings.password_file is None
    assert settings.password is None
    assert not settings.is_debugging


def test_a_password_in_the_environment_does_not_show() -> None:
    """Settings may be printed."""
    settings = Settings.from_environment({"HOME": "/h", "HOLDFAST_PASSWORD": "hunter2"})

    assert "hunter2" not in repr(settings)
    assert settings.password is not None
    assert settings.password.reveal() == b"hunter2"
