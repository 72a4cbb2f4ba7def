"""Simple Batch: a pile of prompts through an LLM, watched live, nothing lost."""

import secrets as random_secrets
from typing import TYPE_CHECKING

from .core.version import __version__ as __version__

if TYPE_CHECKING:  # a command loads no Flask that needs none
    from flask import Flask


def create_app(**overrides) -> "Flask":
    """Wire an app together. ``overrides`` are settings by name (see docs/configuration.md).

    Opens and migrates the database, but starts nothing: see ``Services.start``. Raises
    SettingsError or DatabaseError with the remedy.
    """
    # imported here: importing the package alone (its domain, its engine) needs none of this
    from flask import Flask

    from . import api, cli, web
    from .auth import guard
    from .core import home, redaction, request_input, settings
    from .services.lifecycle import Services, message_queue, prepare
    from .store.secrets import SESSION_FILE, kept_secret
    from .web import live_feed
    from .web.middleware import Middleware

    loaded = prepare(**overrides)
    app = Flask(
        __name__,
        instance_path=str(loaded.instance),
        template_folder=str(home.resource("templates")),
        static_folder=str(home.resource("static")),
    )
    session_key = loaded.SECRET_KEY or kept_secret(
        loaded.instance / SESSION_FILE, random_secrets.token_hex
    )
    redaction.remember(session_key)
    app.config.update(
        SECRET_KEY=session_key,
        MAX_CONTENT_LENGTH=loaded.MAX_UPLOAD_BYTES + settings.MIB,
        MAX_FORM_PARTS=520,  # a form's files are open all at once: 500 images and what is beside
    )
    request_input.register(app)
    _connect_each_request(app)
    guard.register(app, loaded)
    app.extensions["simple_batch"] = Services(loaded)
    live_feed.create(app, message_queue(loaded))
    web.register(app)
    api.register(app)
    cli.register(app)
    app.wsgi_app = Middleware(app.wsgi_app, loaded)  # type: ignore[method-assign]  # as Flask's docs do
    guard.trust_proxies(app, loaded)
    return app


def _connect_each_request(app: "Flask") -> None:
    """Open a connection for each page. Static files need none, and the health checks must answer
    without one."""
    from flask import g, request

    from .store.database import connected

    @app.before_request
    def connect() -> None:
        if request.endpoint != "static" and request.blueprint != "health":
            g.database = connected()
            g.database.__enter__()

    @app.teardown_request
    def disconnect(error) -> None:
        held = g.pop("database", None)
        if held is not None:
            held.__exit__(None, None, None)
