"""What is wrong with this installation, each with what to do about it: for simple-batch doctor."""

import email.utils
import http.client
import platform
import socket
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from gevent.pool import Pool

from ..core import context, home
from ..core.clock import now_ms
from ..core.errors import SimpleBatchError
from ..core.settings import PROJECT_ROOT
from ..core.version import __version__
from ..store.configs import endpoint_of
from ..store.database import connected, is_server, open_database, redacted_url, sqlite_path
from ..store.models import ApiConfig, Job
from ..store.secrets import KEY_FILE, missing_keys
from . import configs, home_check, lifecycle, readiness
from .demo_job import ALIAS, is_demo

OLDEST_PYTHON = 3, 11
PORT = 7861
HOME, SETTINGS = "home", "settings"  # names of findings; nothing else works without them
CLOCK_OFF_S = 60
_AT_A_TIME = 8  # APIs that are called
_TIMEOUT_S = 10
_NEEDED = ("Flask", "gevent", "peewee", "click")
_REMEDIES = {
    "database": "Look at the file or the server that DATABASE_URL names, or restore a backup: "
    "simple-batch backup restore FILE",
    "writing": "Make the folder of the data writable, and end other programs that hold the database.",
    "migrations": "Start simple-batch serve once: it brings the database up to date.",
    "disk": "Free space on this disk, or delete old jobs: simple-batch db clean --dry-run",
    "folder": "Make the folder writable for this user, or choose another with --home.",
    "keys": "Put the key file back from your backup, or enter the API keys again: simple-batch api edit",
}


_OF_DATABASE = (  # words of the error, and the remedy
    (
        ": database is locked",
        "End the program that holds the database, then check again: simple-batch doctor",
    ),
    (
        "was used by a newer Simple Batch",
        "Install the newest version, or restore a backup of this one: simple-batch backup restore FILE",
    ),
    (
        "is damaged or is none: ",
        "Restore a backup: simple-batch backup restore FILE. Without one, save what can be saved "
        "(docs/deployment.md).",
    ),
)
_OF_SETTINGS = "Correct what this names, in the variable or in settings.toml."


class Finding(msgspec.Struct, omit_defaults=True):
    """``detail`` is what was found, ``remedy`` what to do where it is not ``ok``."""

    name: str
    ok: bool
    detail: str = ""
    remedy: str = ""


def findings(with_apis: bool = True) -> Iterator[Finding]:
    """Each check as it ends. It loads the settings and opens the database: neither can be relied on."""
    yield from _versions()
    folder = home.chosen()
    fault = home_check.fault_of(folder)
    if fault is not None:
        yield Finding(HOME, False, *fault)
        yield _port()
        return
    yield Finding(HOME, True, str(folder))
    try:
        settings = lifecycle.prepare(with_database=False)
    except SimpleBatchError as error:
        of_keys = KEY_FILE in str(error) or "ENCRYPTION_KEYS" in str(error)
        yield Finding(SETTINGS, False, str(error), _REMEDIES["keys"] if of_keys else _OF_SETTINGS)
        yield _port()
        return
    yield Finding(SETTINGS, True)
    yield _port()
    try:
        open_database(settings.database_url, settings.DATABASE_CONNECTIONS)
    except SimpleBatchError as error:
        yield Finding("database", False, str(error), _remedy_of_database(str(error)))
        return
    yield from _readiness()
    with connected():
        yield _keys()
        yield _clock()
        if with_apis:
            yield from _apis()


def _remedy_of_database(error: str) -> str:
    return next((remedy for words, remedy in _OF_DATABASE if words in error), _REMEDIES["database"])


def _versions() -> Iterator[Finding]:
    python = platform.python_version()
    old = sys.version_info[:2] < OLDEST_PYTHON
    yield Finding("simple-batch", True, __version__)
    yield Finding("python", not old, python, "Install Python 3.11 or newer." if old else "")
    wrong = [text for name in _NEEDED if (text := _other_version(name))]
    remedy = "Install it again, the way it was installed (docs/installation.md)." if wrong else ""
    yield Finding("packages", not wrong, ", ".join(wrong) or "as required", remedy)


def _other_version(name: str) -> str:
    """What is wrong with a package that has to be there in one version; empty if nothing."""
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is missing"
    path = PROJECT_ROOT / "requirements.txt"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    pinned = [line.partition("==")[2] for line in lines if line.startswith(f"{name}==")]
    wanted = pinned[0].partition(";")[0].split()[0] if pinned else found
    return "" if wanted == found else f"{name} is {found}, not {wanted}"


