"""Connecting to a provider of the gallery: choose it, enter key and model, see whether it answers."""

import contextlib
import re
import socket
from html import unescape

import pytest

from simple_batch.core import address_policy, errors
from simple_batch.services import configs, local_servers, provider_gallery
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint

KEY = "sk-planted-0123456789"
MODELS = e.http(200, {"object": "list", "data": [{"id": "m-2"}, {"id": "m-1", "owned_by": "x"}]})
JSON = {"Accept": "application/json"}


def post(client, path, to=None, json=False, **fields):
    page = client.get(to or path).text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)[1]
    return client.post(path, data={"csrf_token": token, **fields}, headers=JSON if json else {})


@pytest.fixture(autouse=True)
def nothing_remembered():
    """Servers found for one test are not those of another."""
    local_servers._found.clear()


def test_the_gallery_shows_every_provider_in_both_languages(client):
    for language, title in (("en", "Hosts of many models"), ("zh", "多模型托管平台")):
        page = unescape(client.get("/configs/new", headers={"Accept-Language": language}).text)
        assert title in page
        for entry in provider_gallery.all():
            assert f'href="/configs/new/{entry.id}"' in page
    assert client.get("/configs/new/nowhere").status_code == 404
    assert client.get("/configs/new?form=full").text.count("Base URL") == 1


def test_key_and_model_are_enough(client, db):
    with MisbehavingEndpoint(MODELS, e.ok()) as endpoint:
        place = "/configs/new/custom"
        listed = post(client, f"{place}/models", place, True, key=KEY, base_url=endpoint.base_url)
        assert listed.json == {"models": ["m-1", "m-2"], "message": ""}
        answer = post(client, place, base_url=endpoint.base_url, key=KEY, model="m-1")
        assert answer.status_code == 303
        page = client.get(answer.location)
        assert "m-1 answered." in page.text
        assert re.search(r"\(\d+(\.\d+)? m?s\)", page.text)
        assert KEY not in page.text
    assert endpoint.bodies[-1] == {
        "model": "m-1",
        "messages": [{"role": "user", "content": "Say OK."}],
    }
    with connected():
        (config,) = configs.list_all()
        assert (config.alias, config.provider) == ("Other endpoint m-1", "")
        assert config.last_test_ok and config.last_test_at
        assert (config.temperature, config.max_tokens) == (None, None)


def test_a_provider_fills_in_prices_region_and_name(client, db):
    place = "/configs/new/dashscope"
    assert "Singapore" in client.get(place).text
    priced = post(
        client, f"{place}/prices", place, True, region="China (Beijing)", model="qwen-plus"
    )
    assert "CNY" in priced.json["message"] and "Price table of 20" in priced.json["message"]
    fields = {"key": KEY, "model": "qwen-plus", "region": "Singapore"}
    with MisbehavingEndpoint(e.ok()) as endpoint:
        # the region's host is replaced: no call leaves this machine
        fields["base_url"] = endpoint.base_url
        for expected in ("Qwen qwen-plus", "Qwen qwen-plus 2"):
            assert post(client, place, **fields).status_code == 303
            with connected():
                config = configs.list_all()[-1]
                assert (config.alias, config.provider) == (expected, "dashscope")
    unknown = post(client, f"{place}/prices", place, True, model="none-such")
    assert "doesn't know this model" in unknown.json["message"]


def test_the_region_is_taken_where_no_other_base_url_is_entered(client, db, monkeypatch):
    monkeypatch.setattr(configs, "test", lambda _id: configs.probe.ProbeResult(True, "fine", 1))
    place = "/configs/new/moonshot"
    usual = provider_gallery.get("moonshot").base_url
    fields = {"key": KEY, "model": "kimi-k3", "base_url": usual}
    for region, url in provider_gallery.get("moonshot").regions.items():
        assert post(client, place, **fields, region=region).status_code == 303
        with connected():
            newest = ApiConfig.select().order_by(ApiConfig.id.desc()).first()
            assert newest.base_url == url
            assert (newest.input_price is not None) == ("api.moonshot.ai" in url)


