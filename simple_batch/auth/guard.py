"""The guard authenticates every request and decides its role: for pages, downloads, the live feed and
everything else the app serves (the Batch API uses it too, api/auth.py).

Only the endpoints in PUBLIC are open. A program sends a token, a browser the session that its login
began. Where no login is needed (no user, no password, no link, and the server is on a loopback address),
every request from this machine has full access.

Sources: the roles are described in docs/access.md.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from flask import Flask, current_app, g, request, session
from flask.sessions import SecureCookieSessionInterface
from flask_login import LoginManager, UserMixin, current_user, login_user, logout_user
from werkzeug.middleware.proxy_fix import ProxyFix

from ..core import address_policy, events, identity
from ..core.domain import Role
from ..core.errors import (
    Forbidden,
    InvalidInput,
    LoginNeeded,
    NotFound,
    SettingsError,
)
from ..core.identity import Actor, Scope
from ..core.messages import translatable
from ..core.settings import Settings
from ..core.ttl_cache import TtlCache
from ..store import visibility
from ..store.database import as_opened, connected
from . import (
    allowed_hosts,
    audit_log,
    local_requests,
    passwords,
    tokens,
    users,
)
from .login_throttle import Throttle

ADMIN = "admin"  # the name of a caller who logs in with the password of the settings or the link
PUBLIC = {"static", "health.healthz", "health.readyz", "login.page", "login.enter"}
_SAYS_HOW = "health.prometheus"
_BY_ANY_NAME = {"health.healthz", "health.readyz"}  # probes use other names for a machine
_BY_ANYBODY = {"login.leave", "login.password"}  # open to every role after login
_ADMINS = {"users", "audit", "storage", "configs", "access.create_webhook", "access.remove_webhook"}
_LOOKED_AT = {"configs.index"}  # of what is the admins' otherwise
_OPERATORS = {
    *("new_job", "new_template", "saved_templates", "access"),
    *("pictures.of_staged", "jobs_list.bulk"),
}
# what tokens read of the pages: results of the jobs they see, and with *everything* what is shared
TOKENS_READ = {
    *("jobs_list.home", "jobs_list.index", "compare.index", "health.prometheus"),
    *("job_pages.overview", "job_pages.progress", "job_pages.errors", "job_pages.error_table"),
    *("job_pages.events", "job_pages.download", "job_pages.recipe", "pictures.of_job"),
    *("job_requests.index", "job_requests.detail"),
    *("job_charts.index", "job_charts.data", "job_charts.table", "job_charts.report"),
}
TOKENS_OF_EVERYTHING_READ = {
    *("configs.index", "saved_templates.index", "saved_templates.show"),
    "saved_templates.download",
}
_CHANGES_NOTHING = ("GET", "HEAD", "OPTIONS")
SESSION = "began"  # the session id in the cookie
_WAY = ("HTTP_COOKIE", "HTTP_AUTHORIZATION", *local_requests.DECIDES)
KNOWN_S = 1.0  # time to live of an authenticated caller in the cache
CLAIMED_S = 60.0  # time to live of the credentials decoded from a request
MOST_KNOWN = 4096
RENEWED_S = 60.0  # the cookie of an active session is renewed after at most this time
RENEWED = "renewed"  # in a session: when its cookie was last renewed


class Account(UserMixin):
    """The owner of a session; ``get_id`` is the value that the session cookie holds."""

    def __init__(self, name: str, role: str, stamp: str, user: int | None = None):
        self.name, self.role, self.stamp, self.user = name, Role(role), stamp, user

    def get_id(self) -> str:
        return f"{self.user or ADMIN}.{self.stamp}"

    def caller(self, address: str) -> Actor:
        sees = Scope(user=self.user) if self.role == Role.OPERATOR else None
        return Actor(self.name, self.role, self.user, None, sees, address)


@dataclass(frozen=True)
class Credentials:
    """The credentials that a request brings. A token decides alone: with one, no session counts."""

    token: str  # the hash of a secret
    session: str  # what Account.get_id said
    here: bool  # from this machine
    began: str = field(compare=False)  # the session of it


class Guard:
    """Authenticates the requests of one app."""

    def __init__(self, settings: Settings, secret_key: str):
        self._settings = settings
        self._hosts = allowed_hosts.Hosts(settings.ALLOWED_HOSTS, settings.PUBLIC_URL)
        self._throttle = Throttle(secret_key, settings.REDIS_URL)
        self._link_hash: bytes | None = None
        self._link_stamp = secrets.token_hex(16)
        self._password_stamp = hmac.new(
            secret_key.encode(), settings.PASSWORD.encode("utf-8", "surrogatepass"), hashlib.sha256
        ).hexdigest()
        self._password_hash: str | None = None
        self._claims = TtlCache(CLAIMED_S, MOST_KNOWN)
        self._callers = TtlCache(KNOWN_S, MOST_KNOWN)
        events.received.connect(self._on_news)

    # --- at the start -----------------------------------------------------------------------

    def open_at(self, addresses: Iterable[str]) -> str | None:
        """Call this with the addresses before they are served. Returns the secret of the one-time login
        link if the settings ask for one. Raises SettingsError where other machines could get access
        without a password."""
        elsewhere = [address for address in addresses if not address_policy.is_loopback(address)]
        self._hosts.everywhere = bool(elsewhere)
        if self._settings.LOGIN_LINK:
            secret = secrets.token_urlsafe(32)
            self._link_hash = _digest(secret)
            return secret
        if self._reached_by_others() and not self.passwords_known():
            reached = (
                f"{elsewhere[0]} can be reached" if elsewhere else "EXPOSED=yes: it is reached"
            )
            remedy = "or serve 127.0.0.1" if elsewhere else "or set EXPOSED=no"
            raise SettingsError(
                f"{reached} from other machines, and no login is set up: "
                "make a user (flask create-user NAME --role admin), or set "
                f"SIMPLE_BATCH_PASSWORD (for the user {ADMIN}), or SIMPLE_BATCH_LOGIN_LINK=yes for "
                f"a login link that is printed here and works once, {remedy}."
            )
        return None

    # --- authentication ---------------------------------------------------------------------

    def login_needed(self) -> bool:
        """False where requests of this machine need no login, as on your own computer. Never False
        where others reach the server, also when its last user was removed."""
        return self._reached_by_others() or self.login_possible()

    def login_possible(self) -> bool:
        """Whether there is a password or a link to log in with."""
        return users.login_possible(self._settings)

    def _reached_by_others(self) -> bool:
        return self._hosts.everywhere or address_policy.exposed()

    def passwords_known(self) -> bool:
        """Whether there is any password that could be entered."""
        return bool(self._settings.PASSWORD) or users.any_there()

    def caller(self, refresh: bool = False) -> Actor | None:
        """The caller of the current request, None if it is not authenticated. For requests that change
        nothing, the result is cached for KNOWN_S; ``refresh`` skips that cache."""
        self.check_host()
        claim = self._claims.found(credentials_digest(request.environ), self._claimed)
        caller = None
        if not refresh and request.method in _CHANGES_NOTHING:
            caller = self._callers.recalled(claim)
        if caller is None:
            caller = self._callers.found(claim, lambda: self._answer(claim))
        return caller and replace(caller, address=request.remote_addr or "")

    def known(self, environ: Mapping, came: bytes) -> Actor | None:
        """The cached caller for this ``credentials_digest``, else None. It is known only if a request
        with this digest passed the host check and a request with the same credentials was
        authenticated, both within the times to live of the caches."""
        caller = self._callers.recalled(self._claims.recalled(came))
        return caller and replace(caller, address=environ.get("REMOTE_ADDR") or "")

    def session_of(self, came: bytes) -> str:
        """The session id of a recent request with this ``credentials_digest``; empty without one."""
        claim = self._claims.recalled(came)
        return claim.began if claim is not None else ""

    def _on_news(self, _sender, topic: str, **_detail) -> None:
        if topic == events.ACCESS_CHANGED:
            self._callers.forget()

    @staticmethod
    def standing() -> tuple:
        """A value that changes whenever access may have been taken away, but not when a session
        expires."""
        return users.standing(), tokens.standing()

    def _answer(self, claim: Credentials) -> Actor | None:
        """Authenticate the current request by these credentials."""
        if claim.token:
            token = tokens.verified(token_brought(request.headers))
            return tokens.caller(token, "") if token is not None else None
        account = self.account(claim.session) if claim.session else None
        if account is not None:
            return account.caller("")
        if claim.here and not self.login_needed():
            return Actor("web")
        return None

    def _claimed(self) -> Credentials:
        """The credentials of the current request."""
        secret = token_brought(request.headers)
        return Credentials(
            _digest(secret).hex() if secret else "",
            session.get("_user_id", ""),
            self.why_not_local() is None,
            session.get(SESSION, ""),
        )

    def why_not_local(self) -> str | None:
        """None where the current request comes from this machine, else the reason against it."""
        if self._settings.TRUSTED_PROXIES:
            return translatable("TRUSTED_PROXIES says that a proxy stands before this server")
        return local_requests.why_not(request.environ)

    def check_host(self) -> None:
        """Raises Forbidden for a name that is not this server's."""
        if not self._hosts.allows(request.host):
            raise Forbidden(
                translatable(
                    "This server does not answer by the name %(host)s. Where that is its name, add "
                    "it to the setting ALLOWED_HOSTS.",
                    host=allowed_hosts.bare(request.host)[:100],
                )
            )

    def account(self, session_id: str) -> Account | None:
        """The owner of a session; None for a session that has ended."""
        owner, _, stamp = session_id.partition(".")
        if owner == ADMIN:
            kept = [self._link_stamp]
            if self._settings.PASSWORD and users.named(ADMIN) is None:
                kept.append(self._password_stamp)
            known = any(hmac.compare_digest(stamp.encode(), one.encode()) for one in kept)
            return Account(ADMIN, Role.ADMIN, stamp) if known else None
        user = users.in_session(int(owner), stamp) if owner.isdecimal() else None
        return _account_of(user) if user is not None else None

    # --- login and logout -------------------------------------------------------------------

    def enter(self, name: str, password: str) -> None:
        """Log in. Raises InvalidInput where name and password do not belong together, TooManyTries."""
        name = name.strip().casefold()[:64]
        self._wait_for_turn(name)
        account = self._checked(name, password)
        if account is None:
            # the name field may hold a password by mistake
            known = name == ADMIN or users.named(name) is not None
            audit_log.note("login.failed", name=name if known else "?")
            raise InvalidInput(
                translatable("Name and password do not belong together."), "password"
            )
        self._throttle.give_back(name, request.remote_addr or "")
        self._begin(account)

    def enter_by_link(self, secret: str) -> bool:
        """Log in by the one-time link printed at the start."""
        if self._throttle.wait_s("", request.remote_addr or ""):
            return False
        if self._link_hash is None or not hmac.compare_digest(self._link_hash, _digest(secret)):
            audit_log.note("login.failed", detail=translatable("link"), name=ADMIN)
            return False
        self._link_hash = None
        self._begin(Account(ADMIN, Role.ADMIN, self._link_stamp), translatable("link"))
        return True

    def leave(self) -> None:
        """Log out."""
        audit_log.note("logout")
        ended = session.get(SESSION)
        logout_user()
        session.clear()
        if ended:
            events.publish(events.ACCESS_CHANGED, ended)

    def change_password(self, account: Account, old: str, new: str) -> None:
        """Change the caller's own password and end their other sessions. Raises InvalidInput naming the
        field, also where the old password is wrong, and Forbidden where the password is set in the
        settings."""
        if account.user is None:
            raise Forbidden(translatable("This password stands in the settings: change it there."))
        self._wait_for_turn(account.name)
        if users.verified(account.name, old) is None:
            raise InvalidInput(translatable("This is not the present password."), "old")
        self._throttle.give_back(account.name, request.remote_addr or "")
        users.set_password(account.user, new)
        _renew(_account_of(users.get(account.user)))

    def _wait_for_turn(self, name: str) -> None:
        address = request.remote_addr or ""
        wait_s = self._throttle.wait_s(name, address)
        if wait_s:
            if self._throttle.is_news(address):
                audit_log.note(
                    "login.throttled",
                    detail=translatable("%(seconds)s s", seconds=wait_s),
                    name="?",
                )
            raise TooManyTries(wait_s)

    def _checked(self, name: str, password: str) -> Account | None:
        if name == ADMIN and self._settings.PASSWORD and users.named(ADMIN) is None:
            self._password_hash = self._password_hash or passwords.hashed(self._settings.PASSWORD)
            fits = passwords.fits(self._password_hash, password)
            return Account(ADMIN, Role.ADMIN, self._password_stamp) if fits else None
        user = users.verified(name, password)
        return _account_of(user) if user is not None else None

    def _begin(self, account: Account, how: str = "") -> None:
        _renew(account)
        identity.act_as(account.caller(request.remote_addr or ""))
        audit_log.note("login", detail=how)


