"""Schedules and notifications of jobs: deadlines, hours, priority, webhook, e-mail."""

import email
import email.policy
from decimal import Decimal

import gevent
import pytest
from gevent.server import StreamServer

from simple_batch.core import clock, time_windows
from simple_batch.core.errors import InvalidInput
from simple_batch.runner import notifier
from simple_batch.services import jobs, webhooks
from simple_batch.store import jobs as job_rows
from simple_batch.store.database import connected
from simple_batch.store.models import Delivery, Job

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint


@pytest.fixture
def endpoint(add_config):
    with MisbehavingEndpoint(e.slow(0.03)) as served:
        add_config(served.base_url, concurrency=4)
        yield served


def test_what_is_left_at_the_deadline_expires(start, endpoint, make_job, wait_for):
    job_id = make_job(2_000, deadline_at=clock.now_ms() + 3_600_000)
    wait_until(lambda: endpoint.calls > 8)
    with connected():
        wait_until(lambda: jobs.get(job_id).succeeded)
        Job.update(deadline_at=clock.now_ms()).where(Job.id == job_id).execute()
    job = wait_for(job_id, "expired")
    assert 0 < job.succeeded < 2_000
    assert job.succeeded + job.cancelled == 2_000
    with connected():
        assert jobs.allowed_actions(jobs.get(job_id)) >= {"retry", "reset"}


def test_a_job_done_in_time_is_completed(start, endpoint, make_job, wait_for):
    job_id = make_job(3, deadline_at=clock.now_ms() + 60_000)
    assert wait_for(job_id, "completed").succeeded == 3


def test_outside_its_hours_a_job_waits_and_goes_on_in_them(
    start,
    endpoint,
    make_job,
    wait_for,
    monkeypatch,
):
    now = clock.now_ms()
    allowed = {"open": False}
    monkeypatch.setattr(time_windows.Hours, "open_at", lambda self, ms: allowed["open"])
    monkeypatch.setattr(time_windows.Hours, "opens_after", lambda self, ms: now + 3_600_000)
    job_id = make_job(100, hours="22:00-06:00", zone="Asia/Shanghai")
    job = wait_for(job_id, "scheduled")
    assert (job.status_reason, job.start_at, endpoint.calls) == ("off_hours", now + 3_600_000, 0)
    allowed["open"] = True
    with connected():
        Job.update(start_at=clock.now_ms()).where(Job.id == job_id).execute()
    wait_until(lambda: endpoint.calls > 8)
    endpoint.script[:] = [e.slow(0.3)]  # slow enough to be stopped before its end
    allowed["open"] = False
    job = wait_for(job_id, "scheduled")
    endpoint.script[:] = [e.ok()]
    assert 0 < job.succeeded < 100
    with connected():
        jobs.resume(job_id)  # start now, at any time of day
    assert wait_for(job_id, "completed").succeeded == 100
    with connected():
        assert jobs.get(job_id).hours == ""


def test_who_resumes_a_job_is_not_overruled_by_hours_that_were_read_before(app, endpoint, make_job):
    job_id, later = make_job(3, hours="22:00-06:00", zone="UTC"), clock.now_ms() + 3_600_000
    with connected():
        (read,) = job_rows.with_hours()
        job_rows.put_off(read, later)
        assert (jobs.get(job_id).status, jobs.get(job_id).start_at) == ("scheduled", later)
        jobs.resume(job_id)
        job_rows.put_off(read, later)
        assert jobs.get(job_id).status == "queued"


def test_a_higher_priority_overtakes(start, endpoint, make_job, wait_for):
    first = make_job(2_000)
    wait_until(lambda: endpoint.calls > 10)
    urgent = make_job(40, priority=1)
    wait_for(urgent, "completed")
    with connected():
        assert jobs.get(first).succeeded < 1_000


@pytest.mark.parametrize(
    ("choices", "field"),
    [
        ({"deadline_at": 1_000}, "deadline_at"),
        ({"priority": 7}, "priority"),
        ({"hours": "always"}, "hours"),
        ({"hours": "22:00-06:00", "zone": "Nowhere"}, "zone"),
        ({"email": "not an address"}, "email"),
        ({"email": "me@example.com"}, "email"),  # no mail server is set
    ],
)
def test_what_cannot_be_chosen(app, endpoint, make_job, choices, field):
    with pytest.raises(InvalidInput) as refused:
        make_job(1, **choices)
    assert refused.value.field == field


