"""Every setting: name, default, unit, meaning, validation.

A value comes from the environment (``SIMPLE_BATCH_<NAME>``, or a file named by
``SIMPLE_BATCH_<NAME>_FILE``, as secrets are given to containers), else from
``settings.toml`` in the instance folder, else from the default here.
"""

import os
import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from . import settings_file
from .address_policy import AddressPolicy
from .errors import SettingsError

ENV_PREFIX = "SIMPLE_BATCH_"
PROJECT_ROOT = Path(__file__).resolve().parents[2]
MIB = 1024 * 1024
WORKERS_FLUSH_INTERVAL_S = 0.2
SHORTEST_PASSWORD = 8  # characters


def _setting(default, meaning, unit="", low=None, high=None, choices=None):
    return field(
        default=default,
        metadata={"meaning": meaning, "unit": unit, "low": low, "high": high, "choices": choices},
    )


@dataclass(frozen=True)
class Settings:
    """The settings of one running program. Field names in capitals, as documented."""

    INSTANCE_PATH: str = _setting(
        str(PROJECT_ROOT / "instance"), "folder of the database, keys and uploads"
    )
    DATABASE_URL: str = _setting(
        "",
        "sqlite:///path of the database, or postgresql://user:password@host:port/name; empty: "
        "simple_batch.db in the instance folder",
    )
    DATABASE_CONNECTIONS: int = _setting(
        20, "connections to PostgreSQL that one process holds at most", "connections", 2, 1000
    )
    ENGINE: str = _setting(
        "gevent",
        "who makes the calls; gevent: one process, this one; celery: the workers on PostgreSQL and "
        "Redis (docs/scale-out.md)",
        choices=("gevent", "celery"),
    )
    REDIS_URL: str = _setting(
        "",
        "redis://host:port/number, what workers and web processes share besides the database; needed "
        "for ENGINE=celery",
    )
    WORKER_CONCURRENCY: int = _setting(
        1000, "calls in flight that one worker has at most (ENGINE=celery)", "calls", 1, 100_000
    )
    WORKER_METRICS: str = _setting(
        "",
        "host:port at which a worker answers Prometheus (/metrics, /healthz); each worker of a machine "
        "needs its own; empty: nowhere (ENGINE=celery)",
    )
    SECRET_KEY: str = _setting(
        "", "signs sessions; empty: made once and kept in the instance folder"
    )
    PASSWORD: str = _setting(
        "", "password of the user admin, where no users are made; needed to serve other addresses"
    )
    LOGIN_LINK: bool = _setting(
        False, "print a link at the start that lets its first visitor in as admin, once"
    )
    SESSION_HOURS: float = _setting(
        72.0, "whoever does nothing for so long has to log in again", "hours", 0.01, 8760
    )
    ALLOWED_HOSTS: str = _setting(
        "",
        "further names that browsers may call this server by, comma separated; .example.com with "
        "all below it; *: any",
    )
    TRUSTED_PROXIES: int = _setting(
        0, "proxies in front whose X-Forwarded-For, -Proto and -Host are believed", "", 0, 10
    )
    AUDIT_KEEP_DAYS: float = _setting(
        365.0, "entries of the audit log are deleted after this; 0: never", "days", 0, 36_500
    )
    ENCRYPTION_KEYS: str = _setting(
        "", "Fernet keys for API keys at rest, comma separated, newest first; empty: a 0600 file"
    )

    DEFAULT_MAX_TOKENS: int = _setting(4096, "max tokens of a new config", "tokens", 1, 10_000_000)
    DEFAULT_TEMPERATURE: float = _setting(0.7, "temperature of a new config", "", 0.0, 2.0)
    DEFAULT_TIMEOUT: float = _setting(60.0, "time limit of one call", "seconds", 0.1, 86_400)
    DEFAULT_CONCURRENCY: int = _setting(
        5, "calls in flight where learning a limit starts", "calls", 1, 10_000
    )
    DEFAULT_MAX_RETRIES: int = _setting(3, "calls after the first", "calls", 0, 100)
    MAX_CONCURRENCY: int = _setting(
        5000, "highest concurrency a config or a job may ask for", "calls", 1, 100_000
    )

    REQUEST_CACHE_BATCH_SIZE: int = _setting(
        100, "results per commit at most", "results", 1, 10_000
    )
    REQUEST_CACHE_FLUSH_INTERVAL: float = _setting(
        0.05,
        "a result waits for its commit at most this long; where few come, hardly at all; with "
        "ENGINE=celery 0.2 where it is not set, and always",
        "seconds",
        0.01,
        60,
    )
    MAX_RUNNING_JOBS: int = _setting(8, "jobs that run side by side", "jobs", 1, 1000)

    EMBEDDINGS_PER_CALL: int = _setting(
        64, "inputs of embeddings in a call at most; 1: each goes alone", "inputs", 1, 2048
    )
    BACKOFF_BASE: float = _setting(
        1.0, "first backoff; doubles with each retry", "seconds", 0, 3600
    )
    BACKOFF_MAX: float = _setting(60.0, "longest backoff", "seconds", 0, 86_400)
    RATE_LIMIT_PATIENCE: float = _setting(
        900.0, "how long one request may wait on rate limits in all", "seconds", 0, 604_800
    )
    REQUEST_DEADLINE: float = _setting(
        3600.0, "all attempts of one request together", "seconds", 1, 604_800
    )
    CANCEL_GRACE: float = _setting(
        10.0, "calls in flight may still finish this long after a cancel", "seconds", 0, 3600
    )
    MAX_ANSWER_BYTES: int = _setting(32 * MIB, "longest answer body", "bytes", 1024, 1 << 40)
    MAX_ANSWERS_BYTES: int = _setting(
        256 * MIB,
        "all answers that are in memory together, of one process; at least MAX_ANSWER_BYTES. Where "
        "they are as much, they are read one after the other (docs/engine.md)",
        "bytes",
        1024,
        1 << 40,
    )
    TRUST_ENV: bool = _setting(
        False, "use proxies and .netrc named by the environment for calls to providers"
    )

    CA_BUNDLE: str = _setting(
        "", "file of CA certificates to trust instead of the usual ones (an endpoint of your own)"
    )

    EXPOSED: str = _setting(
        "auto",
        "whether people on other machines reach the pages, who then have to log in; auto: by the "
        "address listened on (behind a proxy say yes), for a Celery worker by whether users have to "
        "log in",
        choices=("auto", "yes", "no"),
    )
    ALLOWED_PRIVATE_HOSTS: str = _setting(
        "",
        "names, addresses and networks, comma separated, that base URLs and webhooks may have though "
        "they are private, where EXPOSED",
    )
    CLIENT_TIMEOUT: float = _setting(
        30.0,
        "a client has this long to send a request's headers, and to be silent in its body",
        "seconds",
        0.1,
        3600,
    )
    MIN_UPLOAD_RATE: int = _setting(
        1024, "a client that sends slower is cut off; 0: never", "bytes a second", 0, 1 << 30
    )
    HSTS_MAX_AGE: int = _setting(
        0, "browsers shall use HTTPS only, for this long; 0: not said", "seconds", 0, 1 << 31
    )

    MAX_UPLOAD_BYTES: int = _setting(4096 * MIB, "largest upload", "bytes", 1024, 1 << 50)
    MAX_UNPACKED_BYTES: int = _setting(
        16384 * MIB,
        "largest upload after unpacking (gzip, ZIP, XLSX, Parquet)",
        "bytes",
        1024,
        1 << 50,
    )
    MAX_REQUEST_BYTES: int = _setting(16 * MIB, "largest single request", "bytes", 1024, 1 << 40)
    MAX_IMAGE_BYTES: int = _setting(
        10 * MIB,
        "largest image beside a table; as sent it is a third larger",
        "bytes",
        1024,
        1 << 40,
    )
    MAX_IMAGES: int = _setting(100_000, "images beside one table", "images", 1, 10_000_000)
    MAX_NESTING: int = _setting(100, "deepest nesting of JSON in a request", "levels", 5, 900)
    BATCH_MAX_FILE_BYTES: int = _setting(
        200 * MIB, "largest file of the Batch API; 0: as MAX_UPLOAD_BYTES", "bytes", 0, 1 << 50
    )
    BATCH_MAX_REQUESTS: int = _setting(
        50_000, "most lines of a batch of the Batch API; 0: any number", "lines", 0, 1 << 40
    )
    BATCH_FILE_KEEP_DAYS: float = _setting(
        30.0,
        "an input file of the Batch API that says nothing else is deleted after this; 0: never",
        "days",
        0,
        3650,
    )
    UPLOAD_KEEP_HOURS: float = _setting(
        24.0, "uploads never launched are deleted after this", "hours", 0.01, 87_600
    )

    RETENTION_JOBS_DAYS: float = _setting(
        0.0, "finished jobs go when their end is older; 0: never", "days", 0, 36_500
    )
    RETENTION_JOBS_MAX_BYTES: int = _setting(
        0,
        "finished jobs go, oldest first, while the database (on PostgreSQL: its jobs) holds more; "
        "0: any size",
        "bytes",
        0,
        1 << 50,
    )
    RETENTION_UPLOADS_DAYS: float = _setting(
        0.0, "uploads of finished jobs go when they are older; 0: never", "days", 0, 36_500
    )
    RETENTION_UPLOADS_MAX_BYTES: int = _setting(
        0,
        "uploads of finished jobs go, oldest first, while uploads are more; 0: any size",
        "bytes",
        0,
        1 << 50,
    )
    RETENTION_RESULTS_DAYS: float = _setting(
        0.0,
        "result files of the Batch API, and the answers in them, go when they are older; 0: never",
        "days",
        0,
        36_500,
    )
    RETENTION_EXPORTS_DAYS: float = _setting(
        0.0, "files in the folder of exports go when they are older; 0: never", "days", 0, 36_500
    )
    RETENTION_EXPORTS_MAX_BYTES: int = _setting(
        0,
        "files in the folder of exports go, oldest first, while they are more; 0: any size",
        "bytes",
        0,
        1 << 50,
    )
    RETENTION_AUTO: bool = _setting(
        False, "the server keeps these rules by itself; no: only when asked (flask clean, Storage)"
    )
    EXPORT_DIR: str = _setting(str(PROJECT_ROOT / "exports"), "folder of the demo's exports")

    BACKUP_EVERY_HOURS: float = _setting(
        0.0, "the server backs its database up so often; 0: never", "hours", 0, 8_760
    )
    BACKUP_KEEP: int = _setting(7, "backups that it keeps; older ones go", "files", 1, 10_000)
    BACKUP_DIR: str = _setting("", "folder of these; empty: backups in the instance folder")
    MIN_FREE_BYTES: int = _setting(
        256 * MIB, "with less room on the disk /readyz says so", "bytes", 0, 1 << 50
    )

    LOG_FORMAT: str = _setting(
        "text", "how log lines are written; json: one object a line", choices=("text", "json")
    )
    LOG_LEVEL: str = _setting(
        "INFO", "what is logged", choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    )
    LOG_DIR: str = _setting(
        str(PROJECT_ROOT / "logs"), "folder of the log files; empty: console only"
    )
    LOG_MAX_BYTES: int = _setting(
        10 * MIB, "a log file is rotated at this size", "bytes", 1024, 1 << 40
    )
    LOG_BACKUPS: int = _setting(5, "rotated log files kept", "files", 0, 1000)

    REUSE_KEEP_HOURS: float = _setting(
        168.0, "answers kept for other jobs are deleted after this", "hours", 0.01, 87_600
    )
    REUSE_MAX_BYTES: int = _setting(
        512 * MIB, "answers kept for other jobs, at most; the oldest go first", "bytes", 0, 1 << 50
    )
    PUBLIC_URL: str = _setting("", "where people reach the pages, for links in e-mails")
    SMTP_HOST: str = _setting("", "mail server for e-mails about the ends of jobs; empty: none")
    SMTP_PORT: int = _setting(587, "its port", "", 1, 65_535)
    SMTP_SECURITY: str = _setting(
        "starttls", "how the connection is secured", choices=("starttls", "tls", "none")
    )
    SMTP_USER: str = _setting("", "user name there; empty: without logging in")
    SMTP_PASSWORD: str = _setting("", "password there")
    MAIL_FROM: str = _setting("", "sender of the e-mails; empty: simple-batch@ the mail server")

    TIMEZONE: str = _setting(
        "",
        "zone in which pages show times, and of the days and months of spend caps; empty: the "
        "machine's, and UTC for spend caps",
    )
    LANGUAGE: str = _setting(
        "en", "language where the browser asks for none we have", choices=("en", "zh")
    )

    @property
    def instance(self) -> Path:
        return Path(self.INSTANCE_PATH)

    @property
    def uploads(self) -> Path:
        return self.instance / "uploads"

    @property
    def exports(self) -> Path:
        return Path(self.EXPORT_DIR)

    @property
    def backups(self) -> Path:
        return Path(self.BACKUP_DIR) if self.BACKUP_DIR else self.instance / "backups"

    @property
    def database_url(self) -> str:
        path = (self.instance / "simple_batch.db").as_posix()
        return self.DATABASE_URL or f"sqlite:///{quote(path)}"


