"""What goes wrong at a provider of OpenAI's form, one fault after the other, over a real socket."""

import errno
from pathlib import Path

import pytest

from simple_batch.core.domain import Cause, Defaults, Endpoint, Verdict
from simple_batch.engine.batch_api import batch_calls
from simple_batch.engine.batch_api.batch_client import (
    BatchCallFailed,
    RemoteState,
    ResultsCutOff,
)
from simple_batch.engine.batch_api.openai_lines import NOT_RUN
from simple_batch.engine.batch_api.opening import open_client
from simple_batch.engine.transport import TransportFailure

from ... import endpoint as e
from ...emulators import batch_base as base
from ...emulators import openai_batches as faults
from ...emulators.openai_batches import KEY, OpenAIBatches
from ...endpoint import MisbehavingEndpoint
from .openai_client import HASTY, SETTINGS, client_of, created, ended, part_of, results


@pytest.fixture
def emulator():
    with OpenAIBatches() as running:
        yield running


@pytest.fixture
def client(emulator):
    made = client_of(emulator)
    yield made
    made.close()


# --- uploads and creation: was it done? ----------------------------------------------------------------


def test_an_upload_that_is_cut_off_left_nothing(client, emulator, tmp_path):
    part = part_of(client, tmp_path, ["one " * 200_000])
    emulator.faults.arm(base.UPLOAD_CUT)
    with pytest.raises(TransportFailure):
        client.upload(part)
    assert client.find_upload(part) is None
    assert client.find_upload(part) is None and client.upload(part) in emulator.files


def test_half_an_upload_is_removed_and_not_used(client, emulator, tmp_path):
    part = part_of(client, tmp_path, ["one " * 200_000])
    emulator.faults.arm(faults.UPLOAD_HALF)
    with pytest.raises(TransportFailure):
        client.upload(part)
    assert len(emulator.files) == 1
    assert client.find_upload(part) is None
    assert not emulator.files


def test_an_upload_whose_answer_is_lost_is_found(client, emulator, tmp_path):
    part = part_of(client, tmp_path, ["one"])
    emulator.faults.arm(base.UPLOAD_LOST)
    with pytest.raises(TransportFailure):
        client.upload(part)
    assert client.find_upload(part) in emulator.files


@pytest.mark.parametrize("fault", [base.CREATE_500_MADE, base.CREATE_LOST, base.CREATE_HANGS])
def test_a_batch_that_exists_in_spite_of_its_answer_is_found(client, emulator, tmp_path, fault):
    part = part_of(client, tmp_path, ["one"])
    file_id = client.upload(part)
    emulator.faults.arm(fault)
    emulator.faults.arm(faults.LIST_LATE)
    hasty = client_of(emulator, settings=HASTY)
    with pytest.raises((TransportFailure, BatchCallFailed)) as failed:
        (hasty if fault == base.CREATE_HANGS else client).create(part, file_id)
    hasty.close()
    if fault == base.CREATE_500_MADE:
        assert failed.value.finding.verdict is Verdict.RETRY
    assert client.find(part, file_id) == []  # the list shows it only after a while
    found = client.find(part, file_id)
    assert [batch.id for batch in found] == list(emulator.batches)
    assert found[0].marker == part.marker
    assert len(emulator.batches) == 1


def test_a_batch_that_was_not_created_is_not_found(client, emulator, tmp_path):
    part = part_of(client, tmp_path, ["one"])
    file_id = client.upload(part)
    emulator.faults.arm(base.CREATE_500)
    with pytest.raises(BatchCallFailed) as failed:
        client.create(part, file_id)
    assert failed.value.finding.cause is Cause.SERVER_ERROR
    assert client.find(part, file_id) == []


# --- refusals --------------------------------------------------------------------------------------------


def test_too_many_open_batches_are_a_limit_that_passes(client, emulator, tmp_path):
    part = part_of(client, tmp_path, ["one"])
    file_id = client.upload(part)
    emulator.faults.arm(faults.CREATE_FULL)
    with pytest.raises(BatchCallFailed) as failed:
        client.create(part, file_id)
    assert failed.value.enqueued and not failed.value.gone
    assert failed.value.finding.retry_after_s == 1
    assert "at most 10 open batches" in str(failed.value)
    assert not emulator.batches


def test_a_file_that_is_too_large_is_refused_while_it_is_sent(client, emulator, tmp_path):
    emulator.max_bytes = 1_000_000
    with pytest.raises(BatchCallFailed) as failed:
        client.upload(part_of(client, tmp_path, ["word " * 100_000] * 20))
    assert failed.value.finding.cause is Cause.TOO_LARGE
    assert not emulator.files


def test_a_limit_of_enqueued_tokens_is_told_apart(client, emulator, tmp_path):
    emulator.faults.arm(base.ENQUEUED_LIMIT)
    batch = ended(client, created(client, tmp_path, ["one"]))
    assert (batch.state, batch.total, batch.results) == (RemoteState.FAILED, None, ())
    (error,) = batch.errors
    assert error.enqueued and error.line is None and error.code == "token_limit_exceeded"


