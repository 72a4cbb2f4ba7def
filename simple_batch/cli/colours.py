"""Colours of the program simple-batch on a terminal: of tables, errors, the doctor and the progress panel.

A pipe and a file never get colours. NO_COLOR (no-color.org) switches them off; FORCE_COLOR switches them on
where the terminal says that it has none (TERM=dumb).
"""

import os
from typing import TextIO

import click

from . import manner

GOOD, WRONG, UNDER_WAY, CAREFUL = "green", "red", "cyan", "yellow"
_OF_STATUS = {
    "completed": GOOD,
    "completed_with_failures": CAREFUL,
    "failed": WRONG,
    "expired": WRONG,
    "paused": CAREFUL,
    "validating": UNDER_WAY,
    "scheduled": UNDER_WAY,
    "queued": UNDER_WAY,
    "running": UNDER_WAY,
    "finalizing": UNDER_WAY,
    "cancelling": CAREFUL,
    "cancelled": CAREFUL,
}


def shown_on(stream: TextIO) -> bool:
    """Whether a stream gets colours."""
    if not manner.current.as_program or not stream.isatty() or os.environ.get("NO_COLOR"):
        return False
    return os.environ.get("TERM") != "dumb" or bool(os.environ.get("FORCE_COLOR"))


def of_cell(column: str, text: str) -> str | None:
    """The colour of a value in a table or of a job; None where it has none."""
    if column in ("status", "outcome_status"):
        return _OF_STATUS.get(text)
    return WRONG if column == "failed" and text.strip("0") else None


def title(text: str) -> str:
    """The name of a column or of a figure."""
    return click.style(text, bold=True)


def coloured(text: str, colour: str | None) -> str:
    return click.style(text, fg=colour) if colour and text else text


def error(text: str, stream: TextIO) -> str:
    """A message whose first word is red where it begins an error."""
    if text.startswith("Error:") and shown_on(stream):
        return click.style("Error:", fg=WRONG, bold=True) + text.removeprefix("Error:")
    return text