@pytest.mark.parametrize(
    ("provider", "fields", "expected"),
    [
        ("deepseek", {"model": "m"}, "API key: it is required"),
        ("deepseek", {"key": KEY}, "Enter the name of a model"),
        ("custom", {"model": "m"}, "Base URL"),
        ("azure", {"key": KEY, "model": "m"}, "replace {resource}"),
        ("deepseek", {"key": "with space", "model": "m"}, "printable ASCII"),
    ],
)
def test_what_is_missing_is_said_at_its_field(client, db, provider, fields, expected):
    answer = post(client, f"/configs/new/{provider}", **fields)
    assert answer.status_code == 400
    assert expected in unescape(answer.text)
    assert KEY not in answer.text
    with connected():
        assert configs.list_all() == []


def test_a_key_that_is_refused_can_be_corrected(client, db):
    refused = e.error(401, "Incorrect API key provided", "invalid_api_key")
    with MisbehavingEndpoint(refused, e.ok()) as endpoint:
        answer = post(
            client, "/configs/new/custom", base_url=endpoint.base_url, key="sk-wrong", model="m"
        )
        page = unescape(client.get(answer.location).text)
        assert "Check the key, and what it may do, at the provider." in page
        assert "sk-wrong" not in page
        again = post(client, "/configs/1/connected", key=KEY, model="m-1")
        assert "answered." in client.get(again.location).text
        assert f"Bearer {KEY}" in endpoint.heads[-1]


def test_it_goes_back_to_where_the_user_came_from(client, db):
    upload = post(
        client, "/jobs/new", pasted='{"messages":[{"role":"user","content":"x"}]}'
    ).location
    place = re.search(r'href="(/configs/new\?next=[^"]+)"', client.get(upload).text)[1]
    chosen = re.search(r'href="(/configs/new/custom\?next=[^"]+)"', client.get(place).text)[1]
    page = client.get(chosen).text
    following = unescape(re.search(r'name="next" value="([^"]*)"', page)[1])
    assert following == upload
    with MisbehavingEndpoint(e.ok()) as endpoint:
        fields = {"base_url": endpoint.base_url, "model": "m", "next": following}
        answer = post(client, "/configs/new/custom", chosen, **fields)
    assert f'href="{upload}">Continue' in client.get(answer.location).text


@pytest.mark.parametrize("evil", ["https://evil.example/", "//evil.example", "/\\evil", "x"])
def test_it_goes_on_to_pages_of_this_server_only(client, evil):
    gallery = client.get("/configs/new", query_string={"next": evil}).text
    assert 'href="/configs/new/custom"' in gallery
    page = client.get("/configs/new/custom", query_string={"next": evil}).text
    assert 'name="next" value=""' in page


@contextlib.contextmanager
def at_a_usual_port(*script):
    """An endpoint at one of the ports that are looked at; with the entry that is usual there."""
    for entry in provider_gallery.all():
        for port in entry.local_ports:
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
                pass
            with contextlib.suppress(OSError), MisbehavingEndpoint(*script, port=port) as endpoint:
                yield entry, endpoint
                return
    pytest.skip("every usual port is in use")


def test_a_server_on_this_machine_is_offered_first(client, db):
    with at_a_usual_port(MODELS) as (entry, endpoint):
        page = client.get("/configs/new").text
        found = page[page.index('id="found"') :].partition("</ul>")[0]
        assert f"/configs/new/{entry.id}?base_url=" in found
        assert "2 models" in found and endpoint.base_url in found
        assert endpoint.calls == 1


def test_the_list_of_models_says_which_server_it_is(client, db):
    models = e.http(200, {"data": [{"id": "q", "owned_by": "llamacpp"}]})
    with at_a_usual_port(models), connected():
        (server,) = local_servers.find()
        assert server.entry.id == "llama.cpp"
        assert server.models == ["q"]


def test_a_port_that_never_answers_holds_the_page_for_a_second_at_most(client, db):
    with at_a_usual_port(e.slow(30)), connected():
        assert local_servers.find() == []


