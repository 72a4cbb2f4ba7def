"""The app as the flask command loads it (.flaskenv): what is wrong is said in words, not as a
traceback."""

import click
from flask import Flask

from . import create_app as create
from .errors import SimpleBatchError


def create_app() -> Flask:
    """Raises click's exception with our message and exit code."""
    try:
        return create()
    except SimpleBatchError as error:
        told = click.ClickException(str(error))
        told.exit_code = error.exit_code
        raise told from error
