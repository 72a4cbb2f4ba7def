"""The app as the flask command loads it (.flaskenv): the commands alone, without what serves pages,
so that they start fast. What is wrong is said in words, not as a traceback."""

import gc
import sys

import click
from flask import Flask

from .. import cli
from ..core.errors import SimpleBatchError
from ..services.lifecycle import Services, prepare
from ..store.database import close_database

_SERVING = {"run", "routes", "shell"}  # Flask's own commands want all of it
_WITHOUT_DATABASE = "restore-db"  # needed most where the database cannot be opened


def create_app() -> Flask:
    """Raises click's exception with our message and exit code."""
    gc.freeze()  # what is loaded stays: not to be looked through again at the end
    asked = set(sys.argv[1:])
    try:
        if asked & _SERVING:
            from .. import create_app as whole

            return whole()
        return _commands(with_database=_WITHOUT_DATABASE not in asked)
    except SimpleBatchError as error:
        refused = click.ClickException(str(error))
        refused.exit_code = error.exit_code  # type: ignore[misc]  # click reads the instance's
        raise refused from error


def _commands(with_database: bool) -> Flask:
    loaded = prepare(with_database)
    app = Flask(__name__, instance_path=str(loaded.instance))
    app.extensions["simple_batch"] = Services(loaded)
    cli.register(app)

    @app.teardown_appcontext
    def close(_error) -> None:
        """So that no write-ahead log is left beside the file."""
        close_database()

    return app