@pytest.mark.parametrize("other", [e.http(200, b"<html>a router</html>"), e.error(401), e.not_http])
def test_what_lists_no_models_is_not_offered(client, db, other):
    with at_a_usual_port(other), connected():
        assert local_servers.find() == []


def test_a_server_that_other_machines_reach_looks_at_no_port(client, db, monkeypatch):
    monkeypatch.setattr(address_policy, "_choice", "yes")
    with at_a_usual_port(MODELS) as (_entry, endpoint), connected():
        assert local_servers.find() == []
        assert endpoint.calls == 0


def test_the_page_reports_what_a_model_accepts(client, db):
    with MisbehavingEndpoint(
        e.ok(), e.ok(), e.error(400, "Unsupported parameter: 'temperature'"), e.ok()
    ) as endpoint:
        done = post(client, "/configs/new/custom", base_url=endpoint.base_url, model="m")
        page = unescape(post(client, "/configs/1/report", done.location).text)
        report = page[page.index('id="report"') :].partition("</table>")[0]
        assert re.search(r"temperature</th>\s*<td>✕ rejected", report)
        assert re.search(r"max_tokens</th>\s*<td>✓ accepted", report)
        assert "max_completion_tokens" not in report
        assert f"{endpoint.calls - 1} calls were made." in page


def test_every_field_is_usable_where_one_connects(client, db):
    """Those under Advanced are stored; what stands in the query of the base URL is moved, and said."""
    with MisbehavingEndpoint(e.ok()) as endpoint:
        fields = {
            "base_url": endpoint.base_url + "?api-version=1",
            "key": KEY,
            "model": "m",
            "auth": "api-key",
            "headers": "X-Title: reviews",
            "secrets-0-place": "headers",
            "secrets-0-name": "X-Proxy",
            "secrets-0-value": "planted-secret",
            "max_tokens": "500",
            "rpm": "60",
            "currency": "EUR",
            "input_price": "1.5",
            "output_price": "3",
            "day_cap": "2",
            "notes": "mine",
        }
        done = post(client, "/configs/new/custom", **fields)
        page = unescape(client.get(done.location).text)
        assert "Moved from the base URL to the query parameters: api-version." in page
        assert "planted-secret" not in page
        assert (
            "api-version=1" in endpoint.heads[-1]
            and "X-Proxy: planted-secret" in endpoint.heads[-1]
        )
        assert f"api-key: {KEY}" in endpoint.heads[-1]
    with connected():
        config = configs.get(1)
        found = configs.fields_of(config)
        assert (found.max_tokens, found.rpm, found.currency, found.notes) == (
            500,
            60,
            "EUR",
            "mine",
        )
        assert (found.input_price, found.day_cap) == (1.5, 2)
        assert config.active


@pytest.mark.parametrize(
    ("provider", "fields", "expected"),
    [
        ("deepseek", {"params": "{"}, "Not valid JSON"),
        ("deepseek", {"day_cap": "2", "model": "none-such"}, "enter an input and an output price"),
        ("deepseek", {"headers": "no colon"}, "Write a name and a value"),
        ("deepseek", {"alias": "a" * 101}, "up to 100 printable"),
    ],
)
def test_a_fault_under_advanced_opens_it_and_keeps_what_was_entered(
    client, db, provider, fields, expected
):
    answer = post(
        client, f"/configs/new/{provider}", **{"key": KEY, "model": "m", "notes": "kept", **fields}
    )
    page = unescape(answer.text)
    assert answer.status_code == 400 and KEY not in page
    assert re.search(r'<details class="mb-3" open>\s*<summary>Advanced', page)
    assert expected in page and ">\nkept</textarea>" in page.replace("\r", "")
    (name,) = set(fields) - {"model"}
    assert re.search(rf'id="{name}"|name="{name}"', page)
    models = post(client, f"/configs/new/{provider}/models", "/configs/new/custom", True, **fields)
    if name == "params":
        assert models.json["message"] == "Correct the fields under Advanced first."


def test_a_provider_fills_in_what_it_needs_under_advanced(client):
    page = client.get("/configs/new/anthropic").text
    assert re.search(r'<option selected value="x-api-key"', page)
    assert re.search(r'<option selected value="anthropic"', page)
    assert re.search(r'<details class="mb-3" >\s*<summary>Advanced', page)


