"""The app as the flask command loads it (.flaskenv): what is wrong is said in words, not as a
traceback."""

import sys

import click
from flask import Flask

from . import create_app as create
from .errors import SimpleBatchError


def create_app() -> Flask:
    """Raises click's exception with our message and exit code."""
    try:
        return _without_database() if "restore-db" in sys.argv else create()
    except SimpleBatchError as error:
        told = click.ClickException(str(error))
        told.exit_code = error.exit_code
        raise told from error


def _without_database() -> Flask:
    """For the command that is needed most where the database cannot be opened."""
    from . import cli, log, runtime, settings

    loaded = settings.load()
    log.configure(loaded)
    runtime.open_runtime(loaded)
    app = Flask(__name__, instance_path=str(loaded.instance))
    cli.register(app)
    return app
