"""How this process speaks as a command: as ``flask`` or as ``simple-batch``, how much, and in which form."""

import os
from dataclasses import dataclass, field
from typing import TextIO


@dataclass
class Manner:
    as_program: bool = False  # simple-batch, not flask
    quiet: bool = False  # only data and errors
    progress: bool = True
    collects: bool = False  # messages become the JSON object that the command prints
    messages: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)


current = Manner()


def has_colour(stream: TextIO) -> bool:
    """Whether a stream shows colours: a terminal, unless NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")
