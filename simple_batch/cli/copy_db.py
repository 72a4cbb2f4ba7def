"""copy-db: copies this installation's rows into another database."""

import sys
import time
from collections.abc import Callable

import click
import msgspec

from ..core import context
from ..core.settings import Settings
from ..services import database_copy
from ..store.database import is_server
from ..store.secrets import KEY_FILE, SESSION_FILE
from ..store.transfer.copy import Noted
from .base import ExitStatus, command, counted, put_json, say, table

_PLAIN_EVERY_S = 5.0
_HEADER = ["TABLE", "ROWS", "CHANGED", "DIFFERENT", "SHA-256"]


@command("copy-db", on_database=False)
@click.argument("target_url")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
def copy_db(target_url, as_json):
    """Copy the database to the empty one at TARGET_URL (postgresql://… or sqlite:///path), and compare
    the two row by row. No server may run. Others on this machine can read arguments: leave the password
    out of the URL and set PGPASSWORD, or use ~/.pgpass."""
    began = time.monotonic()
    shown: list[_Shown] = []

    def begun(rows: int) -> Callable[[int], None]:
        shown.append(_Bar(rows) if sys.stderr.isatty() else _Lines(rows))
        return shown[0].more

    try:
        moved = database_copy.move(target_url, begun)
    finally:
        for one in shown:
            one.end()
    seconds = time.monotonic() - began
    if as_json:
        put_json({**msgspec.to_builtins(_object(moved)), "seconds": round(seconds, 1)})
    _report(moved, seconds)
    if moved.different.count:
        return ExitStatus.ERROR
    _what_else(context.settings(), moved, is_server(target_url))
    return ExitStatus.DONE


def _object(moved: database_copy.Moved) -> dict:
    def noted(found: Noted) -> dict:
        return {"rows": found.count, "first": found.first}

    return {
        "source": moved.source,
        "target": moved.target,
        "tables": moved.tables,
        "changed": noted(moved.changed),
        "different": noted(moved.different),
    }


def _report(moved: database_copy.Moved, seconds: float) -> None:
    rows = [[t.table, f"{t.rows:,}", t.changed, t.different, t.digest] for t in moved.tables]
    for line in table(_HEADER, rows):
        say(line)
    if moved.changed.count:
        say(
            f"{counted(moved.changed.count, 'row')} had texts with characters that PostgreSQL does not keep "
            "(NUL, or bytes that are no UTF-8): U+FFFD stands for them in the copy."
        )
        _name(moved.changed)
    total = sum(t.rows for t in moved.tables)
    if moved.different.count:
        say(
            f"Error: rows that are not the same in the copy: {moved.different.count:,} of {total:,}:"
        )
        _name(moved.different)
        say(f"Do not use {moved.target}. Find out why, then run the command again.")
    else:
        say(f"{counted(total, 'row')} copied and compared in {seconds:.0f} s: all are the same.")


def _name(found: Noted) -> None:
    for place in found.first:
        say(f"  {place}")
    if found.count > len(found.first):
        say("  and more")


def _what_else(settings: Settings, moved: database_copy.Moved, server: bool) -> None:
    """What the user has to do now."""
    keys = "the setting ENCRYPTION_KEYS" if settings.ENCRYPTION_KEYS else KEY_FILE
    session = "the setting SECRET_KEY" if settings.SECRET_KEY else SESSION_FILE
    steps = [
        f"Set SIMPLE_BATCH_DATABASE_URL to the full URL that you gave here ({moved.target}) and start "
        "the server. Jobs continue there.",
        f"Start nothing on {moved.source} any more, or unfinished requests are sent and paid for "
        "twice. It is unchanged. Keep it until you are sure that the copy works.",
        f"The instance folder {settings.instance.absolute()} is still needed. To move to another "
        f"machine, copy to the same path: {keys} (needed to decrypt the API keys, the secret headers and "
        f"query parameters of connections, and the secrets of webhooks), {session}, uploads with its "
        "images and files, settings.toml, prices.toml, and the exports if you need them.",
    ]
    if server and settings.BACKUP_EVERY_HOURS:
        steps.append("Set BACKUP_EVERY_HOURS to 0: it is for the file. Use pg_dump.")
    for number, step in enumerate(steps, 1):
        say(f"  {number}. {step}")


class _Shown:
    """Progress of the copy. Each row counts twice: when it is written and when it is compared."""

    def __init__(self, rows: int):
        self.rows, self.done = rows, 0

    @property
    def words(self) -> str:
        return "copying" if self.done < self.rows else "comparing"

    def more(self, count: int) -> None:
        self.done += count

    def end(self) -> None:
        """End the progress output."""


class _Bar(_Shown):
    def __init__(self, rows: int):
        super().__init__(rows)
        self._bar = click.progressbar(
            length=max(1, 2 * rows),
            label="copy-db",
            file=sys.stderr,
            item_show_func=lambda item: item,
        )
        self._bar.__enter__()

    def more(self, count: int) -> None:
        super().more(count)
        self._bar.update(count, self.words)

    def end(self) -> None:
        self._bar.__exit__(None, None, None)


class _Lines(_Shown):
    _said_at = 0.0

    def more(self, count: int) -> None:
        super().more(count)
        if time.monotonic() - self._said_at >= _PLAIN_EVERY_S:
            self._said_at = time.monotonic()
            done = self.done if self.done < self.rows else self.done - self.rows
            say(f"{self.words}: {done:,} of {self.rows:,} rows")


COMMANDS = (copy_db,)
