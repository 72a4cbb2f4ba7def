"""OpenAI's Batch API on the same jobs: /v1/files, /v1/batches, /v1/models (docs/batch-api.md)."""

from flask import Flask

from . import batches, files, models, not_found


def register(app: Flask) -> None:
    """Hang the routes on the app. Programs come with a token instead of a form's."""
    for module in (files, batches, models, not_found):
        app.extensions["csrf"].exempt(module.blueprint)
    for module in (files, batches, models):
        app.register_blueprint(module.blueprint)
    not_found.register(app)
