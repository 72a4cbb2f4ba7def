"""Results of a provider's batch become results of the job: each request gets one, or is sent again."""

import time
from decimal import Decimal

import gevent
import msgspec
import pytest

from simple_batch.core import context
from simple_batch.core.clock import now_ms
from simple_batch.core.domain import Outcome, PartState
from simple_batch.engine.batch_api.line_results import LineJudge
from simple_batch.engine.failure_guard import GuardPolicy
from simple_batch.engine.retry import Policy
from simple_batch.engine.structured_output import structure_of
from simple_batch.runner import part_merger
from simple_batch.runner.part_merger import PartMerger
from simple_batch.runner.providers import Providers
from simple_batch.runner.recorder import Recorder
from simple_batch.runner.schema_corrections import SchemaCorrections, _answer_of
from simple_batch.store import part_results
from simple_batch.store.answer_group import AnswerGroup
from simple_batch.store.database import connected
from simple_batch.store.models import (
    ApiConfig,
    Attempt,
    BatchLine,
    BatchPart,
    Job,
    JobEvent,
    Override,
    Request,
    Result,
    database,
)

from .part_results_client import ResultFiles, answer, line, not_run, refused

COUNT = 6


class Part:
    """A part with all requests of a job, of which results are merged."""

    def __init__(self, job_id: int, folder, recorder):
        self.job_id = job_id
        self.folder = folder
        self.recorder = recorder
        self.client = ResultFiles()
        self.stops: list = []
        self.policy = Policy(max_retries=2)
        self.guard = GuardPolicy(3, 50)
        self.structure = None
        self.id = self.add()

    def add(self, sent_at: int = 0) -> int:
        """A part with the requests that are pending."""
        now = now_ms()
        with connected(), database.atomic():
            job = Job.get_by_id(self.job_id)
            part = BatchPart.create(
                job=job,
                config=job.config_id,
                url="/v1/chat/completions",
                model="m",
                marker=f"m{BatchPart.select().count()}",
                state=PartState.ENDED,
                requests=job.total,
                bytes=0,
                tokens=0,
                reserved_nano=5,
                created_at=now - 20,
                sent_at=sent_at or now - 10,
                ended_at=now - 5,
            )
            database.execute_sql(
                "INSERT INTO batch_line (job_id, idx, part_id) SELECT r.job_id, r.idx, ? "
                "FROM request r WHERE r.job_id = ? AND NOT EXISTS "
                "(SELECT 1 FROM result x WHERE x.job_id = r.job_id AND x.idx = r.idx)",
                (part.id, self.job_id),
            )
        self.id = part.id
        return part.id

    def merge(self, *files: bytes):
        paths = []
        for number, content in enumerate(files):
            paths.append(self.folder / f"{self.id}-{number}.jsonl")
            paths[-1].write_bytes(content)
        with connected():
            job = Job.get_by_id(self.job_id)
            part = BatchPart.get_by_id(self.id)
            providers = Providers(context.settings(), context.vault())
            provider = providers.get(ApiConfig.get_by_id(job.config_id))
        merger = PartMerger(job, provider, self.recorder, self.policy, self.guard, self.structure)
        try:
            return merger.merge(part, self.client, paths, self.stops.append)
        finally:
            providers.close()

    def row(self) -> BatchPart:
        with connected():
            return BatchPart.get_by_id(self.id)

    def job(self) -> Job:
        with connected():
            return Job.get_by_id(self.job_id)

    def results(self) -> dict[int, Result]:
        with connected():
            return {row.idx: row for row in Result.select().where(Result.job == self.job_id)}

    def attempts(self) -> list[tuple[int, int, str]]:
        with connected():
            rows = Attempt.select().where(Attempt.job == self.job_id).order_by(Attempt.id)
            return [(row.idx, row.number, row.cause) for row in rows]

    def notes(self) -> list[str]:
        with connected():
            rows = JobEvent.select().where(JobEvent.job == self.job_id).order_by(JobEvent.id)
            return [str(row.detail) for row in rows if row.detail]

    def held(self) -> int:
        with connected():
            return BatchLine.select().where(BatchLine.part == self.id).count()


