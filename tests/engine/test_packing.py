"""Several embedding inputs per call: each request gets the answer that it would have got alone."""

import json
from collections import Counter

import gevent
import msgspec
import pytest

from simple_batch.core.call_prices import Usage
from simple_batch.core.domain import (
    EMBEDDINGS,
    Attempt,
    Cause,
    Request,
    RequestResult,
    RequestStatus,
    Spread,
)
from simple_batch.engine import packing
from simple_batch.engine.governor import Governor
from simple_batch.engine.load_balancer import LoadBalancer
from simple_batch.engine.packed_request import PackedRequest, members, results
from simple_batch.engine.packing import RequestPacker

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import EmbeddingEndpoint, MisbehavingEndpoint
from .conftest import POLICY


def asked(index: int, given="", **fields) -> Request:
    body = {"model": "m", "input": given or f"text {index}", **fields}
    return Request(index, f"r{index}", json.dumps(body).encode(), EMBEDDINGS)


def run(bench, endpoint, requests, most=8, **options):
    """Send the requests; returns the result of each by index."""
    one = bench(endpoint, packer=RequestPacker(most), **options)
    one.stop = one.run(requests=iter(requests))
    one.by_index = {result.index: result for result in one.outcomes}
    assert len(one.by_index) == len(one.outcomes), "two outcomes for one request"
    return one


def gathered(*requests, most=8) -> list[list[int]]:
    packs = RequestPacker(most).packs(requests, lambda _request: None)
    return [[member.index for member in members(pack)] for pack in packs]


def test_what_goes_together_and_what_goes_alone(monkeypatch):
    same = [asked(n) for n in range(5)]
    assert gathered(*same, most=2) == [[0, 1], [2, 3], [4]]
    assert gathered(*same[:3], None, *same[3:]) == [[0, 1, 2], [3, 4]]
    order = Request(1, "r1", b'{"input": "x", "user": "u", "model": "m"}', EMBEDDINGS)
    assert gathered(asked(0, user="u"), order) == [[0, 1]]
    small = [asked(n, dimensions=256) for n in (1, 3)]
    base64 = asked(4, encoding_format="base64")
    assert gathered(same[0], small[0], same[2], small[1], base64) == [[0, 2], [1, 3], [4]]
    tokens = [asked(0, [1, 2]), asked(1), asked(2, [3]), asked(3, ["one"]), asked(4, [[9, 9]])]
    assert gathered(*tokens) == [[0, 2, 4], [1, 3]]
    alone = [asked(0, ["a", "b"]), asked(1, [""]), asked(2, {"a": 1}), asked(3, [1, "a"])]
    chat = Request(4, "r4", b'{"messages": []}')
    assert gathered(*alone, chat) == [[0], [1], [2], [3], [4]]
    monkeypatch.setattr(packing, "MAX_INPUT_BYTES", 30)
    assert gathered(asked(0, "x" * 20), asked(1, "y"), asked(2, "z" * 20), asked(3, "x" * 99)) == [
        [0, 1],
        [2],
        [3],
    ]
    monkeypatch.setattr(packing, "MAX_OPEN", 2)
    kinds = [asked(n, user=str(n % 3)) for n in range(6)]
    assert sorted(index for pack in gathered(*kinds) for index in pack) == list(range(6))


def test_each_request_has_its_own_answer(bench):
    """It gets its own vector in any order of the answer, a whole response, and its part of the
    usage."""
    texts = ["a" * (1 + 7 * n % 50) for n in range(20)]
    with EmbeddingEndpoint() as endpoint:
        one = run(bench, endpoint, [asked(n, text, user="u") for n, text in enumerate(texts)])
    assert sorted(len(inputs) for inputs in endpoint.inputs) == [4, 8, 8]
    assert {"model": "m", "user": "u", "input": texts[:8]} in endpoint.bodies
    for index, text in enumerate(texts):
        result = one.by_index[index]
        answer = json.loads(result.response)
        assert result.status is RequestStatus.SUCCEEDED
        assert answer == {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": [len(text), 0.25]}],
            "model": "e-1",
            "usage": dict.fromkeys(("prompt_tokens", "total_tokens"), result.usage.input),
        }
        assert (result.model, result.http_status) == ("e-1", 200)
        assert [attempt.number for attempt in result.attempts] == [1]
        assert abs(result.usage.input - len(text)) <= 3
    used = sum((result.usage for result in one.outcomes), Usage())
    assert used == Usage(sum(map(len, texts)) + 3 * 3)
    assert one.governor.state().rpm_used == 3
    assert one.governor.state().tpm_used == used.total
    assert not one.pool.in_flight
    assert not one.pool.calls


