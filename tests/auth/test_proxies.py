"""A server without users behind a proxy: the signs of a forwarded request, and their effect."""

import shutil
import subprocess
import time

import pytest
import requests
import simple_websocket
from werkzeug.test import EnvironBuilder

from simple_batch import create_app
from simple_batch.auth import local_requests, tokens, users
from simple_batch.core import address_policy
from simple_batch.store.database import connected
from simple_batch.web import live_feed

from ..conftest import PASSWORDS, wait_until
from ..page_cache_helpers import always_use_cache
from ..process import free_port, served
from .conftest import send
from .test_server_login import session_of

LOCAL = {
    "HTTP_HOST": "127.0.0.1:7861",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "REMOTE_ADDR": "127.0.0.1",
}
HEADERS = (
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "X-Forwarded-Prefix",
    "X-Forwarded-Anything",
    "X-Forwarded",
    "Via",
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "CF-Connecting-IP",
    "CF-Ray",
    "True-Client-IP",
    "Fly-Client-IP",
    "Fly-Region",
    "Fastly-Client-IP",
    "X-Original-Host",
    "X-Original-Forwarded-For",
    "X-Envoy-External-Address",
    "X-Azure-ClientIP",
    "CDN-Loop",
    "X-AppEngine-User-IP",
    "X-ProxyUser-Ip",
    "WL-Proxy-Client-IP",
    "Proxy-Client-IP",
    "X-Remote-Addr",
    "X-Scheme",
    "Front-End-Https",
    "X-NginX-Proxy",
    "Tailscale-User-Login",
)
OTHER_SIGNS = {
    "old protocol": {"SERVER_PROTOCOL": "HTTP/1.0"},
    "no protocol": {"SERVER_PROTOCOL": ""},
    "another address": {"REMOTE_ADDR": "192.0.2.7"},
    "a socket file": {"REMOTE_ADDR": ""},
    "a socket file of waitress": {"REMOTE_ADDR": "localhost"},
    "another name": {"HTTP_HOST": "batch.example.com"},
    "no name": {"HTTP_HOST": ""},
    "a page of another site": {"HTTP_ORIGIN": "http://batch.example.com"},
}
SIGNS = {name: {f"HTTP_{name.upper().replace('-', '_')}": "127.0.0.1"} for name in HEADERS}


@pytest.fixture
def app_of_any_name(overrides):
    made = create_app(**overrides, ALLOWED_HOSTS="*", PUBLIC_URL="https://batch.example.com")
    yield made
    made.extensions["simple_batch"].close()


def connects(app, **environ) -> bool:
    """Whether the live feed accepts a client with these headers."""
    feed = app.extensions["simple_batch_feed"]
    came = EnvironBuilder("/socket.io/").get_environ()
    return feed.clients.connect("a client", {**came, "REMOTE_ADDR": "127.0.0.1", **environ})


def test_a_forwarded_request_is_never_one_of_this_machine(app_of_any_name, monkeypatch):
    always_use_cache(monkeypatch)  # also with cached pages and cached authentication
    client = app_of_any_name.test_client()

    def statuses(**environ) -> list[int]:
        paths = ("/jobs", "/access", "/v1/models")
        return [client.get(path, environ_overrides=environ).status_code for path in paths]

    assert local_requests.why_not(LOCAL) is None
    for sign, environ in {**SIGNS, **OTHER_SIGNS}.items():
        assert local_requests.why_not({**LOCAL, **environ}), sign
        assert statuses() == [200, 200, 200]
        assert statuses(**environ) == [403, 403, 401], sign
        assert connects(app_of_any_name)
        assert not connects(app_of_any_name, **environ), sign


def test_a_forwarded_request_gets_a_reason_and_a_remedy(client):
    environ = {"HTTP_X_REAL_IP": "127.0.0.1"}
    page = client.get("/jobs", environ_overrides=environ).text
    reply = client.get("/jobs.json", environ_overrides=environ).json["error"]
    for text in (page, reply):
        assert "X-Real-Ip" in text
        assert "flask create-user NAME --role admin" in text
    refused = client.get("/v1/models", environ_overrides=environ).json["error"]["message"]
    assert "X-Real-Ip" in refused
    assert "flask create-token NAME" in refused