@pytest.fixture
def recorder(app):
    started = Recorder(100, 0.05, lambda complaint: None)
    started.start()
    yield started
    started.stop(5)


@pytest.fixture
def part(recorder, add_config, make_job, tmp_path):
    add_config("http://127.0.0.1:9/v1", input_price=Decimal(1), output_price=Decimal(2))
    return Part(make_job(COUNT), tmp_path, recorder)


def test_answers_that_are_written_together_are_stored_like_others(
    part, recorder, make_job, tmp_path, monkeypatch
):
    cached = answer("with a cache")
    cached["usage"]["prompt_tokens_details"] = {"cached_tokens": 7}
    silent, called = answer(""), answer("", finish_reason="tool_calls")
    called["choices"][0]["message"]["tool_calls"] = [{"id": "t", "type": "function"}]
    lines = line(0) + line(3, silent) + line(1, cached) + refused(2, 400, "invalid image")
    lines += line(4, called) + line(5, answer("half", usage=False))
    part.merge(lines)
    monkeypatch.setattr(LineJudge, "answer", lambda judge, line: None)
    monkeypatch.setattr(LineJudge, "answer_of", lambda judge, finding: None)
    monkeypatch.setattr(AnswerGroup, "rows", None)
    (tmp_path / "one by one").mkdir()
    other = Part(make_job(COUNT), tmp_path / "one by one", recorder)
    other.merge(lines)
    assert _stored(other) == _stored(part)


def _stored(part) -> list[dict]:
    """The rows of a part, its job and its results, without what differs by job and moment."""
    with connected():
        mine = Result.select().where(Result.job == part.job_id).order_by(Result.idx)
        rows = [*mine.dicts(), *Job.select().where(Job.id == part.job_id).dicts()]
        rows.extend(BatchPart.select().where(BatchPart.id == part.id).dicts())
    assert len(rows) == COUNT + 2
    differ = {"id", "job", "name", "marker", "upload"}
    return [
        {
            name: bytes(value) if isinstance(value, memoryview) else value
            for name, value in row.items()
            if name not in differ and not name.endswith("_at")
        }
        for row in rows
    ]


def test_each_request_gets_its_result_in_any_order(part):
    found = part.merge(line(5) + line(0), line(3) + line(1) + line(4) + line(2))
    results = part.results()
    assert sorted(results) == list(range(COUNT)) and found.missing == 0
    assert {row.status for row in results.values()} == {"succeeded"}
    assert {(row.service_tier, row.model, row.attempts) for row in results.values()} == {
        ("batch", "m-2026", 1)
    }
    row, job = part.row(), part.job()
    assert (row.state, row.succeeded, row.failed, row.sent_again) == ("merged", COUNT, 0, 0)
    assert row.reserved_nano == 0 and row.merged_at and part.held() == 0
    assert (job.succeeded, job.attempts, job.input_tokens) == (COUNT, COUNT, 10 * COUNT)
    assert part.client.reads == 2  # each file once


def test_others_have_their_turn_while_results_are_merged(recorder, add_config, make_job, tmp_path):
    add_config("http://127.0.0.1:9/v1")
    count = 3_000
    part = Part(make_job(count), tmp_path, recorder)
    gaps = []

    def watch():
        since = time.process_time()
        while True:
            gevent.sleep(0.001)
            gaps.append(time.process_time() - since)
            since = time.process_time()

    watching = gevent.spawn(watch)
    try:
        part.merge(b"".join(line(index, answer("word " * 200)) for index in range(count)))
    finally:
        watching.kill()
    assert part.row().succeeded == count
    assert len(gaps) > 5 and max(gaps) < 0.2, "seconds of CPU in which only merging had a turn"


