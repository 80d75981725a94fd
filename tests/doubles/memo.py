"""Pure functions that remember what they answered, for tests that ask the same again and again.

A campaign looks at thousands of vaults that differ in one object each. What a function of
:data:`PURE` answered is found again by its whole input, byte for byte, so a test proves the same
with it as without: what is damaged is a new input, and is computed. Refusals are not remembered.
"""

import gc
import inspect
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import PurePath
from typing import Any
from unittest import mock

import typer.main

from holdfast.base.secrets import Secret
from holdfast.cli import app
from holdfast.cli.commands import check, restore
from holdfast.core.python import index_parts, nodes, segments
from holdfast.crypto import boxes, hkdf, hpke, passwords, signatures
from holdfast.format import frames, names, packs, point
from holdfast.keys import keyring, opening, slots, statements, unlockers, writers
from holdfast.storage import names as storage_names
from holdfast.vault import objects, pack_looks

MOST = 512
"""Answers of each function that are kept, the last ones."""
BY_VALUE: tuple[tuple[Any, str], ...] = (
    (PurePath, "__truediv__"),
    (typer.main, "get_group"),
    (app, "load"),
    (names, "parse_name"),
    (storage_names, "check_name"),
    (storage_names, "check_prefix"),
    (objects, "parse"),
    (signatures, "verify"),
    (hkdf, "extract"),
    (hkdf, "expand"),
    (writers, "read_certificate"),
    (keyring.ReadRing, "session_keys"),
    (keyring.ReadRing, "pack_session_keys"),
    (keyring.ReadRing, "group"),
    (segments, "PackCipher"),
    (nodes, "decode_node"),
    (point.PointRecord, "from_bytes"),
)
"""Functions whose input Python itself compares by value (rings and chains by identity)."""
BY_CONTENT: tuple[tuple[Any, str], ...] = (
    (signatures, "signing_public_key"),
    (hpke, "hpke_open"),
    (hpke, "kem_public_key"),
    (passwords, "run_kdf"),
    (boxes, "open_padded_box"),
    (boxes, "open_box"),
    (frames, "parse"),
    (frames, "parse_hash_ended"),
    (frames, "signed_message"),
    (frames, "object_hash"),
    (packs.PackHeader, "decode"),
    (packs.Directory, "decode"),
    (slots, "read_slot"),
    (statements.KeyChain, "read"),
    (opening, "open_ring"),
    (index_parts, "check_presence"),
    (index_parts, "check_positions"),
    (pack_looks, "_read_directory"),
    (pack_looks, "_check_segments"),
    (pack_looks, "_directory_rows"),
)
"""Functions whose input has secrets, views and maps in it: their contents are compared."""
PURE = BY_VALUE + BY_CONTENT
_IMPORTED = (check, restore)
"""Modules that the command line imports late: what they import by name is replaced as well."""


class Memo:
    """One pure function and its last answers."""

    def __init__(self, function: Callable[..., Any], most: int = MOST) -> None:
        self._function = function
        self._most = most
        self._answers: OrderedDict[tuple[object, ...], object] = OrderedDict()
        self.calls = 0
        self.computed = 0

    def __call__(self, *values: object, **named: object) -> Any:  # noqa: ANN401 - as the function
        key = (*map(_content, values), *((name, _content(named[name])) for name in sorted(named)))
        self.calls += 1
        try:
            answer = self._answers[key]
            self._answers.move_to_end(key)
        except KeyError:
            # Another thread may drop it in between: then it is computed again.
            answer = self._function(*values, **named)
            self.computed += 1
            self._answers[key] = answer
            if len(self._answers) > self._most:
                self._answers.popitem(last=False)
        return answer


def _content(value: Any) -> object:  # noqa: ANN401 - whatever the functions take
    """Return what a value is found by: its content, where Python would compare something else."""
    kind = type(value)
    if kind is bytes or kind is str:
        return value
    look = _LOOKS.get(kind)
    return value if look is None else look(value)


def _content_of_view(view: memoryview) -> bytes:
    whole = view.obj
    # A bytes object has its hash at hand, a copy would have to be read through.
    return whole if type(whole) is bytes and len(whole) == len(view) else bytes(view)


class _Same:
    """Is equal to what holds the very same value."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __hash__(self) -> int:
        return id(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._value is self._value


_LOOKS: dict[type, Callable[[Any], object]] = {
    Secret: lambda secret: (Secret, secret.reveal()),
    unlockers.PasswordUnlocker: lambda unlocker: (type(unlocker), unlocker.secret_input()),
    memoryview: _content_of_view,
    dict: lambda values: tuple(values.items()),
    type({}.values()): tuple,
    # Answers that are remembered themselves, and slow or impossible to hash.
    keyring.GroupKeys: _Same,
    packs.Directory: _Same,
}


@contextmanager
def remembering() -> Iterator[None]:
    """Let the functions of :data:`PURE` remember, wherever they were imported to."""
    with ExitStack() as stack:
        # What is remembered is not garbage: it need not be looked through again and again.
        stack.callback(gc.set_threshold, *gc.get_threshold())
        gc.set_threshold(50_000, 20, 100)
        for place, name in PURE:
            function = getattr(place, name)
            memo = (
                Memo(function)
                if (place, name) in BY_CONTENT
                else lru_cache(MOST, typed=True)(function)
            )
            if isinstance(place, type):
                # A class method comes bound to its class.
                method = staticmethod(memo) if inspect.ismethod(function) else memo
                stack.enter_context(mock.patch.object(place, name, method))
                continue
            modules = [
                sys.modules[item] for item in sorted(sys.modules) if item.startswith("holdfast.")
            ]
            for module in (place, *(item for item in modules if item is not place)):
                for attribute, value in list(vars(module).items()):
                    if value is function:
                        stack.enter_context(mock.patch.object(module, attribute, memo))
        yield
