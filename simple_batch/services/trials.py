"""Tries of the workbench: what a prompt makes of sample rows is sent over connections, once.

A call is known by a hash of its body, as the job would send it, and of its connection: as long as the
upload is kept its answer is too, and only what changed is sent again. Every run that sends something is a
version (prompt_versions.py). The calls pass the spend caps and the rate limits of their connections, as
those of a job do, and cost what they cost.
"""

import hashlib
import logging
from collections.abc import Iterable

import gevent
import msgspec

from ..core import context, identity
from ..core.call_prices import Usage
from ..core.clock import now_ms
from ..core.domain import Cause, Defaults, Endpoint, Fault, Outcome, Request, Service
from ..core.errors import ConfigurationError, InvalidInput
from ..core.messages import Message
from ..core.stored_messages import recognised
from ..engine import answer_outcome
from ..engine.encoder import Encoder
from ..engine.governor import Governor
from ..engine.probe import Trial, Tried
from ..engine.structured_output import Structure
from ..store import spending
from ..store.configs import defaults_of, endpoint_of, job_defaults, prices_of
from ..store.database import connected
from ..store.models import ApiConfig, Job, TriedAnswer, Upload, database
from . import images, job_options, lifecycle, prompt_versions
from .job_option_fields import JobOptions

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 3
_LOOK_S = 0.25  # between two looks whether a user stops the run
_GROUP = 200  # keys of a query
_own_governors: dict[int, tuple[int, Governor]] = {}  # where other processes run the jobs


class Answer(msgspec.Struct, omit_defaults=True):
    """What a call got. Without a ``cause`` it was answered; ``outcome`` says what the answer is worth.
    ``cost`` is in billionths of the currency's unit, None where it is not known."""

    latency_ms: int
    cause: str | None = None
    http_status: int | None = None
    message: str = ""
    response: bytes | None = None
    usage: Usage | None = None
    outcome: str | None = None
    cost: int | None = None
    currency: str = ""

    @property
    def is_answered(self) -> bool:
        """Whether there is an answer, even one that does not match the schema."""
        return self.cause in (None, Cause.SCHEMA)


class Cell(msgspec.Struct):
    """A call: row ``number`` on a connection, by its ``key``. ``request`` is None where the row is invalid."""

    number: int
    config_id: int
    key: str
    request: Request


class Way(msgspec.Struct):
    """How the calls of a connection are made."""

    config: ApiConfig
    options: JobOptions
    defaults: Defaults
    timeout_s: float
    schema: Structure | None
    asked: bytes  # the schema, and how it is asked for


class Plan(msgspec.Struct):
    """All calls of a screen: those of each row that is a request, on each connection."""

    ways: list[Way]
    cells: list[Cell]

    @property
    def keys(self) -> list[str]:
        return [cell.key for cell in self.cells]


# --- what a run sends ---------------------------------------------------------------------------


def plan(new: JobOptions, also: Iterable[ApiConfig], requests: Iterable[Request | Fault]) -> Plan:
    """The calls for requests of sample rows, on the connection of a job and on others besides. Raises
    InvalidInput naming the field."""
    ways = ways_of(new, also)
    good = [request for request in requests if isinstance(request, Request)]
    cells = [
        Cell(request.index + 1, way.config.id, key, request)
        for way in ways
        for request, key in zip(good, _keys(way, good), strict=True)
    ]
    return Plan(ways, cells)


def ways_of(new: JobOptions, also: Iterable[ApiConfig]) -> list[Way]:
    """The connection of a job, with what the job sets itself, and others besides: a model that the job
    names holds for its own connection only. Raises InvalidInput."""
    chosen = job_options.columns(new, "x")
    own = chosen["config"]
    job = Job(**chosen)
    found = [_way(own, job, new)]
    params = {name: value for name, value in new.params.items() if name != "model"}
    elsewhere = msgspec.structs.replace(
        new, params=params, also=(), service=Service.NOW, spend_cap=None
    )
    for config in also:
        if config.id not in {way.config.id for way in found} and len(found) < MAX_CONNECTIONS:
            there = msgspec.structs.replace(elsewhere, config=config.id)
            found.append(_way(config, Job(**job_options.columns(there, "x")), there))
    return found


