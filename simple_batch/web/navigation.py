"""The part of the program that a page belongs to, for the links of the navigation."""

from flask import Flask, request

_SECTIONS = {
    "jobs": ("jobs_list", "job_", "pictures"),
    "new": ("new_", "reading_options", "saved_templates"),
    "connections": ("configs", "connect"),
    "access": ("access", "users", "audit"),
    "compare": ("compare",),
    "storage": ("storage",),
}


def register(app: Flask) -> None:
    app.add_template_global(current_section)


def current_section() -> str:
    """The section of the page; empty where it has none."""
    blueprint = request.blueprint or ""
    for section, prefixes in _SECTIONS.items():
        if blueprint.startswith(prefixes):
            return section
    return ""
