"""How results look: text and tables for people, JSON for programs, always escaped.

Names from a source or a repository hold any bytes. Nothing that could steer a terminal is ever
printed: control characters and marks that turn text around come out as escapes.
"""

import json
import os
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, TextIO

from holdfast.cli.errors import OutputError

SCHEMA: Final = 1
"""Version of all JSON documents; fields may be added under the same number."""
FORMAT: Final = 0
"""The vault format of this release."""

FORMAT_NOTE: Final = (
    "holdfast: note: vaults are of format 0, which is not final: a later release will refuse them."
)

_NARROW: Final = frozenset({"N", "Na", "H", "A"})
# Cc control, Cf format (text direction among them), Cs halves of surrogates, Co, Cn, Zl, Zp.
_HARMFUL: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_LONG_ESCAPE: Final = 0xFFFF
_BYTE: Final = 0xFF

JsonValue = str | int | float | bool | None | Sequence["JsonValue"] | Mapping[str, "JsonValue"]


def printable(text: str | bytes) -> str:
    r"""Show any name on one line of a terminal: ``\xNN`` for bytes that are no text, ``\n``, ….

    A backslash is doubled, so that two different names never look the same.
    """
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - how Python carries bytes that are no text
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.category(character) not in _HARMFUL:
        return character
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    if named is not None:
        return named
    if code <= _BYTE:
        return f"\\u{code:04x}" if code > 0x7F else f"\\x{code:02x}"  # noqa: PLR2004 - end of ASCII
    return f"\\U{code:08x}" if code > _LONG_ESCAPE else f"\\u{code:04x}"


def harmless(text: str) -> str:
    """Return *text*, several lines perhaps, without anything that could steer a terminal."""
    return "\n".join(
        "".join(c if c == "\\" else _escaped(c) for c in line) for line in text.split("\n")
    )