def _way(config: ApiConfig, job: Job, new: JobOptions) -> Way:
    timeout_s = new.timeout_s or config.timeout_s
    defaults = job_defaults(job, defaults_of(config))
    asked = msgspec.json.encode([new.schema, new.schema_mode if new.schema else ""])
    return Way(config, new, defaults, timeout_s, job_options.structure_of(new), asked)


def _keys(way: Way, requests: list[Request]) -> list[str]:
    """Hashes of the bodies as the connection would be sent them. What is learned meanwhile about
    parameters that a model rejects changes the body, but not what was asked."""
    config, shape = way.config, way.schema
    encoder = Encoder(
        msgspec.structs.replace(way.defaults, adjustments=()),
        shape.fields if shape is not None else lambda url: {},
    )
    place = [config.id, config.base_url, config.api_format, config.query, config.headers]
    head = msgspec.json.encode(place)
    return [
        _hashed(head, way.asked, request.url.encode(), encoder.encode(request))
        for request in requests
    ]


def _hashed(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()


def answers(upload_id: int, keys: Iterable[str]) -> dict[str, Answer]:
    """The answers that are kept, by key."""
    found: dict[str, Answer] = {}
    wanted = list(dict.fromkeys(keys))
    for start in range(0, len(wanted), _GROUP):
        query = TriedAnswer.select(TriedAnswer.key, TriedAnswer.answer).where(
            (TriedAnswer.upload == upload_id) & TriedAnswer.key.in_(wanted[start : start + _GROUP])
        )
        for key, answer in query.tuples():
            found[key] = msgspec.msgpack.decode(bytes(answer), type=Answer)
    return found


def unsent(planned: Plan, known: dict[str, Answer]) -> list[Cell]:
    """The calls of a plan that have no answer yet, each once; one that failed is made again. An answer that
    does not match the schema is one."""
    found: dict[str, Cell] = {}
    for cell in planned.cells:
        if cell.key not in known or not known[cell.key].is_answered:
            found.setdefault(cell.key, cell)
    return list(found.values())


def tried_of(way: Way, planned: Plan, known: dict[str, Answer]) -> list[Tried]:
    """The answers of a connection, for an estimate."""
    cells = {cell.key: cell for cell in planned.cells if cell.config_id == way.config.id}
    return [
        Tried(
            cells[key].request, it.latency_ms, None, it.http_status, "", it.response, it.usage, None
        )
        for key, it in known.items()
        if key in cells and it.is_answered
    ]


# --- a run ------------------------------------------------------------------------------------


def start(
    upload: Upload, planned: Plan, texts: prompt_versions.Texts, again: bool = False
) -> int | None:
    """Send in the background what has no answer yet (``again``: everything), as a new version; returns its
    number, None where there is nothing to send. Raises InvalidInput where a spend cap is reached or a key
    cannot be opened, Conflict while another run of the upload goes on."""
    known = {} if again else answers(upload.id, planned.keys)
    cells = unsent(planned, known)
    if not cells:
        return None
    used = {cell.config_id for cell in cells}
    for way in planned.ways:
        if way.config.id in used:
            job_options.check_allowance(way.config)
            _open(way)
    number = prompt_versions.begin(upload.id, texts, _table(planned), len(cells))
    gevent.spawn(_run, _Run(upload, number, planned.ways, cells), identity.current())
    return number


def _table(planned: Plan) -> prompt_versions.Table:
    columns = [
        prompt_versions.Column(way.config.id, way.config.alias, way.defaults.model)
        for way in planned.ways
    ]
    rows: dict[int, dict[str, str]] = {}
    for cell in planned.cells:
        rows.setdefault(cell.number, {})[str(cell.config_id)] = cell.key
    return prompt_versions.Table(columns, [prompt_versions.Row(*row) for row in rows.items()])


def _open(way: Way) -> Endpoint:
    """The endpoint of a way. Raises InvalidInput."""
    try:
        endpoint = endpoint_of(way.config, context.vault())
    except ConfigurationError as error:
        raise InvalidInput(error.text, "config") from None
    return msgspec.structs.replace(endpoint, defaults=way.defaults, timeout_s=way.timeout_s)


class _Run:
    """The calls of one version."""

    def __init__(self, upload: Upload, number: int, ways: list[Way], cells: list[Cell]):
        self._upload, self._number = upload, number
        self._ways, self._cells = {way.config.id: way for way in ways}, cells
        self._costs: dict[str, int] = {}

    def make(self) -> None:
        """Make the calls, until they have ended or a user stops them."""
        trials: dict[int, Trial] = {}
        calls: list[gevent.Greenlet] = []
        try:
            for config_id in dict.fromkeys(cell.config_id for cell in self._cells):
                trials[config_id] = self._trial(config_id)
            calls += [gevent.spawn(self._call, trials[one.config_id], one) for one in self._cells]
            while True:
                gevent.wait(calls, timeout=_LOOK_S)
                if all(call.ready() for call in calls) or self._is_stopped():
                    break
        finally:
            gevent.killall(calls)
            for trial in trials.values():
                trial.close()
            with connected():
                prompt_versions.end(self._upload.id, self._number, self._costs)

    def _is_stopped(self) -> bool:
        with connected():
            return prompt_versions.beat(self._upload.id, self._number, self._costs)

    def _trial(self, config_id: int) -> Trial:
        way = self._ways[config_id]
        width = sum(cell.config_id == config_id for cell in self._cells)
        finish = images.finish(self._upload)
        with connected():
            governor = _governor(way.config)
            endpoint = _open(way)

        def check() -> None:
            with connected():
                job_options.check_allowance(way.config)

        return Trial(endpoint, context.settings(), width, way.schema, finish, governor, check)

    def _call(self, trial: Trial, cell: Cell) -> None:
        config = self._ways[cell.config_id].config
        try:
            answer = self._sent(trial, config, cell.request)
            with connected():
                self._keep(config, cell.key, answer)
        except Exception:
            log.exception("a try of upload %s failed", self._upload.id)

    def _sent(self, trial: Trial, config: ApiConfig, request: Request) -> Answer:
        try:
            return self._answer(config, trial.send(request))
        except InvalidInput as error:  # a spend cap is reached meanwhile
            return Answer(0, str(Cause.CANCELLED), message=str(error.text))

    def _answer(self, config: ApiConfig, tried: Tried) -> Answer:
        cost = prices_of(config).cost_of(tried.usage, now_ms(), tried.service_tier)
        outcome = None
        if tried.cause is None:
            outcome = str(
                answer_outcome.outcome_of(tried.request.url, tried.response or b"").outcome
            )
        elif tried.cause is Cause.SCHEMA:
            outcome = str(Outcome.SCHEMA)
        return Answer(
            tried.latency_ms,
            None if tried.cause is None else str(tried.cause),
            tried.http_status,
            tried.message,
            tried.response,
            tried.usage,
            outcome,
            cost,
            config.currency,
        )

    def _keep(self, config: ApiConfig, key: str, answer: Answer) -> None:
        if answer.cost:
            currency = config.currency
            self._costs[currency] = self._costs.get(currency, 0) + answer.cost
            spending.add_tried(config.id, currency, answer.cost, now_ms())
        row = {"answer": msgspec.msgpack.encode(answer), "created_at": now_ms()}
        with database.atomic():
            same = (TriedAnswer.upload == self._upload.id) & (TriedAnswer.key == key)
            if not TriedAnswer.update(row).where(same).execute():
                TriedAnswer.create(upload=self._upload.id, key=key, **row)


def _run(run: _Run, caller: identity.Actor) -> None:
    identity.act_as(caller)
    try:
        run.make()
    except Exception:
        log.exception("a run of the workbench failed")


def _governor(config: ApiConfig) -> Governor:
    """The limits that jobs keep on a connection too; where another process runs them, limits of this
    process with what the connection sets."""
    shared = lifecycle.governor_of(config)
    if shared is not None:
        return shared
    changed_at, own = _own_governors.get(config.id, (0, None))
    if own is None or changed_at != config.updated_at:
        settings = context.settings()
        own = Governor(
            config.concurrency,
            config.rpm,
            config.tpm,
            start=settings.DEFAULT_CONCURRENCY,
            maximum=settings.MAX_CONCURRENCY,
            patience_s=settings.RATE_LIMIT_PATIENCE,
        )
        _own_governors[config.id] = config.updated_at, own
    return own


def words_of(answer: Answer) -> Message | str:
    """Why a call failed."""
    return recognised(answer.message, answer.http_status)
