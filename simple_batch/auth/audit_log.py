"""The audit log: who did what. It holds names, ids and addresses, never a secret, and is kept for
AUDIT_KEEP_DAYS."""

from ..core import context, identity
from ..core.clock import now_ms
from ..core.messages import Message
from ..store.models import Audit

DAY_MS = 86_400_000
ACTIONS = (
    "login",
    "login.failed",
    "login.throttled",
    "logout",
    "user.create",
    "user.role",
    "user.password",
    "user.disable",
    "user.enable",
    "user.remove",
    "token.create",
    "token.revoke",
    "token.remove",
    "webhook.create",
    "webhook.remove",
    "template.save",
    "template.rename",
    "template.remove",
    "config.create",
    "config.update",
    "config.test",
    "config.remove",
    "config.forget",
    "config.activate",
    "config.deactivate",
    "job.create",
    "job.edit",
    "job.share",
    "job.pause",
    "job.resume",
    "job.cancel",
    "job.send_rest_now",
    "job.try_faster",
    "job.retry",
    "job.send",
    "job.reset",
    "job.delete",
    "job.restore",
    "job.remove",
    "job.export",
    "file.create",
    "file.download",
    "file.delete",
    "care.backup",
    "care.restore",
    "care.clean",
    "care.rules",
    "care.key",
    "care.copy",
)
_MAX_LENGTH = 500  # characters of object and detail


def note(action: str, object: str = "", detail: str = "", name: str | None = None) -> None:
    """Record an action of the current caller (or of ``name``, where no caller is authenticated yet). A
    ``detail`` that is ``translatable`` is shown in the language of the reader."""
    if action not in ACTIONS:
        raise ValueError(action)
    caller = identity.current()
    Audit.create(
        at=now_ms(),
        actor=_clean(name or caller.name),
        address=caller.address,
        action=action,
        object=_clean(object),
        detail=detail if isinstance(detail, Message) else _clean(detail),
    )


def known_address(name: str, address: str) -> bool:
    """Whether this user has logged in from there before."""
    found = (Audit.actor == name) & (Audit.action == "login") & (Audit.address == address)
    return Audit.select().where(found).exists()


def forget_old() -> None:
    """Remove what is older than AUDIT_KEEP_DAYS; 0 keeps all."""
    days = context.settings().AUDIT_KEEP_DAYS
    if days:
        Audit.delete().where(Audit.at < now_ms() - int(days * DAY_MS)).execute()


def _clean(text: str) -> str:
    """One printable line."""
    text = "".join(char if char.isprintable() else " " for char in str(text))
    return text if len(text) <= _MAX_LENGTH else text[: _MAX_LENGTH - 1] + "…"
