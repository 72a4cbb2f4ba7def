"""Filters of a job's requests, shared by the table of the requests page, by retry and by links."""

import msgspec

from ..core.domain import Cause, Outcome, RequestStatus
from ..core.errors import InvalidInput
from ..core.messages import translatable

# Codes from 300 on are those of failures alone, and the failures have an index.
_FAILURE_CODES = 300
_BY_CODE = "x.cause IS NOT NULL AND x.http_status = ?"
# The index has all outcomes but ok.
_BY_OUTCOME = "x.outcome <> 'ok' AND x.outcome = ?"
# A request that failed is in the group of its last failure only, as the groups count it (error_groups.py).
_FAILED_WITH = (
    "(x.status <> 'failed' OR ? = (SELECT a.group_key FROM attempt a WHERE a.job_id = x.job_id "
    "AND a.idx = x.idx AND a.cause <> '' ORDER BY a.id DESC LIMIT 1))"
)
# SQLite's LIKE is quick but for long texts that repeat themselves, which take it the product of both
# lengths; instr is quick with any, and slower with most.
_IN_TEXT = (
    " AND (r.custom_id LIKE ? ESCAPE '\\' OR CAST(r.body AS TEXT) LIKE ? ESCAPE '\\' OR "
    "CAST(x.response AS TEXT) LIKE ? ESCAPE '\\' OR x.message LIKE ? ESCAPE '\\')"
)
_LONG_IN_TEXT = (
    " AND (instr(lower(r.custom_id), lower(?)) > 0 OR "
    "instr(lower(CAST(r.body AS TEXT)), lower(?)) > 0 OR "
    "instr(lower(CAST(x.response AS TEXT)), lower(?)) > 0 OR "
    "instr(lower(x.message), lower(?)) > 0)"
)
_LONG = 8  # characters
MAX_TEXT = 500  # characters of a search


class RequestFilter(msgspec.Struct, frozen=True):
    """All given conditions hold together. Times are epoch ms: ``from_ms`` ≤ finished < ``to_ms``;
    ``min_ms`` and ``max_ms`` bound the latency (ms), ``min_tokens`` and ``max_tokens`` the tokens of
    the answer. ``outcome`` is what the answer is worth, ``code`` an HTTP status, ``config`` an alias, ``group`` an error group's key."""

    status: str | None = None
    cause: str | None = None
    outcome: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    min_ms: int | None = None
    max_ms: int | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    code: int | None = None
    config: str | None = None
    group: str | None = None
    q: str = ""

    @classmethod
    def parse(cls, args) -> "RequestFilter":
        """From URL parameters (status, cause, outcome, code, config, from, to, min_ms, max_ms, min_tokens,
        max_tokens, group, q); ``from`` and ``to`` are epoch seconds. Empty ones are ignored. Raises
        InvalidInput naming the parameter."""
        return cls(
            status=_choice(args, "status", RequestStatus),
            cause=_choice(args, "cause", Cause),
            outcome=_choice(args, "outcome", Outcome),
            from_ms=_number(args, "from", 1000),
            to_ms=_number(args, "to", 1000),
            min_ms=_number(args, "min_ms", 1),
            max_ms=_number(args, "max_ms", 1),
            min_tokens=_number(args, "min_tokens", 1),
            max_tokens=_number(args, "max_tokens", 1),
            code=_number(args, "code", 1),
            config=args.get("config") or None,
            group=args.get("group") or None,
            q=_text(args),
        )

    def to_args(self) -> dict:
        """The URL parameters that ``parse`` reads back."""
        args = {
            "status": self.status,
            "cause": self.cause,
            "outcome": self.outcome,
            "from": _seconds(self.from_ms),
            "to": _seconds(self.to_ms),
            "min_ms": self.min_ms,
            "max_ms": self.max_ms,
            "min_tokens": self.min_tokens,
            "max_tokens": self.max_tokens,
            "code": self.code,
            "config": self.config,
            "group": self.group,
            "q": self.q or None,
        }
        return {name: value for name, value in args.items() if value is not None}

    @property
    def only_status(self) -> bool:
        """True where nothing but the status (or nothing at all) is asked: the job's counters
        then know how many rows there are."""
        return self == RequestFilter(status=self.status)

    def on_results(self) -> tuple[str, list]:
        """All but the text search as SQL on a result ``x`` (each condition with its AND before it),
        and the values to bind."""
        bounds = (
            ("x.status = ?", self.status),
            ("x.cause = ?", self.cause),
            ("x.outcome = ?" if self.outcome == Outcome.OK else _BY_OUTCOME, self.outcome),
            ("x.finished_at >= ?", self.from_ms),
            ("x.finished_at < ?", self.to_ms),
            ("x.latency_ms >= ?", self.min_ms),
            ("x.latency_ms <= ?", self.max_ms),
            ("x.output_tokens >= ?", self.min_tokens),
            ("x.output_tokens <= ?", self.max_tokens),
            (_BY_CODE if (self.code or 0) >= _FAILURE_CODES else "x.http_status = ?", self.code),
            ("x.config = ?", self.config),
            (
                "x.idx IN (SELECT a.idx FROM attempt a WHERE a.job_id = x.job_id "
                "AND a.group_key = ?)",
                self.group,
            ),
            (_FAILED_WITH, self.group),
        )
        given = [(sql, value) for sql, value in bounds if value is not None]
        return "".join(f" AND {sql}" for sql, _ in given), [value for _, value in given]

    def on_rows(self) -> tuple[str, list]:
        """All of it as SQL on a request ``r`` left joined with its result ``x``; of requests without
        a result those alone that are pending can be asked for."""
        unfinished = self.status in ("pending", "in_flight", "retrying")
        wanted = msgspec.structs.replace(self, status=None) if unfinished else self
        sql, values = wanted.on_results()
        if unfinished:
            sql += " AND x.idx IS NULL"
        if len(self.q) > _LONG:
            sql += _LONG_IN_TEXT
            values += [self.q] * 4
        elif self.q:
            sql += _IN_TEXT
            values += [like(self.q)] * 4
        return sql, values


def like(text: str) -> str:
    """The text as a LIKE pattern whose escape character is the backslash."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _text(args) -> str:
    text = (args.get("q") or "").strip()
    if len(text) > MAX_TEXT:
        raise InvalidInput(
            translatable("q: search for up to %(most)s characters.", most=MAX_TEXT),
            "q",
        )
    return text


def _choice(args, name, kind):
    value = args.get(name) or None
    if value is None:
        return None
    try:
        return kind(value).value
    except ValueError:
        allowed = ", ".join(item.value for item in kind)
        raise InvalidInput(
            translatable(
                "%(name)s=%(value)r: use one of %(allowed)s.",
                name=name,
                value=value,
                allowed=allowed,
            ),
            name,
        ) from None


def _number(args, name, factor):
    value = args.get(name)
    if value in (None, ""):
        return None
    try:
        number = float(value) * factor
        if not -1e17 < number < 1e17:
            raise ValueError(value)
        return round(number)
    except (TypeError, ValueError):
        raise InvalidInput(
            translatable("%(name)s=%(value)r: not a number.", name=name, value=value), name
        ) from None


def _seconds(ms):
    if ms is None:
        return None
    return ms // 1000 if ms % 1000 == 0 else ms / 1000
