"""How far long work is: a moving line on a terminal, plain lines elsewhere, events in JSON."""

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Final, Protocol, Self

from holdfast.base.clock import Clock
from holdfast.base.progress import Finding, Progress
from holdfast.base.sizes import format_size
from holdfast.cli.output import JsonValue, Output, json_name, printable, show_seconds

PLAIN_SECONDS: Final = 10.0
_JSON_SECONDS: Final = 1.0
_RATE_SECONDS: Final = 1.0
_FINDINGS_SHOWN: Final = 100


class Display(Protocol):
    """Shows progress in one place of a terminal."""

    def show(self, progress: Progress, text: str) -> None:
        """Show how far the work is."""
        ...

    def print_above(self, text: str) -> None:
        """Print a line that stays."""
        ...

    def close(self) -> None:
        """Take the display away."""
        ...


class ProgressPrinter:
    """Listens to work and tells people. Use it in a ``with`` block."""

    def __init__(self, output: Output, clock: Clock, *, is_terminal: bool) -> None:
        self._output = output
        self._clock = clock
        self._begun = clock.monotonic_seconds()
        self._said = self._begun
        self._phase = ""
        self._phase_begun = self._begun
        self._phase_bytes = 0
        self.findings: list[Finding] = []
        self._display: Display | None = None
        if is_terminal and output.err and not output.is_quiet and not output.is_json:
            # rich is slow to import and only terminals have a use for it.
            module = import_module("holdfast.cli.terminal_progress")
            self._display = module.TerminalDisplay(output.err)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._display is not None:
            # A terminal that has gone must not hide why the work ended.
            with suppress(OSError):
                self._display.close()
            self._display = None

    @property
    def seconds(self) -> float:
        """How long the work has taken so far."""
        return self._clock.monotonic_seconds() - self._begun

    @property
    def where_named(self) -> str:
        """A sentence that says where every finding is named, or how it would be."""
        if self._names_all or len(self.findings) <= _FINDINGS_SHOWN:
            return "Each is named above."
        return f"The first {_FINDINGS_SHOWN} are named above; -v names all."

    @property
    def _names_all(self) -> bool:
        return self._output.is_json or self._output.verbosity > 0

    def progress(self, progress: Progress) -> None:
        """Show *progress* if it is time to."""
        now = self._clock.monotonic_seconds()
        is_new_phase = progress.phase != self._phase
        if is_new_phase:
            self._phase, self._phase_begun = progress.phase, now
            self._phase_bytes = progress.bytes_done
        if self._display is not None:
            self._display.show(progress, self._line(progress, now))
            return
        # Programs are told of every phase as it begins.
        is_due = is_new_phase and self._output.is_json
        wait = _JSON_SECONDS if self._output.is_json else PLAIN_SECONDS
        if self._output.is_quiet or (now - self._said < wait and not is_due):
            return
        self._said = now
        if self._output.is_json:
            self._output.event("progress", _fields(progress))
        else:
            self._output.note(f"holdfast: {self._line(progress, now)}")

    def finding(self, finding: Finding) -> None:
        """Name one item that something is wrong with; from the 101st on they are only counted."""
        self.findings.append(finding)
        if self._output.is_json:
            fields: dict[str, JsonValue] = {"code": finding.code, "detail": finding.detail}
            self._output.event("finding", fields | json_name(finding.path))
            return
        if len(self.findings) > _FINDINGS_SHOWN and not self._names_all:
            return
        path = printable(finding.path) or "."
        text = f"holdfast: warning: {path}: {finding.detail} [{finding.code}]"
        if len(self.findings) == _FINDINGS_SHOWN and not self._names_all:
            text += "\nholdfast: warning: more of this kind are only counted; -v names them all"
        if self._display is not None:
            self._display.print_above(text)
        else:
            self._output.remark(text)

    def _line(self, progress: Progress, now: float) -> str:
        """Return one line with what is done, the rate and the time left."""
        parts = [progress.phase]
        if progress.items:
            total = f" of {progress.items_total:,}" if progress.items_total else ""
            parts.append(f"{progress.items:,}{total} items")
        if progress.bytes_done:
            total = f" of {format_size(progress.bytes_total)}" if progress.bytes_total else ""
            parts.append(f"{format_size(progress.bytes_done)}{total}")
        elapsed = now - self._phase_begun
        done = progress.bytes_done - self._phase_bytes
        if elapsed >= _RATE_SECONDS and done > 0:
            rate = done / elapsed
            parts.append(f"{format_size(int(rate))}/s")
            if progress.bytes_total and progress.bytes_total > progress.bytes_done:
                left = (progress.bytes_total - progress.bytes_done) / rate
                parts.append(f"{show_seconds(left)} left")
        if progress.bytes_stored:
            parts.append(f"{format_size(progress.bytes_stored)} stored")
        return ", ".join(parts)


def _fields(progress: Progress) -> dict[str, JsonValue]:
    return {
        "phase": progress.phase,
        "items": progress.items,
        "items_total": progress.items_total,
        "bytes_done": progress.bytes_done,
        "bytes_total": progress.bytes_total,
        "bytes_stored": progress.bytes_stored,
    }


Printer = Callable[[], ProgressPrinter]