def load(environ=os.environ, **overrides) -> Settings:
    """Read the settings; ``overrides`` win over everything (used by tests).

    Raises SettingsError naming the setting, where its value came from and what
    is allowed.
    """
    instance = Path(
        overrides.get("INSTANCE_PATH")
        or environ.get(ENV_PREFIX + "INSTANCE_PATH")
        or PROJECT_ROOT / "instance"
    ).absolute()
    _check_folder(instance)
    path = instance / "settings.toml"
    from_file = settings_file.read(path, {item.name for item in fields(Settings)})
    if "INSTANCE_PATH" in from_file:
        raise SettingsError(
            f"INSTANCE_PATH (from {path}): it cannot stand in the folder that it names. Set the "
            "variable SIMPLE_BATCH_INSTANCE_PATH instead."
        )
    values = {}
    for item in fields(Settings):
        name = item.name
        variable = ENV_PREFIX + name
        if name in overrides:
            values[name] = _validated(item, overrides[name], "the program")
        elif variable in environ:
            values[name] = _validated(item, environ[variable], f"the variable {variable}")
        elif variable + "_FILE" in environ:
            file = environ[variable + "_FILE"]
            content = _content(name, file)
            values[name] = _validated(item, content, f"{file}, by the variable {variable}_FILE")
        elif name in from_file:
            _check_kind(item, from_file[name], str(path))
            values[name] = _validated(item, from_file[name], str(path))
    values["INSTANCE_PATH"] = str(instance)
    _check_zone(values.get("TIMEZONE", ""))
    AddressPolicy.of(values.get("ALLOWED_PRIVATE_HOSTS", ""))  # complains
    _check_answers(values)
    _check_engine(values)
    if values.get("ENGINE") == "celery":  # several write: fewer and larger commits
        values.setdefault("REQUEST_CACHE_FLUSH_INTERVAL", WORKERS_FLUSH_INTERVAL_S)
    if 0 < len(values.get("PASSWORD", "")) < SHORTEST_PASSWORD:
        raise SettingsError(f"PASSWORD: use at least {SHORTEST_PASSWORD} characters.")
    return Settings(**values)


