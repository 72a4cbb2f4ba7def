"""Where calls may go, by the address of the connection, on this machine only or on a network."""

import socket

import gevent.socket
import pytest

from simple_batch.core import address_policy, settings
from simple_batch.core.address_policy import AddressPolicy, AddressRefused
from simple_batch.core.domain import Cause, Defaults, Endpoint, Verdict
from simple_batch.core.errors import InvalidInput, SettingsError
from simple_batch.core.messages import Message
from simple_batch.engine.classify import classify_failure
from simple_batch.engine.transport import Transport, TransportFailure
from simple_batch.runner.notifier import Notifier
from simple_batch.services import configs, webhooks
from simple_batch.store.database import connected
from simple_batch.store.models import Delivery, Webhook

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint

PRIVATE = (
    "127.0.0.1",
    "127.9.9.9",
    "10.2.3.4",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "240.0.0.1",
    "::1",
    "fd00::1",
    "fec0::1",
    "::ffff:10.2.3.4",
    "64:ff9b::a02:304",
    "64:ff9b:1::a02:304",
    "2002:a02:304::",
    "::10.2.3.4",
)
NOBODYS = (
    "169.254.169.254",
    "169.254.170.2",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "224.0.0.1",
    "255.255.255.255",
    "ff02::1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
)
PUBLIC = ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")
EVERYTHING = AddressPolicy.of("0.0.0.0/0,::/0")


@pytest.fixture
def exposed():
    address_policy.set_exposed("yes")
    yield
    address_policy.set_exposed("auto")


def passes(gate: AddressPolicy, address: str, host: str | None = None) -> bool:
    try:
        return bool(gate.through(host or address, [(0, 0, 0, "", (address, 443))]))
    except AddressRefused:
        return False


def test_on_a_network_private_addresses_have_to_be_named(exposed):
    gate = AddressPolicy.of("vllm.lan, 10.2.0.0/16,[::1],127.0.0.1")
    named = {"127.0.0.1", "10.2.3.4", "::1", "::ffff:10.2.3.4"}
    forms = {"64:ff9b::a02:304", "2002:a02:304::", "::10.2.3.4"}  # of one that is named: either way
    assert {one for one in PRIVATE if passes(gate, one)} - forms == named
    assert not [one for one in PRIVATE if passes(AddressPolicy.of(""), one)]
    assert all(passes(gate, one) for one in PUBLIC)
    assert passes(gate, "192.168.1.1", host="VLLM.lan.")
    assert all(passes(EVERYTHING, one) for one in PRIVATE)


@pytest.mark.parametrize("choice", ["yes", "no"])
def test_link_local_and_reserved_addresses_need_a_number(choice):
    address_policy.set_exposed(choice)
    try:
        assert not [one for one in NOBODYS if passes(EVERYTHING, one, host="vllm.lan")]
        assert passes(AddressPolicy.of("169.254.169.254"), "169.254.169.254")
        assert all(passes(EVERYTHING, one) for one in PUBLIC)
    finally:
        address_policy.set_exposed("auto")


def test_this_machines_own_people_may_use_private_addresses():
    assert all(passes(AddressPolicy.of(""), one) for one in (*PRIVATE, *PUBLIC))


def test_exposed_is_who_listens_beyond_loopback(monkeypatch):
    monkeypatch.delenv(address_policy.LISTENS_ON, raising=False)
    assert not address_policy.exposed()  # a command
    for host in ("127.0.0.1", "127.3.2.1", "::1", "[::1]", "localhost"):
        monkeypatch.setenv(address_policy.LISTENS_ON, host)
        assert not address_policy.exposed(), host
    for host in ("0.0.0.0", "::", "", "10.0.0.1", "box.lan", "unix:/run/x", "127.0.0.1,0.0.0.0"):
        monkeypatch.setenv(address_policy.LISTENS_ON, host)
        assert address_policy.exposed(), host


@pytest.mark.parametrize("wrong", ["10.0.0.0/33", "10.0.0.1/8", "1.2.3", "::1::"])
def test_a_wrong_list_is_reported(tmp_path, wrong):
    with pytest.raises(SettingsError, match="ALLOWED_PRIVATE_HOSTS"):
        settings.load({}, INSTANCE_PATH=str(tmp_path), ALLOWED_PRIVATE_HOSTS=wrong)


def sent(base_url: str, **changes):
    """The outcome of a call, and the connections that the endpoint counted."""
    found = settings.load({}, **changes)
    transport = Transport(Endpoint(1, "a", base_url, "", Defaults("m")), found, width=2)
    try:
        return transport.post("/v1/chat/completions", b"{}", 5.0)
    except TransportFailure as failure:
        return classify_failure(failure)
    finally:
        transport.close()