class TooManyTries(Forbidden):
    """Passwords were tried too often; ``wait_s`` is how many seconds to wait."""

    http_status = 429

    def __init__(self, wait_s: int):
        super().__init__(translatable("Too many tries: wait %(seconds)s seconds.", seconds=wait_s))
        self.wait_s = wait_s


def register(app: Flask, settings: Settings) -> Guard:
    """Install the guard before everything that the app serves."""
    door = Guard(settings, app.config["SECRET_KEY"])
    app.extensions["simple_batch_door"] = door
    app.session_interface = _Sessions()
    app.config.update(
        PERMANENT_SESSION_LIFETIME=settings.SESSION_HOURS * 3600,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    logins = LoginManager(app, add_context_processor=False)
    logins.session_protection = None  # an address may change; the stamp ends a session
    logins.user_loader(door.account)
    app.before_request(_guard)
    app.teardown_request(_go)
    app.context_processor(_for_templates)
    return door


def trust_proxies(app: Flask, settings: Settings) -> None:
    """Trust the client address, scheme and host that the proxies send. Call this after all
    middleware is installed."""
    hops = settings.TRUSTED_PROXIES
    if hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)


def current_guard() -> Guard:
    return current_app.extensions["simple_batch_door"]


def must_see(job_id: int) -> None:
    """Raises NotFound for a job that the current caller may not see, as for a missing one."""
    sees = identity.current().sees
    if sees is not None and not visibility.sees_job(sees, job_id):
        raise NotFound(translatable("There is no job %(job_id)s.", job_id=job_id))


