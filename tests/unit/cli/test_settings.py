"""What the environment says."""

from pathlib import Path

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
