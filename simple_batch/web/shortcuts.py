"""What can be reached by a key or by a name: one registry for the navigation, the list of shortcuts (``?``), the
keys themselves and the command palette. The actions of a page are its own buttons (``data-commands``)."""

from dataclasses import dataclass

from cachetools import LRUCache, cached
from flask import Blueprint, Flask, g, render_template, request, url_for
from flask_babel import get_locale
from flask_babel import lazy_gettext as _
from flask_babel.speaklater import LazyString
from markupsafe import Markup

from .. import insight
from ..auth.guard import required_role
from ..core import identity
from .job_status import job_status_word, leads_to_results

blueprint = Blueprint("shortcuts", __name__)

JOBS_FOUND = 8
_CALLERS = 32  # kinds of callers, by language and role


@dataclass(frozen=True)
class Command:
    """A page with an ``endpoint`` (in the navigation under ``section``), or what ``act`` names in
    static/js/shortcuts.js; keys that follow one another have a space between them."""

    title: LazyString
    keys: str = ""
    endpoint: str = ""
    section: str = ""
    act: str = ""
    listed: bool = True  # in the palette


COMMANDS = (
    Command(_("Jobs"), "g j", "jobs_list.index", "jobs"),
    Command(_("New job"), "g n", "new_job.start", "new"),
    Command(_("Connections"), "g a", "configs.index", "connections"),
    Command(_("Compare"), "g c", "compare.index", "compare"),
    Command(_("Settings"), "", "settings.index", "settings"),
    Command(_("Team"), "g u", "users.index"),
    Command(_("Tokens and webhooks"), "g t", "access.index"),
    Command(_("Storage"), "g s", "storage.index"),
    Command(_("Audit log"), "g l", "audit.index"),
    Command(_("Finished jobs"), "g f", "finished_jobs.index"),
    Command(_("Templates"), "g p", "saved_templates.index"),
    Command(_("New connection"), "", "configs.new"),
    Command(_("Bin"), "g b", "job_bin.index"),
    Command(_("Search jobs, pages and actions"), "Mod K", act="palette", listed=False),
    Command(_("Keyboard shortcuts"), "?", act="help"),
    Command(_("Search or filter on this page"), "/", act="search", listed=False),
    Command(_("Tabs of the page"), "1 – 9", act="tabs", listed=False),
    Command(_("Next row or request"), "j", act="next", listed=False),
    Command(_("Previous row or request"), "k", act="previous", listed=False),
    Command(_("Open the row"), "Enter", act="open", listed=False),
    Command(_("Select the row"), "x", act="select", listed=False),
    # these are keys of single parts: static/js/results*.js and workbench.js
    Command(_("Results: select a range of rows"), "X", listed=False),
    Command(_("Results: select all loaded rows"), "Mod A", listed=False),
    Command(_("Results: copy the selected rows"), "Mod C", listed=False),
    Command(_("Results: close the answer"), "Esc", listed=False),
    Command(_("Rating: good or bad"), "+ −", listed=False),
    Command(_("Rating: score of 1 to 5"), "1 – 5", listed=False),
    Command(_("Rating: add a label"), "l", listed=False),
    Command(_("Rating: write a note"), "n", listed=False),
    Command(_("Rating: save the note"), "Mod Enter", listed=False),
    Command(_("Workbench: run the changed cells"), "Mod Enter", listed=False),
    Command(_("Light or dark"), "t", act="theme"),
)


def register(app: Flask) -> None:
    app.register_blueprint(blueprint)
    # the same on every page: making them takes as long as a list of jobs
    known = cached(LRUCache(_CALLERS), key=_caller)(commands)
    app.add_template_global(known, "commands")
    app.add_template_global(
        cached(LRUCache(_CALLERS), key=_caller)(
            lambda: Markup(render_template("shortcuts.html", known=known()))  # noqa: S704  # nosec B704
        ),
        "shortcuts",
    )


def _caller() -> tuple:
    """What the commands depend on."""
    caller = g.get("caller")
    who = None if caller is None else (caller.role, caller.token is None)
    return str(get_locale()), who, request.script_root


def commands() -> list[dict]:
    """What the current caller can reach, for the template and the scripts of the page."""
    caller = g.get("caller")
    return [
        {
            "title": str(command.title),
            "keys": command.keys,
            "url": url_for(command.endpoint) if command.endpoint else None,
            "section": command.section,
            "act": command.act,
            "listed": command.listed,
        }
        for command in COMMANDS
        if not command.endpoint or (caller and caller.may(required_role(command.endpoint, "GET")))
    ]


@blueprint.get("/jobs/find")
def find_jobs():
    """The latest jobs whose name or one of whose tags has ``q`` in it, as JSON for the palette."""
    found = insight.jobs_page(
        q=request.args.get("q", "").strip(),
        per_page=JOBS_FOUND,
        viewer=identity.current().sees,
    )
    return {"jobs": [_found(row) for row in found.rows]}


def _found(row: insight.JobRow) -> dict:
    page = "job_results.index" if leads_to_results(row["status"]) else "job_pages.overview"
    return {
        "id": row["id"],
        "name": row["name"],
        "tags": row["tags"],
        "status": row["status"],
        "words": job_status_word(row["status"], row["outcome_status"], row, row["outcomes"]),
        "url": url_for(page, job_id=row["id"]),
    }
