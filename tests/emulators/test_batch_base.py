"""What the emulators of batch APIs share: counters, progress, faults."""

import json

import pytest
import requests

from . import batch_base as base
from .batch_base import Answer, BatchProvider

HEAD = {"X-Key": BatchProvider.key}


class PlainBatches(BatchProvider):
    """The smallest API: lines {"id", "words"} in, {"id", "status"} out."""

    routes = [
        ("POST", "/batches", "post_batch"),
        ("GET", "/batches", "get_batches"),
        ("GET", "/batches/([^/]+)", "get_batch"),
        ("POST", "/batches/([^/]+)/cancel", "post_cancel"),
        ("GET", "/files/([^/]+)", "get_file"),
        ("DELETE", "/files/([^/]+)", "remove_file"),
    ]

    def authorize(self, request):
        if request.headers.get("x-key") != self.key:
            raise base.Refused(401, self.error(401, "wrong key"))

    def error(self, status, message):
        return {"error": message, "status": status}

    def post_batch(self, request):
        return Answer(self._seen(self.create(self.store(request.chunks(), "in", "batch"), {})))

    def get_batches(self, request):
        return Answer([self._seen(batch) for batch in self.recent()])

    def get_batch(self, request, batch_id):
        return Answer(self._seen(self.poll(self.batch(batch_id))))

    def post_cancel(self, request, batch_id):
        return Answer(self._seen(self.cancel(self.batch(batch_id))))

    def get_file(self, request, file_id):
        return self.download(self.file(file_id))

    def remove_file(self, request, file_id):
        self.delete_file(file_id)
        return Answer({})

    def _seen(self, batch):
        return {"id": batch.id, "phase": batch.phase, "file": batch.results and batch.results.id}

    def answered(self, batch, line):
        asked = json.loads(line)
        fault = self.fault_of(asked["words"])
        made = {"id": asked["id"], "status": fault.status if fault else 200}
        return asked["words"], fault, json.dumps(made).encode() + b"\n"

    def foreign(self, batch):
        return b'{"id": "foreign", "status": 200}\n'


@pytest.fixture
def provider():
    with PlainBatches() as provider:
        yield provider


def lines(count=4, words="words {}"):
    asked = ({"id": f"r{n}", "words": words.format(n)} for n in range(count))
    return "".join(json.dumps(line) + "\n" for line in asked).encode()


def call(provider, method, path, data=None, **head):
    return requests.request(
        method, provider.url + path, data=data, headers={**HEAD, **head}, timeout=10
    )


def made(provider, data=None):
    return call(provider, "POST", "/batches", data or lines()).json()["id"]


def ended(provider, batch_id):
    for _ in range(3):
        seen = call(provider, "GET", f"/batches/{batch_id}").json()
    return seen


def results(provider, seen):
    found = call(provider, "GET", f"/files/{seen['file']}").content
    return [json.loads(line) for line in found.splitlines()]


def test_a_batch_ends_after_some_polls_and_each_line_is_billed_once(provider):
    batch_id = made(provider)
    phases = [call(provider, "GET", f"/batches/{batch_id}").json()["phase"] for _ in range(3)]
    assert phases == ["running", "completed", "completed"]
    seen = ended(provider, batch_id)
    assert [line["id"] for line in results(provider, seen)] == ["r0", "r1", "r2", "r3"]
    assert (provider.billed.total(), provider.billed_twice()) == (4, [])
    ended(provider, made(provider))  # the same lines
    assert (len(provider.billed_twice()), provider.created_twice()) == (4, 1)


def test_a_batch_waits_until_it_is_told_or_expires(provider):
    provider.polls_to_finish = None
    first, second = made(provider), made(provider, lines(4, "others {}"))
    assert ended(provider, first)["phase"] == "running"
    provider.finish(first)
    assert ended(provider, first)["phase"] == "completed"
    provider.clock.advance(provider.expires_after_s)
    assert ended(provider, second)["phase"] == "expired"
    assert (provider.batches[second].succeeded, provider.batches[second].expired) == (2, 2)
    assert provider.billed.total() == 6


