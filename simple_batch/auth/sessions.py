"""Sessions and logins: who the caller of a request is, and how a browser's session begins and ends.

A program sends a token, a browser the session that its login began. Where no login is needed (no user,
no password, no link, and the server is on a loopback address), every request from this machine has full
access.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from flask import Flask, request, session
from flask.sessions import SecureCookieSessionInterface
from flask_login import UserMixin, login_user, logout_user

from ..core import address_policy, events, identity
from ..core.domain import Role
from ..core.errors import Forbidden, InvalidInput, SettingsError
from ..core.identity import Actor, Scope
from ..core.messages import translatable
from ..core.settings import Settings
from ..core.ttl_cache import TtlCache
from . import allowed_hosts, audit_log, local_requests, passwords, tokens, users
from .credentials import Credentials, credentials_digest, secret_digest, token_in

if TYPE_CHECKING:
    from .login_throttle import Throttle

ADMIN = "admin"  # the name of a caller who logs in with the password of the settings or the link
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")  # they change nothing
SESSION = "began"  # the session id in the cookie
CALLER_TTL_S = 1.0  # of an authenticated caller in the cache
CREDENTIALS_TTL_S = 60.0  # of the credentials decoded from a request
MAX_CACHED = 4096
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


class Authenticator:
    """Authenticates the requests of one app."""

    def __init__(self, settings: Settings, secret_key: str):
        self._settings = settings
        self._hosts = allowed_hosts.Hosts(settings.ALLOWED_HOSTS, settings.PUBLIC_URL)
        self._secret_key = secret_key
        self._link_hash: bytes | None = None
        self._link_stamp = secrets.token_hex(16)
        self._password_stamp = hmac.new(
            secret_key.encode(), settings.PASSWORD.encode("utf-8", "surrogatepass"), hashlib.sha256
        ).hexdigest()
        self._password_hash: str | None = None
        self._credentials: TtlCache[bytes, Credentials] = TtlCache(CREDENTIALS_TTL_S, MAX_CACHED)
        self._callers: TtlCache[Credentials, Actor] = TtlCache(CALLER_TTL_S, MAX_CACHED)
        events.received.connect(self._on_event)

    @cached_property
    def _throttle(self) -> "Throttle":
        from .login_throttle import Throttle  # takes 60 ms, which only logins need

        return Throttle(self._secret_key, self._settings.REDIS_URL)

    # --- at the start -----------------------------------------------------------------------

    def open_at(self, addresses: Iterable[str]) -> str | None:
        """Call this with the addresses before they are served. Returns the secret of the one-time login
        link if the settings ask for one. Raises SettingsError where other machines could get access
        without a password."""
        elsewhere = [address for address in addresses if not address_policy.is_loopback(address)]
        self._hosts.everywhere = bool(elsewhere)
        if self._settings.LOGIN_LINK:
            secret = secrets.token_urlsafe(32)
            self._link_hash = secret_digest(secret)
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
        nothing, the result is cached for CALLER_TTL_S; ``refresh`` skips that cache."""
        self.check_host()
        credentials = self._credentials.load(
            credentials_digest(request.environ), self._read_credentials
        )
        caller = None
        if not refresh and request.method in SAFE_METHODS:
            caller = self._callers.get(credentials)
        if caller is None:
            caller = self._callers.load(credentials, lambda: self._authenticated(credentials))
        return caller and replace(caller, address=request.remote_addr or "")

    def cached_caller(self, environ: Mapping, digest: bytes) -> Actor | None:
        """The cached caller for this ``credentials_digest``, else None. It is known only if a request
        with this digest passed the host check and a request with the same credentials was
        authenticated, both within the times to live of the caches."""
        credentials = self._credentials.get(digest)
        caller = None if credentials is None else self._callers.get(credentials)
        return caller and replace(caller, address=environ.get("REMOTE_ADDR") or "")

    def cached_session(self, digest: bytes) -> str:
        """The session id of a recent request with this ``credentials_digest``; empty without one."""
        credentials = self._credentials.get(digest)
        return credentials.session_id if credentials is not None else ""

    def _on_event(self, _sender, topic: str, **_detail) -> None:
        if topic == events.ACCESS_CHANGED:
            self._callers.clear()

    @staticmethod
    def access_state() -> tuple:
        """A value that changes whenever access may have been taken away, but not when a session
        expires."""
        return users.access_state(), tokens.access_state()

    def _authenticated(self, credentials: Credentials) -> Actor | None:
        """Authenticate the current request by these credentials."""
        if credentials.token_digest:
            token = tokens.verified(token_in(request.headers))
            return tokens.caller(token, "") if token is not None else None
        account = self.account(credentials.account_id) if credentials.account_id else None
        if account is not None:
            return account.caller("")
        if credentials.local and not self.login_needed():
            return Actor("web")
        return None

    def _read_credentials(self) -> Credentials:
        """The credentials of the current request."""
        secret = token_in(request.headers)
        return Credentials(
            secret_digest(secret).hex() if secret else "",
            session.get("_user_id", ""),
            self.why_not_local() is None,
            session.get(SESSION, ""),
        )

    def why_not_local(self) -> str | None:
        """None where the current request comes from this machine, else the reason against it."""
        if self._settings.TRUSTED_PROXIES:
            return translatable("TRUSTED_PROXIES says that this server is behind a proxy")
        return local_requests.why_not(request.environ)

    def check_host(self) -> None:
        """Raises Forbidden for a name that is not this server's."""
        if not self._hosts.allows(request.host):
            raise Forbidden(
                translatable(
                    "This server does not accept the name %(host)s. If it is correct, add it to "
                    "the setting ALLOWED_HOSTS.",
                    host=allowed_hosts.bare(request.host)[:100],
                )
            )

    def account(self, account_id: str) -> Account | None:
        """The account with this ``Account.get_id``; None if its sessions have ended."""
        owner, _, stamp = account_id.partition(".")
        if owner == ADMIN:
            kept = [self._link_stamp]
            if self._settings.PASSWORD and users.named(ADMIN) is None:
                kept.append(self._password_stamp)
            known = any(hmac.compare_digest(stamp.encode(), one.encode()) for one in kept)
            return Account(ADMIN, Role.ADMIN, stamp) if known else None
        user = users.in_session(int(owner), stamp) if owner.isdecimal() else None
        return account_of(user) if user is not None else None

    # --- login and logout -------------------------------------------------------------------

    def log_in(self, name: str, password: str) -> None:
        """Log in. Raises InvalidInput where name and password do not belong together, TooManyTries."""
        name = name.strip().casefold()[:64]
        self._count_attempt(name)
        account = self._account_with(name, password)
        if account is None:
            # the name field may hold a password by mistake
            known = name == ADMIN or users.named(name) is not None
            audit_log.note("login.failed", name=name if known else "?")
            raise InvalidInput(translatable("Wrong name or password."), "password")
        self._throttle.uncount(name, request.remote_addr or "")
        self._begin_session(account)

    def log_in_by_link(self, secret: str) -> bool:
        """Log in by the one-time link printed at the start."""
        if self._throttle.count_attempt("", request.remote_addr or ""):
            return False
        if self._link_hash is None or not hmac.compare_digest(
            self._link_hash, secret_digest(secret)
        ):
            audit_log.note("login.failed", detail=translatable("link"), name=ADMIN)
            return False
        self._link_hash = None
        self._begin_session(Account(ADMIN, Role.ADMIN, self._link_stamp), translatable("link"))
        return True

    def log_out(self) -> None:
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
            raise Forbidden(translatable("This password comes from the settings. Change it there."))
        self._count_attempt(account.name)
        if users.verified(account.name, old) is None:
            raise InvalidInput(translatable("The current password is wrong."), "old")
        self._throttle.uncount(account.name, request.remote_addr or "")
        users.set_password(account.user, new)
        _renew(account_of(users.get(account.user)))

    def _count_attempt(self, name: str) -> None:
        address = request.remote_addr or ""
        wait_s = self._throttle.count_attempt(name, address)
        if wait_s:
            if self._throttle.is_first_refusal(address):
                audit_log.note(
                    "login.throttled",
                    detail=translatable("%(seconds)s s", seconds=wait_s),
                    name="?",
                )
            raise TooManyTries(wait_s)

    def _account_with(self, name: str, password: str) -> Account | None:
        if name == ADMIN and self._settings.PASSWORD and users.named(ADMIN) is None:
            self._password_hash = self._password_hash or passwords.hashed(self._settings.PASSWORD)
            fits = passwords.fits(self._password_hash, password)
            return Account(ADMIN, Role.ADMIN, self._password_stamp) if fits else None
        user = users.verified(name, password)
        return account_of(user) if user is not None else None

    def _begin_session(self, account: Account, how: str = "") -> None:
        _renew(account)
        identity.act_as(account.caller(request.remote_addr or ""))
        audit_log.note("login", detail=how)


class TooManyTries(Forbidden):
    """Passwords were tried too often; ``wait_s`` is how many seconds to wait."""

    http_status = 429

    def __init__(self, wait_s: int):
        super().__init__(
            translatable("Too many attempts. Wait 1 second.")
            if wait_s == 1
            else translatable("Too many attempts. Wait %(seconds)s seconds.", seconds=wait_s)
        )
        self.wait_s = wait_s


def _renew(account: Account) -> None:
    """Start a new session and drop the old one, which an attacker may have planted."""
    session.clear()
    session.permanent = True
    session[SESSION] = secrets.token_hex(8)
    login_user(account)


def account_of(user: users.User) -> Account:
    return Account(user.name, user.role, user.stamp, user.id)


class SessionInterface(SecureCookieSessionInterface):
    """A request with a token neither uses a session nor gets one."""

    def open_session(self, app: Flask, request):
        if token_in(request.headers):
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session, response) -> None:
        if not token_in(request.headers):
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
