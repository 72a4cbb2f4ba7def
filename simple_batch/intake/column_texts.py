"""How long the texts of a table's columns are, by its first rows."""

from collections.abc import Collection, Sequence

FIRST = 200  # rows that are looked at


class ColumnTexts:
    """Add the cells of rows, then ask for the column with the longest texts."""

    def __init__(self, columns: Sequence[str]):
        self._columns = list(columns)
        self._characters = [0] * len(columns)
        self._rows = 0

    def add(self, cells: Sequence[str]) -> None:
        """Count one more row, if it is one of the first."""
        if self._rows == FIRST:
            return
        self._rows += 1
        for place, cell in enumerate(cells):
            self._characters[place] += len(cell)

    def longest(self, but: Collection[str] = ()) -> str:
        """The column with the longest texts on average; of equals the first. Empty without a row."""
        found = [
            (characters, -place)
            for place, characters in enumerate(self._characters)
            if self._columns[place] not in but
        ]
        return self._columns[-max(found)[1]] if found and self._rows else ""