@pytest.mark.parametrize("bad", [{3}, {0, 15}, set(range(16))])
def test_one_bad_input_fails_alone(bench, bad):
    def answers(inputs):
        if any(int(text.split()[1]) in bad for text in inputs):
            return e.error(400, "context length: the input is too long")
        return None

    with EmbeddingEndpoint(answers) as endpoint:
        one = run(bench, endpoint, [asked(n) for n in range(16)], most=16)
    assert {index for index, o in one.by_index.items() if o.status is RequestStatus.FAILED} == bad
    assert {one.by_index[index].cause for index in bad} == {Cause.CONTEXT_LENGTH}
    assert sorted(one.by_index) == list(range(16))
    assert {len(result.attempts) for result in one.outcomes} == {1}, (
        "a pack's refusal is charged to no request"
    )
    assert endpoint.calls <= min(31, 1 + 8 * len(bad))
    assert one.pool._packer.max_inputs == 16


@pytest.mark.parametrize("bears", [1, 5])
def test_an_endpoint_that_takes_fewer_is_sent_fewer(bench, bears):
    def answers(inputs):
        return e.error(400, f"batch size: at most {bears}") if len(inputs) > bears else None

    learned = []
    with EmbeddingEndpoint(answers) as endpoint:
        one = bench(endpoint, governor=Governor(concurrency=1))
        one.pool._packer = RequestPacker(16, lambda *found: learned.append(found))
        one.run(requests=iter([asked(n) for n in range(160)]))
        assert len(one.outcomes) == 160
        assert {result.status for result in one.outcomes} == {RequestStatus.SUCCEEDED}
        now = 4 if bears == 5 else 1
        assert learned[-1][1] == one.pool._packer.max_inputs == now
        assert Counter(map(len, endpoint.inputs[-10:])) == {now: 10}


def test_chance_refusals_do_not_make_packs_smaller(bench):
    refused = iter([False, True] * 40)

    def answers(inputs):
        return e.error(400) if len(inputs) == 8 and next(refused) else None

    with EmbeddingEndpoint(answers) as endpoint:
        one = run(bench, endpoint, [asked(n) for n in range(200)], governor=Governor(concurrency=1))
    assert {result.status for result in one.outcomes} == {RequestStatus.SUCCEEDED}
    assert one.pool._packer.max_inputs == 8


@pytest.mark.parametrize(
    "wrong",
    [
        lambda answer: answer["data"].pop(),
        lambda answer: answer["data"].append(answer["data"][0]),
        lambda answer: answer["data"][0].update(index=answer["data"][1]["index"]),
        lambda answer: answer["data"][0].pop("index"),
        lambda answer: answer["data"][0].update(index="0"),
        lambda answer: answer.update(data=[[0.5]] * len(answer["data"])),
    ],
)
def test_an_answer_that_has_not_each_vector_once_is_taken_apart(bench, wrong):
    """Its cost is not lost: it counts as an attempt of the packed requests."""

    def answers(inputs):
        answer = e.embeddings(inputs, tokens=100)
        if len(inputs) > 2:
            wrong(answer)
        return e.http(200, answer)

    with EmbeddingEndpoint(answers) as endpoint:
        one = run(bench, endpoint, [asked(n) for n in range(4)])
    assert [len(inputs) for inputs in endpoint.inputs] == [4, 2, 2]
    used = Usage()
    for result in one.outcomes:
        assert result.status is RequestStatus.SUCCEEDED
        assert [attempt.cause for attempt in result.attempts] == [Cause.BAD_RESPONSE, None]
        used += result.usage + result.attempts[0].usage
    assert used == Usage(300)


def test_what_is_worth_it_is_retried_as_one_and_then_halved(bench):
    """A bad input costs the others no more than its own retries; a temporary fault costs one."""
    fails = iter([True])

    def passing(_inputs):
        return e.error(503) if next(fails, False) else None

    with EmbeddingEndpoint(passing) as endpoint:
        one = run(bench, endpoint, [asked(n) for n in range(4)])
        assert [len(inputs) for inputs in endpoint.inputs] == [4, 4]
        for result in one.outcomes:
            assert [a.cause for a in result.attempts] == [Cause.OVERLOADED, None]

    def fail_one_text(inputs):
        return e.error(500) if "text 2" in inputs else None

    with EmbeddingEndpoint(fail_one_text) as endpoint:
        one = run(bench, endpoint, [asked(n) for n in range(4)])
        sizes = Counter(map(len, endpoint.inputs))
        assert sizes == {4: 1 + POLICY.max_retries, 2: 2, 1: 2}
        failed = [o.index for o in one.outcomes if o.status is RequestStatus.FAILED]
        assert failed == [2]

    with EmbeddingEndpoint(lambda _inputs: e.reset) as endpoint:
        one = run(bench, endpoint, [asked(n) for n in range(4)])
        assert endpoint.calls == 1 + POLICY.max_retries
        assert {result.cause for result in one.outcomes} == {Cause.CONNECTION}


