"""Standard logging to the console and to rotating files, without keys; as text or as JSON.

Every line carries the request or job it belongs to; anything that looks like an
API key is taken out of messages and tracebacks alike.
"""

import logging
import logging.handlers
import sys
import time
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from .errors import SettingsError
from .redaction import RedactedStream, redact
from .settings import Settings
from .terminal import shown, shown_json, shown_line

# Which web request or job the present greenlet works on, for example "req 3f2a" or "job 12".
context: ContextVar[str] = ContextVar("log_context", default="-")

_FORMAT = "%(asctime)s %(levelname)-7s [%(context)s] %(name)s: %(message)s"
_FILE = "simple_batch.log"
_ExceptionInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


class _Formatter(logging.Formatter):
    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        record.context = context.get()
        return redact(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:
        # a name or an answer must not inject log lines
        record.message = shown_line(record.message)
        return super().formatMessage(record)

    def formatException(self, exc_info: _ExceptionInfo) -> str:
        return shown(super().formatException(exc_info))


class _JsonFormatter(JsonFormatter):
    """One object a line: ts, level, logger, message; job or request where it belongs to one;
    exception with its traceback; and what was given as ``extra``."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
            json_ensure_ascii=False,
        )

    def format(self, record: logging.LogRecord) -> str:
        return shown_json(super().format(record))

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        kind, _space, name = context.get().partition(" ")
        place = {_PLACES[kind]: int(name) if name.isdigit() else name} if kind in _PLACES else {}
        # before it becomes JSON: a key's end is then where the text says, not at a quotation mark
        return {key: _redacted(value) for key, value in {**log_data, **place}.items()}

    def add_fields(
        self,
        log_data: dict[str, Any],
        record: logging.LogRecord,
        message_dict: dict[str, Any],
    ) -> None:
        at = datetime.fromtimestamp(record.created, UTC)
        log_data["ts"] = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        super().add_fields(log_data, record, message_dict)


_PLACES = {"job": "job", "req": "request"}  # the kinds of contexts, and their fields
_handlers: list[logging.Handler] = []  # those that ``configure`` has set up


def _redacted(value: object) -> float | str | None:
    if value is None or isinstance(value, int | float):
        return value
    return redact(value if isinstance(value, str) else repr(value))


def configure(settings: Settings) -> None:
    """Set up the root logger by the settings; what an earlier call set up is replaced.

    Raises SettingsError where the folder of the log files cannot be written.
    """
    console = logging.StreamHandler()
    # a command prints its own messages; a server logs everything (log_all_to_console)
    console.setLevel(max(logging.WARNING, logging.getLevelName(settings.LOG_LEVEL)))
    handlers: list[logging.Handler] = [console]
    if settings.LOG_DIR:
        handlers.append(_file_handler(settings))
    root = logging.getLogger()
    for old in _handlers:
        root.removeHandler(old)
        old.close()
    _handlers[:] = handlers
    for handler in handlers:
        json_wanted = settings.LOG_FORMAT == "json"
        handler.setFormatter(_JsonFormatter() if json_wanted else _Formatter(_FORMAT))
        root.addHandler(handler)
    root.setLevel(settings.LOG_LEVEL)
    sys.excepthook = _uncaught
    for noisy in ("geventwebsocket", "engineio", "socketio", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def log_all_to_console() -> None:
    """Log as much to the console of a server as to the files. Tracebacks that gevent writes there by
    itself are redacted too."""
    gevent = sys.modules.get("gevent")
    if gevent is not None:
        gevent.get_hub().exception_stream = RedactedStream(sys.stderr)
    for handler in _handlers:
        handler.setLevel(logging.NOTSET)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """In place of Python's own."""
    sys.stderr.write(shown(redact("".join(traceback.format_exception(kind, error, trace)))))


def _file_handler(settings: Settings) -> logging.Handler:
    path = Path(settings.LOG_DIR) / _FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return logging.handlers.RotatingFileHandler(
            path,
            maxBytes=settings.LOG_MAX_BYTES,
            backupCount=settings.LOG_BACKUPS,
            encoding="utf-8",
        )
    except OSError as error:
        raise SettingsError(
            f"The log file {path} cannot be written: {error.strerror}. Set SIMPLE_BATCH_LOG_DIR to "
            "a folder that can, or to nothing for the console alone."
        ) from error
