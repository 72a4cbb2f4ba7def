"""Labels of statuses, causes and reasons on the pages, and remedies."""

from functools import cache
from urllib.parse import urlsplit

from flask_babel import get_locale, gettext
from flask_babel import lazy_gettext as _
from jinja2 import pass_context

from ..core import identity, languages, remedies
from ..core.adjustment_words import done
from ..core.domain import Adjustment, Role
from ..core.errors import SimpleBatchError
from ..core.saving_words import SAVED_BY
from ..core.stored_messages import recognised

ROLES = {"viewer": _("viewer"), "operator": _("operator"), "admin": _("admin")}
OBJECTS = {
    "config": _("connection"),
    "job": _("job"),
    "token": _("access token"),
    "user": _("user"),
    "template": _("saved template"),
    "webhook": _("webhook"),
}
AUDITED = {
    "login": _("Logged in"),
    "login.failed": _("Login refused"),
    "login.throttled": _("Login blocked: too many attempts"),
    "logout": _("Logged out"),
    "user": _("Users"),
    "user.create": _("User created"),
    "user.role": _("Role changed"),
    "user.password": _("Password changed"),
    "user.disable": _("User disabled"),
    "user.enable": _("User enabled"),
    "user.remove": _("User deleted"),
    "token": _("Access tokens"),
    "token.create": _("Token created"),
    "token.revoke": _("Token revoked"),
    "token.remove": _("Token deleted"),
    "webhook": _("Webhooks"),
    "webhook.create": _("Webhook created"),
    "webhook.remove": _("Webhook deleted"),
    "template": _("Saved templates"),
    "template.save": _("Template saved"),
    "template.rename": _("Template renamed"),
    "template.remove": _("Template deleted"),
    "config": _("Connections"),
    "config.create": _("Connection created"),
    "config.update": _("Connection changed"),
    "config.test": _("Connection tested"),
    "config.remove": _("Connection deleted"),
    "config.forget": _("Parameter adjustment undone"),
    "config.activate": _("Connection activated"),
    "config.deactivate": _("Connection deactivated"),
    "job": _("Jobs"),
    "job.create": _("Job created"),
    "job.edit": _("Job settings changed"),
    "job.share": _("Sharing changed"),
    "job.pause": _("Job paused"),
    "job.send_rest_now": _("Rest of a job sent now"),
    "job.try_faster": _("Learned limits forgotten"),
    "job.resume": _("Job resumed"),
    "job.cancel": _("Job cancelled"),
    "job.retry": _("Requests retried"),
    "job.send": _("Request sent again"),
    "job.reset": _("Job reset"),
    "job.delete": _("Job deleted"),
    "job.restore": _("Job restored from the bin"),
    "job.remove": _("Job deleted for good"),
    "job.export": _("Results downloaded"),
    "file": _("Batch API files"),
    "file.create": _("File uploaded"),
    "file.download": _("File downloaded"),
    "file.delete": _("File deleted"),
    "care": _("Maintenance"),
    "care.backup": _("Database backed up"),
    "care.restore": _("Backup restored"),
    "care.clean": _("Storage cleaned up"),
    "care.rules": _("Cleanup rules changed"),
    "care.key": _("Encryption key rotated"),
    "care.copy": _("Database copied"),
}
STATUSES = {
    "validating": _("validating"),
    "scheduled": _("scheduled"),
    "queued": _("queued"),
    "running": _("running"),
    "paused": _("paused"),
    "finalizing": _("finalizing"),
    "completed": _("completed"),
    "failed": _("failed"),
    "cancelling": _("cancelling"),
    "cancelled": _("cancelled"),
    "expired": _("expired"),
    "pending": _("pending"),
    "in_flight": _("in flight"),
    "retrying": _("retrying"),
    "succeeded": _("succeeded"),
}
OUTCOMES = {
    "ok": _("OK"),
    "cut_off": _("cut off"),
    "refused": _("refused"),
    "empty": _("empty"),
    "schema": _("doesn't match schema"),
    "tool_call": _("tool call"),
}
CAUSES = {
    "rate_limit": _("rate limit"),
    "quota": _("quota exceeded"),
    "auth": _("invalid API key"),
    "bad_request": _("invalid request"),
    "not_found": _("not found"),
    "context_length": _("context too long"),
    "too_large": _("request too large"),
    "content_filter": _("content filter"),
    "server_error": _("server error"),
    "overloaded": _("overloaded"),
    "timeout": _("timeout"),
    "connection": _("connection failed"),
    "bad_response": _("invalid response"),
    "schema": _("doesn't match the schema"),
    "cancelled": _("cancelled"),
    "expired": _("expired"),
    "internal": _("internal error"),
}
REASONS = {
    "no_answer": _("the endpoint does not answer"),
    "same_failure": _("all requests fail with the same error"),
    "waiting": _("waiting – the endpoint does not answer"),
    "answering": _("the endpoint answers again"),
    "left_out": _("parameters left out"),
    "longer_timeout": _("timeout raised"),
    "held": _("not started yet – press Resume"),
    "resetting": _("being reset – deleting its results"),
    "memory": _("waiting – answers fill the allowed memory"),
    "user": _("by a user"),
    "input": _("input:"),
    "auth": _("the provider rejects the API key"),
    "quota": _("the provider's quota is used up"),
    "not_found": _("the provider does not know the model or path"),
    "rate_limit": _("the provider asks for a long wait"),
    "overloaded": _("the provider asks for a long wait"),
    "waited": _("the provider's wait is over"),
    "connection": _("its base URL is blocked"),
    "internal": _("a fault in Simple Batch"),
    "invalid_upload": _("the upload is invalid"),
    "retry": _("retried"),
    "edited": _("edited"),
    "shared": _("sharing changed"),
    "deleted": _("the job was deleted"),
    "restored": _("restored from the bin"),
    "adjusted": _("the model rejects a parameter"),
    "rejected_parameter": _("the model rejects a parameter of its lines"),
    "eased": _("the endpoint doesn't support the schema"),
    "streams": _("how answers come has changed"),
    "parts": _("batches at the provider"),
    "batch_merged": _("results of a batch"),
    "batch_refused": _("the provider refuses its batches"),
    "batch_empty": _("its batches end without results"),
    "due": _("its start time has come"),
    "expired": _("its deadline has passed"),
    "off_hours": _("outside its hours"),
    "spend_cap": _("a spend cap is reached"),
    "spend_unknown": _("the cost of an answer is unknown"),
    "room": _("below its spend cap again"),
    "erased": _("answers deleted with their file"),
}
ACTORS = {"web": _("web"), "cli": _("CLI"), "runner": _("scheduler")}


