"""The guard authenticates every request and decides its role: for pages, downloads, the live feed and
everything else the app serves (the Batch API uses it too, api/auth.py).

Only the endpoints in PUBLIC are open. docs/access.md describes the roles, sessions.py who the caller is.
"""

from flask import Flask, current_app, g, request
from flask_login import LoginManager, current_user
from werkzeug.middleware.proxy_fix import ProxyFix

from ..core import identity
from ..core.domain import Role
from ..core.errors import Forbidden, LoginNeeded, NotFound
from ..core.identity import Actor, Scope
from ..core.messages import translatable
from ..core.settings import Settings
from ..store import visibility
from ..store.database import as_opened, connected
from . import job_rights, users
from .credentials import token_in
from .job_rights import Right
from .sessions import SAFE_METHODS, Authenticator, SessionInterface

PUBLIC = {"static", "health.healthz", "health.readyz", "login.page", "login.enter"}
_OPENS_DATABASE = "health.prometheus"  # itself, to say how the database stands
_ANY_HOST = {"health.healthz", "health.readyz"}  # probes use other names for a machine
_ANY_ROLE = {"login.leave", "login.password"}  # after login
_ADMIN_ONLY = {
    "access.create_webhook",
    "access.remove_webhook",
    "audit",
    "configs",
    "connect",
    "first_steps",
    "storage",
    "users",
}
_READABLE = {"configs.index"}  # although its blueprint is for admins
_OPERATOR_ONLY = {
    "access",
    "jobs_list.bulk",
    "new_draft",
    "new_job",
    "new_template",
    "reading_options",
    "pictures.of_staged",
    "saved_templates",
    "settings",
    "workbench",
    "workbench_data",
}
# of the forms of a job: those that change nothing in it, and those that only the owner may send
_VIEW_IS_ENOUGH = {"job_actions.new_job_of", "job_actions.columns_of"}
_OWNER_ONLY = {"job_actions.delete", "job_actions.share"}
_OWNER_ACTIONS = {"reset"}  # of job_actions.change
# the pages that tokens may read: results of the jobs in their scope
TOKENS_READ = {
    "compare.index",
    "health.prometheus",
    "job_charts.data",
    "job_charts.index",
    "job_charts.report",
    "job_charts.table",
    "job_pages.download",
    "job_pages.error_table",
    "job_pages.errors",
    "job_pages.events",
    "job_pages.overview",
    "job_pages.parts",
    "job_pages.progress",
    "job_pages.recipe",
    "job_requests.detail",
    "job_requests.index",
    "job_requests.whole",
    "job_results.index",
    "job_results.rows",
    "job_results.values",
    "jobs_list.home",
    "jobs_list.index",
    "pictures.of_job",
    "shortcuts.find_jobs",
}
# what all users share: only for tokens that are not limited to their own jobs
WIDE_TOKENS_READ = {
    "configs.index",
    "saved_templates.download",
    "saved_templates.index",
    "saved_templates.show",
}


def register(app: Flask, settings: Settings) -> Authenticator:
    """Install the guard before everything that the app serves."""
    authenticator = Authenticator(settings, app.config["SECRET_KEY"])
    app.extensions["simple_batch_auth"] = authenticator
    app.session_interface = SessionInterface()
    app.config.update(
        PERMANENT_SESSION_LIFETIME=settings.SESSION_HOURS * 3600,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    logins = LoginManager(app, add_context_processor=False)
    logins.session_protection = None  # an address may change; the stamp ends a session
    logins.user_loader(authenticator.account)
    app.before_request(_guard)
    app.teardown_request(_restore_caller)
    app.context_processor(_template_variables)
    return authenticator


def trust_proxies(app: Flask, settings: Settings) -> None:
    """Trust the client address, scheme and host that the proxies send. Call this after all
    middleware is installed."""
    hops = settings.TRUSTED_PROXIES
    if hops:
        proxied = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)
        app.wsgi_app = proxied  # type: ignore[method-assign]  # as Flask's docs do


def current_authenticator() -> Authenticator:
    return current_app.extensions["simple_batch_auth"]


def must_see(job_id: int) -> None:
    """Raises Forbidden or NotFound for a job that the current caller may not see."""
    job_rights.need(job_id, Right.SEE)


def current_right() -> Right | None:
    """What the caller may do with the job of the current request's URL."""
    return g.get("job_right")


def needed_right(endpoint: str, method: str, named: dict) -> Right:
    """The right to a job that a route of it asks for."""
    if method in SAFE_METHODS or endpoint in _VIEW_IS_ENOUGH:
        return Right.SEE
    if endpoint in _OWNER_ONLY or named.get("action") in _OWNER_ACTIONS:
        return Right.OWN
    return Right.EDIT


