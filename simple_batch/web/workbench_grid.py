"""What the workbench shows of its sample rows: their prompts, a cell for each connection, and the estimate
for all rows."""

from typing import Any

import msgspec

from ..core import content
from ..core.domain import Fault, Request, Service
from ..core.errors import InvalidInput, SimpleBatchError, UploadRejected
from ..services import batch_offers, batch_service, call_time, prompt_versions, sample_rows, trials
from ..services import estimate as estimates
from ..services.estimate import Estimate
from ..services.trials import Answer, Plan, Way
from .labels import translated
from .workbench_forms import Screen

MUCH_LONGER = 1.5  # times: then a time is a range
LONGEST_ANSWER = 20_000  # characters of an answer in its cell
LONGEST_PROMPT = 5_000  # of a part of a prompt
_LONGEST_CELL = 200


class Shown(msgspec.Struct):
    """A cell. ``state`` is unsent, waiting or answered; an unsent one shows the ``answer`` of version
    ``of_version``, as far as there is one."""

    config_id: int
    key: str
    state: str
    answer: Answer | None = None
    text: str = ""
    cut: bool = False
    of_version: int | None = None


class GridRow(msgspec.Struct):
    """A sample row with what is sent of it."""

    number: int
    line: int | None
    unit: str
    source: list[tuple[str, str]]
    custom_id: str = ""
    messages: list[Any] = []
    bytes: int | None = None
    fault: str = ""
    cells: list[Shown] = []


class Grid(msgspec.Struct):
    """All of it. ``unsent`` counts the calls that a run would make."""

    rows: list[GridRow]
    ways: list[Way]
    errors: list[str]
    unsent: int
    running: prompt_versions.Version | None
    newest: prompt_versions.Version | None


def grid_of(screen: Screen) -> Grid:
    """The grid of a screen, also of one with errors."""
    upload = screen.upload
    newest = prompt_versions.newest(upload.id)
    running = newest if newest is not None and newest.is_running else None
    rows: list[sample_rows.SampleRow] = []
    requests: list[Request | Fault] = []
    planned = Plan([], [])
    try:
        if not any(field.errors for field in screen.sample):
            rows = sample_rows.rows_of(upload, screen.found, screen.sample.choice)
        requests = _requests(screen, rows)
        planned = _plan(screen, requests)
    except (InvalidInput, UploadRejected) as error:
        if isinstance(error, InvalidInput):
            screen.blame(error)
    keys = [*planned.keys, *(newest.table.keys if newest is not None else ())]
    known = trials.answers(upload.id, keys)
    maker = _Cells(planned, known, running, newest)
    shown = [
        _row(screen, row, requests[n] if requests else None, maker) for n, row in enumerate(rows)
    ]
    return Grid(
        shown,
        planned.ways,
        screen.errors,
        len(trials.unsent(planned, known)),
        running,
        newest,
    )


def _requests(screen: Screen, rows: list) -> list[Request | Fault]:
    form = screen.template
    if form is not None and any(field.errors for field in form):
        return []
    return sample_rows.requests_of(screen.upload, screen.found, screen.text(), rows)


def _plan(screen: Screen, requests: list[Request | Fault]) -> Plan:
    if not screen.options.config.choices or any(field.errors for field in screen.options):
        return Plan([], [])
    return trials.plan(screen.chosen(), screen.others(), requests)


def _row(screen: Screen, row, request: Request | Fault | None, maker: "_Cells") -> GridRow:
    source = zip(screen.found.columns, row.cells or (), strict=False)
    shown = GridRow(
        row.number, row.line, row.unit, [(name, cell[:_LONGEST_CELL]) for name, cell in source]
    )
    if isinstance(request, Fault):
        shown.fault = translated(request.text)
    elif request is not None:
        body = content.readable(request.body)
        shown.custom_id, shown.bytes = request.custom_id, body.cut
        shown.messages = _shortened(content.conversation_of(body.data))
        shown.cells = maker.of(row.number)
    return shown


def _shortened(messages: list[content.MessageParts]) -> list[content.MessageParts]:
    """Messages of which long texts are cut: they are sent with every key that is pressed."""
    for message in messages:
        for part in message["parts"]:
            if len(part["text"]) > LONGEST_PROMPT and part["kind"] != "picture":
                part["text"] = part["text"][:LONGEST_PROMPT] + "…"
    return messages


class _Cells:
    """Makes the cells of rows."""

    def __init__(
        self,
        planned: Plan,
        known: dict[str, Answer],
        running: prompt_versions.Version | None,
        newest: prompt_versions.Version | None,
    ):
        self._known = known
        self._by_row: dict[int, list[trials.Cell]] = {}
        for cell in planned.cells:
            self._by_row.setdefault(cell.number, []).append(cell)
        self._awaited = set(running.table.keys) if running is not None else set()
        self._number = newest.number if newest is not None else None
        self._former = {row.number: row.keys for row in newest.table.rows} if newest else {}

    def of(self, number: int) -> list[Shown]:
        """The cells of a row, in the order of the connections."""
        return [self._shown(cell) for cell in self._by_row.get(number, ())]

    def _shown(self, cell: trials.Cell) -> Shown:
        answer = self._known.get(cell.key)
        if cell.key in self._awaited and (answer is None or not answer.is_answered):
            return Shown(cell.config_id, cell.key, "waiting")
        if answer is not None:
            return _with_text(Shown(cell.config_id, cell.key, "answered", answer))
        former = self._former.get(cell.number, {}).get(str(cell.config_id), "")
        shown = Shown(cell.config_id, cell.key, "unsent", self._known.get(former))
        if shown.answer is not None:
            shown.of_version = self._number
        return _with_text(shown)


