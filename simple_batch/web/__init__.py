"""The pages: blueprints, forms, languages. Every page works without JavaScript, less the live parts."""

from flask import Flask

from . import (
    access,
    audit,
    compare,
    configs,
    error_pages,
    filters,
    health,
    i18n,
    job_actions,
    job_charts,
    job_pages,
    job_requests,
    job_settings,
    jobs_list,
    login,
    new_job,
    new_template,
    once,
    pictures,
    rush,
    saved_templates,
    security,
    storage,
    users,
)


def register(app: Flask) -> None:
    """Hang everything on the app."""
    rush.register(app)
    for module in (security, once, i18n, filters, error_pages):
        module.register(app)
    for module in (
        jobs_list,
        new_job,
        new_template,
        saved_templates,
        pictures,
        job_pages,
        job_requests,
        job_charts,
        job_settings,
        job_actions,
        compare,
        configs,
        access,
        storage,
        login,
        users,
        audit,
        health,
    ):
        app.register_blueprint(module.blueprint)
