"""What the emulators of batch APIs share: files, batches, a clock, faults, counters, and the HTTP server.

An emulator derives from ``BatchProvider`` and gives it routes, the state words of its API and the form of
its lines; ``gemini_batches.py`` is an example. It runs inside a test::

    with GeminiBatches() as provider:
        provider.faults.arm(CREATE_500_MADE)
        ... the program under test calls provider.url ...
        assert provider.billed_twice() == []

or in a separate process, which outlives the program under test (``batch_process.py``). Files lie on the
disk and lines are answered as a stream, so that batches of 100,000 lines are no burden.

**Progress.** A batch is pending until its first poll, then runs, and ends with poll number
``polls_to_finish`` (None: when ``finish`` is called), or unfinished when the clock passes its expiry. No
progress takes real time. ``clock.advance`` is how a test lets 24 hours pass.

**Billing.** An answered line is billed once each time it is answered, under its words (``words_of``: the
last text of the user). Two bills under the same words mean that a request was paid for twice; therefore
each request of a test needs words that no other has. Failed, expired and cancelled lines are not billed.

**Words** in a request decide how its line ends: "fail always" and "fail once" are answered by an error
(``LineFault``: 500), "limit once" by a 429, "bad line" by a 400 that is final.
"""

import errno
import gzip
import hashlib
import itertools
import re
import shutil
import socket
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import gevent
import msgspec
from gevent.pywsgi import WSGIHandler, WSGIServer
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

CHUNK = 1 << 16
ALWAYS = -1

# Faults of calls. Each is armed with ``faults.arm(NAME, times)``.
UPLOAD_CUT = "upload_cut"  # the connection ends in the middle of an upload; nothing is stored
UPLOAD_LOST = "upload_lost"  # the file is stored; the connection ends without an answer
UPLOAD_500 = "upload_500"  # nothing is stored
CREATE_500 = "create_500"  # no batch is created
CREATE_500_MADE = "create_500_made"  # the answer is a 500, although the batch exists
CREATE_LOST = "create_lost"  # the batch exists; the connection ends without an answer
CREATE_HANGS = "create_hangs"  # the batch exists; no answer comes and the connection stays
CREATE_429 = "create_429"  # no batch is created
ENQUEUED_LIMIT = "enqueued_limit"  # the provider's limit of enqueued tokens, in its own form
POLL_429 = "poll_429"
POLL_500 = "poll_500"
POLL_LOST = "poll_lost"
LIST_500 = "list_500"
CANCEL_500 = "cancel_500"
DOWNLOAD_500 = "download_500"
RESULT_GONE = "result_gone"  # 404 at the download
RESULT_CUT = "result_cut"  # the connection ends in the middle of a line
RESULT_ENDS_EARLY = "result_ends_early"  # the file ends in the middle of a line, and nothing tells
KEY_REVOKED = "key_revoked"  # every call is refused
# Faults of batches and lines
UNKNOWN_STATUS = "unknown_status"  # one poll shows a state that no document names
FAIL_BATCH = "fail_batch"  # the batch ends as failed, no line is answered
FAIL_LINE = "fail_line"  # the batch fails at validation, which names a line
MISSING_LINE = "missing_line"  # a line is in no result file (it is billed)
LINE_TWICE = "line_twice"  # a line is in the result file twice
FOREIGN_LINE = "foreign_line"  # a line with an id that no request had is added
BROKEN_LINE = "broken_line"  # a line of the result is no JSON
RESULT_GZIP = "result_gzip"  # a file of results is stored packed
RESULT_MARKED = (
    "result_marked"  # a file begins with a byte-order mark and has lines that end in CRLF
)
RESULT_CAPITALS = "result_capitals"  # ids of lines come back in capitals
NO_RESULTS = "no_results"  # a batch is completed, with files of no bytes