def columns(text: str) -> int:
    """Return how many columns of a terminal *text* takes; wide characters take two."""
    return sum(
        0 if unicodedata.combining(c) else 1 if unicodedata.east_asian_width(c) in _NARROW else 2
        for c in text
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Return a plain table; the columns whose numbers stand in *right* end flush."""
    lines = [list(head), *[list(row) for row in rows]]
    widths = [max(columns(line[place]) for line in lines) for place in range(len(head))]

    def cell(text: str, place: int) -> str:
        fill = " " * (widths[place] - columns(text))
        return fill + text if place in right else text + fill

    return "\n".join(
        "  ".join(cell(text, place) for place, text in enumerate(line)).rstrip() for line in lines
    )


class _LocalZone(tzinfo):
    """The zone of this machine, with every change of its clocks."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None if moment is None else _as_local(moment).utcoffset()

    def dst(self, moment: datetime | None) -> timedelta | None:
        del moment
        return None  # Nobody asks, and the system does not say how much it is.

    def tzname(self, moment: datetime | None) -> str | None:
        return None if moment is None else _as_local(moment).tzname()

    def fromutc(self, moment: datetime) -> datetime:
        there = moment.replace(tzinfo=UTC).astimezone()
        local = there.replace(tzinfo=self)
        # When clocks are set back, an hour comes twice; the fold says that it is the second one.
        return local if local.utcoffset() == there.utcoffset() else local.replace(fold=1)


def _as_local(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None).astimezone()


def local_zone() -> tzinfo:
    """Return the zone in which times are shown and days begin."""
    return _LocalZone()


def show_time(moment: datetime) -> str:
    """Return *moment* in the local zone, as ``2026-03-20 12:00:00``."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def show_time_ns(nanoseconds: int) -> str:
    """Return a time in nanoseconds since 1970, as :func:`show_time` does; extremes as numbers."""
    try:
        return show_time(datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC))
    except (OverflowError, ValueError, OSError):
        return str(nanoseconds // 1_000_000_000)


def show_seconds(seconds: float) -> str:
    """Return a span for people: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 10:  # noqa: PLR2004 - tenths matter below it
        return f"{seconds:.1f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


class Output:
    """Where a command's words go. Results to stdout, everything else to stderr.

    Nobody waits for remarks: a stderr that is closed or full loses them and stops nothing.
    """

    def __init__(
        self,
        *,
        is_json: bool = False,
        is_quiet: bool = False,
        verbosity: int = 0,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self.is_json = is_json
        self.is_quiet = is_quiet
        self.verbosity = verbosity
        # Python has None where a stream was closed before the process began.
        self.out: TextIO | None = sys.stdout if out is None else out
        self.err: TextIO | None = sys.stderr if err is None else err

    def result(self, text: str) -> None:
        """Print what was asked for; nothing in JSON, where `document` says it."""
        if not self.is_json:
            self._write(self.out, harmless(text))

    def say(self, text: str) -> None:
        """Print what is good to know; dropped with -q and in JSON."""
        if not self.is_quiet and not self.is_json:
            self._write(self.out, harmless(text))

    def note(self, text: str) -> None:
        """Print a remark on stderr; dropped with -q and in JSON."""
        if not self.is_quiet and not self.is_json:
            self.remark(harmless(text))

    def warn(self, text: str) -> None:
        """Print a warning on stderr; an event in JSON."""
        if self.is_json:
            self.remark(_encoded({"type": "warning", "message": text}))
        else:
            self.remark(harmless(f"holdfast: warning: {text}"))

    def format_note(self) -> None:
        """Say once that the format is not final; JSON documents carry it as a field."""
        self.note(FORMAT_NOTE)

    def document(self, command: str, fields: Mapping[str, JsonValue]) -> None:
        """Answer a question in JSON: one document."""
        if self.is_json:
            head: dict[str, JsonValue] = {"schema": SCHEMA, "command": command, "format": FORMAT}
            self._write(self.out, _encoded(head | dict(fields)))

    def event(self, kind: str, fields: Mapping[str, JsonValue]) -> None:
        """Tell of work under way: one JSON document a line."""
        if self.is_json:
            self._write(self.out, _encoded({"type": kind} | dict(fields)))

    def summary(self, command: str, fields: Mapping[str, JsonValue]) -> None:
        """End the events of a work: the last line on stdout."""
        head: dict[str, JsonValue] = {"schema": SCHEMA, "command": command, "format": FORMAT}
        self.event("summary", head | dict(fields))

    @contextmanager
    def after(self, done: str, *, hint: str | None = None) -> Iterator[None]:
        """Say that the work was *done* all the same if its result cannot be printed.

        Raises:
            OutputError: so it is.
        """
        try:
            yield
        except OutputError as error:
            reason = error.message[:1].lower() + error.message[1:]
            raise OutputError(f"{done}, but {reason}", hint=hint) from error

    def remark(self, line: str) -> None:
        """Print *line*, which is harmless, on stderr if there is one that takes it."""
        with suppress(OSError):
            if self.err is not None:
                _write(self.err, line)

    def _write(self, stream: TextIO | None, text: str) -> None:
        if stream is None:
            raise OutputError("Nothing can be printed: standard output is closed.")
        try:
            _write(stream, text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(
                f"Standard output cannot be written: {error.strerror or error}"
            ) from error


def _write(stream: TextIO, text: str) -> None:
    # A terminal or file may not know a character: an escape is better than a failure.
    encoding = stream.encoding or "utf-8"
    safe = text.encode(encoding, "backslashreplace").decode(encoding)
    stream.write(safe + "\n")
    stream.flush()


def _encoded(value: Mapping[str, JsonValue]) -> str:
    """Return one line of JSON, plain ASCII, so that no name can steer a terminal."""
    return json.dumps(value, ensure_ascii=True, separators=(", ", ": "))


def json_name(name: bytes) -> dict[str, JsonValue]:
    """Return the fields by which JSON carries a name: text, and base16 where it is no text."""
    try:
        return {"path": name.decode("utf-8")}
    except UnicodeDecodeError:
        return {"path": name.decode("utf-8", "backslashreplace"), "path_hex": name.hex()}
