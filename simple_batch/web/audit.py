"""The audit log, for admins."""

from flask import Blueprint, render_template, request

from .. import insight
from ..auth.audit_log import ACTIONS
from ..core.request_input import page_number, within

blueprint = Blueprint("audit", __name__)

DAYS = (1, 7, 30, 90)


@blueprint.get("/audit")
def index():
    """Who did what: by actor, action, days, and a text."""
    wanted = {
        "actor": request.args.get("actor", "").strip(),
        "action": request.args.get("action", ""),
        "days": request.args.get("days", type=within(1, 36_500)),
        "q": request.args.get("q", "").strip(),
    }
    page = insight.audit_page(**wanted, page=request.args.get("page", 1, type=page_number))
    kinds = sorted({action.partition(".")[0] for action in ACTIONS})
    return render_template(
        "audit.html",
        page=page,
        wanted=wanted,
        args={name: value for name, value in wanted.items() if value},
        kinds=kinds,
        actions=ACTIONS,
        days=DAYS,
    )