def credentials_digest(environ: Mapping) -> bytes:
    """A digest of all values in a request that authenticate its caller. A digest, because the values
    may be secret and of any length."""
    given = repr(([environ.get(name) for name in _WAY], local_requests.proxy_headers(environ)))
    return hashlib.blake2b(given.encode(), digest_size=32).digest()


def bearer(headers: Mapping) -> str:
    """The secret in the request's bearer header; empty without one."""
    scheme, _, secret = headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def token_brought(headers: Mapping) -> str:
    """The secret of one of our tokens, good or not. Another bearer may be meant for a proxy."""
    secret = bearer(headers)
    return secret if secret.startswith(tokens.PREFIX) else ""


def required_role(endpoint: str, method: str) -> Role:
    """The role that an endpoint asks for."""
    blueprint = endpoint.partition(".")[0]
    if endpoint in _BY_ANYBODY:
        return Role.VIEWER
    if endpoint in _ADMINS or (blueprint in _ADMINS and endpoint not in _LOOKED_AT):
        return Role.ADMIN
    if _OPERATORS & {blueprint, endpoint} or method not in _CHANGES_NOTHING:
        return Role.OPERATOR
    return Role.VIEWER


def _guard() -> None:
    g.caller, g.acted_before = None, identity.current()
    identity.act_as(Actor("nobody", Role.VIEWER, address=request.remote_addr or ""))
    door, endpoint = current_guard(), request.endpoint or ""
    if endpoint not in _BY_ANY_NAME:
        door.check_host()
    if endpoint == "static" or endpoint.startswith("openai_"):  # which has its own way of refusing
        return
    if endpoint in PUBLIC and endpoint in _BY_ANY_NAME:
        return
    # what says how the database stands opens its own connection
    with as_opened() if endpoint == _SAYS_HOW else connected():
        _let_in(door, endpoint)