class MailServer:
    """A minimal SMTP server; ``recipients`` maps an address to the answer it gets."""

    def __init__(self, refused: str = ""):
        self.refused = refused
        self.mails: list[email.message.EmailMessage] = []
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.port = self._server.server_port

    def _serve(self, connection, _address):
        with connection.makefile("rwb", buffering=0) as stream:
            stream.write(b"220 test\r\n")
            while line := stream.readline():
                word = line[:4].upper()
                if word == b"DATA":
                    stream.write(b"354 go on\r\n")
                    lines = []
                    while (text := stream.readline()) != b".\r\n":
                        lines.append(text)
                    data = b"".join(lines)
                    self.mails.append(email.message_from_bytes(data, policy=email.policy.default))
                    stream.write(b"250 kept\r\n")
                elif word == b"RCPT" and self.refused and self.refused.encode() in line:
                    stream.write(b"550 no such user\r\n")
                elif word == b"QUIT":
                    stream.write(b"221 bye\r\n")
                    return
                else:
                    stream.write(b"250 ok\r\n")

    def close(self):
        self._server.stop(timeout=0.1)


class TestMail:
    @pytest.fixture
    def mail(self):
        server = MailServer(refused="nobody@example.com")
        yield server
        server.close()

    @pytest.fixture
    def overrides(self, overrides, mail):
        return {
            **overrides,
            "SMTP_HOST": "127.0.0.1",
            "SMTP_PORT": mail.port,
            "SMTP_SECURITY": "none",
            "PUBLIC_URL": "https://batch.example.com/",
            "LANGUAGE": "zh",
        }

    def test_the_mail_is_in_the_language_of_the_setting(
        self,
        start,
        mail,
        endpoint,
        make_job,
        wait_for,
    ):
        job_id = make_job(3, email="me@example.com", name="夜间\u202f任务")
        wait_for(job_id, "completed")
        sent = wait_until(lambda: mail.mails)[0]
        assert sent["To"] == "me@example.com"
        assert "已完成" in sent["Subject"]
        assert f"https://batch.example.com/jobs/{job_id}" in sent.get_content()
        wait_until(lambda: self.delivery().delivered_at)

    def test_the_mail_counts_what_is_cut_off_refused_or_empty(
        self, start, mail, add_config, make_job, wait_for
    ):
        answers = [
            e.says("It begins", finish_reason="length"),
            e.says("", finish_reason="stop"),
            e.says("fine", finish_reason="stop"),
            e.error(400, "bad"),
        ]
        with MisbehavingEndpoint(*answers) as endpoint:
            add_config(endpoint.base_url, concurrency=1)
            wait_for(make_job(4, email="me@example.com"), "completed")
            sent = wait_until(lambda: mail.mails)[0]
        assert "已完成，1 个失败" in sent["Subject"]
        assert "回答：1 个正常、1 个被截断、1 个空回答" in sent.get_content()

    def test_the_mail_says_what_the_job_cost_and_saved(
        self, start, mail, add_config, make_job, wait_for
    ):
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        usage["prompt_tokens_details"] = {"cached_tokens": 80}
        with MisbehavingEndpoint(e.http(200, {**e.GOOD, "usage": usage})) as endpoint:
            prices = {"input_price": 1_000_000, "cached_input_price": 100_000}
            prices["output_price"] = 1_000_000
            named = {name: Decimal(price) for name, price in prices.items()}
            add_config(endpoint.base_url, currency="CNY", **named)
            wait_for(make_job(2, email="me@example.com"), "completed")
            sent = wait_until(lambda: mail.mails)[0].get_content()
        assert "费用：76.00 CNY" in sent.splitlines()
        assert "提示词缓存节省：144.00 CNY，调用 2 次" in sent.splitlines()

    def test_who_is_refused_for_good_is_not_tried_again(
        self,
        start,
        mail,
        endpoint,
        make_job,
        wait_for,
    ):
        wait_for(make_job(1, email="nobody@example.com"), "completed")
        tried = wait_until(lambda: self.delivery().attempts and self.delivery())
        assert (tried.http_status, tried.next_at, tried.delivered_at) == (550, None, None)
        assert "no such user" in tried.message
        assert mail.mails == []

    @staticmethod
    def delivery() -> Delivery:
        with connected():
            return Delivery.select().first() or Delivery(attempts=0)


def test_a_webhook_named_by_the_job_hears_of_that_job_alone(
    start,
    endpoint,
    make_job,
    wait_for,
):
    def notified_jobs() -> list[int]:
        with connected():
            return [delivery.job_id for delivery in Delivery.select()]

    with connected():
        hook, _secret = webhooks.create("http://127.0.0.1:1/h", chosen_only=True)
    wait_for(make_job(1), "completed")
    named = make_job(1, webhook=hook.id)
    wait_for(named, "completed")
    wait_until(notified_jobs)
    gevent.sleep(2 * notifier.LOOK_S)
    assert notified_jobs() == [named]