class Refused(Exception):
    """An answer in place of the expected one: ``body`` is already in the provider's form."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None):
        super().__init__(f"{status} {body}")
        self.status, self.body, self.headers = status, body, headers or {}


class ConnectionEnds(Exception):
    """The connection is closed (RST) without an answer."""


class Clock:
    """Unix time in seconds that moves with the real clock and with ``advance``."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> float:
        return time.time() + self.ahead_s

    def advance(self, seconds: float) -> None:
        self.ahead_s += seconds


class Faults:
    """How often each fault is still to happen."""

    def __init__(self) -> None:
        self._left: Counter[str] = Counter()
        self.happened: Counter[str] = Counter()

    def arm(self, name: str, times: int = 1) -> None:
        """Let a fault happen for the next ``times`` occasions; ALWAYS for each until ``clear``."""
        self._left[name] = times

    def clear(self, *names: str) -> None:
        for name in names or tuple(self._left):
            self._left.pop(name, None)

    @property
    def any_armed(self) -> bool:
        return any(self._left.values())

    def armed(self, name: str) -> bool:
        return self._left[name] != 0

    def take(self, name: str) -> bool:
        """Whether the fault happens on this occasion."""
        if not self._left or not self._left[name]:
            return False
        self._left[name] -= self._left[name] > 0
        self.happened[name] += 1
        return True


@dataclass
class StoredFile:
    id: str
    name: str
    purpose: str
    path: Path
    created_at: float
    mime: str = "application/jsonl"
    expires_at: float | None = None

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as file:
            for line in file:
                if line.strip():
                    yield line


@dataclass
class Batch:
    """``phase``: pending, running, ending, or how it ended: completed, expired, cancelled, failed."""

    id: str
    file: StoredFile  # the requests, one a line, also of a batch that came with inline requests
    fields: dict[str, Any]  # what the call that created it said
    created_at: float
    inline: bool = False
    expires_after_s: float | None = None  # None: as the provider has it
    phase: str = "pending"
    cancel_asked: bool = False
    told_to_finish: bool = False
    polls: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    total: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    failure: dict[str, Any] | None = None  # of a batch that failed as a whole
    results: StoredFile | None = None
    errors: StoredFile | None = None

    @property
    def ended(self) -> bool:
        return self.phase in ("completed", "expired", "cancelled", "failed")


@dataclass
class LineFault:
    """An error that a line is answered with."""

    status: int
    message: str


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case
    read: Callable[[int], bytes] = field(repr=False)

    def body(self) -> bytes:
        return self.read(-1)

    def json(self) -> Any:
        return msgspec.json.decode(self.body() or b"null")

    def form(self) -> tuple[dict[str, str], str, Any]:
        """Fields, file name and content (a file object) of multipart/form-data."""
        kind, options = parse_options_header(self.headers.get("content-type", ""))
        size = self.headers.get("content-length")
        parser = FormDataParser()
        _, fields, files = parser.parse(self, kind, int(size) if size else None, options)
        file = files.get("file")
        return fields.to_dict(), file.filename or "" if file else "", file and file.stream

    def chunks(self) -> Iterator[bytes]:
        while chunk := self.read(CHUNK):
            yield chunk


