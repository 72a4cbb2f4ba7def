"""The part of the program that a page belongs to, for the links of the navigation, and the tabs of the settings."""

from flask import Blueprint, Flask, redirect, request, url_for
from flask_babel import lazy_gettext as _

from ..auth.guard import required_role
from ..core import identity

blueprint = Blueprint("settings", __name__)


_SECTIONS = {
    "jobs": ("jobs_list", "job_", "pictures"),
    "new": ("new_", "reading_options", "saved_templates"),
    "connections": ("configs", "connect"),
    "compare": ("compare",),
    "settings": ("settings", "access", "users", "audit", "storage"),
}

_SETTINGS = {
    "users.index": _("Team"),
    "access.index": _("Tokens and webhooks"),
    "storage.index": _("Storage"),
    "audit.index": _("Audit log"),
}


def register(app: Flask) -> None:
    app.register_blueprint(blueprint)
    app.add_template_global(current_section)
    app.add_template_global(settings_tabs)


def current_section() -> str:
    """The section of the page; empty where it has none."""
    blueprint = request.blueprint or ""
    for section, prefixes in _SECTIONS.items():
        if blueprint.startswith(prefixes):
            return section
    return ""


def settings_tabs() -> dict[str, str]:
    """The titles of the settings that the caller may open, by endpoint."""
    caller = identity.current()
    return {
        endpoint: str(title)
        for endpoint, title in _SETTINGS.items()
        if caller.may(required_role(endpoint, "GET"))
    }


@blueprint.get("/settings")
def index():
    """Redirect to the first of the settings that the caller may open."""
    return redirect(url_for(next(iter(settings_tabs()))), 303)
