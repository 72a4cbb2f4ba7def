"""Makes verbs of the program out of flask commands: the same parameters and the same function.

Every verb has --json, --quiet, --no-progress and --home. A job may be named by its id, its name or
``last``.
"""

import copy
import gc
from collections.abc import Callable
from typing import Any

import click

from ..core.command_names import help_of_program
from ..services.job_names import job_id_of
from ..services.lifecycle import prepare
from ..store.database import close_database
from . import completion, manner
from .base import FlaskCommand, exiting, on_open_database, put_json
from .program import settle_home
from .verb_table import WITHOUT_DATABASE, WITHOUT_SETTINGS, Verb

_CONNECTIONS = ("config", "alias")  # parameters that name one


def verb_of(verb: Verb, command: FlaskCommand) -> click.Command:
    """The verb that does what the command does."""
    params = [_parameter(one) for one in command.params]
    own = {option for one in params for option in one.opts}
    return click.Command(
        verb.name.rpartition(" ")[2],
        params=[*params, *(one for one in _common() if not own & set(one.opts))],
        callback=_callback(verb, command),
        help=help_of_program(command.help or ""),
    )


def _parameter(one: click.Parameter) -> click.Parameter:
    own = copy.copy(one)
    if isinstance(own, click.Option):
        own.help = help_of_program(own.help or "") or None
        if own.name == "config":
            own.opts = ["--api", *own.opts]
        if own.name == "as_json" and not own.help:
            own.help = "Print JSON."
    if own.name == "job_id":
        own.type, own.metavar = click.STRING, "JOB"
    own._custom_shell_complete = completion.of_parameter(own.name or "")
    return own


def _common() -> list[click.Option]:
    return [
        click.Option(["--json", "generic_json"], is_flag=True, help="Print the outcome as JSON."),
        click.Option(["-q", "--quiet"], is_flag=True, help="Print only data and errors."),
        click.Option(["--no-progress"], is_flag=True, help="Show no progress."),
        click.Option(["--home"], metavar="PATH", help="Folder of the data."),
    ]


def _callback(verb: Verb, command: FlaskCommand) -> Callable[..., None]:
    function = _with_job(verb, command.function)
    if command.on_database:
        function = on_open_database(function)

    def act(generic_json: bool = False, **options: Any) -> Any:
        if verb.name not in WITHOUT_SETTINGS:
            prepare(verb.name not in WITHOUT_DATABASE)
        if not generic_json:
            return function(**options)
        manner.current.collects = True
        status = function(**options)
        manner.current.collects = False
        put_json({"data": manner.current.data, "messages": manner.current.messages})
        return status

    def run(home: str | None, quiet: bool, no_progress: bool, **options: Any) -> None:
        gc.freeze()  # what is loaded stays: not to be looked through again at the end
        settle_home(home)
        manner.current.quiet = quiet
        manner.current.progress = not (no_progress or quiet)
        try:
            exiting(act)(**options)
        finally:
            close_database()

    return run


def _with_job(verb: Verb, function: Callable) -> Callable:
    """The function, which gets the id of the job that was named."""

    def run(**options: Any) -> Any:
        if "job_id" in options:
            options["job_id"] = job_id_of(options["job_id"], in_bin=verb.name == "restore")
        return function(**options)

    return run