def test_a_refusal_of_lines_names_them(client, emulator, tmp_path):
    emulator.faults.arm(base.FAIL_LINE)
    batch = ended(client, created(client, tmp_path, ["one", "two"]))
    assert batch.state is RemoteState.FAILED
    assert [(error.line, error.enqueued) for error in batch.errors] == [(2, False)]


def test_a_poll_that_is_refused_says_how_long_to_wait_and_what_it_is(client, emulator, tmp_path):
    batch = created(client, tmp_path, ["one"])
    emulator.faults.arm(base.POLL_429)
    with pytest.raises(BatchCallFailed) as failed:
        client.retrieve(batch.id)
    assert failed.value.finding.verdict is Verdict.WAIT and not failed.value.enqueued
    emulator.faults.arm(base.POLL_500, 1_000)
    for _ in range(5):
        with pytest.raises(BatchCallFailed):
            client.retrieve(batch.id)
    emulator.faults.clear()
    assert ended(client, batch).state is RemoteState.COMPLETED


def test_a_key_that_was_revoked_stops(client, emulator, tmp_path):
    batch = created(client, tmp_path, ["one"])
    emulator.faults.arm(base.KEY_REVOKED, base.ALWAYS)
    for call in (
        lambda: client.retrieve(batch.id),
        lambda: client.cancel(batch.id),
        lambda: client.delete(batch),
        lambda: client.find(part_of(client, tmp_path, ["one"]), None),
    ):
        with pytest.raises(BatchCallFailed) as failed:
            call()
        assert failed.value.finding.cause is Cause.AUTH
        assert KEY not in str(failed.value)


@pytest.mark.parametrize("answer", [e.http(200, b""), e.http(200, {}), e.half_headers, e.truncated])
def test_a_list_that_is_none_is_not_taken_for_an_empty_one(answer, tmp_path):
    with MisbehavingEndpoint(answer) as endpoint:
        fields = {"provider": "openai"}
        client = open_client(
            Endpoint(1, "a", endpoint.base_url, "", Defaults("m"), **fields), SETTINGS
        )
        part = part_of(client, tmp_path, ["one"])
        for find in (lambda: client.find(part, None), lambda: client.find_upload(part)):
            with pytest.raises(TransportFailure):
                find()


def test_a_file_that_cannot_be_asked_about_is_uploaded_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(MisbehavingEndpoint, "_next", _next_of_any_body)
    pending = e.http(200, {"id": "file-1", "status": "pending"})
    with MisbehavingEndpoint(pending, e.error(404, "Invalid URL")) as endpoint:
        fields = {"provider": "azure"}
        client = open_client(
            Endpoint(1, "a", endpoint.base_url, "", Defaults("m"), **fields), SETTINGS
        )
        assert client.upload(part_of(client, tmp_path, ["one"])) == "file-1"
        assert endpoint.calls == 2


def _next_of_any_body(endpoint, head, body):
    endpoint.calls += 1
    return endpoint.script.pop(0) if len(endpoint.script) > 1 else endpoint.script[0]


@pytest.mark.parametrize("answer", [e.http(200, b""), e.http(200, {"object": "batch"})])
def test_a_batch_without_an_id_may_exist(answer, tmp_path):
    with MisbehavingEndpoint(answer) as endpoint:
        fields = {"provider": "openai"}
        client = open_client(
            Endpoint(1, "a", endpoint.base_url, "", Defaults("m"), **fields), SETTINGS
        )
        with pytest.raises(TransportFailure, match="batch API"):
            client.create(part_of(client, tmp_path, ["one"]), "file-1")


def test_a_batch_that_does_not_exist_is_gone(client):
    with pytest.raises(BatchCallFailed) as failed:
        client.retrieve("batch_never")
    assert failed.value.gone


# --- statuses and counts ---------------------------------------------------------------------------------


def test_an_unknown_status_is_shown_and_has_not_ended(client, emulator, tmp_path):
    emulator.polls_to_finish = 3
    emulator.faults.arm(base.UNKNOWN_STATUS)
    batch = client.retrieve(created(client, tmp_path, ["one"]).id)
    assert (batch.state, batch.status) == (RemoteState.UNKNOWN, "reticulating")
    assert not batch.state.ended
    assert ended(client, batch).state is RemoteState.COMPLETED


def test_counts_and_ids_that_are_missing_or_empty(client, emulator, tmp_path):
    emulator.faults.arm(faults.NO_COUNTS, base.ALWAYS)
    emulator.faults.arm(faults.EMPTY_ERROR_ID, base.ALWAYS)
    batch = ended(client, created(client, tmp_path, ["one"]))
    assert (batch.total, batch.succeeded, batch.failed) == (None, None, None)
    assert len(batch.results) == 1
    assert [result.line_id for result in results(client, batch, tmp_path)] == ["r0"]


