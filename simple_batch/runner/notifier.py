"""Delivers webhooks, signed as Standard Webhooks or in the formats of chat tools, and e-mails; tried again with growing waits.

Source of headers, signature and schedule: standardwebhooks.com; of the events: OpenAI's
webhook reference (``batch.completed`` and the like, ``data.id`` the batch's id).
"""

import base64
import hashlib
import hmac
import logging
import time
from functools import partial
from urllib.parse import urlsplit

import gevent
import msgspec
import requests
from gevent.pool import Pool
from urllib3.exceptions import HTTPError

from ..core.address_policy import AddressPolicy
from ..core.clock import now_ms
from ..core.context import Vault
from ..core.domain import WebhookFormat, batch_id
from ..core.errors import ConfigurationError
from ..core.languages import catalogue
from ..core.periodic_task import PeriodicTask
from ..core.redaction import redact
from ..core.settings import Settings
from ..core.stored_messages import HOOK_UNANSWERED, HOOK_UNREACHABLE
from ..core.version import __version__
from ..engine.guarded_adapter import GuardedAdapter
from ..store import outcome_counts, savings, webhooks
from ..store.database import connected, log_failure
from ..store.models import Delivery
from ..store.outcome_status import outcome_status
from . import chat_webhooks, job_end, mailer

log = logging.getLogger(__name__)

LOOK_S = 1.0
AT_ONCE = 8
TIMEOUT_S = 15.0
HOOK_PREFIX = "whsec_"  # what every secret of a webhook begins with
# waits after each failed attempt, seconds: nine tries in three days
WAITS_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
GONE = 410
REFUSED_FOR_GOOD = 500  # an SMTP code


HEADERS = {"Content-Type": "application/json", "User-Agent": f"simple-batch/{__version__}"}
ANSWER_BYTES = 4_096  # of what a bot of a chat tool answers


def payload(delivery: Delivery) -> bytes:
    """The event as it is sent: OpenAI's, and how the job ended under ``simple_batch``."""
    job = delivery.job
    return msgspec.json.encode(
        {
            "id": delivery.event_id,
            "object": "event",
            "type": delivery.type,
            "created_at": delivery.created_at // 1000,
            "data": {"id": batch_id(delivery.job_id)},
            "simple_batch": {
                "outcome_status": outcome_status(job),
                "total": job.total,
                "succeeded": job.succeeded,
                "failed": job.failed,
                "cancelled": job.cancelled,
                "outcomes": outcome_counts.of(job),
                "cost": savings.cost(job),
                "saved": [saving.to_json() for saving in savings.saved(job)],
            },
        }
    )


def signed(secret: str, event_id: str, body: bytes, now: float) -> dict[str, str]:
    """The headers that prove who sent the body and when. ``secret`` is ``whsec_`` and base64."""
    moment = str(int(now))
    key = base64.b64decode(secret.removeprefix(HOOK_PREFIX))
    text = b".".join((event_id.encode(), moment.encode(), body))
    mark = base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": moment,
        "webhook-signature": f"v1,{mark}",
        **HEADERS,
    }


class Notifier:
    """Looks each second for deliveries that are due; ``task`` runs it."""

    def __init__(self, settings: Settings, vault: Vault):
        self._settings = settings
        self._vault = vault
        self._gate = AddressPolicy.of(settings.ALLOWED_PRIVATE_HOSTS)
        on_error = partial(log_failure, log, "webhooks could not be delivered")
        self.task = PeriodicTask(self._round, LOOK_S, on_error)

    def last_round(self, timeout_s: float) -> None:
        """One more look before the process ends: a command that runs one job tells its end too."""
        try:
            gevent.with_timeout(timeout_s, self._round, timeout_value=None)
        except Exception:  # the end must not depend on it
            log_failure(log, "webhooks could not be delivered at the end")

    def _round(self) -> None:
        with connected():
            due = webhooks.due(now_ms(), AT_ONCE)
        if due:
            pool = Pool(AT_ONCE)
            pool.map(self._deliver, due)

    def _deliver(self, delivery: Delivery) -> None:
        if delivery.email:
            delivered, code, message = mailer.send(self._settings, delivery)
        else:
            delivered, code, message = self._post(delivery)
        wait_s = WAITS_S[delivery.attempts] if delivery.attempts < len(WAITS_S) else None
        if delivery.email and code is not None and code >= REFUSED_FOR_GOOD:
            wait_s = None
        next_at = None if wait_s is None else now_ms() + wait_s * 1000
        with connected():
            webhooks.note(delivery, delivered, code, message, next_at)
            if delivery.webhook_id is not None and code == GONE:
                webhooks.disable(delivery.webhook_id)

    def _post(self, delivery: Delivery) -> tuple[bool, int | None, str]:
        """Returns (delivered, HTTP status or None, message). Redirects are not followed."""
        hook = delivery.webhook
        try:
            self._gate.check(urlsplit(hook.url).hostname)
            url, body, headers = self._call(delivery)
            with gevent.Timeout(TIMEOUT_S, requests.Timeout()), requests.Session() as session:
                session.trust_env = self._settings.TRUST_ENV
                session.mount("http://", GuardedAdapter(self._gate))
                session.mount("https://", GuardedAdapter(self._gate))
                answer = session.post(
                    url,
                    data=body,
                    headers=headers,
                    timeout=TIMEOUT_S,
                    allow_redirects=False,
                    stream=True,  # what it says may be long
                    verify=self._settings.CA_BUNDLE or True,
                )
                return _outcome(WebhookFormat(hook.format), answer)
        except ConfigurationError as error:
            return False, None, str(error)
        except requests.Timeout:
            return False, None, HOOK_UNANSWERED(seconds=f"{TIMEOUT_S:g}")
        except (requests.RequestException, HTTPError) as error:
            return False, None, HOOK_UNREACHABLE(error=type(error).__name__)

    def _call(self, delivery: Delivery) -> tuple[str, bytes, dict[str, str]]:
        """URL, body and headers."""
        hook, now = delivery.webhook, time.time()
        secret = self._vault.decrypt(hook.secret_encrypted)
        if hook.format == WebhookFormat.STANDARD:
            body = payload(delivery)
            return hook.url, body, signed(secret, delivery.event_id, body, now)
        # the address of a bot is a secret too
        url, _line, secret = secret.partition("\n")
        _ = catalogue(self._settings.LANGUAGE)
        job = delivery.job
        text = "\n".join((job_end.title(job, _), *job_end.lines(self._settings, job, _)))
        url, body = chat_webhooks.call(WebhookFormat(hook.format), url, secret, text, now)
        return url, body, HEADERS


def _outcome(format: WebhookFormat, answer: requests.Response) -> tuple[bool, int, str]:
    delivered = answer.status_code < 300
    if format is WebhookFormat.STANDARD:
        return delivered, answer.status_code, ""
    said = answer.raw.read(ANSWER_BYTES, decode_content=True)
    if not delivered:
        return False, answer.status_code, redact(said.decode("utf-8", "replace").strip())
    refusal = chat_webhooks.refusal(format, said)
    return not refusal, answer.status_code, refusal