def test_lines_that_were_not_run_cost_nothing_and_are_sent_again(part):
    zero = line(2, {"error": None}, status=0)
    part.merge(line(0), not_run(1, "batch_expired") + zero + not_run(3, "batch_cancelled"))
    row = part.row()
    assert (row.succeeded, row.sent_again) == (1, 5)  # 4 and 5 are in no file
    assert part.attempts() == [] and part.job().attempts == 1 and part.held() == 0
    assert any("without a result are sent again (2)" in note for note in part.notes())


def test_a_failure_worth_another_try_uses_up_retries(part):
    others = b"".join(map(line, range(1, COUNT)))
    part.merge(others + refused(0, 500, "internal error"))
    assert part.attempts() == [(0, 1, "server_error")] and 0 not in part.results()
    for number in (2, 3):
        part.add()
        part.merge(refused(0, 429, "slow down"))
        assert part.attempts()[-1] == (0, number, "rate_limit")
    failed = part.results()[0]
    assert (failed.status, failed.cause, failed.attempts) == ("failed", "rate_limit", 3)
    assert part.job().retries == 2


def test_a_word_of_the_provider_for_a_line_is_an_error(part):
    others = b"".join(map(line, range(1, COUNT)))
    part.merge(others + not_run(0, "server_fault", "the worker died"))
    assert part.attempts() == [(0, 1, "server_error")]
    with connected():
        kept = Attempt.get()
    assert "worker died" in kept.message and kept.http_status is None


def test_a_final_failure_is_the_request_s_own_where_others_succeed(part, monkeypatch):
    monkeypatch.setattr(part_merger, "GROUP", 4)  # the failures are known before the first success
    part.policy = Policy(own=frozenset())
    part.guard = GuardPolicy(2, 2)
    bad = b"".join(refused(index, 400, "invalid image") for index in range(4))
    part.merge(bad + line(4) + line(5))
    assert part.stops == [] and part.row().failed == 4 and part.job().failed == 4
    assert part.client.reads == 2  # once more for what was undecided
    assert part.job().attempts == COUNT


@pytest.mark.parametrize(
    ("status", "message", "code", "reason"),
    [
        (401, "Incorrect API key provided", "invalid_api_key", "auth"),
        (404, "The model `m` does not exist", "model_not_found", "not_found"),
        (400, "The tokenizer of this deployment is gone", None, "same_failure"),
    ],
)
def test_a_part_that_fails_alike_pauses_the_job(part, status, message, code, reason):
    lines = b"".join(refused(index, status, message, code=code) for index in range(COUNT))
    found = part.merge(lines)
    assert [stop.reason for stop in part.stops] == [reason]
    assert message.split("`")[0] in str(found.stop.detail)
    assert part.results() == {} and part.held() == 0
    assert len(part.attempts()) == COUNT and part.row().sent_again == COUNT
    part.add(sent_at=now_ms())  # nothing of that counts as a retry
    part.merge(b"".join(map(line, range(COUNT))))
    assert part.job().succeeded == COUNT


def test_a_spent_quota_pauses_the_job_whatever_has_succeeded(part):
    spent = refused(1, 429, "You exceeded your current quota", code="insufficient_quota")
    part.merge(line(0) + spent + line(2) + line(3) + line(4) + line(5))
    assert [stop.reason for stop in part.stops] == ["quota"]
    assert sorted(part.results()) == [0, 2, 3, 4, 5] and part.row().sent_again == 1


def test_answers_are_worth_what_live_ones_are(part):
    part.policy = Policy(max_retries=0, as_failed=frozenset({Outcome.CUT_OFF}))
    cut = line(1, answer("It begins", finish_reason="length"))
    silent = line(2, answer("", finish_reason="stop"))
    unsaid = line(3, answer("text", usage=False))
    part.merge(line(0) + cut + silent + unsaid + line(4) + line(5))
    results = part.results()
    assert (results[1].status, results[1].outcome) == ("failed", "cut_off")
    assert (results[2].status, results[2].outcome) == ("succeeded", "empty")
    assert results[3].estimated == 1 and results[3].input_tokens > 0
    assert results[1].response is not None


