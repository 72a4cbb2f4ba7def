"""Webhooks: URLs that are notified when jobs end."""

import base64
import secrets
from urllib.parse import urlsplit

from ..auth import audit_log
from ..core import context
from ..core.clock import now_ms
from ..core.domain import WebhookFormat
from ..core.errors import InvalidInput, NotFound
from ..core.messages import translatable
from ..runner import chat_webhooks
from ..runner.notifier import HOOK_PREFIX
from ..store.models import Delivery, Token, Webhook, database, lock_secrets
from .validation import refusal


def create(  # nosec B107
    url: str,
    token: Token | None = None,
    chosen_only: bool = False,
    format: str = "",
    signing_secret: str = "",
) -> tuple[Webhook, str]:
    """A webhook of all jobs, of those that ``token`` makes, or only of those that name it, and the
    secret that its deliveries are signed with; empty for a chat tool, whose own ``signing_secret`` is
    used where it has one. Without ``format`` the host tells it. Raises InvalidInput."""
    url = _valid(url)
    kind = WebhookFormat(format) if format else chat_webhooks.format_of(url)
    _check_secret(kind, signing_secret)
    secret = HOOK_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    is_chat = kind is not WebhookFormat.STANDARD
    kept = f"{url}\n{signing_secret.strip()}" if is_chat else secret
    with database.atomic():  # see store/secrets.py
        lock_secrets()
        webhook = Webhook.create(
            url=masked(url) if is_chat else url,
            secret_encrypted=context.vault().encrypt(kept),
            token=token,
            chosen_only=chosen_only,
            format=kind,
            created_at=now_ms(),
        )
    audit_log.note("webhook.create", f"webhook {webhook.id}", urlsplit(url).hostname or "")
    return webhook, "" if is_chat else secret


def masked(url: str) -> str:
    """The URL of a chat tool's bot as it is shown: who has the whole of it can post."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}/…{url[-4:]}"


def _check_secret(kind: WebhookFormat, signing_secret: str) -> None:
    if not signing_secret.strip() or kind in chat_webhooks.SIGNING:
        return
    if kind is WebhookFormat.STANDARD:
        text = translatable("Signing secret: this webhook gets its own; leave it empty.")
    else:
        text = translatable("Signing secret: this chat tool signs nothing; leave it empty.")
    raise InvalidInput(text, "signing_secret")


def listed() -> list[Webhook]:
    return list(Webhook.select().order_by(Webhook.id))


def get(webhook_id: int) -> Webhook:
    """Raises NotFound."""
    webhook = Webhook.get_or_none(Webhook.id == webhook_id)
    if webhook is None:
        raise NotFound(translatable("There is no webhook %(webhook_id)s.", webhook_id=webhook_id))
    return webhook


def remove(webhook_id: int) -> None:
    """Remove a webhook; it is not notified any more. Raises NotFound."""
    if not Webhook.delete().where(Webhook.id == webhook_id).execute():
        raise NotFound(translatable("There is no webhook %(webhook_id)s.", webhook_id=webhook_id))
    audit_log.note("webhook.remove", f"webhook {webhook_id}")


def deliveries(job_id: int) -> list[Delivery]:
    """The deliveries of a job, sent or pending; newest first."""
    query = Delivery.select(Delivery, Webhook).left_outer_join(Webhook)
    query = query.where(Delivery.job == job_id)
    return list(query.order_by(Delivery.id.desc()).limit(100))


def _valid(url: str) -> str:
    url = (url or "").strip()
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.scheme in ("http", "https") and parts.port != 0 else None
    except ValueError:
        host = None
    if not host or len(url) > 2000 or not url.isprintable() or " " in url:
        raise InvalidInput(
            translatable("URL: it begins with http:// or https:// and names a host."), "url"
        )
    if refused := refusal(host):
        raise InvalidInput(refused, "url")
    if parts.username or parts.password:
        raise InvalidInput(translatable("URL: leave user name and password out of it."), "url")
    return url
