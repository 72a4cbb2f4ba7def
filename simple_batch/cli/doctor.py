"""The verb doctor: checks this installation, and says what to do."""

import sys
from pathlib import Path

import click
import msgspec

from ..core.terminal import shown_line, tolerate_encodings
from ..services import diagnosis, home_move, lifecycle
from . import colours
from .base import ExitStatus, command, put, put_json


@command("doctor", on_database=False)
@click.option("--no-apis", is_flag=True, help="Call no API.")
@click.option("--json", "as_json", is_flag=True)
@click.option(
    "--move-from",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Move the data in this folder to the home.",
)
def doctor(no_apis, as_json, move_from):
    """Check versions, data folder, port, database, disk, keys, clock, and each API with one free call
    (the list of its models). Exits with 1 if something is wrong, with 4 if the data folder or the settings
    cannot be used."""
    tolerate_encodings()
    if move_from is not None:
        lifecycle.prepare(with_database=False)
        put(f"Moved to {home_move.move(move_from)}. Check it: simple-batch doctor")
        return ExitStatus.DONE
    found = []
    for one in diagnosis.findings(with_apis=not no_apis):
        found.append(one)
        if not as_json:
            _put(one)
    if as_json:
        put_json(msgspec.to_builtins(found))
    wrong = sum(not one.ok for one in found)
    if not as_json:
        put("Everything is fine." if not wrong else f"Wrong: {wrong} of {len(found)} checks.")
    if any(not one.ok and one.name in (diagnosis.HOME, diagnosis.SETTINGS) for one in found):
        return ExitStatus.CONFIGURATION
    return ExitStatus.ERROR if wrong else ExitStatus.DONE


def _put(one: diagnosis.Finding) -> None:
    mark = _mark("ok  ", colours.GOOD) if one.ok else _mark("FAIL", colours.WRONG)
    detail = f"  {shown_line(one.detail)}" if one.detail else ""
    click.echo(f"{mark}  {shown_line(one.name)}{detail}")
    if one.remedy:
        click.echo(f"      → {shown_line(one.remedy)}")


def _mark(text: str, colour: str) -> str:
    return colours.coloured(text, colour) if colours.shown_on(sys.stdout) else text
