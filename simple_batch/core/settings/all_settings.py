"""Every setting: name, default, unit, bounds and meaning, each written down once."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from ..home import RESOURCES
from .declaration import setting

PROJECT_ROOT = RESOURCES  # in a checkout
MIB = 1024 * 1024


@dataclass(frozen=True)
class Settings:
    """The settings of one running program. docs/configuration.md lists them
    (tools/generated_docs.py)."""

    INSTANCE_PATH: str = setting(
        str(PROJECT_ROOT / "instance"),
        "folder of the database, keys and uploads; SIMPLE_BATCH_HOME wins over it, and without both an "
        "installed program uses the user's data folder ([where](installation.md#where-data-lives))",
    )
    DATABASE_URL: str = setting(
        "",
        "sqlite:///path of the database, or postgresql://user:password@host:port/name; empty: "
        "simple_batch.db in the instance folder",
        secret=True,
    )
    DATABASE_CONNECTIONS: int = setting(
        20, "maximum number of connections to PostgreSQL per process", "connections", 2, 1000
    )
    ENGINE: str = setting(
        "gevent",
        "where calls run; `gevent`: in this process; `celery`: in workers that share "
        "PostgreSQL and Redis ([scale-out](scale-out.md))",
        choices=("gevent", "celery"),
    )
    REDIS_URL: str = setting(
        "",
        "`redis://host:port/number`, shared by workers and web processes; required for "
        "`ENGINE=celery`",
        secret=True,
    )
    WORKER_CONCURRENCY: int = setting(
        1000, "maximum number of calls in flight per worker (`ENGINE=celery`)", "calls", 1, 100_000
    )
    WORKER_METRICS: str = setting(
        "",
        "host:port where a worker serves Prometheus (`/metrics`, `/healthz`); each worker on "
        "a machine needs its own port; empty: off (`ENGINE=celery`)",
    )
    SECRET_KEY: str = setting(
        "", "signs sessions; empty: created once and stored in the instance folder", secret=True
    )
    PASSWORD: str = setting(
        "",
        "password of the user admin, until you create a user with that name; serving other "
        "addresses needs this, a user or a login link ([access](access.md)); at least 8 "
        "characters",
        secret=True,
    )
    LOGIN_LINK: bool = setting(
        False,
        "print a link at startup that logs its first visitor in as admin, once; not available "
        "with `ENGINE=celery`",
    )
    SESSION_HOURS: float = setting(
        72.0, "a session ends after this time without a request", "hours", 0.01, 8760
    )
    ALLOWED_HOSTS: str = setting(
        "",
        "additional host names under which browsers may reach this server, comma separated; "
        ".example.com includes all its subdomains; *: any ([names](access.md#by-which-name))",
    )
    TRUSTED_PROXIES: int = setting(
        0,
        "number of proxies in front of the server whose X-Forwarded-For, -Proto and -Host "
        "headers are trusted",
        "",
        0,
        10,
    )
    AUDIT_KEEP_DAYS: float = setting(
        365.0, "audit log entries are deleted after this time; 0: never", "days", 0, 36_500
    )
    ENCRYPTION_KEYS: str = setting(
        "",
        "Fernet keys that encrypt stored API keys, comma separated, newest first; empty: a "
        "file with mode 0600",
        secret=True,
    )

    DEFAULT_MAX_TOKENS: int = setting(
        4096,
        "max tokens of a new connection, if you set this; otherwise it has none",
        "tokens",
        1,
        10_000_000,
    )
    DEFAULT_TEMPERATURE: float = setting(
        0.7,
        "temperature of a new connection, if you set this; otherwise it has none",
        "",
        0.0,
        2.0,
    )
    DEFAULT_TIMEOUT: float = setting(60.0, "time limit of one call", "seconds", 0.1, 86_400)
    STREAM_IDLE_TIMEOUT: float = setting(
        120.0,
        "longest silence of an answer that comes as a stream, after its first token "
        "([how](engine.md#streams))",
        "seconds",
        0.1,
        86_400,
    )
    DEFAULT_CONCURRENCY: int = setting(
        5, "number of calls in flight at which learning a limit starts", "calls", 1, 10_000
    )
    DEFAULT_MAX_RETRIES: int = setting(3, "calls after the first", "calls", 0, 100)
    DEFAULT_SHARING: str = setting(
        "private",
        "who sees a new job besides its owner, admins and viewers ([levels](access.md#sharing))",
        choices=("private", "view", "edit"),
    )
    MAX_CONCURRENCY: int = setting(
        5000, "highest concurrency that a connection or a job may set", "calls", 1, 100_000
    )

    REQUEST_CACHE_BATCH_SIZE: int = setting(
        100, "maximum number of results per commit", "results", 1, 10_000
    )
    REQUEST_CACHE_FLUSH_INTERVAL: float = setting(
        0.05,
        "longest time a result waits for its commit; at low rates it hardly waits; with "
        "`ENGINE=celery` the default is 0.2 and results always wait",
        "seconds",
        0.01,
        60,
    )
    MAX_RUNNING_JOBS: int = setting(
        8, "maximum number of jobs that run at the same time", "jobs", 1, 1000
    )

    EMBEDDINGS_PER_CALL: int = setting(
        64,
        "maximum number of embedding inputs per call; 1: each input is sent alone",
        "inputs",
        1,
        2048,
    )
    BATCH_PART_MAX_REQUESTS: int = setting(
        50_000,
        "maximum number of requests in a part of a job that goes through a provider's batch API; "
        "fewer where the provider takes fewer",
        "requests",
        1,
        1_000_000,
    )
    BATCH_POLL_FIRST: float = setting(
        5.0,
        "time until a new batch at a provider is asked about; longer for older ones",
        "seconds",
        0.01,
        3600,
    )
    BATCH_POLL_MAX: float = setting(
        60.0, "longest time between two such looks", "seconds", 0.01, 86_400
    )
    BATCH_FIND_TRIES: int = setting(
        4,
        "how often a batch is looked for that a provider may have created without an answer, "
        "before it is created again",
        "tries",
        1,
        100,
    )
    BATCH_FIND_WAIT: float = setting(3.0, "time between two such tries", "seconds", 0, 3600)
    BATCH_CANCEL_WAIT: float = setting(
        3600.0,
        "how long a job that is cancelled or deleted waits for the end of its batches at providers",
        "seconds",
        0,
        604_800,
    )

    BACKOFF_BASE: float = setting(0.5, "first backoff; doubles with each retry", "seconds", 0, 3600)
    BACKOFF_MAX: float = setting(60.0, "longest backoff", "seconds", 0, 86_400)
    RATE_LIMIT_PATIENCE: float = setting(
        900.0, "total time that one request may wait on rate limits", "seconds", 0, 604_800
    )
    REQUEST_DEADLINE: float = setting(
        3600.0, "time limit for all attempts of one request together", "seconds", 1, 604_800
    )
    ENDPOINT_WAIT_MAX: float = setting(
        3600.0,
        "a job whose endpoint does not answer waits this long, then pauses; 0: forever "
        "([how](engine.md#what-makes-a-job-wait))",
        "seconds",
        0,
        31_536_000,
    )
    ENDPOINT_PROBE_FIRST: float = setting(
        2.0,
        "time until the first probe of an endpoint that does not answer; doubles with each probe",
        "seconds",
        0.01,
        3600,
    )
    ENDPOINT_PROBE_MAX: float = setting(
        60.0, "longest time between two such probes", "seconds", 0.01, 3600
    )
    SAME_FAILURE_FIRST: int = setting(
        10,
        "a job pauses after this many requests that fail alike, if nothing has succeeded yet; "
        "0: never ([how](engine.md#what-pauses-a-job))",
        "requests",
        0,
        1000,
    )
    SAME_FAILURE_LATER: int = setting(
        50,
        "the same after a success: requests in a row that fail alike; 0: never",
        "requests",
        0,
        1000,
    )
    PROMPT_CACHE_WAIT: float = setting(
        10.0,
        "requests that share a prefix wait this long at most for the first of them "
        "([how](money.md#prompt-caches))",
        "seconds",
        0,
        3600,
    )
    PROMPT_CACHE_LIFETIME: float = setting(
        300.0,
        "a provider keeps a prefix this long without a call; then one request goes first again",
        "seconds",
        1,
        86400,
    )
    CANCEL_GRACE: float = setting(
        10.0, "after a cancel, calls in flight have this long to finish", "seconds", 0, 3600
    )
    MAX_ANSWER_BYTES: int = setting(32 * MIB, "longest answer body", "bytes", 1024, 1 << 40)
    MAX_ANSWERS_BYTES: int = setting(
        256 * MIB,
        "maximum size of all answers that one process holds in memory; at least "
        "MAX_ANSWER_BYTES. At this size, answers are read one after the other "
        "([how](engine.md#memory))",
        "bytes",
        1024,
        1 << 40,
    )
    BATCH_CALL_TIMEOUT: float = setting(
        60.0,
        "time limit of one call to a provider's batch API; for each 64 KiB of an upload or a download "
        "the same",
        "seconds",
        0.1,
        86_400,
    )
    TRUST_ENV: bool = setting(
        False, "use the proxies and the .netrc file named in the environment for calls to providers"
    )

    CA_BUNDLE: str = setting(
        "",
        "file of CA certificates to trust instead of the default ones (for an endpoint of "
        "your own)",
    )

    EXPOSED: str = setting(
        "auto",
        "whether other machines can reach the pages, in which case users must log in; auto: "
        "depends on the address the server listens on (behind a proxy set yes), for a Celery "
        "worker on whether users must log in",
        choices=("auto", "yes", "no"),
    )
    ALLOWED_PRIVATE_HOSTS: str = setting(
        "",
        "private host names, addresses and networks, comma separated, that base URLs and "
        "webhooks may use on an exposed server",
    )
    CLIENT_TIMEOUT: float = setting(
        30.0,
        "longest time a client may take to send the headers of a request, and longest pause "
        "in its body",
        "seconds",
        0.1,
        3600,
    )
    MIN_UPLOAD_RATE: int = setting(
        1024,
        "a client that sends more slowly is disconnected; 0: never",
        "bytes a second",
        0,
        1 << 30,
    )
    HSTS_MAX_AGE: int = setting(
        0,
        "how long browsers must use HTTPS only (HSTS header); 0: no header",
        "seconds",
        0,
        1 << 31,
    )

    GRID_COLUMNS: int = setting(
        12,
        "columns of a job that keep their values sorted for the results page, about 100 bytes "
        "per request; a further one replaces the one that was used longest ago",
        "columns",
        1,
        1000,
    )
    MAX_UPLOAD_BYTES: int = setting(4096 * MIB, "largest upload", "bytes", 1024, 1 << 50)
    MAX_UNPACKED_BYTES: int = setting(
        16384 * MIB,
        "largest upload after unpacking (gzip, ZIP, XLSX, Parquet)",
        "bytes",
        1024,
        1 << 50,
    )
    MAX_REQUEST_BYTES: int = setting(16 * MIB, "largest single request", "bytes", 1024, 1 << 40)
    MAX_IMAGE_BYTES: int = setting(
        10 * MIB,
        "largest image file uploaded with a table; as base64 it is a third larger",
        "bytes",
        1024,
        1 << 40,
    )
    MAX_IMAGES: int = setting(
        100_000, "maximum number of images per table", "images", 1, 10_000_000
    )
    MAX_NESTING: int = setting(100, "deepest nesting of JSON in a request", "levels", 5, 900)
    BATCH_MAX_FILE_BYTES: int = setting(
        200 * MIB, "largest file of the Batch API; 0: same as MAX_UPLOAD_BYTES", "bytes", 0, 1 << 50
    )
    BATCH_MAX_REQUESTS: int = setting(
        50_000,
        "maximum number of lines in a batch of the Batch API; 0: no maximum",
        "lines",
        0,
        1 << 40,
    )
    BATCH_FILE_KEEP_DAYS: float = setting(
        30.0,
        "an input file of the Batch API without `expires_after` is deleted after this time; "
        "0: never",
        "days",
        0,
        3650,
    )
    UPLOAD_KEEP_HOURS: float = setting(
        24.0,
        "uploads that were never launched are deleted this long after their last change",
        "hours",
        0.01,
        87_600,
    )

    DELETED_JOBS_KEEP_HOURS: float = setting(
        24.0,
        "deleted jobs stay in the bin this long and can be restored; 0: there is no bin",
        "hours",
        0,
        87_600,
    )

    RETENTION_JOBS_DAYS: float = setting(
        0.0, "finished jobs are deleted this long after their end; 0: never", "days", 0, 36_500
    )
    RETENTION_JOBS_MAX_BYTES: int = setting(
        0,
        "finished jobs are deleted, oldest first, while the database (on PostgreSQL: its "
        "jobs) is larger than this; 0: any size",
        "bytes",
        0,
        1 << 50,
    )
    RETENTION_UPLOADS_DAYS: float = setting(
        0.0, "uploads of finished jobs are deleted after this time; 0: never", "days", 0, 36_500
    )
    RETENTION_UPLOADS_MAX_BYTES: int = setting(
        0,
        "uploads of finished jobs are deleted, oldest first, while all uploads are larger "
        "than this; 0: any size",
        "bytes",
        0,
        1 << 50,
    )
    RETENTION_RESULTS_DAYS: float = setting(
        0.0,
        "result files of the Batch API are deleted after this time, together with the answers "
        "in them; 0: never",
        "days",
        0,
        36_500,
    )
    RETENTION_EXPORTS_DAYS: float = setting(
        0.0, "files in the export folder are deleted after this time; 0: never", "days", 0, 36_500
    )
    RETENTION_EXPORTS_MAX_BYTES: int = setting(
        0,
        "files in the export folder are deleted, oldest first, while they are larger than "
        "this together; 0: any size",
        "bytes",
        0,
        1 << 50,
    )
    RETENTION_AUTO: bool = setting(
        False,
        "the server applies these rules automatically; no: only on request (flask clean, the "
        "page *Storage*)",
    )
    EXPORT_DIR: str = setting(
        str(PROJECT_ROOT / "exports"),
        "folder for the exports of the demo; of an installed program: below the instance folder",
    )

    BACKUP_EVERY_HOURS: float = setting(
        0.0,
        "interval of the automatic backups of the database; 0: no automatic backups",
        "hours",
        0,
        8_760,
    )
    BACKUP_KEEP: int = setting(
        7, "number of automatic backups kept; older ones are deleted", "files", 1, 10_000
    )
    BACKUP_DIR: str = setting(
        "", "folder of the automatic backups; empty: backups in the instance folder"
    )
    MIN_FREE_BYTES: int = setting(
        256 * MIB, "/readyz reports a problem below this much free disk space", "bytes", 0, 1 << 50
    )

    LOG_FORMAT: str = setting(
        "text", "format of log lines; json: one object per line", choices=("text", "json")
    )
    LOG_LEVEL: str = setting(
        "INFO",
        "lowest level that is logged",
        choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    )
    LOG_DIR: str = setting(
        str(PROJECT_ROOT / "logs"),
        "folder of the log files; of an installed program: below the instance folder; empty: console only",
    )
    LOG_MAX_BYTES: int = setting(
        10 * MIB, "a log file is rotated at this size", "bytes", 1024, 1 << 40
    )
    LOG_BACKUPS: int = setting(5, "number of rotated log files kept", "files", 0, 1000)

    REUSE_KEEP_HOURS: float = setting(
        168.0, "answers cached for other jobs are deleted after this time", "hours", 0.01, 87_600
    )
    REUSE_MAX_BYTES: int = setting(
        512 * MIB,
        "maximum size of the answers cached for other jobs; the oldest are deleted first",
        "bytes",
        0,
        1 << 50,
    )
    PUBLIC_URL: str = setting("", "public address of the pages, for links in e-mails")
    SMTP_HOST: str = setting("", "mail server for e-mails at the end of jobs; empty: none")
    SMTP_PORT: int = setting(587, "port of the mail server", "", 1, 65_535)
    SMTP_SECURITY: str = setting(
        "starttls",
        "how the connection to the mail server is secured",
        choices=("starttls", "tls", "none"),
    )
    SMTP_USER: str = setting("", "user name at the mail server; empty: no login")
    SMTP_PASSWORD: str = setting("", "password at the mail server", secret=True)
    MAIL_FROM: str = setting("", "sender of the e-mails; empty: simple-batch@ the mail server")

    TIMEZONE: str = setting(
        "",
        "time zone of the times on pages, and of the days and months of spend caps; empty: "
        "the machine's zone on pages, UTC for spend caps",
    )
    LANGUAGE: str = setting(
        "en",
        "language of the pages if the browser prefers neither English nor Chinese",
        choices=("en", "zh"),
    )

    # the names of those that are set, in the environment or a file; no setting itself
    given: frozenset[str] = field(default=frozenset())

    @property
    def instance(self) -> Path:
        """The instance folder."""
        return Path(self.INSTANCE_PATH)

    @property
    def uploads(self) -> Path:
        """The folder of uploads."""
        return self.instance / "uploads"

    @property
    def batches(self) -> Path:
        """The folder of the files of parts that go through batch APIs."""
        return self.instance / "batches"

    @property
    def exports(self) -> Path:
        """The folder of the demo's exports."""
        return Path(self.EXPORT_DIR)

    @property
    def backups(self) -> Path:
        """The folder of the automatic backups."""
        return Path(self.BACKUP_DIR) if self.BACKUP_DIR else self.instance / "backups"

    @property
    def database_url(self) -> str:
        """DATABASE_URL, or that of the SQLite file in the instance folder."""
        path = (self.instance / "simple_batch.db").as_posix()
        return self.DATABASE_URL or f"sqlite:///{quote(path)}"