def test_the_deadline_holds_for_a_pack_and_its_parts_together(bench):
    with EmbeddingEndpoint(lambda _inputs: e.error(400), delay=0.15) as endpoint:
        policy = msgspec.structs.replace(POLICY, deadline_s=0.25)
        one = run(bench, endpoint, [asked(n) for n in range(8)], policy=policy)
        assert endpoint.calls <= 4
        assert sorted(one.by_index) == list(range(8))
        assert {o.status for o in one.outcomes} == {RequestStatus.FAILED}


def test_what_hits_every_call_stops_all_and_leaves_all_pending(bench):
    with MisbehavingEndpoint(e.error(402, "no balance")) as endpoint:
        one = run(bench, endpoint, [asked(n) for n in range(20)])
        assert one.stop.reason == "quota"
        assert not one.outcomes
        assert set(one.loose) >= set(range(8))


def test_a_stop_in_the_middle_loses_nothing(bench):
    """Calls in flight end; requests that wait or were already packed stay pending."""
    with EmbeddingEndpoint(lambda _inputs: e.error(400), delay=0.5) as endpoint:
        one = bench(endpoint, packer=RequestPacker(4), governor=Governor(concurrency=2))
        dropped = one.dropped
        runner = gevent.spawn(one.run, requests=iter([asked(n) for n in range(18)]))
        wait_until(lambda: one.pool.calls == 2)
        assert sorted(one.pool.in_flight) == list(range(8))
        one.pool.stop()
        runner.join(20)
        assert runner.successful()
        assert endpoint.calls == 2
        assert not one.outcomes
        assert not one.pool.retrying
        assert set(dropped) >= set(range(12))


def test_parts_of_a_dealt_stream_are_sent_before_it_waits(bench):
    """A packer must not hold requests back that the load balancer waits for; by weight the packs
    are still full."""
    balancer = LoadBalancer(iter([asked(n) for n in range(90)]), Spread.WEIGHT)
    upstreams = [balancer.add(weight, lambda: False, 8) for weight in (1, 2)]
    packs = [[], []]

    def serve(place):
        drawn = balancer.draw(upstreams[place])
        for pack in RequestPacker(8).packs(
            drawn, lambda request: balancer.abandoned(request.index)
        ):
            packs[place].append(len(members(pack)))
            gevent.sleep(0.002)
            for member in members(pack):
                balancer.ended(upstreams[place], member.index, None)

    served = [gevent.spawn(serve, place) for place in (0, 1)]
    gevent.joinall(served, timeout=60, raise_error=True)
    assert all(one.successful() for one in served)
    counts = [sum(sizes) for sizes in packs]
    assert sum(counts) == 90
    assert 22 <= counts[0] <= 38
    assert sum(map(len, packs)) <= 20


def test_token_arrays_are_weighed_by_their_tokens():
    packer = RequestPacker(4)
    (pack,) = packer.packs([asked(0, [1] * 30), asked(1, [123456] * 10)], lambda _request: None)
    assert isinstance(pack, PackedRequest)
    assert json.loads(pack.body)["input"] == [[1] * 30, [123456] * 10]
    usage = {"prompt_tokens": 41, "total_tokens": 41, "details": {"cached": 8, "cost": 0.5}}
    answer = {**e.embeddings(["", ""]), "usage": usage}
    whole = RequestResult(
        index=0,
        status=RequestStatus.SUCCEEDED,
        attempts=(Attempt(1, 0, 5),),
        started_at=0,
        finished_at=5,
        latency_ms=5,
        response=json.dumps(answer).encode(),
        usage=Usage(41),
    )
    first, second = results(pack, whole)
    assert (first.usage, second.usage) == (Usage(30), Usage(11))
    shares = [json.loads(one.response)["usage"] for one in (first, second)]
    assert [share["details"] for share in shares] == [
        {"cached": 6, "cost": 0.375},
        {"cached": 2, "cost": 0.125},
    ]