@dataclass
class Answer:
    """``body``: bytes, a stored file, or a value that is sent as JSON."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class _Handler(WSGIHandler):
    def get_environ(self):
        return {**super().get_environ(), "emulator.socket": self.socket}

    def log_error(self, *_):  # a cut connection is wanted
        pass

    def handle_error(self, *_):
        self.close_connection = True


class BatchProvider:
    """Base of the emulators. A subclass defines

    ``routes``: (method, pattern of the whole path, name of the method that answers). The method receives the
    request and the pattern's groups and returns an ``Answer``, or raises ``Refused``; a handler that
    creates, polls, lists, cancels or downloads does so by ``create``, ``poll``, ``recent``, ``cancel`` and
    ``download``, which is where the faults happen.
    ``authorize(request)``: raises Refused where the key is wrong.
    ``error(status, message)``: an error body in the provider's form.
    ``answered(batch, line)``: the line's words and its result line; see there.
    ``unanswered(batch, line, phase)``: the result line of a request that an expired or cancelled batch
    did not answer, or None.
    """

    routes: list[tuple[str, str, str]] = []
    expires_after_s = 24 * 3600.0
    key = "batch-key-0123456789abcdef"
    errors_apart = False  # whether failed lines stand in a file for themselves
    lists_move_on = (
        False  # whether a list, too, moves the batches on: for one that no call asks about
    )
    any_order = False  # whether results come in another order than the requests

    def __init__(self, port: int = 0, polls_to_finish: int | None = 2, share_done: float = 0.5):
        self.polls_to_finish, self.share_done = polls_to_finish, share_done
        self.clock, self.faults = Clock(), Faults()
        self.files: dict[str, StoredFile] = {}
        self.batches: dict[str, Batch] = {}
        self.calls: Counter[str] = Counter()  # by name of the handler
        self.billed: Counter[str] = Counter()  # answered lines by their words
        self.contents: Counter[str] = Counter()  # batches created, by digest of their lines
        self.enqueued_lines_limit: int | None = None
        self.deleted: list[str] = []
        self._seen_words: Counter[str] = Counter()  # of lines that fail the first time
        self._ids = itertools.count(1)
        self._folder = Path(tempfile.mkdtemp(prefix="batches-"))
        self._table = [(m, re.compile(p), getattr(self, name), name) for m, p, name in self.routes]
        listen = ("127.0.0.1", port)
        self._server = WSGIServer(
            listen, self._app, log=None, error_log=None, handler_class=_Handler
        )
        self._server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._server.stop(timeout=0.1)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    # --- what a test reads and tells -----------------------------------------------------------

    def finish(self, *ids: str) -> None:
        """Let batches (all, if none is named) end with their next poll."""
        for batch in [self.batches[i] for i in ids] if ids else self.batches.values():
            batch.told_to_finish = True

    def billed_twice(self) -> list[str]:
        return [words for words, times in self.billed.items() if times > 1]

    def created_twice(self) -> int:
        """How many batches have the very lines of an earlier one."""
        return sum(times - 1 for times in self.contents.values())

    def counts(self) -> dict[str, Any]:
        """The counters, as a separate process tells them."""
        return {
            "batches": len(self.batches),
            "open": sum(not batch.ended for batch in self.batches.values()),
            "phases": dict(Counter(batch.phase for batch in self.batches.values())),
            "created_twice": self.created_twice(),
            "billed": self.billed.total(),
            "billed_distinct": len(self.billed),
            "billed_twice": self.billed_twice()[:20],
            "files": len(self.files),
            "deleted": len(self.deleted),
            "calls": dict(self.calls),
            "happened": dict(self.faults.happened),
        }

    # --- files ---------------------------------------------------------------------------------

    def new_id(self, prefix: str) -> str:
        return f"{prefix}{next(self._ids):08d}"

    def store(self, chunks: Iterable[bytes], name: str, purpose: str, prefix="file-") -> StoredFile:
        """Keep an upload; the upload faults happen here."""
        if self.faults.take(UPLOAD_500):
            raise Refused(500, self.error(500, "Internal error"))
        file_id = self.new_id(prefix)
        file = StoredFile(file_id, name, purpose, self._folder / file_id, self.clock.now())
        cut = self.faults.take(UPLOAD_CUT)
        with file.path.open("wb") as target:
            for chunk in chunks:
                target.write(chunk)
                if cut:
                    raise ConnectionEnds
        if cut:
            raise ConnectionEnds
        self.files[file.id] = file
        if self.faults.take(UPLOAD_LOST):
            raise ConnectionEnds
        return file

    def file(self, file_id: str, message: str = "File not found") -> StoredFile:
        if file_id not in self.files:
            raise Refused(404, self.error(404, message))
        return self.files[file_id]

    def delete_file(self, file_id: str) -> None:
        self.file(file_id).path.unlink(missing_ok=True)
        del self.files[file_id]
        self.deleted.append(file_id)

    def download(self, file: StoredFile) -> Answer:
        """The content of a file; the download faults happen here."""
        if self.faults.take(DOWNLOAD_500):
            raise Refused(500, self.error(500, "Internal error"))
        if self.faults.take(RESULT_GONE):
            raise Refused(404, self.error(404, "File not found"))
        return Answer(file, headers={"Content-Type": file.mime})

    # --- batches -------------------------------------------------------------------------------

    def create(self, file: StoredFile, fields: dict, prefix: str = "batch-", **options) -> Batch:
        """A new batch, validated by ``check_batch``; the faults of creation happen here."""
        if self.faults.take(CREATE_500):
            raise Refused(500, self.error(500, "Internal error"))
        if self.faults.take(CREATE_429):
            raise Refused(429, self.error(429, "Too many requests"))
        batch = Batch(self.new_id(prefix), file, fields, self.clock.now(), **options)
        digest = hashlib.blake2b(digest_size=16)
        for line in file.lines():
            digest.update(line)
            batch.total += 1
        self.check_batch(batch)
        self.batches[batch.id] = batch
        self.contents[digest.hexdigest()] += 1
        if self.faults.take(CREATE_500_MADE):
            raise Refused(500, self.error(500, "Internal error"))
        if self.faults.take(CREATE_LOST):
            raise ConnectionEnds
        if self.faults.take(CREATE_HANGS):
            gevent.sleep(3600)
        return batch

    def check_batch(self, batch: Batch) -> None:
        """Refuse a batch at once (raise Refused), or let it fail later: set ``phase`` and ``failure``."""

    def enqueued_lines(self) -> int:
        return sum(batch.total for batch in self.batches.values() if not batch.ended)

    def batch(self, batch_id: str, message: str = "Batch not found") -> Batch:
        if batch_id not in self.batches:
            raise Refused(404, self.error(404, message))
        return self.batches[batch_id]

    def poll(self, batch: Batch) -> Batch:
        """One look at a batch, which moves it on; the faults of polling happen here."""
        if self.faults.take(POLL_500):
            raise Refused(500, self.error(500, "Internal error"))
        if self.faults.take(POLL_429):
            raise Refused(429, self.error(429, "Too many requests"))
        if self.faults.take(POLL_LOST):
            raise ConnectionEnds
        batch.polls += 1
        self.move_on(batch)
        return batch

    def recent(self) -> list[Batch]:
        """All batches, the newest first; they are not moved on, but with ``lists_move_on``."""
        if self.faults.take(LIST_500):
            raise Refused(500, self.error(500, "Internal error"))
        for batch in self.batches.values() if self.lists_move_on else ():
            batch.polls += 1
            self.move_on(batch)
        return list(reversed(self.batches.values()))

    def cancel(self, batch: Batch) -> Batch:
        """Ask for cancellation; the batch ends with its next poll, with what was done until then."""
        if self.faults.take(CANCEL_500):
            raise Refused(500, self.error(500, "Internal error"))
        batch.cancel_asked = True
        return batch

    def move_on(self, batch: Batch) -> None:
        if batch.ended or batch.phase == "ending":
            return
        lasts_s = batch.expires_after_s or self.expires_after_s
        if self.clock.now() >= batch.created_at + lasts_s:
            self._end(batch, "expired", self.share_done)
        elif batch.cancel_asked:
            self._end(batch, "cancelled", self.share_done)
        elif self.faults.take(FAIL_BATCH):
            batch.phase, batch.ended_at = "failed", self.clock.now()
            batch.failure = {"code": "internal_error", "message": "The batch failed."}
        elif batch.told_to_finish or (
            self.polls_to_finish is not None and batch.polls >= self.polls_to_finish
        ):
            self._end(batch, "completed", 1.0)
        elif batch.phase == "pending":
            batch.phase, batch.started_at = "running", self.clock.now()

    def _end(self, batch: Batch, phase: str, share: float) -> None:
        """Answer the first ``share`` of the lines and write the result files."""
        batch.phase = "ending"
        done = batch.total if share >= 1 else int(batch.total * share)
        names = ("results", "errors") if self.errors_apart else ("results",)
        stored = {name: self._new_result(batch, name) for name in names}
        opened = {name: file.path.open("wb") for name, file in stored.items()}
        for number, line in self._in_order(batch):
            if number < done:
                good, made = self._answer(batch, line)
            else:
                setattr(batch, phase, getattr(batch, phase) + 1)
                good, made = False, self.unanswered(batch, line, phase)
            if made is not None:
                target = opened["results" if good else names[-1]]
                target.write(self._damaged(batch, made))
            if number % 500 == 499:
                gevent.sleep(0)
        for name, file in stored.items():
            opened[name].close()
            if self._disguised(file) or file.size:
                self.files[file.id] = file
                setattr(batch, name, file)
        batch.phase, batch.ended_at = phase, self.clock.now()

    def _disguised(self, file: StoredFile) -> bool:
        """Store a file as it is, or in another form. Returns True if it stays though nothing is in it."""
        content = file.path.read_bytes() if self.faults.any_armed else b""
        if not content:
            return False
        if self.faults.take(RESULT_GZIP):
            file.path.write_bytes(gzip.compress(content))
        if self.faults.take(RESULT_MARKED):
            file.path.write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
        if self.faults.take(RESULT_CAPITALS):
            file.path.write_bytes(content.replace(b'"custom_id":"r', b'"custom_id":"R'))
        if self.faults.take(NO_RESULTS):
            file.path.write_bytes(b"")
            return True
        return False

    def _in_order(self, batch: Batch) -> Iterator[tuple[int, bytes]]:
        for remainder in (1, 0) if self.any_order else (None,):
            for number, line in enumerate(batch.file.lines()):
                if remainder is None or number % 2 == remainder:
                    yield number, line

    def _new_result(self, batch: Batch, name: str) -> StoredFile:
        file_id = self.new_id("result-")
        path = self._folder / file_id
        return StoredFile(
            file_id, f"{batch.id}_{name}.jsonl", "batch_output", path, self.clock.now()
        )

    def _answer(self, batch: Batch, line: bytes) -> tuple[bool, bytes | None]:
        words, fault, made = self.answered(batch, line)
        if fault is None:
            batch.succeeded += 1
            self.billed[words] += 1
        else:
            batch.failed += 1
        return fault is None, None if self.faults.take(MISSING_LINE) else made

    def _damaged(self, batch: Batch, made: bytes) -> bytes:
        if self.faults.take(LINE_TWICE):
            return made + made
        if self.faults.take(FOREIGN_LINE):
            return made + self.foreign(batch)
        if self.faults.take(BROKEN_LINE):
            return made[: len(made) // 2] + b"\n"
        return made

    def fault_of(self, words: str) -> LineFault | None:
        """How a line with these words fails, if it does."""
        if "fail always" in words:
            return LineFault(500, "Internal error")
        if "bad line" in words:
            return LineFault(400, "Invalid request")
        for part, fault in (
            ("fail once", LineFault(500, "Internal error")),
            ("limit once", LineFault(429, "Rate limit reached")),
        ):
            if part in words:
                self._seen_words[words] += 1
                return fault if self._seen_words[words] == 1 else None
        return None

    # --- for the subclass ----------------------------------------------------------------------

    def authorize(self, request: Request) -> None:
        raise NotImplementedError

    def error(self, status: int, message: str) -> Any:
        raise NotImplementedError

    def answered(self, batch: Batch, line: bytes) -> tuple[str, LineFault | None, bytes]:
        """(words, fault, result line with its newline). ``fault_of(words)`` says whether it fails."""
        raise NotImplementedError

    def unanswered(self, batch: Batch, line: bytes, phase: str) -> bytes | None:
        return None

    def foreign(self, batch: Batch) -> bytes:
        """A result line with an id that no request had."""
        raise NotImplementedError

    # --- HTTP ----------------------------------------------------------------------------------

    def _app(self, environ, start_response):
        try:
            answer = self._route(_request(environ))
        except Refused as refused:
            answer = Answer(refused.body, refused.status, refused.headers)
        except ConnectionEnds:
            return _cut(environ)
        kept = answer.body.path if isinstance(answer.body, StoredFile) else None
        payload = b"" if kept else _payload(answer.body)
        size = kept.stat().st_size if kept else len(payload)
        cut = kept and self.faults.take(RESULT_CUT)
        early = kept and self.faults.take(RESULT_ENDS_EARLY)
        most = _mid_line(kept) if cut or early else size
        headers = {"Content-Type": "application/json", **answer.headers}
        headers["Content-Length"] = str(most if early else size)
        start_response(f"{answer.status} X", list(headers.items()))
        return _sent(kept, most, environ if cut else None) if kept else [payload]

    def _route(self, request: Request) -> Answer:
        if request.path.startswith("/_emulator/"):
            return Answer(self._told(request.path.rsplit("/", 1)[1], request))
        for method, pattern, handler, name in self._table:
            found = pattern.fullmatch(request.path)
            if method == request.method and found:
                self.calls[name] += 1
                if self.faults.take(KEY_REVOKED):
                    request.headers = {}
                    request.query = {}
                self.authorize(request)
                return handler(request, *map(unquote, found.groups()))
        raise Refused(404, self.error(404, f"There is no {request.method} {request.path}."))

    def _told(self, what: str, request: Request) -> Any:
        """The door for tests of an emulator in another process: GET counts; POST arm {name, times}, clear,
        advance {seconds}, finish {ids}, set {polls_to_finish, share_done, enqueued_lines_limit}."""
        said = (request.json() if request.method == "POST" else None) or {}
        if what == "arm":
            self.faults.arm(**said)
        elif what == "clear":
            self.faults.clear()
        elif what == "advance":
            self.clock.advance(said["seconds"])
        elif what == "finish":
            self.finish(*said.get("ids", ()))
        elif what == "set":
            for name, value in said.items():
                setattr(self, name, value)
        return self.counts()


def _request(environ) -> Request:
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith(("HTTP_", "CONTENT_"))
    }
    query = dict(parse_qsl(environ["QUERY_STRING"], keep_blank_values=True))
    path = environ["PATH_INFO"].encode("latin-1").decode()
    return Request(environ["REQUEST_METHOD"], path, query, headers, environ["wsgi.input"].read)


def _payload(body: Any) -> bytes:
    if body is None:
        return b""
    return body if isinstance(body, bytes) else msgspec.json.encode(body)


def _cut(environ) -> list[bytes]:
    """Close the connection with RST."""
    connection = environ["emulator.socket"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    raise ConnectionResetError(errno.ECONNRESET, "the emulator cut the connection")


def _mid_line(path: Path) -> int:
    """A place in the second half of a file that is within a line."""
    content = path.read_bytes()
    place = content.rfind(b"\n", 0, len(content) - 1)
    return place + 1 + (len(content) - place) // 2


def _sent(path: Path, most: int, cut: dict | None) -> Iterator[bytes]:
    with path.open("rb") as file:
        while most > 0 and (chunk := file.read(min(CHUNK, most))):
            most -= len(chunk)
            yield chunk
    if cut:
        gevent.sleep(0.01)
        cut["emulator.socket"].shutdown(socket.SHUT_RDWR)