# The filters take the context only so that Jinja does not fold `"failed"|status_word` into a
# constant, in the language of the first page.


@pass_context
def status(_context, code: str | None) -> str:
    return str(STATUSES.get(code or "", code or "–"))


@pass_context
def cause(_context, code: str | None) -> str:
    return str(CAUSES.get(code or "", code or ""))


@pass_context
def outcome(_context, code: str | None) -> str:
    return str(OUTCOMES.get(code or "", code or "–"))


@pass_context
def saved_by(_context, way: str) -> str:
    """A way in which a job saves money."""
    return translated(SAVED_BY[way])


def cooldowns() -> dict[str, str]:
    """Words for the reasons of a cooldown, for the script of the page."""
    return _cooldowns(str(get_locale()))


@cache
def _cooldowns(_language: str) -> dict[str, str]:
    """In the present language; kept, since every page of a job has them."""
    words = {
        **CAUSES,
        "no requests or tokens remaining": _("no requests or tokens remaining"),
        "the calls of this minute are used up": _("the calls of this minute are used up"),
    }
    return {reported: str(word) for reported, word in words.items()}


def cooldown(reported: str) -> str:
    """The reason of a cooldown as a governor reports it: a cause, mostly after an HTTP status."""
    words = cooldowns()
    status, space, code = reported.rpartition(" ")
    return words.get(reported) or f"{status}{space}{words.get(code, code)}"


@pass_context
def remedy(_context, code: str | None, message: str | None = "") -> str:
    found = remedies.of_failure(code or "", message or "")
    return gettext(found.template) if found is not None else ""


@pass_context
def reason(_context, code: str | None) -> str:
    return str(REASONS.get(code or "", code or ""))


@pass_context
def actor(_context, code: str) -> str:
    return str(ACTORS.get(code, code))


@pass_context
def role(_context, code: str) -> str:
    return str(ROLES.get(code, code))


@pass_context
def audited_object(_context, text: str) -> str:
    """“job 7” with its first word translated."""
    kind, space, name = text.partition(" ")
    return f"{OBJECTS.get(kind, kind)}{space}{name}"


@pass_context
def audited(_context, code: str) -> str:
    return str(AUDITED.get(code, code))


def translated(given: SimpleBatchError | str) -> str:
    """An error or a translatable text in the page's language; other texts as they are."""
    text = given.text if isinstance(given, SimpleBatchError) else given
    return languages.translated(text, gettext)


def stored(text: str | None, status: int | None = None) -> str:
    """A message of a result, an attempt, an error group or a delivery in the page's language, if it is
    ours. ``status`` is the HTTP or SMTP status stored with it."""
    return languages.translated(recognised(text or "", status), gettext)


def adjustment(one: Adjustment) -> str:
    """What is done about a parameter that a model rejects."""
    return translated(done(one))


def webhook_place(hook) -> str:
    """The webhook's URL; only its host if the viewer is no admin: the path may be a secret."""
    if identity.current().may(Role.ADMIN):
        return hook.url
    return f"{urlsplit(hook.url).hostname} ({hook.id})"
