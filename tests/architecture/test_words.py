"""Does every module say what it promises, and does no class show a secret?"""

import ast
import dataclasses
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import holdfast
from holdfast.base.secrets import Secret

HOUSE = Path(__file__).resolve().parents[2] / "src" / "holdfast"

# Fields of plain bytes or text with such a name would print a secret with their class.
SECRET_NAME = re.compile(
    r"(^|_)(secret|seed|password|passphrase|private|token)(_|$)"
    r"|(^|_)(session|data|tree|pack|segment|mac|root|index|id|locator|chunker|signing|wrap)_key$"
)
PLAIN = re.compile(r"\b(bytes|bytearray|memoryview|str|Bytes)\b")


ROOMS = sorted({path.parent.name for path in HOUSE.glob("*/*.py")})


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_what_it_knows(room: str) -> None:
    """One paragraph in `__init__`: what the room knows and what it never knows."""
    tree = ast.parse((HOUSE / room / "__init__.py").read_text(encoding="utf-8"))

    assert len(ast.get_docstring(tree) or "") > 80


def test_every_module_says_what_it_promises() -> None:
    """A module without a docstring makes its reader guess."""
    silent = [
        str(path.relative_to(HOUSE))
        for path in sorted(HOUSE.rglob("*.py"))
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert silent == []


def test_no_class_shows_a_secret_when_printed() -> None:
    """Log lines, tracebacks and test reports print objects; secrets travel as `Secret`."""
    shown = []
    for found in pkgutil.walk_packages(holdfast.__path__, "holdfast."):
        if found.name.endswith(".__main__"):
            continue
        module = importlib.import_module(found.name)
        for member in vars(module).values():
            if isinstance(member, type) and member.__module__ == module.__name__:
                shown += [
                    f"{found.name}.{member.__name__}.{name}" for name in plain_secrets(member)
                ]

    assert shown == []


def plain_secrets(member: type) -> list[str]:
    """Return the fields of a dataclass that would print a secret."""
    if not dataclasses.is_dataclass(member):
        return []
    return [
        field.name
        for field in dataclasses.fields(member)
        if field.repr
        and SECRET_NAME.search(field.name)
        and not re.search(r"sealed|wrapped|public", field.name)
        and PLAIN.search(field.type if isinstance(field.type, str) else str(field.type))
    ]


def test_a_class_that_would_show_a_secret_is_found() -> None:
    """The check above can fail."""
    fields = [
        ("session_key", bytes),
        ("root_seed", Secret),
        ("password", str | None),
        ("sealed_session_key", bytes),
        ("private", bytes, dataclasses.field(repr=False)),
    ]
    member = dataclasses.make_dataclass("Careless", fields)

    assert plain_secrets(member) == ["session_key", "password"]


def test_a_secret_prints_as_asterisks() -> None:
    """Whatever formats it: repr, str, an f-string."""
    secret = Secret(b"hunter2")

    assert {repr(secret), str(secret), f"{secret}", f"{secret!r}"} == {"Secret(****)"}
