"""The parts of Click that Typer carries inside itself and has no public name for.

One place, so that a Typer that moves them breaks one import.
"""

from typer._click.core import Command, Context
from typer._click.exceptions import NoArgsIsHelpError
from typer._click.formatting import HelpFormatter

__all__ = ["Command", "Context", "HelpFormatter", "NoArgsIsHelpError"]
