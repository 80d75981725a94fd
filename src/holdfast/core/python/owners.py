"""Names of users and groups, each asked for once."""

import grp
import pwd
from collections.abc import Callable, Iterator, Mapping


class OwnerNames(Mapping[int, bytes]):
    """Names by number, as this machine knows them; numbers without a name are absent."""

    def __init__(self, look_up: Callable[[int], str]) -> None:
        self._look_up = look_up
        self._known: dict[int, bytes | None] = {}

    def __getitem__(self, number: int) -> bytes:
        if number not in self._known:
            try:
                self._known[number] = self._look_up(number).encode("utf-8", "surrogateescape")
            except (KeyError, OverflowError):
                self._known[number] = None
        name = self._known[number]
        if name is None:
            raise KeyError(number)
        return name

    def __iter__(self) -> Iterator[int]:
        return (number for number, name in self._known.items() if name is not None)

    def __len__(self) -> int:
        return sum(name is not None for name in self._known.values())


def user_names() -> OwnerNames:
    """Return the names of users by their ids."""
    return OwnerNames(lambda number: pwd.getpwuid(number).pw_name)


def group_names() -> OwnerNames:
    """Return the names of groups by their ids."""
    return OwnerNames(lambda number: grp.getgrgid(number).gr_name)