def _check_answers(values: dict) -> None:
    """One answer of the longest must have room. Where only the longest is set, so much is allowed
    for all."""
    one = values.get("MAX_ANSWER_BYTES", Settings.MAX_ANSWER_BYTES)
    if "MAX_ANSWERS_BYTES" not in values:
        values["MAX_ANSWERS_BYTES"] = max(one, Settings.MAX_ANSWERS_BYTES)
    elif values["MAX_ANSWERS_BYTES"] < one:
        raise SettingsError(
            f"MAX_ANSWERS_BYTES={values['MAX_ANSWERS_BYTES']}: use at least MAX_ANSWER_BYTES ({one}), "
            "or make that smaller too."
        )


def misspelt(environ=os.environ) -> list[tuple[str, str]]:
    """Variables that look like settings and are none, each with the one that may be meant."""
    known = [item.name for item in fields(Settings)]
    found = []
    for variable in environ:
        name = variable.removeprefix(ENV_PREFIX)
        plain = name.removesuffix("_FILE")
        if variable.startswith(ENV_PREFIX) and plain not in known:
            close = settings_file.meant(plain, known)
            if close:
                found.append((variable, ENV_PREFIX + close + name.removeprefix(plain)))
    return found


def _check_folder(instance: Path) -> None:
    if instance.exists() and not instance.is_dir():
        raise SettingsError(
            f"The instance folder {instance} is a file: move it away, or set SIMPLE_BATCH_INSTANCE_PATH "
            "to a folder."
        )
    if instance.is_symlink() and not instance.exists():
        raise SettingsError(
            f"The instance folder {instance} is a link to {instance.readlink()}, which is not there: "
            "bring that back, or set SIMPLE_BATCH_INSTANCE_PATH to another folder."
        )