def _port() -> Finding:
    """Whether the usual port is free, or serves already."""
    with socket.socket() as tried:
        try:
            if sys.platform != "win32":
                tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(("127.0.0.1", PORT))
            return Finding("port", True, f"{PORT} is free")
        except OSError as error:
            if _serves():
                return Finding("port", True, f"{PORT}: Simple Batch serves here")
            detail = f"{PORT} cannot be used: {error.strerror}"
    return Finding("port", False, detail, "Choose another: simple-batch serve --port 7900")


def _serves() -> bool:
    calling = http.client.HTTPConnection("127.0.0.1", PORT, timeout=2)
    try:
        calling.request("GET", "/healthz")
        return calling.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        calling.close()


def _readiness() -> Iterator[Finding]:
    """The checks of /readyz, less those of a process that serves."""
    url = context.settings().database_url
    for name, check in readiness.checks().items():
        if name in _REMEDIES and name != "keys":
            remedy = "" if check.ok else _REMEDIES[name]
            detail = check.detail or (_size(url) if name == "database" else "")
            yield Finding(name, check.ok, detail, remedy)


def _keys() -> Finding:
    """The session key is made by the first server; an encryption key is there from the beginning."""
    settings = context.settings()
    given = bool(settings.ENCRYPTION_KEYS.strip())
    wrong = missing_keys(settings.instance, session=False, encryption=not given)
    if wrong is not None:
        return Finding("keys", False, wrong, _REMEDIES["keys"])
    unopened = _unopened()
    if unopened:
        detail = f"no key decrypts the API keys of {', '.join(unopened)}"
        return Finding("keys", False, detail, _REMEDIES["keys"])
    return Finding("keys", True)


def _unopened() -> list[str]:
    """Connections whose API key the encryption keys do not open."""
    found = []
    for config in configs.list_all():
        try:
            endpoint_of(config, context.vault())
        except SimpleBatchError:
            found.append(config.alias)
    return found


def _size(url: str) -> str:
    if is_server(url):
        return redacted_url(url)
    path = Path(sqlite_path(url))
    return f"{path} ({path.stat().st_size / 1e6:,.1f} MB)"


def _clock() -> Finding:
    """Against the newest job and the Date header of an API. A wrong clock starts jobs at the wrong time."""
    remedy = "Set the clock of this computer, best by NTP."
    newest = Job.select(Job.created_at).order_by(Job.id.desc()).limit(1).scalar()
    if newest and newest > now_ms() + CLOCK_OFF_S * 1000:
        return Finding("clock", False, "the newest job was made in the future", remedy)
    config = ApiConfig.select().where(ApiConfig.active).order_by(ApiConfig.id).first()
    off = None if config is None else _seconds_off(config.base_url)
    if off is None:
        return Finding("clock", True, "not earlier than the newest job")
    if abs(off) > CLOCK_OFF_S:
        return Finding("clock", False, f"{abs(off):.0f} s {'fast' if off > 0 else 'slow'}", remedy)
    return Finding("clock", True, "agrees with that of an API")


def _seconds_off(base_url: str) -> float | None:
    """How much the clock here is before that of a server; None where it gives none."""
    parts = urlsplit(base_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    calling = kind(parts.hostname or "", parts.port, timeout=3)
    try:
        calling.request("HEAD", "/")
        there = email.utils.parsedate_to_datetime(calling.getresponse().getheader("Date") or "")
        return now_ms() / 1000 - there.timestamp()
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        calling.close()


def _apis() -> Iterator[Finding]:
    """One free call to each API: the list of its models."""
    active = configs.list_all(active=True)
    if not active:
        yield Finding("apis", True, "no connection yet")
        return
    yield from Pool(_AT_A_TIME).imap(_api, active)


def _api(config: ApiConfig) -> Finding:
    name = f"api {config.alias}"
    if config.alias == ALIAS and is_demo(config):
        return Finding(name, True, "answers while simple-batch demo runs")
    try:
        with connected():
            models = configs.models(config.id)
    except SimpleBatchError as error:
        return Finding(
            name, False, str(error), f"Find out more: simple-batch api test '{config.alias}'"
        )
    if models and config.model not in models:
        return Finding(name, True, f"answers; its list of models does not name {config.model}")
    return Finding(name, True, "answers")