class BelowV1(MisbehavingEndpoint):
    """Answers below /v1 and nowhere else."""

    def _next(self, head: str, body: bytes):
        super()._next(head, body)
        if " /v1/" not in head.partition("\r\n")[0]:
            return e.error(404, "Not Found")
        return MODELS if head.startswith("GET") else e.ok()

    @property
    def root(self) -> str:
        """The base URL without /v1."""
        return self.base_url.removesuffix("/v1")


def test_a_base_url_without_v1_is_offered_with_it_and_never_changed_in_silence(client, db):
    with BelowV1(e.ok()) as endpoint:
        done = post(client, "/configs/new/custom", base_url=endpoint.root, key=KEY, model="m")
        page = unescape(client.get(done.location).text)
        assert f"It answers under {endpoint.base_url}: use that?" in page
        with connected():
            assert configs.get(1).base_url == endpoint.root
            assert not configs.get(1).last_test_ok
        other = post(client, "/configs/1/base-url", done.location, base_url="http://127.0.0.1:9/v1")
        with connected():
            assert configs.get(1).base_url == endpoint.root
        assert "Use it" in client.get(other.location).text
        used = post(client, "/configs/1/base-url", done.location, base_url=endpoint.base_url)
        page = unescape(client.get(used.location).text)
        assert "answered." in page and "Use it" not in page
        assert f"Bearer {KEY}" in endpoint.heads[-1]
    with connected():
        assert configs.get(1).base_url == endpoint.base_url


def test_the_list_of_models_offers_the_base_url_that_has_one(client, db):
    place = "/configs/new/custom"
    with BelowV1(e.ok()) as endpoint:
        fields = {"key": KEY, "base_url": endpoint.root, "model": "m"}
        found = post(client, f"{place}/models", place, True, **fields).json
        assert found["suggested"] == endpoint.base_url and found["models"] == []
        page = unescape(post(client, f"{place}/models", place, **fields).text)
        assert f'name="use" value="{endpoint.base_url}"' in page
        taken = post(client, f"{place}/models", place, **fields, use=endpoint.base_url).text
        assert 'value="m-1"' in taken and f'value="{endpoint.base_url}"' in taken
    assert post(client, f"{place}/models", place, True, **fields).json.keys() == {
        "models",
        "message",
    }


def test_the_form_and_the_list_of_connections_say_where_it_answers(client, db):
    full = "/configs/new?form=full"
    with BelowV1(e.ok()) as endpoint:
        fields = {"alias": "a", "base_url": endpoint.root, "model": "m", "key": KEY, **CHOICES}
        told = post(client, "/configs/test", full, True, **fields).json
        assert f"It answers under {endpoint.base_url}: enter that" in told["message"]
        assert not told["ok"]
        assert post(client, "/configs/new", full, **fields).status_code == 303
        answer = post(client, "/configs/1/test", "/configs")
        assert "Use it" in client.get(answer.location).text


CHOICES = {"stream": "auto", "currency": "USD", "api_format": "openai", "auth": "bearer"}


def test_where_nothing_else_answers_nothing_is_offered(client, db):
    with MisbehavingEndpoint(e.error(404, "The model m does not exist")) as endpoint:
        done = post(client, "/configs/new/custom", base_url=endpoint.base_url, model="m")
        assert "Use it" not in client.get(done.location).text
        assert endpoint.calls == 1  # the base URL has its version


def test_a_key_goes_to_no_other_server(client, db):
    """Where another base URL of the same server is taken, the key stays; elsewhere it is asked for."""
    with BelowV1(e.ok()) as endpoint:
        post(client, "/configs/new/custom", base_url=endpoint.root, key=KEY, model="m")
        with connected():
            fields = configs.fields_of(configs.get(1))
            for url in ("http://127.0.0.1:9/v1", f"{endpoint.root}/other", f"{endpoint.root}/v2"):
                fields.base_url = url
                with pytest.raises(errors.InvalidInput, match="Enter the key again"):
                    configs.update(1, fields)