def test_a_cancelled_batch_keeps_what_it_finished(client, emulator, tmp_path):
    emulator.polls_to_finish = None
    batch = created(client, tmp_path, ["one", "two", "three", "four"])
    client.retrieve(batch.id)
    client.cancel(batch.id)
    client.cancel(batch.id)  # asked for twice
    batch = ended(client, batch)
    assert batch.state is RemoteState.CANCELLED
    found = {result.line_id: result for result in results(client, batch, tmp_path)}
    assert [name for name, result in found.items() if result.reply] == ["r0", "r1"]
    assert found["r3"].code == "batch_cancelled"
    client.cancel(batch.id)  # it has ended: no error


def test_a_batch_expires_half_done(client, emulator, tmp_path):
    emulator.polls_to_finish = None
    batch = created(client, tmp_path, ["one", "two", "three", "four"])
    emulator.clock.advance(90_000)
    batch = ended(client, batch)
    assert batch.state is RemoteState.EXPIRED
    found = {result.line_id: result for result in results(client, batch, tmp_path)}
    assert found["r1"].reply.status == 200
    assert (found["r2"].reply, found["r2"].code) == (None, "batch_expired")
    assert "expired" in found["r2"].message


# --- results -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [base.RESULT_GONE, faults.RESULT_410])
def test_results_that_are_gone(client, emulator, tmp_path, fault):
    batch = ended(client, created(client, tmp_path, ["one"]))
    emulator.faults.arm(fault)
    with pytest.raises(BatchCallFailed) as failed:
        client.download(batch, tmp_path)
    assert failed.value.gone
    assert list(tmp_path.glob("results-*")) == []


@pytest.mark.parametrize("fault", [base.RESULT_CUT, base.RESULT_ENDS_EARLY])
def test_results_that_are_cut_off_are_read_again(client, emulator, tmp_path, fault):
    batch = ended(client, created(client, tmp_path, ["one", "two"]))
    emulator.faults.arm(fault)
    with pytest.raises(ResultsCutOff):
        client.download(batch, tmp_path)
    assert list(tmp_path.glob("results-*.jsonl")) == []
    assert len(results(client, batch, tmp_path)) == 2


def test_lines_of_every_kind_are_passed_on_as_they_are(client, emulator, tmp_path):
    for fault in (
        base.MISSING_LINE,
        base.LINE_TWICE,
        base.FOREIGN_LINE,
        base.BROKEN_LINE,
        faults.STATUS_ZERO,
    ):
        emulator.faults.arm(fault)
    batch = ended(client, created(client, tmp_path, ["a", "b", "c", "d", "e", "f"]))
    found = results(client, batch, tmp_path)
    ids = sorted(result.line_id for result in found)
    assert ids == ["", "foreign", "r1", "r2", "r2", "r3", "r5"]
    zero = next(result for result in found if result.line_id == "r1")
    assert (zero.reply, zero.code) == (None, NOT_RUN)
    broken = next(result for result in found if result.line_id == "")
    assert broken.reply is None and "not valid" in broken.message


def test_a_line_that_is_too_long_is_no_result_and_not_held(client, tmp_path):
    path = tmp_path / "results.jsonl"
    good = b'{"custom_id":"r%d","response":{"status_code":200,"body":{}}}\n'
    path.write_bytes(good % 1 + b"x" * (SETTINGS.MAX_ANSWER_BYTES * 3) + b"\n\n" + good % 2)
    found = list(client.read(path))
    assert [result.line_id for result in found] == ["r1", "", "r2"]
    assert "longer" in found[1].message


def test_a_download_elsewhere_is_followed_without_the_key(client, emulator, tmp_path):
    batch = ended(client, created(client, tmp_path, ["one"]))
    emulator.faults.arm(faults.REDIRECTED)
    assert len(results(client, batch, tmp_path)) == 1
    (head,) = emulator.storage_heads
    assert not {"authorization", "api-key"} & head.keys()
    assert KEY not in str(head)


def test_a_disk_that_is_full_is_no_fault_of_the_connection(client, emulator, tmp_path, monkeypatch):
    batch = ended(client, created(client, tmp_path, ["one"]))
    written = batch_calls._written

    def full(file, data):
        raise batch_calls._NotWritten(OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(batch_calls, "_written", full)
    with pytest.raises(OSError, match="No space left") as failed:
        client.download(batch, tmp_path)
    assert failed.value.errno == errno.ENOSPC
    monkeypatch.setattr(batch_calls, "_written", written)
    assert len(client.download(batch, tmp_path)) == 1


def test_a_file_is_sent_and_read_in_constant_memory(client, emulator, tmp_path):
    import tracemalloc

    part = part_of(client, tmp_path, ["word " * 100_000] * 40)  # 20 MB
    assert Path(part.path).stat().st_size > 20_000_000
    tracemalloc.start()
    try:
        file_id = client.upload(part)
        batch = ended(client, client.create(part, file_id))
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        client.download(batch, tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 4_000_000