def _check_engine(values: dict) -> None:
    """Check the settings of the engine: several machines need shared services."""
    redis_url = values.get("REDIS_URL", "")
    if redis_url and not redis_url.startswith(("redis://", "rediss://", "unix://")):
        raise SettingsError(
            "REDIS_URL: use redis://host:port/number (rediss:// with TLS, unix:// for a socket)."
        )
    if values.get("ENGINE") != "celery":
        return
    if not values.get("DATABASE_URL", "").startswith(("postgresql://", "postgres://")):
        raise SettingsError(
            "ENGINE=celery: set DATABASE_URL=postgresql://… too; workers cannot share a SQLite file."
        )
    if not redis_url:
        raise SettingsError("ENGINE=celery: set REDIS_URL=redis://… too.")
    if values.get("LOGIN_LINK"):
        raise SettingsError(
            "LOGIN_LINK: with ENGINE=celery several processes serve, and a link is good for one. Make "
            "a user (flask create-user NAME --role admin), or set SIMPLE_BATCH_PASSWORD."
        )
    address = values.get("WORKER_METRICS", "")
    if address and not re.fullmatch(r"(?:\[[0-9a-fA-F:]+\]|[\w.-]+):[0-9]{1,5}", address):
        raise SettingsError(f"WORKER_METRICS={address!r}: use host:port, as in 127.0.0.1:9464.")


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name or "UTC")
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise SettingsError(f"TIMEZONE={name!r}: no such zone; one is Asia/Shanghai.") from None


