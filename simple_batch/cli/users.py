"""create-user, list-users, set-password, set-role, disable-user, enable-user, remove-user, audit-log."""

import sys

import click

from .. import insight
from ..auth import users
from ..auth.audit_log import ACTIONS
from ..core.domain import Role
from ..core.errors import InvalidInput
from ..insight.summary import iso
from .base import command, put_json, put_table, say

_name = click.argument("name")
_role = click.Choice([role.value for role in Role])
_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input."
)
_NAMES = ("at", "actor", "address", "action", "object", "detail")
_PER_PAGE = 1_000


@command("create-user")
@_name
@click.option("--role", type=_role, default=Role.OPERATOR.value, show_default=True)
@_stdin
def create_user(name, role, password_stdin):
    """Let somebody log in; from the first user on everybody has to."""
    first = not users.any_there()
    user = users.create(name, _password(password_stdin), role)
    say(f"“{user.name}” may log in as {user.role}.")
    if first:
        say("From now on everybody has to log in, on this machine too.")


@command("list-users")
@click.option("--json", "as_json", is_flag=True)
def list_users(as_json):
    """All users, without their passwords."""
    rows = [
        {
            "name": user.name,
            "role": user.role,
            "created_at": iso(user.created_at),
            "last_login_at": iso(user.last_login_at),
            "disabled_at": iso(user.disabled_at),
        }
        for user in users.listed()
    ]
    if as_json:
        put_json(rows)
    else:
        head = ["NAME", "ROLE", "CREATED", "LAST LOGIN", "DISABLED"]
        put_table(head, [list(row.values()) for row in rows])


@command("set-password")
@_name
@_stdin
def set_password(name, password_stdin):
    """Give a user another password; sessions begun before end."""
    users.get(name)
    users.set_password(name, _password(password_stdin))
    say(f"“{name}” has another password.")


@command("set-role")
@_name
@click.argument("role", type=_role)
def set_role(name, role):
    """Make a user a viewer, an operator or an admin; sessions begun before end."""
    users.set_role(name, role)
    say(f"“{name}” is {role}.")


@command("disable-user")
@_name
def disable_user(name):
    """Let a user in no more, nor their tokens; what they made stays."""
    users.disable(name)
    say(f"“{name}” is let in no more.")


@command("enable-user")
@_name
def enable_user(name):
    """Let a disabled user in again."""
    users.enable(name)
    say(f"“{name}” may log in again.")


@command("remove-user")
@_name
def remove_user(name):
    """Forget a user and their tokens; their jobs stay, for admins to see."""
    users.remove(name)
    say(f"Removed “{name}”.")
    if not users.any_there():
        say(
            "No user is left: on this machine no login is needed any more. Where EXPOSED=yes or the "
            "server listens on another address, no one can log in before you create a user."
        )


@command("audit-log")
@click.option("--actor", default="", help="Only what this user did.")
@click.option("--action", default="", help="Only this: job.delete, or job for all of its kind.")
@click.option("--days", type=click.FloatRange(min=0), help="Only of so many last days.")
@click.option("--limit", type=click.IntRange(min=1), help="So many at most.")
@click.option("--json", "as_json", is_flag=True)
def audit_log(actor, action, days, limit, as_json):
    """Who did what, newest first."""
    if action and not any(known == action or known.startswith(f"{action}.") for known in ACTIONS):
        raise InvalidInput(f"There is no action {action!r}: {', '.join(ACTIONS)}.", "action")
    rows, number = [], 1
    while limit is None or len(rows) < limit:
        page = insight.audit_page(actor, action, "", days, number, _PER_PAGE)
        rows += [insight.audit_row(row) for row in page.rows]
        if number >= page.pages:
            break
        number += 1
    rows = rows[:limit]
    if as_json:
        put_json(rows)
    else:
        put_table([name.upper() for name in _NAMES], [[row[n] for n in _NAMES] for row in rows])


def _password(from_stdin: bool) -> str:
    """By standard input, or asked for; never an argument, which others could see and history keeps."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("Give --password-stdin: there is nobody to ask.")
    return click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)


COMMANDS = (
    *(create_user, list_users, set_password, set_role),
    *(disable_user, enable_user, remove_user, audit_log),
)
