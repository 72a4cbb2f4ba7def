"""Reads a file of results line by line."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..adapter import BLOCK


def lines_of(path: Path, most: int) -> Iterator[bytes | None]:
    """The lines of a file that are not blank, without a byte-order mark; None in place of one that is longer
    than ``most`` bytes."""
    with path.open("rb") as file:
        if file.read(len(BOM_UTF8)) != BOM_UTF8:
            file.seek(0)
        for line in iter(partial(file.readline, most + 1), b""):
            if len(line) <= most or line.endswith(b"\n"):
                line = line.strip()
                if line:
                    yield line
                continue
            yield None
            while line and not line.endswith(b"\n"):
                line = file.readline(BLOCK)
