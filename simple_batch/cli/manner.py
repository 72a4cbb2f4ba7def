"""How this process speaks as a command: as ``flask`` or as ``simple-batch``, how much, and in which form."""

import os
import re
from dataclasses import dataclass, field
from typing import TextIO

from .verb_table import VERBS

_FLASK_COMMANDS = {verb.flask: verb.name for verb in VERBS}
_NAMES = "|".join(sorted(_FLASK_COMMANDS, key=len, reverse=True))
_NAMED = re.compile(rf"\bflask ({_NAMES})\b")
_ALONE = re.compile(rf"(?<![-\w])({'|'.join(name for name in _FLASK_COMMANDS if '-' in name)})\b")


@dataclass
class Manner:
    as_program: bool = False  # simple-batch, not flask
    quiet: bool = False  # only data and errors
    progress: bool = True
    collects: bool = False  # messages become the JSON object that the command prints
    messages: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)


current = Manner()


def in_words_of_program(text: str) -> str:
    """A text with the commands that it names, as the program that runs has them."""
    if not current.as_program:
        return text
    named = _NAMED.sub(lambda found: f"simple-batch {_FLASK_COMMANDS[found[1]]}", text)
    return named.replace("python run.py", "simple-batch serve")


def help_of_program(text: str) -> str:
    """The same of a help text, which names commands without flask too."""
    if not current.as_program:
        return text
    text = in_words_of_program(text).replace("--config", "--api")
    return _ALONE.sub(lambda found: f"simple-batch {_FLASK_COMMANDS[found[1]]}", text)


def has_colour(stream: TextIO) -> bool:
    """Whether a stream shows colours: a terminal, unless NO_COLOR is set (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")