def _let_in(door: Guard, endpoint: str) -> None:
    """Authenticate and authorize the request. Raises LoginNeeded, Forbidden or NotFound."""
    caller = door.caller()
    if caller is not None:
        g.caller = caller
        identity.act_as(caller)
    if endpoint in PUBLIC:
        return
    if caller is None:
        raise _refusal(door)
    if caller.token is not None:
        _check_token_reads(caller, endpoint)
    if not caller.may(required_role(endpoint, request.method)):
        raise Forbidden(translatable("Your role does not allow this."))
    _check_what_is_named(caller.sees)


def _refusal(door: Guard) -> Forbidden | LoginNeeded:
    """Why the present request is refused, and what to do."""
    if door.login_needed():
        return LoginNeeded(translatable("Log in first."))
    if token_brought(request.headers):
        return Forbidden(translatable("This token is not known here, or it was revoked."))
    return Forbidden(
        translatable(
            "This server has no users yet, so it answers this machine alone, and this request does "
            "not count as coming from it: %(why)s. Create a user first: flask create-user NAME "
            "--role admin.",
            why=door.why_not_local() or "",
        )
    )


def _check_token_reads(caller: Actor, endpoint: str) -> None:
    """Raises Forbidden for what a token does not do on pages. A page that reads as a token is of no
    use in a browser: its forms carry no CSRF token."""
    g.csrf_token = ""  # nosec B105: where Flask-WTF looks before it makes one
    if not endpoint:  # there is no such page
        return
    if request.method not in _CHANGES_NOTHING:
        raise Forbidden(
            translatable("Tokens only read pages: what changes something is done by users.")
        )
    narrow = caller.sees is not None and caller.sees.token is not None
    if endpoint in TOKENS_READ or (endpoint in TOKENS_OF_EVERYTHING_READ and not narrow):
        return
    raise Forbidden(translatable("Tokens do not read this page."))