def test_what_clients_of_this_machine_send_is_no_sign():
    for more in (
        {"HTTP_HOST": "localhost"},
        {"HTTP_HOST": "[::1]:7861", "REMOTE_ADDR": "::1"},
        {"REMOTE_ADDR": "::ffff:127.0.0.1"},
        {"SERVER_PROTOCOL": "HTTP/2"},
        {"HTTP_ORIGIN": "http://127.0.0.1:7861", "HTTP_REFERER": "http://127.0.0.1:7861/jobs"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_USER_AGENT": "x", "HTTP_X_REQUESTED_WITH": "y", "HTTP_X_STAINLESS_LANG": "python"},
        {"HTTP_X_REQUEST_ID": "1", "HTTP_TRACEPARENT": "2", "HTTP_CONNECTION": "close"},
    ):
        assert local_requests.why_not({**LOCAL, **more}) is None, more


@pytest.mark.parametrize("headers", [{}, {"X-Forwarded-For": "127.0.0.1"}])
def test_behind_a_trusted_proxy_no_request_is_local(overrides, headers):
    app = create_app(**overrides, TRUSTED_PROXIES=1)
    try:
        answer = app.test_client().get("/jobs", headers=headers)
        assert answer.status_code == 403
        assert "TRUSTED_PROXIES" in answer.text
    finally:
        app.extensions["simple_batch"].close()


def test_an_exposed_app_asks_for_a_login_whatever_serves_it(overrides):
    """Simulates a WSGI server that does not call the guard before it serves."""
    app = create_app(**overrides, EXPOSED="yes")
    try:
        client = app.test_client()
        assert client.get("/jobs").headers["Location"] == "/login?next=/jobs"
        assert client.get("/jobs", headers={"Accept": "application/json"}).status_code == 401
        assert client.get("/v1/models").status_code == 401
        assert not connects(app)
        assert "flask create-user NAME --role admin" in client.get("/login").text
        assert send_without_form(client).status_code == 400
        with connected():
            users.create("anna", PASSWORDS["anna"], "admin")
        assert "create-user" not in client.get("/login").text
        assert send(client, "anna", PASSWORDS["anna"]).status_code == 303
        assert client.get("/jobs").status_code == 200
        with connected():
            users.remove("anna")
        assert client.get("/jobs").status_code == 303
        assert client.get("/v1/models").status_code == 401
        with connected():
            secret = tokens.create("program")[1]
        bearer = {"Authorization": f"Bearer {secret}"}
        assert client.get("/v1/models", headers=bearer).status_code == 200
    finally:
        app.extensions["simple_batch"].close()
        address_policy.set_exposed("auto")


def send_without_form(client):
    return client.post("/login", data={"name": "admin", "password": "x"})


# --- a real nginx, before real processes ---------------------------------------------------------

NGINX = """
pid nginx.pid; error_log stderr; events {}
http {
    map $http_upgrade $connection_upgrade { default upgrade; "" ""; }
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server { listen 127.0.0.1:%(plain)s; location / { proxy_pass http://127.0.0.1:%(port)s; } }
    server {
        listen 127.0.0.1:%(usual)s;
        location / {
            proxy_pass http://127.0.0.1:%(port)s;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }
    }
}
"""
needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")


@pytest.fixture
def nginx(tmp_path):
    """Starts nginx in front of a port; returns the addresses of its two servers."""
    started = []

    def start(port: int) -> dict[str, str]:
        ports = {"plain": free_port(), "usual": free_port()}
        path = tmp_path / "nginx.conf"
        path.write_text(NGINX % {**ports, "port": port})
        command = ["nginx", "-e", "stderr", "-p", str(tmp_path), "-c", str(path)]
        started.append(subprocess.Popen([*command, "-g", "daemon off;"]))
        urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        wait_until(lambda: all(_answers(url) for url in urls.values()))
        return urls

    yield start
    for process in started:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz").status_code == 200
    except requests.ConnectionError:
        time.sleep(0.02)
        return False


def feed_takes(url: str, transport: str, cookie: str = "") -> bool:
    """Whether the live feed accepts a client, checked with Socket.IO's protocol: 40 requests and
    confirms a namespace, 44 refuses it."""
    headers = {"Cookie": cookie}
    place = f"{url}/socket.io/?EIO=4&transport={transport}"
    if transport == "polling":
        with requests.Session() as browser:
            browser.headers.update(headers)
            sid = browser.get(place).text.partition('"sid":"')[2].partition('"')[0]
            browser.post(f"{place}&sid={sid}", data=f"40{live_feed.NAMESPACE},")
            return browser.get(f"{place}&sid={sid}").text.startswith("40")
    try:
        socket = simple_websocket.Client(place.replace("http", "ws", 1), headers=headers)
    except simple_websocket.ConnectionError:  # the proxy does not pass it on
        return False
    # the server's greeting, if it came with the handshake, is only seen with the next message
    socket.send(f"40{live_feed.NAMESPACE},")
    answer = socket.receive(timeout=60)
    while not answer.startswith("4"):
        answer = socket.receive(timeout=60)
    socket.close()
    return answer.startswith("40")


@needs_nginx
def test_nginx_before_a_server_without_users_makes_no_visitor_an_admin(instance, app, nginx):
    server = served(instance)
    try:
        urls = nginx(server.port)
        assert requests.get(f"{server.url}/jobs").status_code == 200
        assert feed_takes(server.url, "polling")
        assert feed_takes(server.url, "websocket")
        for name, url in urls.items():
            refused = requests.get(f"{url}/jobs")
            assert refused.status_code == 403, name
            assert "flask create-user NAME --role admin" in refused.text
            assert requests.get(f"{url}/access").status_code == 403
            assert requests.get(f"{url}/v1/models").status_code == 401
            assert not feed_takes(url, "polling"), name
            assert not feed_takes(url, "websocket"), name
    finally:
        server.stop()


@needs_nginx
def test_nginx_before_an_exposed_server_leads_to_the_login(instance, people, nginx):
    server = served(instance, SIMPLE_BATCH_EXPOSED="yes")
    try:
        urls = nginx(server.port)
        for url in (server.url, *urls.values()):
            assert "/login?next=" in requests.get(f"{url}/jobs").url
            assert requests.get(f"{url}/v1/models").status_code == 401
            assert not feed_takes(url, "polling")
        server.url = urls["usual"]
        session = session_of(server, "anna", PASSWORDS["anna"])
        assert session.get(f"{server.url}/users").status_code == 200
        assert feed_takes(server.url, "websocket", f"session={session.cookies['session']}")
        with connected():
            for name in ("otto", "olga", "vera", "anna"):
                users.remove(name)
        # the server looks at its users at most a second after another process has changed them
        wait_until(lambda: "/login?next=" in session.get(f"{server.url}/jobs").url)
        assert "flask create-user NAME --role admin" in session.get(f"{server.url}/login").text
        direct = f"http://127.0.0.1:{server.port}"
        assert "/login?next=" in requests.get(f"{direct}/jobs").url
    finally:
        server.stop()
