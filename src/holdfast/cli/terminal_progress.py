"""The moving line on a terminal, drawn by rich. Imported only where there is a terminal."""

from typing import Final, TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from holdfast.base.progress import Progress

_PER_SECOND: Final = 8


class TerminalDisplay:
    """One line that is drawn over and over at the bottom."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._live = Live(
            Text(""),
            console=self._console,
            refresh_per_second=_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def show(self, progress: Progress, text: str) -> None:
        """Draw *text*, with a bar where the end is known."""
        bar = ""
        if progress.bytes_total:
            share = min(1.0, progress.bytes_done / progress.bytes_total)
            bar = "[" + "#" * int(share * 20) + "." * (20 - int(share * 20)) + f"] {share:4.0%} "
        self._live.update(Text(bar + text, no_wrap=True, overflow="ellipsis"))

    def print_above(self, text: str) -> None:
        """Print *text* above the moving line."""
        self._console.print(Text(text))

    def close(self) -> None:
        """Stop drawing and clear the line."""
        self._live.stop()