def _go(_error) -> None:
    """Restore the previous caller at the end of a request: later work of this greenlet is not done
    for the caller of the request."""
    if "acted_before" in g:
        identity.act_as(g.acted_before)


def _check_what_is_named(sees: Scope | None) -> None:
    """Raises NotFound where the URL names an object of another user."""
    named = request.view_args or {}
    if sees is None:
        return
    if "job_id" in named:
        must_see(named["job_id"])
    if "upload_id" in named and not visibility.sees_upload(sees, named["upload_id"]):
        raise NotFound(translatable("This upload is no longer kept: upload the file again."))


def _for_templates() -> dict:
    caller = g.get("caller")
    return {
        "caller": caller,
        "logged_in": bool(caller is not None and current_user.is_authenticated),
        "may_run": caller is not None and caller.may(Role.OPERATOR),
        "may_all": caller is not None and caller.may(Role.ADMIN),
    }


def _renew(account: Account) -> None:
    """Start a new session and drop the old one, which another party may have planted."""
    session.clear()
    session.permanent = True
    session[SESSION] = secrets.token_hex(8)
    login_user(account)


def _account_of(user: users.User) -> Account:
    return Account(user.name, user.role, user.stamp, user.id)


def _digest(secret: str) -> bytes:
    # a secret of 256 random bits needs no slow hash
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


class _Sessions(SecureCookieSessionInterface):
    """A request with a token neither uses a session nor gets one."""

    def open_session(self, app: Flask, request):
        if token_brought(request.headers):
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session, response) -> None:
        if not token_brought(request.headers):
            super().save_session(app, session, response)

    def should_set_cookie(self, app: Flask, session) -> bool:
        """Renew the cookie of an active session, but not on each request: the cache of callers is keyed
        by the cookie."""
        now, lasts_s = int(time.time()), app.permanent_session_lifetime.total_seconds()
        if now - session.get(RENEWED, 0) >= min(RENEWED_S, lasts_s / 10) and session.permanent:
            session[RENEWED] = now
        return session.modified

    def get_cookie_secure(self, app: Flask) -> bool:
        """A cookie set over TLS is marked Secure."""
        return request.is_secure
