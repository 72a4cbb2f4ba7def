"""How this process speaks as a command: as ``flask`` or as ``simple-batch``, how much, and in which form."""

from dataclasses import dataclass, field


@dataclass
class Manner:
    as_program: bool = False  # simple-batch, not flask
    quiet: bool = False  # only data and errors
    progress: bool = True
    collects: bool = False  # messages become the JSON object that the command prints
    messages: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)


current = Manner()
