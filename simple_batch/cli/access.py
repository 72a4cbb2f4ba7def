"""create-token, list-tokens, revoke-token; create-webhook, list-webhooks, remove-webhook."""

import click

from ..auth import tokens, users
from ..core.domain import TokenScope, WebhookFormat
from ..insight.summary import iso
from ..services import webhooks
from .base import command, put, put_json, put_table, say
from .config_options import of_environment


@command("create-token")
@click.argument("name")
@click.option("--user", metavar="NAME", help="Its owner, whose permissions it has.")
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in TokenScope]),
    default="run",
    show_default=True,
    help="run: create batches and read results; read: read only.",
)
@click.option("--all", "sees_all", is_flag=True, help="Also access jobs that its owner can see.")
def create_token(name, user, scope, sees_all):
    """Create an access token for programs. Its secret is printed once."""
    owner = users.get(user).id if user else None
    _token, secret = tokens.create(name, sees_all, scope, owner)
    put(secret)
    say("The secret is shown only once. From now on, the Batch API requires a token.")


@command("list-tokens")
@click.option("--json", "as_json", is_flag=True)
def list_tokens(as_json):
    """List the tokens, without their secrets."""
    rows = [
        {
            "name": token.name,
            "user": token.user.name if token.user is not None else None,
            "scope": token.scope,
            "ends_in": token.last4,
            "sees_all": token.sees_all,
            "created_at": iso(token.created_at),
            "last_used_at": iso(token.last_used_at),
            "revoked_at": iso(token.revoked_at),
        }
        for token in tokens.listed()
    ]
    if as_json:
        put_json(rows)
    else:
        head = ["NAME", "USER", "SCOPE", "ENDS IN", "SEES ALL", "CREATED", "LAST USED", "REVOKED"]
        put_table(head, [list(row.values()) for row in rows])


@command("revoke-token")
@click.argument("name")
@click.option("--remove", is_flag=True, help="Also delete it. Its jobs stay, without an owner.")
def revoke_token(name, remove):
    """Revoke a token: programs that use it are refused."""
    tokens.revoke(name)
    if remove:
        tokens.remove(name)
    say(f"Revoked “{name}”.")


@command("create-webhook")
@click.argument("url")
@click.option("--token", "name", metavar="NAME", help="Only for batches created with this token.")
@click.option("--chosen", is_flag=True, help="Only for jobs that name it.")
@click.option(
    "--format",
    "kind",
    type=click.Choice([str(kind) for kind in WebhookFormat]),
    help="What the messages look like.  [default: as the host tells]",
)
@click.option(
    "--secret-env",
    metavar="VAR",
    help="Environment variable with the signing secret of Feishu's or DingTalk's bot.",
)
def create_webhook(url, name, chosen, kind, secret_env):
    """Notify a URL when jobs end: with a signed event, or with a text for the bots of Slack, Feishu,
    DingTalk and WeCom. The secret that signs the events is printed once."""
    if name and chosen:
        raise click.UsageError("Give --token or --chosen, not both.")
    token = tokens.get(name) if name else None
    signing = of_environment(secret_env) if secret_env else ""
    webhook, secret = webhooks.create(url, token, chosen, kind or "", signing)
    if secret:
        put(secret)
        say(f"Webhook {webhook.id}. The secret is shown only once.")
    else:
        say(f"Webhook {webhook.id}: {webhook.format}.")


@command("list-webhooks")
@click.option("--json", "as_json", is_flag=True)
def list_webhooks(as_json):
    """List the webhooks, without their secrets."""
    rows = [
        {
            "id": webhook.id,
            "url": webhook.url,
            "format": webhook.format,
            "token": webhook.token.name if webhook.token is not None else None,
            "created_at": iso(webhook.created_at),
            "disabled_at": iso(webhook.disabled_at),
        }
        for webhook in webhooks.listed()
    ]
    if as_json:
        put_json(rows)
    else:
        head = ["ID", "URL", "FORMAT", "TOKEN", "CREATED", "DISABLED"]
        put_table(head, [list(row.values()) for row in rows])


@command("remove-webhook")
@click.argument("webhook_id", type=int)
def remove_webhook(webhook_id):
    """Delete a webhook."""
    webhooks.remove(webhook_id)
    say(f"Removed webhook {webhook_id}.")


COMMANDS = (
    create_token,
    list_tokens,
    revoke_token,
    create_webhook,
    list_webhooks,
    remove_webhook,
)
