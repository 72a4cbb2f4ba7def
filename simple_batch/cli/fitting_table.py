"""A table that fits the terminal: long texts are cut, and characters that take two columns count two."""

import shutil
import unicodedata
from collections.abc import Iterator

from ..core.terminal import shown_line
from . import colours

_GAP = 2
_NARROWEST = 8  # columns that a column keeps


def width_of(text: str) -> int:
    """The columns that a text takes on a terminal."""
    return sum(map(_width, text))


def _width(char: str) -> int:
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def cut(text: str, width: int) -> str:
    """The text in at most ``width`` columns, with … for what is left out."""
    if width_of(text) <= width:
        return text
    kept, used = "", 0
    for char in text:
        used += _width(char)
        if used > width - 1:
            break
        kept += char
    return f"{kept}…"


def lines(
    header: list[str], rows: list[list[str]], columns: int | None = None, in_colour: bool = False
) -> Iterator[str]:
    """The lines of the table; ``columns`` is the width of the terminal."""
    columns = columns or shutil.get_terminal_size().columns
    cells = [header, *[[shown_line(text) for text in row] for row in rows]]
    widths = _fitted([max(width_of(row[n]) for row in cells) for n in range(len(header))], columns)
    for number, row in enumerate(cells):
        last = max((n for n, text in enumerate(row) if text), default=0)
        line = ""
        for name, text, width in list(zip(header, row, widths, strict=True))[: last + 1]:
            shown = cut(text, width)
            gap = " " * (width - width_of(shown) + _GAP)
            if in_colour:
                colour = colours.of_cell(name, text)
                shown = colours.coloured(shown, colour) if number else colours.title(shown)
            line += shown + gap
        yield line.rstrip()


def _fitted(widths: list[int], columns: int) -> list[int]:
    """The widths with the widest made narrower until the sum fits, or none can be."""
    widths = list(widths)
    over = sum(widths) + _GAP * (len(widths) - 1) - columns
    while over > 0:
        widest = max(range(len(widths)), key=widths.__getitem__)
        second = max((width for n, width in enumerate(widths) if n != widest), default=0)
        if widths[widest] <= _NARROWEST:
            break
        less = min(over, max(1, widths[widest] - max(second, _NARROWEST)))
        widths[widest] -= less
        over -= less
    return widths