def test_a_cancelled_batch_keeps_what_it_did(provider):
    batch_id = made(provider)
    call(provider, "POST", f"/batches/{batch_id}/cancel")
    seen = ended(provider, batch_id)
    assert (seen["phase"], len(results(provider, seen))) == ("cancelled", 2)


def test_lines_fail_by_their_words(provider):
    data = lines(1, "fail once") + lines(1, "fail always") + lines(1, "bad line")
    first, second = (ended(provider, made(provider, data)) for _ in range(2))
    assert [line["status"] for line in results(provider, first)] == [500, 500, 400]
    assert [line["status"] for line in results(provider, second)] == [200, 500, 400]
    assert provider.billed.total() == 1


@pytest.mark.parametrize(
    ("fault", "statuses", "batches"),
    [
        (base.CREATE_500, [500, 200], 1),
        (base.CREATE_429, [429, 200], 1),
        (base.UPLOAD_500, [500, 200], 1),
        (base.UPLOAD_CUT, [0, 200], 1),
        (base.UPLOAD_LOST, [0, 200], 1),
        (base.CREATE_500_MADE, [500, 200], 2),
        (base.CREATE_LOST, [0, 200], 2),
        (base.KEY_REVOKED, [401, 200], 1),
    ],
)
def test_faults_of_creation(provider, fault, statuses, batches):
    provider.faults.arm(fault)
    found = []
    for _ in statuses:
        try:
            found.append(call(provider, "POST", "/batches", lines()).status_code)
        except requests.ConnectionError:
            found.append(0)
    assert (found, len(provider.batches)) == (statuses, batches)
    assert provider.created_twice() == batches - 1


@pytest.mark.parametrize(
    ("fault", "ids"),
    [
        (base.MISSING_LINE, ["r1", "r2", "r3"]),
        (base.LINE_TWICE, ["r0", "r0", "r1", "r2", "r3"]),
        (base.FOREIGN_LINE, ["r0", "foreign", "r1", "r2", "r3"]),
    ],
)
def test_faults_of_lines(provider, fault, ids):
    provider.faults.arm(fault)
    found = results(provider, ended(provider, made(provider)))
    assert [line["id"] for line in found] == ids
    assert provider.billed.total() == 4


def test_faults_of_the_result_file(provider):
    path = f"/files/{ended(provider, made(provider))['file']}"
    whole = call(provider, "GET", path).content
    provider.faults.arm(base.RESULT_GONE)
    assert call(provider, "GET", path).status_code == 404
    provider.faults.arm(base.RESULT_ENDS_EARLY)
    early = call(provider, "GET", path).content
    assert whole.startswith(early)
    assert not early.endswith(b"}\n")
    provider.faults.arm(base.RESULT_CUT)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        call(provider, "GET", path)
    assert call(provider, "DELETE", path).status_code == 200
    assert call(provider, "GET", path).status_code == 404


def test_another_process_tells_it_by_http(provider):
    for what, said in (
        ("arm", {"name": base.CREATE_500, "times": 2}),
        ("set", {"polls_to_finish": None}),
        ("advance", {"seconds": 60}),
    ):
        requests.post(f"{provider.url}/_emulator/{what}", json=said, timeout=10)
    assert [call(provider, "POST", "/batches", lines()).status_code for _ in range(3)] == [
        500,
        500,
        200,
    ]
    assert provider.clock.ahead_s == 60
    counts = requests.post(f"{provider.url}/_emulator/finish", json={}, timeout=10).json()
    assert (counts["batches"], counts["open"], counts["happened"]) == (1, 1, {base.CREATE_500: 2})


def test_many_lines_are_answered_fast(provider):
    data = lines(5_000)
    assert len(results(provider, ended(provider, made(provider, data)))) == 5_000
