"""Reads a file of results line by line."""

from collections.abc import Iterator
from pathlib import Path

from ..adapter import BLOCK


def lines_of(path: Path, most: int) -> Iterator[bytes | None]:
    """The lines of a file that are not blank; None in place of one that is longer than ``most`` bytes."""
    with path.open("rb") as file:
        while line := file.readline(most + 1):
            if len(line) <= most or line.endswith(b"\n"):
                line = line.strip()
                if line:
                    yield line
                continue
            yield None
            while line and not line.endswith(b"\n"):
                line = file.readline(BLOCK)
