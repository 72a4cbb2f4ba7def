"""Which columns of a table are used, by its header and its first rows; what is left out is named.

pandas writes its index as a first column without a name, R also as one that the header lacks;
spreadsheets write empty columns behind the last one.
"""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from ..core.messages import Message, translatable
from ..core.stored_messages import (
    LEFT_OUT_EMPTY,
    LEFT_OUT_EMPTY_ONES,
    LEFT_OUT_INDEX,
    LEFT_OUT_UNNAMED,
    NESTED_AS_JSON,
    SAME_NAMES,
)

SAMPLE = 100  # rows that are looked at
_WHOLE = re.compile(r"\d{1,18}")
_MOST_NAMED = 20  # columns that a note names
Label = Callable[[int], str | int]


class Columns:
    """``names`` are those of the columns that are used, ``places`` where they stand in a row, ``empty`` the
    places of columns without a name that were empty in the sample: a text there is a fault. ``complaint``
    says why the header names no columns; None where it does. ``header`` is the first row, ``sample``
    the cells of the rows after it; ``check`` finds what is wrong with names, and ``label`` is how it calls
    column n (from 1). ``quoted``: every row of the sample, and the header, begin with a quote. ``left_out``
    are the places that are not used in any case, with what is said of each."""

    def __init__(
        self,
        header: Sequence[str],
        sample: Sequence[Sequence[str]],
        check: Callable[[list[str], Label], str | None],
        label: Label = lambda n: n,
        quoted: bool = False,
        left_out: Mapping[int, Message] | None = None,
    ):
        left_out = left_out or {}
        self.notes: list[Message] = list(left_out.values())
        self._label, self._check = label, check
        header = [name.strip() for name in header]
        if quoted and index_without_header(header, sample):
            header = ["", *header]
        self.width = len(header)
        unnamed = [place for place, name in enumerate(header) if not name and place not in left_out]
        values = {place: [row[place] for row in sample if place < len(row)] for place in unnamed}
        self.empty = [place for place in unnamed if not any(map(str.strip, values[place]))]
        self.places = [place for place, name in enumerate(header) if name and place not in left_out]
        names = [header[place] for place in self.places]
        self.names = _distinct(names)
        self.complaint = self._complaint(names)
        if self.complaint is None:
            self._note_left_out(unnamed, values)
            self._note_repeated(names)

    @property
    def is_whole(self) -> bool:
        """Whether every column is used."""
        return len(self.places) == self.width

    def picked(self, cells: Sequence) -> list:
        """The cells of a row that are used."""
        return [cells[place] for place in self.places]

    def stray(self, cells: Sequence[str]) -> int | None:
        """The number, from 1, of a column that was taken for empty and holds something here."""
        return next((at + 1 for at in self.empty if at < len(cells) and cells[at].strip()), None)

    def _complaint(self, names: list[str]) -> str | None:
        if not names:
            return translatable("it names no columns.")
        return self._check(self.names, lambda n: self._label(self.places[n - 1] + 1))

    def _note_left_out(self, unnamed: list[int], values: dict[int, list[str]]) -> None:
        left = [place for place in unnamed if place not in self.empty]
        for place in left[:_MOST_NAMED]:
            note = LEFT_OUT_INDEX if _looks_like_index(values[place]) else LEFT_OUT_UNNAMED
            self.notes.append(note(number=self._label(place + 1)))
        for first, last in _runs(self.empty)[:_MOST_NAMED]:
            ends = self._label(first + 1), self._label(last + 1)
            self.notes.append(
                LEFT_OUT_EMPTY(number=ends[0])
                if first == last
                else LEFT_OUT_EMPTY_ONES(first=ends[0], last=ends[1])
            )

    def _note_repeated(self, names: list[str]) -> None:
        repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        for name in repeated[:_MOST_NAMED]:
            ours = [new for old, new in zip(names, self.names, strict=True) if old == name]
            self.notes.append(SAME_NAMES(count=len(ours), name=name, names=_quoted(ours)))


def nested_note(names: Sequence[str]) -> Message:
    """What is said of columns whose cells are lists or objects."""
    return NESTED_AS_JSON(names=_quoted(names))


def _quoted(names: Sequence[str]) -> str:
    more = ", …" if len(names) > _MOST_NAMED else ""
    return ", ".join(f"“{name}”" for name in names[:_MOST_NAMED]) + more


def index_without_header(header: Sequence[str], sample: Sequence[Sequence[str]]) -> bool:
    """Whether every row has one cell more than the header and the first ones do not repeat, as R writes
    row names. (Only of tables whose texts are quoted: in others a comma within a text does the same.)"""
    if not sample or any(len(row) != len(header) + 1 for row in sample):
        return False
    return len({row[0] for row in sample}) == len(sample)


def sampled(
    text: str, delimiter: str, quoting: Literal[0, 3], skipped: int = 0
) -> tuple[list[list[str]], bool]:
    """The rows after the header of the beginning of a table, and whether each row and the header begin
    with a quote; ``skipped`` lines come before the header."""
    lines = text.splitlines(keepends=True)[skipped:]
    begun: list[str] = []

    def noted() -> Iterator[str]:
        for line in lines:
            begun.append(line)
            yield line

    rows: list[list[str]] = []
    quoted = True
    reader = csv.reader(noted(), delimiter=delimiter, quoting=quoting, strict=True)
    try:
        for cells in reader:
            if any(cells):
                rows.append(cells)
                quoted = quoted and begun[0].startswith('"')
            begun.clear()
            if len(rows) > SAMPLE:
                break
    except csv.Error:
        pass  # cut off within a row, or a fault of that row
    return rows[1:], quoted


def _looks_like_index(values: Sequence[str]) -> bool:
    """Whether cells count the rows, or are whole numbers that do not repeat."""
    values = [value.strip() for value in values]
    if not values or not all(map(_WHOLE.fullmatch, values)):
        return False
    numbers = list(map(int, values))
    return len(set(numbers)) == len(numbers)


def _distinct(names: list[str]) -> list[str]:
    """The names; those that several columns have are numbered: “name (1)”, “name (2)”."""
    taken, seen, made = set(names), dict.fromkeys(names, 0), []
    repeated = {name for name in names if names.count(name) > 1} if len(taken) < len(names) else ()
    for name in names:
        if name in repeated:
            while (new := f"{name} ({seen[name] + 1})") in taken:
                seen[name] += 1
            seen[name] += 1
            taken.add(new)
            name = new
        made.append(name)
    return made


def _runs(places: list[int]) -> list[tuple[int, int]]:
    """Neighbouring places as (first, last)."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and runs[-1][1] == place - 1:
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
    return runs
