"""Tokens for the Batch API, and webhooks that are notified when a job ends."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_babel import lazy_gettext

from ..auth import tokens
from ..core import identity
from ..core.domain import Role, WebhookFormat
from ..core.errors import Conflict, InvalidInput
from ..services import webhooks
from .form_keys import once
from .forms import TokenForm, WebhookForm, blame
from .labels import translated

blueprint = Blueprint("access", __name__, url_prefix="/access")

FORMATS = {
    WebhookFormat.STANDARD: lazy_gettext("Event (Standard Webhooks)"),
    WebhookFormat.SLACK: "Slack",
    WebhookFormat.FEISHU: lazy_gettext("Feishu / Lark"),
    WebhookFormat.DINGTALK: lazy_gettext("DingTalk"),
    WebhookFormat.WECOM: lazy_gettext("WeCom"),
}
CHOSEN = -1  # in place of a token: only for jobs that name the webhook


@blueprint.get("")
def index():
    """All tokens and webhooks."""
    return _page()


@blueprint.post("/tokens")
@once
def create_token():
    """Create a token; only this answer shows its secret."""
    form = TokenForm()
    if form.validate_on_submit():
        try:
            token, secret = tokens.create(
                form.name.data or "",
                form.sees_all.data,
                form.scope.data,
                identity.current().user,
            )
            return _page(made=(token.name, secret))
        except InvalidInput as error:
            blame(form, error)
    return _page(token_form=form)


@blueprint.post("/tokens/<int:token_id>/revoke")
def revoke_token(token_id: int):
    """Revoke a token."""
    token = tokens.get(token_id, identity.current().sees)
    tokens.revoke(token_id)
    flash(_("Revoked “%(name)s”.", name=token.name), "success")
    return redirect(url_for("access.index"), 303)


@blueprint.post("/tokens/<int:token_id>/remove")
def remove_token(token_id: int):
    """Remove a revoked token."""
    token = tokens.get(token_id, identity.current().sees)
    try:
        tokens.remove(token_id)
        flash(_("Deleted “%(alias)s”.", alias=token.name), "success")
    except Conflict as error:
        flash(translated(error), "danger")
    return redirect(url_for("access.index"), 303)


@blueprint.post("/webhooks")
@once
def create_webhook():
    """Create a webhook; only this answer shows its secret."""
    form = _offered(WebhookForm())
    if form.validate_on_submit():
        try:
            scope = form.token.data
            token = tokens.get(scope) if scope > 0 else None
            webhook, secret = webhooks.create(
                form.url.data or "",
                token,
                scope == CHOSEN,
                form.format.data or "",
                form.signing_secret.data or "",
            )
            if not secret:
                flash(_("Added “%(url)s”.", url=webhook.url), "success")
                return redirect(url_for("access.index"), 303)
            return _page(made=(webhook.url, secret))
        except InvalidInput as error:
            blame(form, error)
    return _page(webhook_form=form)


@blueprint.post("/webhooks/<int:webhook_id>/remove")
def remove_webhook(webhook_id: int):
    """Remove a webhook."""
    webhooks.remove(webhook_id)
    flash(_("Webhook deleted."), "success")
    return redirect(url_for("access.index"), 303)


def _offered(form: WebhookForm) -> WebhookForm:
    usable = [token for token in tokens.listed() if token.revoked_at is None]
    form.format.choices = [("", _("as the host tells")), *FORMATS.items()]
    form.token.choices = [
        (0, _("all jobs")),
        (CHOSEN, _("only jobs that select it")),
        *((token.id, _("batches of “%(name)s”", name=token.name)) for token in usable),
    ]
    return form


def _page(token_form=None, webhook_form=None, made=None):
    page = render_template(
        "access.html",
        tokens=tokens.listed(identity.current().sees),
        webhook_formats=FORMATS,
        webhooks=webhooks.listed() if identity.current().may(Role.ADMIN) else [],
        token_form=token_form or TokenForm(formdata=None),
        webhook_form=webhook_form or _offered(WebhookForm(formdata=None)),
        made=made,
        base_url=request.url_root + "v1",
    )
    refused = any(form is not None and form.errors for form in (token_form, webhook_form))
    return page, 400 if refused else 200, {"Cache-Control": "no-store"} if made else {}
