"""The memory limit for the answers of all calls together, over a real socket."""

import gc
import gzip
import json

import gevent
import pytest

from simple_batch.core import settings
from simple_batch.core.domain import Cause, Defaults, Endpoint
from simple_batch.core.errors import SettingsError
from simple_batch.engine.answer_memory import SMALL, Answers
from simple_batch.engine.transport import Transport, TransportFailure
from tests import endpoint as e
from tests.endpoint import MisbehavingEndpoint

from .conftest import request

MIB = 1 << 20
LARGE = 4 * MIB
MOST = 8 * MIB


def answer(size: int, *headers: str, pack=lambda body: body) -> bytes:
    choices = [{"index": 0, "message": {"role": "assistant", "content": "x" * size}}]
    return e.http(200, pack(json.dumps({**e.GOOD, "choices": choices}).encode()), *headers)


def in_pieces(whole: bytes, pieces: int, pause_s: float):
    def behave(connection):
        step = -(-len(whole) // pieces)
        for begin in range(0, len(whole), step):
            connection.sendall(whole[begin : begin + step])
            gevent.sleep(pause_s)

    return behave


def chunked(size: int):
    def behave(connection):
        connection.sendall(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
        body = answer(size).partition(b"\r\n\r\n")[2]
        for begin in range(0, len(body), 100_000):
            piece = body[begin : begin + 100_000]
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")

    return behave


@pytest.fixture
def caller():
    """``caller(endpoint, answers)`` makes a transport; they are closed at the end."""
    found = settings.load(environ={}, INSTANCE_PATH="/nonexistent", MAX_ANSWER_BYTES=LARGE + MIB)
    made = []

    def make(endpoint, answers):
        target = Endpoint(1, "a", endpoint.base_url, "", Defaults("m"))
        made.append(Transport(target, found, 50, answers))
        return made[-1]

    yield make
    for transport in made:
        transport.close()


def call(transport, timeout_s: float = 60.0):
    return transport.post("/v1/chat/completions", b"{}", timeout_s)


def within_the_bound(answers: Answers, calls: int, one: int = LARGE) -> bool:
    return answers.peak_used <= answers.limit + one + calls * SMALL


@pytest.mark.parametrize(
    "large",
    [
        pytest.param(answer(LARGE), id="length"),
        pytest.param(chunked(LARGE), id="chunked"),
        pytest.param(answer(LARGE, "Content-Encoding: gzip", pack=gzip.compress), id="gzip"),
    ],
)
def test_many_large_answers_come_one_after_the_other(caller, bench, large):
    with MisbehavingEndpoint(large) as endpoint:
        answers = Answers(MOST)
        one = bench(endpoint, ceiling=12, answers=answers)
        one.transport = one.pool._transport = caller(endpoint, answers)
        seen = []

        def keep(result):  # released as late as by the recorder
            gevent.sleep(0.01)
            seen.append((result.cause, len(result.response), result.attempts))

        assert one.pool.run((request(n) for n in range(12)), keep) is None
        assert [cause for cause, _size, _attempts in seen] == [None] * 12
        assert all(size > LARGE for _cause, size, _attempts in seen)
        assert within_the_bound(answers, 12, LARGE + 1000)
        assert answers.peak_used > MOST // 2  # the call was made
        gc.collect()
        assert (answers.used, answers.waiting) == (0, 0)


def test_small_answers_pass_large_ones_that_wait(caller):
    slowly = in_pieces(answer(LARGE), 200, 0.02)
    with MisbehavingEndpoint(slowly, slowly, slowly, e.ok()) as endpoint:
        answers = Answers(LARGE + MIB)
        transport = caller(endpoint, answers)
        large = []
        for count in (1, 2, 3):
            large.append(gevent.spawn(lambda: call(transport).status))  # the answer is dropped
            with gevent.Timeout(30):
                while endpoint.calls < count:
                    gevent.sleep(0.01)
        with gevent.Timeout(30):
            while not answers.waiting:
                gevent.sleep(0.01)
            small = [call(transport) for _ in range(20)]
        assert {reply.status for reply in small} == {200}
        assert not any(one.ready() for one in large)
        assert [one.get(timeout=60) for one in large] == [200] * 3


def test_waiting_for_room_is_no_time_of_the_provider(caller):
    with MisbehavingEndpoint(answer(LARGE)) as endpoint:
        answers = Answers(LARGE + MIB)
        transport = caller(endpoint, answers)
        kept = [call(transport), call(transport)]  # the second is too large
        late = gevent.spawn(call, transport, 1.0)
        with gevent.Timeout(30):
            while not answers.waiting:
                gevent.sleep(0.01)
        gevent.sleep(1.5)  # longer than the call's time limit
        assert not late.ready()
        kept.clear()
        reply = late.get(timeout=30)
        assert len(reply.body) > LARGE
        assert reply.paused_s > 1.0


def test_who_is_cut_off_while_waiting_holds_nothing(caller):
    with MisbehavingEndpoint(answer(LARGE)) as endpoint:
        answers = Answers(LARGE + MIB)
        transport = caller(endpoint, answers)
        kept = [call(transport), call(transport)]
        waiting = [gevent.spawn(lambda: call(transport).status) for _ in range(3)]
        with gevent.Timeout(30):
            while answers.waiting < 3:
                gevent.sleep(0.01)
        gevent.killall(waiting[:2])
        assert answers.waiting == 1
        kept.clear()
        assert waiting[2].get(timeout=30) == 200
        gc.collect()
        assert answers.used == 0


def test_what_fails_holds_nothing(caller):
    bomb = e.http(200, gzip.compress(b" " * (40 * MIB)), "Content-Encoding: gzip")
    too_long = e.http(200, b"{}", length=LARGE + 2 * MIB)
    for behaviour, cause in (
        (bomb, Cause.BAD_RESPONSE),
        (too_long, Cause.BAD_RESPONSE),
        (e.truncated, Cause.CONNECTION),
        (e.trickle, Cause.TIMEOUT),
    ):
        with MisbehavingEndpoint(behaviour) as endpoint:
            answers = Answers(MOST)
            with pytest.raises(TransportFailure) as failed:
                call(caller(endpoint, answers), 0.5 if behaviour is e.trickle else 30)
            assert failed.value.cause is cause
            assert answers.used == 0
            assert answers.peak_used <= LARGE + 2 * MIB  # the rest is not unpacked


def test_no_call_begins_while_there_is_no_room():
    answers = Answers(MOST)
    held = answers.begin()
    held.settle(MOST)
    waiting = gevent.spawn(answers.wait_for_room)
    gevent.sleep(0.05)
    assert not waiting.ready()
    held.close()
    waiting.get(timeout=10)


def test_the_bound_is_at_least_one_answer():
    with pytest.raises(SettingsError, match="at least MAX_ANSWER_BYTES"):
        settings.load(environ={}, MAX_ANSWERS_BYTES=MIB)
    found = settings.load(environ={}, MAX_ANSWER_BYTES=1 << 30)
    assert found.MAX_ANSWERS_BYTES == 1 << 30
