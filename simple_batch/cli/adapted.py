"""Makes verbs of the program out of flask commands: the same parameters and the same function."""

import copy
import gc
from collections.abc import Callable
from typing import Any

import click

from ..services.lifecycle import prepare
from ..store.database import close_database
from .base import FlaskCommand, exiting, on_open_database
from .manner import in_words_of_program
from .program import settle_home
from .verb_table import WITHOUT_DATABASE, Verb


def verb_of(verb: Verb, command: FlaskCommand) -> click.Command:
    """The verb that does what the command does."""
    return click.Command(
        verb.name.rpartition(" ")[2],
        params=[*map(_parameter, command.params), *_common()],
        callback=_callback(verb, command),
        help=in_words_of_program(command.help or ""),
    )


def _parameter(one: click.Parameter) -> click.Parameter:
    own = copy.copy(one)
    if isinstance(own, click.Option) and own.help:
        own.help = in_words_of_program(own.help)
    return own


def _common() -> list[click.Parameter]:
    return [click.Option(["--home"], metavar="PATH", help="Folder of the data.")]


def _callback(verb: Verb, command: FlaskCommand) -> Callable[..., None]:
    function = on_open_database(command.function) if command.on_database else command.function

    def act(**options: Any) -> Any:
        prepare(verb.name not in WITHOUT_DATABASE)
        return function(**options)

    def run(home: str | None, **options: Any) -> None:
        gc.freeze()  # what is loaded stays: not to be looked through again at the end
        settle_home(home)
        try:
            exiting(act)(**options)
        finally:
            close_database()

    return run
