"""The help pages of simple-batch as files: python -m tools.help_pages [--write]

Each verb has one in tests/cli/help/; tests/cli/test_help.py compares them with the program's.
"""

import os
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "tests" / "cli" / "help"
WIDTH = 100


def pages() -> dict[str, str]:
    """The help of the program, of its groups and of each verb, by file name."""
    import click

    from simple_batch.cli import manner
    from simple_batch.cli.program import program
    from simple_batch.cli.verb_table import GROUPS, VERBS
    from simple_batch.core.command_names import speak_as_program

    manner.current.as_program = True
    speak_as_program()
    top = click.Context(program, info_name="simple-batch", terminal_width=WIDTH)
    found = {"simple-batch": program.get_help(top)}
    for name in [*GROUPS, *(verb.name for verb in VERBS)]:
        context, command = top, program
        for word in name.split():
            command = command.get_command(context, word)
            context = click.Context(command, parent=context, info_name=word, terminal_width=WIDTH)
        found[name.replace(" ", "-")] = command.get_help(context)
    return {f"{name}.txt": f"{text}\n" for name, text in found.items()}


def main() -> None:
    os.environ["COLUMNS"] = str(WIDTH)
    made = pages()
    if "--write" not in sys.argv:
        for text in made.values():
            print(text)
        return
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.txt"):
        path.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
