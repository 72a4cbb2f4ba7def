"""Events about the ends of jobs, on their way to the webhooks that want them."""

import secrets

from ..clock import now_ms
from ..domain import FINAL_STATUSES, JobStatus
from .models import Delivery, Job, Webhook


def enqueue(job_id: int, status: JobStatus) -> None:
    """Note what is to be told of a job that has ended: to the webhooks of all jobs, and to those of
    the token that made it. Call it in the transaction that ends the job."""
    if status not in FINAL_STATUSES:
        return
    made_by = Job.select(Job.token).where(Job.id == job_id)
    wanting = Webhook.select(Webhook.id).where(
        Webhook.disabled_at.is_null() & (Webhook.token.is_null() | (Webhook.token == made_by))
    )
    now = now_ms()
    for (webhook_id,) in wanting.tuples():
        Delivery.create(
            webhook=webhook_id,
            job=job_id,
            event_id=f"evt_{secrets.token_hex(12)}",
            type=f"batch.{status}",
            created_at=now,
            next_at=now,
        )


def due(now: int, limit: int) -> list[Delivery]:
    """Deliveries whose time (epoch ms) has come, with their webhooks."""
    return list(
        Delivery.select(Delivery, Webhook)
        .join(Webhook)
        .where((Delivery.next_at <= now) & Webhook.disabled_at.is_null())
        .order_by(Delivery.next_at)
        .limit(limit)
    )


def note(delivery: Delivery, http_status: int | None, message: str, next_at: int | None) -> None:
    """Keep what came of one attempt: an answer of 2xx is a delivery, else it is tried again at
    ``next_at``, or never (None)."""
    now = now_ms()
    delivered = http_status is not None and 200 <= http_status < 300
    Delivery.update(
        attempts=Delivery.attempts + 1,
        last_at=now,
        delivered_at=now if delivered else None,
        next_at=None if delivered else next_at,
        http_status=http_status,
        message=message[:500],
    ).where(Delivery.id == delivery.id).execute()


def disable(webhook_id: int) -> None:
    """The receiver is gone: nothing more is sent there."""
    Webhook.update(disabled_at=now_ms()).where(Webhook.id == webhook_id).execute()
    Delivery.update(next_at=None).where(
        (Delivery.webhook == webhook_id) & Delivery.next_at.is_null(False)
    ).execute()
