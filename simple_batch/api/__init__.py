"""OpenAI's Batch API on the same jobs: /v1/files, /v1/batches, /v1/models (docs/batch-api.md)."""

from flask import Flask

from . import batches, files, models, not_found


def register(app: Flask) -> None:
    """Register the routes with the app. Programs send an API token instead of a CSRF token."""
    for module in (files, batches, models, not_found):
        app.extensions["csrf"].exempt(module.blueprint)
    for module in (files, batches, models):
        app.register_blueprint(module.blueprint)
    not_found.register(app)