def named(monkeypatch, *answers: str) -> None:
    """A name server that answers one after another for moving.example."""
    real, left = socket.getaddrinfo, list(answers)

    def lookup(host, port, *args, **kwargs):
        if host == "moving.example":
            host = left.pop(0) if len(left) > 1 else left[0]
        return real(host, port, *args, **kwargs)

    monkeypatch.setattr(gevent.socket, "getaddrinfo", lookup)
    monkeypatch.setattr(socket, "getaddrinfo", lookup)


def test_a_call_is_checked_when_it_connects(exposed, monkeypatch):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        port = endpoint.base_url.rsplit(":", 1)[1]
        decimal = f"http://2130706433:{port}"  # 127.0.0.1, as few people write it
        for url in (endpoint.base_url, decimal, f"http://localhost:{port}"):
            found = sent(url)
            assert (found.cause, found.verdict) == (Cause.CONNECTION, Verdict.STOP), url
            assert isinstance(found.message, Message)
            assert "127.0.0.1" in found.message
            assert "ALLOWED_PRIVATE_HOSTS" in found.message
        # a name that was public when it was looked up
        named(monkeypatch, "203.0.113.7", "127.0.0.1")
        assert gevent.socket.getaddrinfo("moving.example", 80)[0][4][0] == "203.0.113.7"
        assert sent(f"http://moving.example:{port}").verdict is Verdict.STOP
        assert endpoint.connections == 0
        assert (
            sent(f"http://moving.example:{port}", ALLOWED_PRIVATE_HOSTS="127.0.0.1").status == 200
        )
        assert sent(f"http://localhost:{port}/v1", ALLOWED_PRIVATE_HOSTS="LocalHost").status == 200


def test_no_redirect_is_followed_with_a_key():
    with MisbehavingEndpoint(e.ok()) as stranger:
        answer = e.http(302, b"", f"Location: {stranger.base_url}/chat/completions")
        with MisbehavingEndpoint(answer) as endpoint:
            assert sent(endpoint.base_url).status == 302
        assert stranger.connections == 0


def test_a_proxy_gets_no_private_address_to_fetch(exposed, monkeypatch):
    with MisbehavingEndpoint(e.ok()) as proxy:
        monkeypatch.setenv("http_proxy", proxy.base_url.removesuffix("/v1"))
        assert sent("http://169.254.169.254/v1", TRUST_ENV=True).verdict is Verdict.STOP
        assert proxy.connections == 0
        assert sent("http://endpoint.example/v1", TRUST_ENV=True).status == 200
        assert proxy.heads[0].startswith("POST http://endpoint.example/v1/chat")


def test_a_webhook_is_checked_when_it_is_made_and_when_it_connects(
    app, add_config, endpoint, make_job, exposed, monkeypatch
):
    add_config("http://endpoint.example/v1")
    job_id = make_job(1)
    with MisbehavingEndpoint(e.http(200, b"")) as receiver, connected():
        port = receiver.base_url.rsplit(":", 1)[1].removesuffix("/v1")
        for url in (f"http://127.0.0.1:{port}/", "http://[::ffff:169.254.169.254]/latest"):
            with pytest.raises(InvalidInput, match="Nothing is sent to"):
                webhooks.create(url)
            with pytest.raises(InvalidInput, match="Nothing is sent to") as refused:
                configs.create(configs.ConfigFields(alias="x", base_url=url, model="m"))
            assert refused.value.field == "base_url"
        webhook, _secret = webhooks.create(f"http://moving.example:{port}/")
        loaded = app.extensions["simple_batch"].settings
        delivery = Delivery.create(
            webhook=webhook,
            job=job_id,
            event_id="evt_1",
            type="batch.completed",
            created_at=0,
            next_at=0,
        )
        vault = configs.context.vault()
        named(monkeypatch, "127.0.0.1")
        Notifier(loaded, vault)._round()
        delivery = Delivery.get_by_id(delivery.id)
        assert (delivery.delivered_at, receiver.connections) == (None, 0)
        assert "Nothing is sent to moving.example (127.0.0.1)" in delivery.message
        address_policy.set_exposed("no")
        Delivery.update(next_at=0).execute()
        Notifier(loaded, vault)._round()
        assert Delivery.get_by_id(delivery.id).delivered_at
        assert "webhook-signature" in receiver.heads[0]
        Webhook.delete().execute()


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("::1%lo", True),
        ("::ffff:127.0.0.1", True),
        ("LocalHost", True),
        ("", False),
        (None, False),
        ("0.0.0.0", False),
        ("localhost.example.com", False),
        ("unix:/run/app.sock", False),
        ("10.0.0.1", False),
    ],
)
def test_which_hosts_are_this_machine_alone(host, alone):
    assert address_policy.is_loopback(host) is alone
