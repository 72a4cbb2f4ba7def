"""Notifications about ended jobs, queued for webhooks and e-mail recipients."""

import secrets

from ..core.clock import now_ms
from ..core.domain import FINAL_STATUSES, JobStatus
from .models import ApiConfig, Delivery, Job, Webhook


def enqueue(job_id: int, status: JobStatus) -> None:
    """Enqueue the notifications about an ended job: to the webhooks for all jobs, to those of the token
    that made it, and to the recipients that the job names. Call it in the transaction that ends the job."""
    if status not in FINAL_STATUSES:
        return
    token_id, webhook_id, email = (
        Job.select(Job.token, Job.webhook, Job.email).where(Job.id == job_id).tuples().get()
    )
    for_all_jobs = ~Webhook.chosen_only & (Webhook.token.is_null() | (Webhook.token == token_id))
    subscribed = Webhook.select(Webhook.id).where(
        Webhook.disabled_at.is_null() & (for_all_jobs | (Webhook.id == webhook_id))
    )
    recipients = [{"webhook": found} for (found,) in subscribed.order_by(Webhook.id).tuples()]
    if email:
        recipients.append({"email": email})
    now = now_ms()
    for recipient in recipients:
        Delivery.create(
            **recipient,
            job=job_id,
            event_id=f"evt_{secrets.token_hex(12)}",
            type=f"batch.{status}",
            created_at=now,
            next_at=now,
        )


def due(now: int, limit: int) -> list[Delivery]:
    """Deliveries whose time (epoch ms) has come, with their webhooks, their jobs and the jobs' configs: they
    are sent without a database connection."""
    return list(
        Delivery.select(Delivery, Webhook, Job, ApiConfig)
        .left_outer_join(Webhook)
        .switch(Delivery)
        .join(Job)
        .join(ApiConfig)
        .where((Delivery.next_at <= now) & Webhook.disabled_at.is_null())
        .order_by(Delivery.next_at, Delivery.id)
        .limit(limit)
    )


def note(
    delivery: Delivery, delivered: bool, code: int | None, message: str, next_at: int | None
) -> None:
    """Store the result of one attempt: what was not delivered is retried at ``next_at`` (epoch ms), or never
    (None). ``code`` is the receiver's answer, by HTTP or SMTP."""
    now = now_ms()
    Delivery.update(
        attempts=Delivery.attempts + 1,
        last_at=now,
        delivered_at=now if delivered else None,
        next_at=None if delivered else next_at,
        http_status=code,
        message=message[:500],
    ).where(Delivery.id == delivery.id).execute()


def disable(webhook_id: int) -> None:
    """Stop all deliveries to a webhook whose receiver is gone."""
    Webhook.update(disabled_at=now_ms()).where(Webhook.id == webhook_id).execute()
    Delivery.update(next_at=None).where(
        (Delivery.webhook == webhook_id) & Delivery.next_at.is_null(False)
    ).execute()