def test_an_answer_that_does_not_fit_the_schema_is_sent_again(part):
    schema = '{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}'
    part.policy = Policy(max_retries=1)
    part.structure = structure_of(schema, "send", True)
    fits = [line(index, answer('{"n": 1}')) for index in range(1, COUNT)]
    part.merge(b"".join(fits) + line(0, answer("no JSON")))
    assert part.attempts() == [(0, 1, "schema")] and part.row().sent_again == 1
    part.add(sent_at=now_ms())
    corrections = SchemaCorrections(part.job_id, part.structure)
    with connected():
        request = part_results.requests(part.job_id, [0])[0]
    messages = msgspec.json.decode(corrections.applied(request, request.body))["messages"]
    assert [message["role"] for message in messages[-2:]] == ["assistant", "user"]
    assert messages[-2]["content"] == "no JSON" and "cannot be used" in messages[-1]["content"]
    part.merge(line(0, answer("no JSON")))
    assert (part.results()[0].cause, part.results()[0].outcome) == ("schema", "schema")


def test_the_beginning_of_a_long_answer_is_enough_to_correct_it():
    whole = msgspec.json.encode(answer('begins \\ with "this" ' + "and goes on " * 900)).decode()
    found = msgspec.json.decode(_answer_of(whole[:2_000]))
    text = found["choices"][0]["message"]["content"]
    assert text.startswith('begins \\ with "this" and goes on') and len(text) > 1_500
    assert _answer_of("") == b'{"choices":[{"message":{"content":""}}]}'


def test_a_schema_that_is_refused_is_asked_for_in_another_way(part):
    part.structure = structure_of('{"type": "object"}', "send", False)
    message = "response_format json_schema is not supported by this model"
    lines = b"".join(
        refused(index, 400, message, param="response_format") for index in range(COUNT)
    )
    part.merge(lines)
    assert part.structure.level == 1 and part.stops == [] and part.row().sent_again == COUNT
    part.add()
    with connected():  # was sent before that was known
        BatchPart.update(created_at=1).where(BatchPart.id == part.id).execute()
    part.merge(lines)
    assert part.structure.level == 1 and part.row().sent_again == COUNT


def test_a_rejected_parameter_of_the_config_is_learned_once_and_costs_no_retry(part):
    with connected():
        ApiConfig.update(temperature=0.5).execute()
    part.policy = Policy(max_retries=0)
    message = "Unsupported parameter: 'temperature' is not supported with this model."
    lines = b"".join(
        refused(index, 400, message, param="temperature", code="unsupported_parameter")
        for index in range(COUNT)
    )
    part.merge(lines)
    assert part.stops == [] and part.row().sent_again == COUNT and part.results() == {}
    with connected():
        assert ApiConfig.get().adjustments.count("temperature") >= 1
    assert sum("temperature" in note for note in part.notes()) == 1
    part.add()
    part.merge(b"".join(map(line, range(COUNT))))
    assert part.job().succeeded == COUNT


def test_a_rejected_parameter_of_the_lines_pauses_the_job(part):
    with connected():
        body = b'{"model": "m", "messages": [], "top_k": 5}'
        Request.update(body=body).where(Request.idx < 3).execute()
    message = "Unrecognized request argument supplied: top_k"
    bad = b"".join(refused(index, 400, message) for index in range(3))
    found = part.merge(bad + line(3) + line(4) + line(5))
    assert [stop.reason for stop in part.stops] == ["rejected_parameter"]
    assert found.stop.parameters == ("top_k",)
    assert part.row().sent_again == 3 and part.job().succeeded == 3


