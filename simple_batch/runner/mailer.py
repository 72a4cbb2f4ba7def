"""Notifies by e-mail that a job has ended."""

import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from ..core.languages import catalogue, translated
from ..core.redaction import redact
from ..core.settings import Settings
from ..core.stored_messages import MAIL_NOT_SENT, NO_MAIL_SERVER
from ..store.models import Delivery, Job
from .job_end import answers_line, money_lines, status_words

TIMEOUT_S = 20.0


def send(settings: Settings, delivery: Delivery) -> tuple[bool, int | None, str]:
    """Returns (delivered, the server's code if it gave one, message). Never raises for an error of
    the mail server."""
    if not settings.SMTP_HOST:
        return False, None, NO_MAIL_SERVER()
    delivered, code, text = _send(settings, delivery)
    return delivered, code, redact(text)


def _send(settings: Settings, delivery: Delivery) -> tuple[bool, int | None, str]:
    try:
        with _connected(settings) as server:
            server.send_message(message(settings, delivery.job, delivery.email, delivery.event_id))
        return True, 250, ""
    except smtplib.SMTPRecipientsRefused as error:
        code, refusal = next(iter(error.recipients.values()))
        return False, code, refusal.decode("utf-8", "replace")
    except smtplib.SMTPResponseException as error:
        reason = error.smtp_error
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        return False, error.smtp_code, text
    except (smtplib.SMTPException, OSError) as error:
        return False, None, MAIL_NOT_SENT(error=f"{type(error).__name__}: {error}")


def _connected(settings: Settings) -> smtplib.SMTP:
    context = ssl.create_default_context(cafile=settings.CA_BUNDLE or DEFAULT_CA_BUNDLE_PATH)
    host, port = settings.SMTP_HOST, settings.SMTP_PORT
    server: smtplib.SMTP
    if settings.SMTP_SECURITY == "tls":
        server = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    try:
        if settings.SMTP_SECURITY == "starttls":
            server.starttls(context=context)
        if settings.SMTP_USER:
            server.login(settings.SMTP_USER, settings.SMTP_PASSWORD)
    except BaseException:
        server.close()
        raise
    return server


def message(settings: Settings, job: Job, to: str, event_id: str) -> EmailMessage:
    """The e-mail: how the job ended, with figures, in the language of the setting."""
    _ = catalogue(settings.LANGUAGE)
    mail = EmailMessage()
    mail["Subject"] = _("%(name)s is %(status)s") % {
        "name": job.name,
        "status": translated(status_words(job), _),
    }
    mail["From"] = settings.MAIL_FROM or f"simple-batch@{settings.SMTP_HOST}"
    mail["To"] = to
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = make_msgid(event_id, "simple-batch.local")
    lines = [
        _("%(ok)s succeeded, %(bad)s failed, %(left)s remaining of %(all)s")
        % {
            "ok": f"{job.succeeded:,}",
            "bad": f"{job.failed:,}",
            "left": f"{job.total - job.succeeded - job.failed:,}",
            "all": f"{job.total:,}",
        }
    ]
    if answers := answers_line(job):
        lines.append(translated(answers, _))
    if money := [translated(line, _) for line in money_lines(job)]:
        lines.append("\n".join(money))
    if job.status_detail:
        lines.append(translated(job.status_detail, _))
    if settings.PUBLIC_URL:
        page = "/results" if job.succeeded else ""
        lines.append(f"{settings.PUBLIC_URL.rstrip('/')}/jobs/{job.id}{page}")
    mail.set_content("\n\n".join(lines) + "\n")
    return mail
