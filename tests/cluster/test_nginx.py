"""The nginx configuration of docs/deploy in front of two real web processes."""

import shutil
import subprocess
import time
from collections import Counter

import pytest
import requests
import socketio

from ..conftest import wait_until
from ..process import ROOT, free_port, served
from .processes import MISSING, Cluster
from .web_client import log_in

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"{MISSING} not installed"),
    pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed"),
]
PASSWORD = {"SIMPLE_BATCH_PASSWORD": "open sesame, please"}  # requests through a proxy need a login


def test_a_browser_sticks_to_one_process_and_fails_over_when_it_ends(instance, tmp_path):
    with Cluster(instance) as cluster:
        given = {**cluster.settings, "SIMPLE_BATCH_TRUSTED_PROXIES": "1", **PASSWORD}
        webs = [served(instance, **given) for _ in range(2)]
        port = free_port()
        nginx = serve(tmp_path, port, [web.port for web in webs])
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: answers(url))
            assert requests.get(f"{url}/metrics").status_code == 403
            reached = Counter()
            for _ in range(12):
                with requests.Session() as browser:
                    asked = [browser.get(f"{url}/readyz") for _ in range(4)]
                    assert all(answer.status_code == 200 for answer in asked)
                    assert "Set-Cookie" in asked[0].headers
                    assert "Set-Cookie" not in asked[1].headers
                    places = {answer.headers["X-Reached"] for answer in asked}
                    assert len(places) == 1
                    reached.update(places)
            assert len(reached) == 2
            session = log_in(url, "admin", *PASSWORD.values())
            for transport in ("polling", "websocket"):
                client = socketio.Client(reconnection=False, http_session=session)
                client.connect(url, namespaces=["/jobs"], transports=[transport], wait_timeout=60)
                assert client.call("subscribe", {}, namespace="/jobs", timeout=60)["ok"]
                client.disconnect()
            with requests.Session() as browser:
                stays = browser.get(f"{url}/readyz").headers["X-Reached"]
                next(web for web in webs if stays.endswith(f":{web.port}")).kill()
                assert browser.get(f"{url}/readyz").headers["X-Reached"] != stays
        finally:
            nginx.terminate()
            nginx.wait()
            for web in webs:
                web.stop()


def serve(folder, port: int, ports: list[int]) -> subprocess.Popen:
    text = (ROOT / "docs" / "deploy" / "nginx.conf").read_text()
    text = text.replace("listen 8080;", f"listen 127.0.0.1:{port};").replace("/tmp/", f"{folder}/")
    for number, own in enumerate(ports, 1):
        text = text.replace(f"web-{number}:7861", f"127.0.0.1:{own}")
    text = text.replace("proxy_pass ", "add_header X-Reached $upstream_addr always; proxy_pass ")
    path = folder / "nginx.conf"
    path.write_text(text)
    command = ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(path), "-g", "daemon off;"]
    return subprocess.Popen(command)


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz").status_code == 200
    except requests.ConnectionError:
        time.sleep(0.05)
        return False
