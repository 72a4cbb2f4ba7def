"""What all commands share: exit codes, error messages on stderr, data on stdout."""

import functools
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from enum import IntEnum
from typing import TextIO

import click
import peewee

from ..core.command_names import in_words_of_program
from ..core.domain import Fault
from ..core.errors import SimpleBatchError, UploadRejected
from ..core.terminal import shown, shown_json, shown_line
from ..store.database import connected, is_locked, is_transient
from . import colours, fitting_table, help_lines, interrupts, manner


class ExitStatus(IntEnum):
    """Exit codes of commands; a contract."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    SOME_FAILED = 3
    CONFIGURATION = 4
    CANCELLED = 5
    INTERRUPTED = 130


class _Price(click.ParamType):
    name = "price"

    def convert(self, value, param, ctx):
        try:
            return value if isinstance(value, Decimal) else Decimal(value)
        except InvalidOperation:
            self.fail(f"{value!r} is not a number", param, ctx)


PRICE = _Price()


class FlaskCommand(click.Command):
    """A flask command, which the verbs of the program reuse (adapted.py)."""

    function: Callable
    on_database: bool


def command(name: str, on_database: bool = True):
    """Decorator of a flask command. It opens the database (unless switched off) and exits with an
    ExitStatus, which the function may return."""

    def decorate(function: Callable) -> FlaskCommand:
        opened = on_open_database(function) if on_database else function
        made = click.command(name, cls=FlaskCommand)(_in_app(exiting(opened)))
        made.function, made.on_database = function, on_database
        return made

    return decorate


def on_open_database(function: Callable) -> Callable:
    """The function, called with the database open."""

    @functools.wraps(function)
    def run(*args, **kwargs):
        with connected():
            return function(*args, **kwargs)

    return run


def _in_app(function: Callable) -> Callable:
    """The function within the context of the Flask app, for which Flask is loaded when it is called."""

    @functools.wraps(function)
    def run(*args, **kwargs):
        from flask.cli import with_appcontext

        return with_appcontext(function)(*args, **kwargs)

    return run


def exiting(function: Callable) -> Callable:
    """The function, after which the process exits with the ExitStatus that it returns, or with that of
    its error, which is said."""

    @functools.wraps(function)
    def run(*args, **kwargs):
        try:
            with interrupts.handled():
                status = function(*args, **kwargs)
        except UploadRejected as error:
            complain(f"Error: {error}")
            for fault in error.faults:
                complain(f"  {fault}")
                for line in excerpt_lines(fault):
                    complain(line)
            if error.fault_count > len(error.faults) > 0:
                complain(f"  and {error.fault_count - len(error.faults):,} more")
            status = ExitStatus.ERROR
        except SimpleBatchError as error:
            complain(f"Error: {error}")
            suggest(error)
            status = error.exit_code
        except peewee.PeeweeException as error:
            if is_locked(error):
                complain(
                    "Error: another process holds the database: try again when it has finished."
                )
            elif is_transient(error):
                complain(f"Error: the database cannot be reached at the moment ({error})")
            else:
                raise
            status = ExitStatus.CONFIGURATION
        except BrokenPipeError:
            # the reader of our output has seen enough; do not complain again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = ExitStatus.DONE
        except (KeyboardInterrupt, click.Abort):
            complain("Interrupted.")
            status = ExitStatus.INTERRUPTED
        sys.exit(int(status or ExitStatus.DONE))

    return run


def counted(count: int, noun: str) -> str:
    """``1 request``, ``2,000 requests``: a noun whose plural ends in s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def excerpt_lines(fault: Fault) -> list[str]:
    """The part of a line around a fault, and under it a caret at the place; none without an excerpt."""
    if fault.excerpt is None:
        return []
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in fault.excerpt[: fault.mark])
    return [f"    {fault.excerpt}", "    " + " " * (fault.mark + wide) + "^"]


def say(text: str) -> None:
    """Print a message to stderr, unless --quiet was given."""
    if manner.current.collects:
        manner.current.messages.append(in_words_of_program(text))
    elif not manner.current.quiet:
        complain(text)


def complain(text: str) -> None:
    """Print a message to stderr in any case."""
    _echo(colours.error(shown(in_words_of_program(text)), sys.stderr), sys.stderr)


def suggest(error: SimpleBatchError) -> None:
    """Name the command that helps, where the program runs."""
    if manner.current.as_program:
        line = help_lines.of_error(error)
        if line:
            complain(line)


def put(text: str) -> None:
    """Print data to stdout, unchanged unless that is a terminal."""
    if manner.current.collects:
        manner.current.data.append(text)
    else:
        click.echo(shown(text) if sys.stdout.isatty() else text)


def put_json(data) -> None:
    put_json_text(json.dumps(data, ensure_ascii=False, indent=2))


def put_json_text(text: str) -> None:
    """The same for a text that is JSON already."""
    put(shown_json(text))


def put_table(header: list[str], rows: list[list]) -> None:
    """Print aligned columns, separated so that cut and awk can split them. The program makes them fit the
    terminal."""
    if not manner.current.as_program or not sys.stdout.isatty() or manner.current.collects:
        for line in table(header, rows):
            put(line)
        return
    texts = [["" if it is None else str(it) for it in row] for row in rows]
    for line in fitting_table.lines(header, texts, in_colour=colours.shown_on(sys.stdout)):
        _echo(line, sys.stdout)


def put_field(name: str, value: str) -> None:
    """Print a figure with its name to stdout."""
    if manner.current.collects or not colours.shown_on(sys.stdout):
        put(f"{name:20} {value}")
        return
    value = colours.coloured(shown(value), colours.of_cell(name, value))
    _echo(f"{colours.title(name.ljust(20))} {value}", sys.stdout)


def _echo(text: str, stream: TextIO) -> None:
    """Print a line that is escaped already. Click takes the colours out for what is no terminal."""
    click.echo(text, file=stream, color=True if colours.shown_on(stream) else None)


def table(header: list[str], rows: list[list]) -> Iterator[str]:
    """The lines of ``put_table``."""
    cells = [header, *[["" if it is None else shown_line(str(it)) for it in row] for row in rows]]
    widths = [max(len(row[n]) for row in cells) for n in range(len(header))]
    for row in cells:
        yield "  ".join(
            value.ljust(width) for value, width in zip(row, widths, strict=True)
        ).rstrip()


def confirm(yes: bool, question: str) -> None:
    """Ask, unless ``--yes`` was given. Raises click's Abort if the answer is no, UsageError without a
    terminal."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("No terminal to ask on: give --yes.")
        click.confirm(shown(question), abort=True, err=True)


def patched() -> bool:
    """True in a process patched by gevent, where jobs can run."""
    from gevent import monkey

    return monkey.is_module_patched("socket")


def run_patched() -> None:
    """Restart this command in a process patched by gevent. Does not return."""
    # the program simple-batch has patched itself
    code = "from simple_batch.core.patching import patch_all; patch_all(); from flask.cli import main; main()"
    arguments = [sys.executable, "-c", code, *sys.argv[1:]]
    if os.name == "nt":
        # to start this very command again
        import subprocess  # nosec B404

        done = subprocess.run(arguments, check=False)  # noqa: S603 # nosec B603
        sys.exit(done.returncode)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, arguments)  # noqa: S606 # nosec B606