def sees_upload(upload_id: int) -> bool:
    """Whether the current caller may see an upload, which may be missing."""
    sees = identity.current().sees
    return sees is None or visibility.sees_upload(sees, upload_id)


def required_role(endpoint: str, method: str) -> Role:
    """The role that an endpoint asks for."""
    blueprint = endpoint.partition(".")[0]
    if endpoint in _ANY_ROLE:
        return Role.VIEWER
    if endpoint in _ADMIN_ONLY or (blueprint in _ADMIN_ONLY and endpoint not in _READABLE):
        return Role.ADMIN
    if _OPERATOR_ONLY & {blueprint, endpoint} or method not in SAFE_METHODS:
        return Role.OPERATOR
    return Role.VIEWER


def _guard() -> None:
    g.caller, g.previous_caller = None, identity.current()
    identity.act_as(Actor("nobody", Role.VIEWER, address=request.remote_addr or ""))
    authenticator, endpoint = current_authenticator(), request.endpoint or ""
    if endpoint not in _ANY_HOST:
        authenticator.check_host()
    if endpoint == "static" or endpoint.startswith("openai_"):  # which has its own way of refusing
        return
    if endpoint in PUBLIC and endpoint in _ANY_HOST:
        return
    with as_opened() if endpoint == _OPENS_DATABASE else connected():
        _authorize(authenticator, endpoint)


def _authorize(authenticator: Authenticator, endpoint: str) -> None:
    """Authenticate and authorize the request. Raises LoginNeeded, Forbidden or NotFound."""
    caller = authenticator.caller()
    if caller is not None:
        g.caller = caller
        identity.act_as(caller)
    if endpoint in PUBLIC:
        return
    if caller is None:
        raise _refusal(authenticator)
    if caller.token is not None:
        _check_token_reads(caller, endpoint)
    if not caller.may(required_role(endpoint, request.method)):
        raise Forbidden(translatable("You don't have permission. Ask an admin."))
    _check_scope(caller.sees, endpoint)


def _refusal(authenticator: Authenticator) -> Forbidden | LoginNeeded:
    """Why the present request is refused, and what to do."""
    if authenticator.login_needed():
        return LoginNeeded(translatable("Log in first."))
    if token_in(request.headers):
        return Forbidden(translatable("This token is not known here, or it was revoked."))
    return Forbidden(
        translatable(
            "This server has no users yet, so it accepts only requests from this "
            "computer. This request does not count as one: %(why)s. Create a user first: "
            "flask create-user NAME --role admin.",
            why=authenticator.why_not_local() or "",
        )
    )


def _check_token_reads(caller: Actor, endpoint: str) -> None:
    """Raises Forbidden for what a token does not do on pages. A page that reads as a token is of no
    use in a browser: its forms carry no CSRF token."""
    g.csrf_token = ""  # nosec B105: where Flask-WTF looks before it makes one
    if not endpoint:  # there is no such page
        return
    if request.method not in SAFE_METHODS:
        raise Forbidden(
            translatable("Tokens can only read pages. To change something, log in as a user.")
        )
    narrow = caller.sees is not None and caller.sees.token is not None
    if endpoint in TOKENS_READ or (endpoint in WIDE_TOKENS_READ and not narrow):
        return
    raise Forbidden(translatable("Tokens can't open this page."))


def _restore_caller(_error) -> None:
    """Restore the previous caller at the end of a request: later work of this greenlet is not done
    for the caller of the request."""
    if "previous_caller" in g:
        identity.act_as(g.previous_caller)


def _check_scope(sees: Scope | None, endpoint: str) -> None:
    """Raises NotFound or Forbidden where the URL names an object of another user."""
    named = request.view_args or {}
    if "job_id" in named:
        needed = needed_right(endpoint, request.method, named)
        g.job_right = job_rights.need(named["job_id"], needed)
    if sees is None:
        return
    if "upload_id" in named and not sees_upload(named["upload_id"]):
        raise NotFound(translatable("This upload was deleted. Upload the file again."))


def _template_variables() -> dict:
    caller = g.get("caller")
    return {
        "caller": caller,
        "logged_in": bool(caller is not None and current_user.is_authenticated),
        "may_run": caller is not None and caller.may(Role.OPERATOR),
        "may_all": caller is not None and caller.may(Role.ADMIN),
        # with the job of the URL
        "may_edit": (current_right() or 0) >= Right.EDIT,
        "may_own": (current_right() or 0) >= Right.OWN,
        "any_users": users.any_there,
    }