def _with_text(shown: Shown) -> Shown:
    shown.text, shown.cut = text_of(shown.answer)
    return shown


def text_of(answer: Answer | None) -> tuple[str, bool]:
    """An answer as text, and whether that is only its beginning."""
    if answer is None or answer.response is None:
        return "", False
    text = content.answer_of(content.readable(answer.response).data)
    return text[:LONGEST_ANSWER], len(text) > LONGEST_ANSWER


# --- all rows ---------------------------------------------------------------------------------


class Outlook(msgspec.Struct):
    """What all rows cost and take on a connection. ``seconds``, and ``at_least`` where that is much less, are
    None where that is not known; with ``promised`` it is the longest that a provider's batches take."""

    way: Way
    estimate: Estimate
    seconds: float | None = None
    at_least: float | None = None
    promised: bool = False


class Overall(msgspec.Struct):
    """The outlook of each connection, the first one the job's; ``error`` says why there is none. ``invalid``
    rows are not sent; with ``more`` there may be others behind the first rows, which alone were read."""

    rows: int
    invalid: int = 0
    more: bool = False
    outlooks: list[Outlook] = []
    error: str = ""


def overall(screen: Screen) -> Overall:
    """The figures on top of the screen, read from the first rows of the upload."""
    rows = screen.found.good + (screen.found.fault_count if screen.template is not None else 0)
    if not screen.valid or not screen.options.config.choices:
        return Overall(rows)
    try:
        return _overall(screen, rows)
    except InvalidInput:  # the grid says it
        return Overall(rows)
    except SimpleBatchError as error:
        return Overall(rows, error=translated(error))


def _overall(screen: Screen, rows: int) -> Overall:
    upload, text = screen.upload, screen.text()
    found, first = estimates.with_template(upload, screen.found, text)
    sample, of_table = first.requests, screen.template is not None
    whole = Overall(rows, first.invalid if of_table else 0, of_table and not first.whole)
    if not sample:
        return whole
    sample_of_rows = sample_rows.rows_of(upload, screen.found, screen.sample.choice)
    requests = sample_rows.requests_of(upload, screen.found, text, sample_of_rows)
    planned = trials.plan(screen.chosen(), screen.others(), requests)
    known = trials.answers(upload.id, planned.keys)
    outlooks = []
    for way in planned.ways:
        tried = trials.tried_of(way, planned, known)
        estimate = estimates.estimate(upload, found, way.config, way.options, tried, sample)
        outlooks.append(_outlook(way, found.good, estimate, tried))
    whole.outlooks = outlooks
    return whole


def _outlook(way: Way, rows: int, estimate: Estimate, tried: list[trials.Tried]) -> Outlook:
    new = way.options
    if Service(new.service) is not Service.NOW and not batch_offers.why_not(way.config):
        choices = batch_service.choices(way.config, new, rows, estimate)
        chosen = next(one for one in choices if one.service is Service(new.service))
        cost = msgspec.structs.replace(estimate, cost=chosen.cost)
        return Outlook(way, cost, chosen.expected.high, promised=True)
    seconds = batch_service.calls_take(way.config, rows).high
    at_least = None
    if seconds is None and tried:
        latency_s = sum(one.latency_ms for one in tried) / len(tried) / 1000
        concurrency = new.concurrency or way.config.concurrency
        low, seconds = call_time.expected(rows, latency_s, concurrency, way.config.rpm)
        at_least = low if seconds > MUCH_LONGER * low else None
    return Outlook(way, estimate, seconds, at_least)


# --- two versions -----------------------------------------------------------------------------


def planned(screen: Screen) -> Plan:
    """The calls of a valid screen. Raises InvalidInput, UploadRejected."""
    rows = sample_rows.rows_of(screen.upload, screen.found, screen.sample.choice)
    requests = sample_rows.requests_of(screen.upload, screen.found, screen.text(), rows)
    return trials.plan(screen.chosen(), screen.others(), requests)


def side_by_side(
    upload_id: int, a: prompt_versions.Version, b: prompt_versions.Version
) -> list[dict]:
    """For each row and connection of either version the answers of both."""
    known = trials.answers(upload_id, [*a.table.keys, *b.table.keys])
    tables = [{row.number: row.keys for row in one.table.rows} for one in (a, b)]
    columns = {one.config_id: one for version in (a, b) for one in version.table.columns}
    found = []
    for number in sorted({*tables[0], *tables[1]}):
        for config_id, column in columns.items():
            keys = [table.get(number, {}).get(str(config_id), "") for table in tables]
            if not any(keys):
                continue
            shown = [
                _with_text(
                    Shown(config_id, key, "answered" if key in known else "unsent", known.get(key))
                )
                for key in keys
            ]
            same = bool(shown[0].text) and shown[0].text == shown[1].text
            found.append({"number": number, "column": column, "cells": shown, "same": same})
    return found
