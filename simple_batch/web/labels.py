"""Labels of statuses, causes and reasons on the pages, and remedies."""

from urllib.parse import urlsplit

from flask_babel import gettext
from flask_babel import lazy_gettext as _
from jinja2 import pass_context

from ..core import identity, languages, remedies
from ..core.domain import Role
from ..core.errors import SimpleBatchError
from ..core.stored_messages import recognised

ROLES = {"viewer": _("viewer"), "operator": _("operator"), "admin": _("admin")}
OBJECTS = {
    "config": _("API config"),
    "job": _("job"),
    "token": _("access token"),
    "user": _("user"),
    "template": _("saved template"),
    "webhook": _("webhook"),
}
AUDITED = {
    "login": _("log in"),
    "login.failed": _("log in: refused"),
    "login.throttled": _("log in: too many tries"),
    "logout": _("log out"),
    "user": _("users"),
    "user.create": _("user made"),
    "user.role": _("role changed"),
    "user.password": _("password changed"),
    "user.disable": _("user disabled"),
    "user.enable": _("user enabled"),
    "user.remove": _("user removed"),
    "token": _("access tokens"),
    "token.create": _("token made"),
    "token.revoke": _("token revoked"),
    "token.remove": _("token removed"),
    "webhook": _("webhooks"),
    "webhook.create": _("webhook made"),
    "webhook.remove": _("webhook removed"),
    "template": _("saved templates"),
    "template.save": _("template saved"),
    "template.rename": _("template renamed"),
    "template.remove": _("template removed"),
    "config": _("API configs"),
    "config.create": _("API config made"),
    "config.update": _("API config changed"),
    "config.test": _("API config tested"),
    "config.remove": _("API config removed"),
    "config.activate": _("API config activated"),
    "config.deactivate": _("API config deactivated"),
    "job": _("what is done to jobs"),
    "job.create": _("job made"),
    "job.edit": _("job's settings changed"),
    "job.pause": _("job paused"),
    "job.resume": _("job resumed"),
    "job.cancel": _("job cancelled"),
    "job.retry": _("requests retried"),
    "job.send": _("request sent again"),
    "job.reset": _("job reset"),
    "job.delete": _("job deleted"),
    "job.export": _("results downloaded"),
    "file": _("files of the Batch API"),
    "file.create": _("file uploaded"),
    "file.download": _("file downloaded"),
    "file.delete": _("file deleted"),
    "care": _("looking after it"),
    "care.backup": _("database backed up"),
    "care.restore": _("backup restored"),
    "care.clean": _("storage cleaned"),
    "care.key": _("encryption key rotated"),
    "care.copy": _("database copied to another"),
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
CAUSES = {
    "rate_limit": _("rate limit"),
    "quota": _("quota used up"),
    "auth": _("key refused"),
    "bad_request": _("bad request"),
    "not_found": _("not found"),
    "context_length": _("too long for the model"),
    "content_filter": _("content filter"),
    "server_error": _("server error"),
    "overloaded": _("overloaded"),
    "timeout": _("time-out"),
    "connection": _("connection"),
    "bad_response": _("unusable answer"),
    "schema": _("does not fit the schema"),
    "cancelled": _("cancelled"),
    "expired": _("expired"),
    "internal": _("internal"),
}
REMEDIES = {str(cause): _(text.template) for cause, text in remedies.FAILED.items()}
REASONS = {
    "held": _("held: resume it to start"),
    "resetting": _("being reset: its results are removed"),
    "memory": _("waiting: the answers fill the memory they may have"),
    "user": _("by the user"),
    "auth": _("the provider refuses the key"),
    "quota": _("the provider's quota is used up"),
    "not_found": _("the provider does not know the model or path"),
    "rate_limit": _("the provider asks to wait for long"),
    "overloaded": _("the provider asks to wait for long"),
    "waited": _("the provider's wait is over"),
    "connection": _("nothing may be sent to its base URL"),
    "internal": _("a fault in Simple Batch"),
    "invalid_upload": _("the upload is not valid"),
    "retry": _("retried"),
    "edited": _("edited"),
    "eased": _("the endpoint does not take the schema"),
    "due": _("its start time has come"),
    "expired": _("its deadline has passed"),
    "off_hours": _("outside its hours"),
    "spend_cap": _("a spend cap is reached"),
    "spend_unknown": _("what an answer cost is not known"),
    "room": _("its spend cap has room again"),
    "erased": _("answers deleted with their file"),
}
ACTORS = {"web": _("the pages"), "cli": _("a command"), "runner": _("the runner")}


# The filters take the context only so that Jinja does not fold `"failed"|status_word` into a
# constant, in the language of the first page.


@pass_context
def status(_context, code: str | None) -> str:
    return str(STATUSES.get(code or "", code or "–"))


@pass_context
def cause(_context, code: str | None) -> str:
    return str(CAUSES.get(code or "", code or ""))


@pass_context
def remedy(_context, code: str | None) -> str:
    return str(REMEDIES.get(code or "", ""))


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


def webhook_place(hook) -> str:
    """The webhook's URL; only its host if the viewer is no admin: the path may be a secret."""
    if identity.current().may(Role.ADMIN):
        return hook.url
    return f"{urlsplit(hook.url).hostname} ({hook.id})"
