"""The program simple-batch. Verbs are loaded when they are called, so that its help appears at once."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError

from ..core.command_names import speak_as_program
from ..core.home import HOME
from ..core.terminal import shown
from ..core.version import __version__
from . import interrupts, manner
from .verb_table import GROUPS, SECTIONS, VERBS, Verb

COMPLETES = "_SIMPLE_BATCH_COMPLETE"  # the variable by which a shell asks
_HELP = """Send a file of prompts through an LLM: fast, resumable, watched live.

\b
Try it without a key:
  simple-batch demo
One line for a table:
  simple-batch run reviews.csv -p "Classify: {{ review }}" --api NAME -o out.xlsx
"""


class VerbGroup(click.Group):
    """A group whose verbs are loaded when they are called. ``prefix`` is its own name."""

    def __init__(self, *args: Any, prefix: str = "", **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._start = f"{prefix} " if prefix else ""
        own = [v for v in VERBS if v.name.startswith(self._start)]
        names = [v.name.removeprefix(self._start).partition(" ")[0] for v in own]
        self.commands = dict.fromkeys(names)  # type: ignore[assignment]  # click suggests names from it

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if not self._start and cmd_name in GROUPS:
            return VerbGroup(cmd_name, prefix=cmd_name, help=GROUPS[cmd_name], no_args_is_help=True)
        for verb in VERBS:
            if verb.name == self._start + cmd_name:
                return _loaded(verb)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self._start:
            with formatter.section("Verbs"):
                formatter.write_dl(
                    [
                        (verb.name.removeprefix(self._start), verb.help)
                        for verb in VERBS
                        if verb.name.startswith(self._start)
                    ]
                )
            return
        for section in SECTIONS:
            rows: dict[str, str] = {}
            for verb in section.verbs:
                first, _, second = verb.name.partition(" ")
                rows[first] = GROUPS[first] if second else verb.help
            with formatter.section(section.title):
                formatter.write_dl(list(rows.items()))


def _loaded(verb: Verb) -> click.Command:
    if verb.makes_calls:
        from ..core.patching import patch_all

        patch_all()  # before anything of the package is loaded that a job needs
    from .adapted import verb_of

    module, _, attribute = verb.place.partition(".")
    return verb_of(verb, getattr(import_module(f".{module}", __package__), attribute))


def settle_home(path: str | None) -> None:
    """Use the data folder at ``path``, if there is one, before every other choice (core/home.py)."""
    if path:
        os.environ[HOME] = str(Path(path).expanduser().absolute())


@click.command(
    "simple-batch",
    cls=VerbGroup,
    help=_HELP,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Help of a verb: simple-batch VERB --help",
)
@click.version_option(__version__, prog_name="simple-batch", message="%(prog)s %(version)s")
@click.option("--home", metavar="PATH", help="Folder of the data (SIMPLE_BATCH_HOME).")
def program(home: str | None) -> None:
    settle_home(home)


def main() -> None:
    """The console entry."""
    manner.current.as_program = True
    speak_as_program()
    try:
        with interrupts.handled(loading=True):
            if COMPLETES in os.environ:
                import_module(".bash_words", __package__)
            sys.exit(program.main(prog_name="simple-batch", standalone_mode=False))
    except NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _complain(f"Error: {error.format_message()}")
        context = getattr(error, "ctx", None)
        if context is not None:
            click.echo(f"Help: {context.command_path} --help", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(130)


def _complain(text: str) -> None:
    from . import colours  # not needed by the help

    text = colours.error(shown(text), sys.stderr)
    click.echo(text, err=True, color=True if colours.shown_on(sys.stderr) else None)


if __name__ == "__main__":
    main()
