"""serve: the server process, as run.py starts it."""

import sys
from importlib import import_module

import click

from .base import command


@command("serve", on_database=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=7861, show_default=True)
@click.option(
    "--open/--no-open", "opens", default=None, help="Open a browser.  [default: on a terminal]"
)
def serve(host, port, opens):
    """Serve the pages and run the jobs, until you stop it with Ctrl-C."""
    opens = sys.stdout.isatty() if opens is None else opens
    arguments = ["--host", host, "--port", str(port), *(["--open"] if opens else [])]
    return import_module("simple_batch.serve").main(arguments)
