"""OpenAI's Batch API on the same jobs: /v1/files, /v1/batches, /v1/models (docs/batch-api.md)."""

from flask import Flask

from . import batches, files, models, nowhere


def register(app: Flask) -> None:
    """Hang the routes on the app. Programs come with a token instead of a form's."""
    for module in (files, batches, models, nowhere):
        app.extensions["csrf"].exempt(module.blueprint)
    for module in (files, batches, models):
        app.register_blueprint(module.blueprint)
    nowhere.register(app)
