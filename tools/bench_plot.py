"""The figures of `tools/bench` as a picture: what takes how long beside the other one."""

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH: Final = 780
_LEFT: Final = 190
_FULL: Final = 420
"""How long the bar of the other one is."""
_STEP: Final = 46
_TOP: Final = 44
_BAR: Final = 13
_OURS: Final = "#1f6feb"
_THEIRS: Final = "#b6bfca"
_INK: Final = "#24292f"


@dataclass(frozen=True)
class Bars:
    """One comparison, in seconds; *target* is how many times as long the other one shall take."""

    name: str
    ours: float
    theirs: float
    target: float


def picture(comparisons: Iterable[Bars], *, ours: str, theirs: str) -> str:
    """Return an SVG in which every comparison has two bars, the other one's all of one length.

    A line through ours shows where it would end if it just reached its target.
    """
    rows = list(comparisons)
    height = _TOP + _STEP * len(rows) + 30
    size = f'width="{_WIDTH}" height="{height}"'
    said = "Shorter is better. The black line: where ours ends when it just reaches its target."
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {_WIDTH} {height}">',
        f'<g font-family="sans-serif" font-size="12" fill="{_INK}">',
        f'<rect {size} fill="white"/>',
        f'<rect x="{_LEFT}" y="16" width="12" height="12" fill="{_OURS}"/>',
        f'<text x="{_LEFT + 18}" y="26">{escape(ours)}</text>',
        f'<rect x="{_LEFT + 100}" y="16" width="12" height="12" fill="{_THEIRS}"/>',
        f'<text x="{_LEFT + 118}" y="26">{escape(theirs)}</text>',
    ]
    for number, row in enumerate(rows):
        top = _TOP + _STEP * number
        goal = _LEFT + _FULL / row.target
        ends = f'x1="{goal:.1f}" y1="{top - 4}" x2="{goal:.1f}" y2="{top + _BAR + 1}"'
        length = _FULL * row.ours / row.theirs
        lines += [
            f'<text x="{_LEFT - 10}" y="{top + 18}" text-anchor="end">{escape(row.name)}</text>',
            _bar(top, length, _OURS, f"{row.ours:.2f} s, ratio {row.theirs / row.ours:.2f}"),
            _bar(top + _BAR + 2, _FULL, _THEIRS, f"{row.theirs:.2f} s"),
            f'<line {ends} stroke="{_INK}" stroke-width="2"/>',
        ]
    lines += [f'<text x="{_LEFT}" y="{height - 10}">{said}</text>', "</g>", "</svg>"]
    return "\n".join(lines) + "\n"


def _bar(top: int, length: float, colour: str, said: str) -> str:
    return (
        f'<rect x="{_LEFT}" y="{top}" width="{length:.1f}" height="{_BAR}" fill="{colour}"/>'
        f'<text x="{_LEFT + _FULL + 40}" y="{top + 11}">{said}</text>'
    )