def test_a_parameter_that_others_had_accepted_fails_its_own_requests(part):
    with connected():
        Request.update(body=b'{"model": "m", "messages": [], "top_k": 5}').execute()
    bad = refused(0, 400, "Unrecognized request argument supplied: top_k")
    part.merge(bad + b"".join(map(line, range(1, COUNT))))
    assert part.stops == [] and part.results()[0].cause == "bad_request"


def test_strange_repeated_and_unreadable_lines_are_counted_and_billed_to_none(part):
    strange = line(COUNT) + line("r00") + line("request-1") + line("r-1")
    found = part.merge(line(0) + line(0) + strange + b"{nonsense}\n" + line(1) + line(2)[:30])
    assert (found.strange, found.repeated, found.unreadable, found.missing) == (4, 1, 2, 4)
    assert part.job().succeeded == 2 and part.job().input_tokens == 20
    notes = "\n".join(part.notes())
    for words in (
        "not in it were left out (4)",
        "same requests were left out (1)",
        "no results (2)",
    ):
        assert words in notes


def test_results_that_are_merged_again_are_recorded_once(part):
    part.merge(line(0) + line(1))
    with connected():
        BatchPart.update(state=PartState.ENDED).execute()
    again = part.merge(line(0) + line(1) + refused(2, 500, "no"))
    assert part.job().succeeded == 2 and part.row().succeeded == 2 and part.attempts() == []
    assert again.strange == 1  # 2 left the part before, without an answer


def test_a_kill_in_the_middle_loses_nothing(part, monkeypatch):
    lines = b"".join(map(line, range(COUNT)))
    monkeypatch.setattr("simple_batch.runner.part_merger.GROUP", 2)
    read = ResultFiles.read

    def broken(self, path):
        for number, found in enumerate(read(self, path)):
            if number == 4:
                raise gevent.GreenletExit
            yield found

    with monkeypatch.context() as patched:
        patched.setattr(ResultFiles, "read", broken)
        with pytest.raises(gevent.GreenletExit):
            part.merge(lines)
    part.recorder.flush()
    assert part.row().state == "ended" and part.row().succeeded == part.job().succeeded < COUNT
    part.merge(lines)
    assert part.row().state == "merged"
    assert (part.row().succeeded, part.job().succeeded, part.job().attempts) == (COUNT,) * 3


def test_an_answer_that_cannot_be_stored_fails_alone(part, monkeypatch):
    from simple_batch.store import results

    written = results._result_row

    def row(record, result, cost):
        if record.index == 1 and result.response is not None:
            raise ValueError("not for this database")
        return written(record, result, cost)

    def rows(group, costs):
        assert 1 in [index for index, *_ in group.answers]
        raise ValueError("one of them is not for this database")

    monkeypatch.setattr(results, "_result_row", row)
    monkeypatch.setattr(AnswerGroup, "rows", rows)
    part.merge(b"".join(map(line, range(COUNT))))
    assert part.results()[1].cause == "internal" and part.job().succeeded == COUNT - 1
    assert (part.row().succeeded, part.row().failed) == (COUNT - 1, 1)


def test_a_database_that_cannot_be_written_is_waited_for(part, monkeypatch):
    import sqlite3

    from simple_batch.runner import recorder

    wrote, failures = recorder.write, []

    def write(*args):
        if len(failures) < 2:
            failures.append(1)
            raise sqlite3.OperationalError("database or disk is full")
        wrote(*args)

    monkeypatch.setattr(recorder, "write", write)
    monkeypatch.setattr(recorder, "RETRY_AFTER_S", 0.01)
    part.merge(b"".join(map(line, range(COUNT))))
    assert len(failures) == 2 and part.job().succeeded == COUNT


def test_edits_of_a_request_are_what_was_sent(part):
    with connected():
        Override.create(job=part.job_id, idx=0, body=b'{"model": "m", "messages": [], "top_k": 1}')
    part.merge(refused(0, 400, "Unrecognized request argument supplied: top_k"))
    assert [stop.reason for stop in part.stops] == ["rejected_parameter"]
