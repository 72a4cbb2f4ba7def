"""The pages: blueprints, forms, languages. Every page works without JavaScript, except for the live parts."""

from flask import Flask

from . import (
    access,
    audit,
    bell,
    compare,
    configs,
    connect,
    deleted_jobs,
    error_pages,
    filters,
    first_steps,
    form_keys,
    health,
    i18n,
    images,
    job,
    job_actions,
    job_charts,
    job_ratings,
    job_requests,
    job_results,
    job_settings,
    job_status,
    jobs,
    login,
    navigation,
    new_draft,
    new_job,
    new_template,
    page_cache,
    part_words,
    questions,
    reading_options,
    security,
    shortcuts,
    speed_words,
    storage,
    tag_forms,
    templates,
    users,
    workbench,
    workbench_data,
)


def register(app: Flask) -> None:
    """Register all pages with the app."""
    page_cache.register(app)
    for module in (
        *(security, form_keys, i18n, filters, job_status, part_words, speed_words),
        *(navigation, shortcuts, questions, error_pages),
    ):
        module.register(app)
    for module in (
        jobs,
        bell,
        deleted_jobs,
        new_draft,
        new_job,
        new_template,
        workbench,
        workbench_data,
        reading_options,
        templates,
        images,
        job,
        job_requests,
        job_ratings,
        job_results,
        job_charts,
        job_settings,
        job_actions,
        tag_forms,
        compare,
        configs,
        connect,
        access,
        storage,
        first_steps,
        login,
        users,
        audit,
        health,
    ):
        app.register_blueprint(module.blueprint)
