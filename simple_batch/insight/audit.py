"""Pages of the audit log."""

from typing import TypedDict

from ..core.clock import iso, now_ms
from ..store.models import Audit
from .page import Page


class AuditRow(TypedDict):
    """An entry of the audit log."""

    id: int
    at: int  # epoch ms
    actor: str
    address: str
    action: str
    object: str
    detail: str


def audit_page(
    actor: str = "",
    action: str = "",
    q: str = "",
    days: float | None = None,
    page: int = 1,
    per_page: int = 100,
) -> Page[AuditRow]:
    """Entries, newest first: of one actor, of one action (``job`` is all that begin with ``job.``),
    with a text in object, detail or address, of the last ``days``."""
    query = Audit.select()
    if actor:
        query = query.where(Audit.actor == actor)
    if action:
        query = query.where((Audit.action == action) | Audit.action.startswith(f"{action}."))
    if q:
        query = query.where(
            Audit.object.contains(q) | Audit.detail.contains(q) | Audit.address.contains(q)
        )
    if days is not None:
        query = query.where(Audit.at >= now_ms() - int(days * 86_400_000))
    page = max(1, page)
    rows = query.order_by(Audit.id.desc()).paginate(page, per_page)
    return Page(list(rows.dicts()), page, per_page, query.count())


def audit_row(row: AuditRow) -> dict:
    """An entry as ``flask audit-log --json`` prints it."""
    return {
        "at": iso(row["at"]),
        "actor": row["actor"],
        "address": row["address"],
        "action": row["action"],
        "object": row["object"],
        "detail": row["detail"],
    }
