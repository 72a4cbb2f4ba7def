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
    """Create a user. From the first user on, everyone must log in."""
    first = not users.any_there()
    user = users.create(name, _password(password_stdin), role)
    say(f"“{user.name}” may log in as {user.role}.")
    if first:
        say("From now on, everyone must log in, even on this computer.")


@command("list-users")
@click.option("--json", "as_json", is_flag=True)
def list_users(as_json):
    """List the users, without their passwords."""
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
    """Change a user's password. Their sessions end."""
    users.get(name)
    users.set_password(name, _password(password_stdin))
    say(f"The password of “{name}” was changed.")


@command("set-role")
@_name
@click.argument("role", type=_role)
def set_role(name, role):
    """Make a user a viewer, an operator or an admin. Their sessions end."""
    users.set_role(name, role)
    say(f"“{name}” is {role}.")


@command("disable-user")
@_name
def disable_user(name):
    """Disable a user and their tokens. Their jobs stay."""
    users.disable(name)
    say(f"User “{name}” is disabled.")


@command("enable-user")
@_name
def enable_user(name):
    """Enable a disabled user."""
    users.enable(name)
    say(f"“{name}” may log in again.")


@command("remove-user")
@_name
def remove_user(name):
    """Delete a user and their tokens. Their jobs stay; admins see them."""
    users.remove(name)
    say(f"Removed “{name}”.")
    if not users.any_there():
        say(
            "That was the last user: no login is required on this computer any more. With EXPOSED=yes, or "
            "if the server listens on another address, no one can log in until you create a user."
        )


@command("audit-log")
@click.option("--actor", default="", help="Only actions of this user.")
@click.option(
    "--action", default="", help="Only this action: job.delete, or job for all of its kind."
)
@click.option("--days", type=click.FloatRange(min=0), help="Only the last N days.")
@click.option("--limit", type=click.IntRange(min=1), help="Print at most N entries.")
@click.option("--json", "as_json", is_flag=True)
def audit_log(actor, action, days, limit, as_json):
    """Print the audit log, newest first."""
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
    """The password from standard input or a prompt. Never an argument: other users and the shell's
    history would see it."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise click.UsageError("No terminal to ask on: give --password-stdin.")
    return click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)


COMMANDS = (
    create_user,
    list_users,
    set_password,
    set_role,
    disable_user,
    enable_user,
    remove_user,
    audit_log,
)