def _content(name: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{ENV_PREFIX}{name}_FILE: {path} cannot be read: {error}.") from error


def _validated(item, value, source: str):
    kind, meta = type(item.default), item.metadata
    shown = f"{item.name} (from {source})"
    if item.name not in _SECRET:
        shown = f"{item.name}={_short(value)} (from {source})"
    try:
        value = _as_bool(value) if kind is bool else kind(value)
    except (TypeError, ValueError, OverflowError):
        raise SettingsError(f"{shown}: not a {_KIND_NAMES[kind]}.") from None
    if kind is str and _UNFIT.search(value):
        raise SettingsError(f"{shown}: it has characters that no text may have here.")
    if meta["choices"]:
        value = value.upper() if item.name == "LOG_LEVEL" else value
        if value not in meta["choices"]:
            raise SettingsError(f"{shown}: use one of {', '.join(meta['choices'])}.")
    low, high = meta["low"], meta["high"]
    if low is not None and not low <= value <= high:
        raise SettingsError(f"{shown}: must be from {low} to {high} {meta['unit']}".rstrip() + ".")
    return value


def _check_kind(item, value, source: str) -> None:
    """A file of settings knows kinds, and what is of another one is a mistake there: texts are not made
    of lists, nor whole numbers of halves. Numbers and yes or no may stand in quotation marks."""
    kind = type(item.default)
    allowed = {
        str: (str,),
        bool: (bool, int, str),
        int: (int, str),
        float: (int, float, str),
    }[kind]
    good = isinstance(value, allowed) and not (isinstance(value, bool) and kind is not bool)
    if not good:
        what = "" if item.name in _SECRET else f"={_short(value)}"
        quoted = " (in quotation marks)" if kind is str else ""
        raise SettingsError(
            f"{item.name}{what} (from {source}): not a {_KIND_NAMES[kind]}{quoted}."
        )


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_SHOWN = 60  # characters of a value in a complaint
_SECRET = {
    "SECRET_KEY",
    "PASSWORD",
    "ENCRYPTION_KEYS",
    "SMTP_PASSWORD",
    "REDIS_URL",
    "DATABASE_URL",
}
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff]")
_KIND_NAMES = {int: "whole number", float: "number", bool: "yes or no", str: "text"}


def _as_bool(value) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off", ""):
        return False
    raise ValueError(value)
