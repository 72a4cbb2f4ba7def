"""The form of a connection: headers, query parameters, secrets and how the key is sent."""

import json
import re
from html import unescape

import pytest

from simple_batch.core import context
from simple_batch.services import configs, connections, provider_gallery
from simple_batch.store.configs import endpoint_of, secrets_of
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .test_pages import post

FIELDS = {"alias": "a", "base_url": "http://x/v1", "model": "m", "currency": "USD", "params": "{}"}
SECRET, KEY = "secret-value-0123456789", "sk-planted-0123456789"


def row(number: int, name: str, value: str = "", place: str = "headers", **more) -> dict:
    fields = {"place": place, "name": name, "value": value, **more}
    return {f"secrets-{number}-{field}": text for field, text in fields.items()}


def stored() -> tuple[ApiConfig, dict]:
    with connected():
        (config,) = configs.list_all()
        return config, secrets_of(config, context.vault())


def values_shown(page: str) -> set[str]:
    return set(re.findall(r'value="([^"]*)"', page))


def test_what_the_form_says_of_a_connection_is_stored(client):
    connection = {
        "auth": "api-key",
        "api_format": "anthropic",
        "stream": "never",
        "service_tier": "flex",
        "headers": "X-Title: reviews\r\n\r\nHTTP-Referer: https://example.org/a:b",
        "query": "api-version=2024-10-21\r\nx=a=b",
        "provider": "openai",
    }
    done = post(client, "/configs/new", **FIELDS, key=KEY, **connection, **row(0, "X-A", SECRET))
    assert done.status_code == 303
    config, secrets = stored()
    assert (config.auth, config.api_format, config.stream) == ("api-key", "anthropic", "never")
    assert (config.service_tier, config.provider) == ("flex", "openai")
    assert json.loads(config.headers) == {
        "X-Title": "reviews",
        "HTTP-Referer": "https://example.org/a:b",
    }
    assert json.loads(config.query) == {"api-version": "2024-10-21", "x": "a=b"}
    assert secrets == {"headers": {"X-A": SECRET}, "query": {}}
    page = unescape(client.get("/configs/1").text)
    assert "HTTP-Referer: https://example.org/a:b" in page
    assert "••••6789" in page
    assert SECRET not in page
    # saved as it is shown, it is the same
    before = bytes(config.secrets_encrypted)
    shown = {**connection, **FIELDS, **row(0, "X-A"), **row(1, "")}
    assert post(client, "/configs/1", **shown).status_code == 303
    config, _secrets = stored()
    assert bytes(config.secrets_encrypted) == before


def test_a_new_config_sends_neither_temperature_nor_max_tokens(client, endpoint):
    page = client.get("/configs/new?form=full").text
    for name in ("max_tokens", "temperature"):
        (field,) = re.findall(f'<input[^>]*name="{name}"[^>]*>', page)
        assert 'value=""' in field or "value=" not in field
    post(client, "/configs/new", **FIELDS)
    config, _secrets = stored()
    assert (config.max_tokens, config.temperature) == (None, None)


def test_secrets_are_kept_replaced_and_removed_one_by_one(client):
    post(client, "/configs/new", **FIELDS, **row(0, "X-A", SECRET), **row(1, "k", "v2", "query"))
    post(client, "/configs/1", **FIELDS, **row(0, "X-A", "other"), **row(1, "k", "", "query"))
    assert stored()[1] == {"headers": {"X-A": "other"}, "query": {"k": "v2"}}
    post(client, "/configs/1", **FIELDS, **row(0, "x-a", "", remove="y"), **row(1, "X-B", SECRET))
    assert stored()[1] == {"headers": {"X-B": SECRET}, "query": {"k": "v2"}}


def test_a_base_url_with_a_query_is_split_and_the_user_is_told(client):
    url = "http://x/openai/?api-version=2024-10-21&subscription-key=" + SECRET
    post(client, "/configs/new", **{**FIELDS, "base_url": url})
    config, secrets = stored()
    assert config.base_url == "http://x/openai"
    assert json.loads(config.query) == {"api-version": "2024-10-21"}
    assert secrets["query"] == {"subscription-key": SECRET}
    page = client.get("/configs").text
    assert "Moved from the base URL to the query parameters: api-version, subscription-key." in page
    assert "Stored as secret because of the name: subscription-key." in page
    assert SECRET not in page + client.get("/configs/1").text + client.get("/access/audit").text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"headers": "Host: x"}, "Header “Host”: the program sets it itself"),
        ({"headers": "content-LENGTH: 5"}, "the program sets it itself"),
        ({"headers": "Transfer-Encoding: chunked"}, "the program sets it itself"),
        ({"headers": "Connection: close"}, "the program sets it itself"),
        ({"headers": "no colon"}, "Write a name and a value"),
        ({"headers": "X y: 1"}, "not a valid header name"),
        ({"headers": "X: 中"}, "Latin letters"),
        ({"headers": "X: a\x07b"}, "Latin letters"),
        ({"headers": "X:"}, "its value is missing"),
        ({"headers": "X: 1\nx: 2"}, "given twice"),
        ({"headers": "X: " + "a" * 8_001}, "up to 200 characters"),
        ({"headers": "\n".join(f"X-{n}: 1" for n in range(51))}, "up to 50"),
        ({"query": "=5"}, "Write a name and a value"),
        ({"query": "a=1\nA=2"}, "given twice"),
        ({"query": "a=\x1b"}, "line breaks and tabs"),
        ({"base_url": "http://x/v1?a=1&a=2"}, "given twice"),
        ({"base_url": "http://x/v1?a="}, "its value is missing"),
        ({"base_url": "https://r.openai.azure.com/openai/deployments/d"}, "needs ?api-version="),
        ({"headers": "X-A: 1", **row(0, "x-a", "2")}, "given as secret and as not secret"),
        (row(0, "Host", "x"), "the program sets it itself"),
        (row(0, "", SECRET), "not a valid header name"),
        (row(0, "X", "é\u0100"), "Latin letters"),
        ({"service_tier": "a b"}, "one word"),
        ({"auth": "digest"}, "Not a valid choice"),
    ],
)
def test_what_is_not_valid_is_refused_with_the_reason(client, fields, said):
    answer = post(client, "/configs/new", **{**FIELDS, **fields})
    assert answer.status_code == 400
    assert said in unescape(answer.text)
    assert "<details" in answer.text
    with connected():
        assert configs.list_all() == []


def test_a_faulty_field_of_the_advanced_part_is_in_sight(client):
    assert '<details class="mb-3" >' in client.get("/configs/new?form=full").text
    answer = post(client, "/configs/new", **FIELDS, headers="nonsense")
    assert re.search(r'<details class="mb-3" open', answer.text)


@pytest.mark.parametrize("path", ["/configs/1", "/configs/test", "/configs/models"])
def test_stored_secrets_go_to_no_other_base_url(client, path):
    with MisbehavingEndpoint(e.ok()) as own, MisbehavingEndpoint(e.ok()) as other:
        fields = {**FIELDS, "base_url": own.base_url, "timeout_s": "5"}
        post(client, "/configs/new", **fields, key=KEY, **row(0, "X-A", SECRET))
        fields |= {"base_url": other.base_url, "config_id": "1"}
        answer = post(client, path, **fields, **row(0, "X-A"))
        assert "The base URL has changed. Enter" in answer.text
        answer = post(client, path, **fields, key=KEY, **row(0, "X-A"))
        assert "Enter these secrets again, or remove them: X-A" in answer.text
        answer = post(client, path, **fields, **row(0, "X-A", "new"))
        assert "The base URL has changed. Enter the key again." in answer.text
        post(client, "/configs/1/test")
        assert (own.calls, other.calls) == (1, 0)
        post(client, path, **fields, key=KEY, **row(0, "X-A", "", remove="y"))
        post(client, "/configs/1/test")
        assert SECRET not in "".join(other.heads)
        assert own.calls + other.calls >= 2


def test_a_test_of_the_form_uses_what_is_stored_and_entered(client):
    with MisbehavingEndpoint(e.ok()) as served:
        fields = {**FIELDS, "base_url": served.base_url, "timeout_s": "5"}
        post(client, "/configs/new", **fields, key=KEY, **row(0, "X-A", SECRET))
        entered = {"auth": "x-api-key", "headers": "X-B: 2", "query": "v=1", "config_id": "1"}
        post(client, "/configs/test", **fields, **entered, **row(0, "X-A"))
        (head,) = served.heads
    for part in (f"x-api-key: {KEY}", f"X-A: {SECRET}", "X-B: 2", "?v=1 HTTP"):
        assert part in head


def test_a_request_is_repeated_with_its_connection_and_no_secret(
    app, client, add_config, make_job, wait_for
):
    app.extensions["simple_batch"].start()
    with MisbehavingEndpoint(e.ok()) as served:
        add_config(
            served.base_url.removesuffix("/v1") + "/openai?api-version=1",
            auth="api-key",
            headers={"X-Title": "it's"},
            secret_headers={"CF-Access-Client-Secret": SECRET},
            secret_query={"code": SECRET},
        )
        wait_for(make_job(1), "completed")
        (head,) = served.heads
    page = unescape(client.get("/jobs/1/requests/0").text)
    assert head.startswith(
        f"POST /openai/deployments/m/chat/completions?api-version=1&code={SECRET}"
    )
    assert SECRET not in page
    for part in (
        '/openai/deployments/m/chat/completions?api-version=1&code=$CODE" \\\n',
        '-H "api-key: $OPENAI_API_KEY"',
        '-H "CF-Access-Client-Secret: $CF_ACCESS_CLIENT_SECRET"',
        """-H 'X-Title: it'"'"'s'""",
        "'api-key': os.environ['OPENAI_API_KEY']",
        "?api-version=1&code=' + os.environ['CODE']",
    ):
        assert part in page


def test_answers_are_reused_from_the_same_connection_only(db):
    def origin(**fields) -> str:
        given = {"alias": f"a{ApiConfig.select().count()}", "base_url": "http://x/v1", "model": "m"}
        config = configs.create(configs.ConfigFields(**given, **fields))
        return endpoint_of(config, context.vault()).origin

    plain = origin()
    assert plain == "http://x/v1"
    assert origin(key=KEY, secret_headers={"X-Token": SECRET}) == plain
    others = [
        origin(headers={"X-Provider": "b"}),
        origin(query={"api-version": "1"}),
        origin(api_format="anthropic"),
    ]
    assert len({plain, *others}) == 4


def test_a_connection_from_the_gallery_keeps_the_query_of_its_base_url(db, endpoint):
    with MisbehavingEndpoint(e.http(200, {"data": [{"id": "m"}]})) as served:
        connection = connections.Connection(
            entry=provider_gallery.get("openai"),
            base_url=served.base_url + "?api-version=1&code=" + SECRET,
            model="m",
            key=KEY,
        )
        assert connections.models(connection) == ["m"]
        assert f"GET /v1/models?api-version=1&code={SECRET} HTTP" in served.heads[0]
    config = connections.connect(connection)
    assert json.loads(config.query) == {"api-version": "1"}
    assert secrets_of(config, context.vault())["query"] == {"code": SECRET}


@pytest.mark.parametrize("place", ["/configs/new?form=full", "/configs/new/custom"])
@pytest.mark.parametrize(
    ("api_format", "chosen", "header"),
    [
        ("anthropic", "", "x-api-key"),
        ("anthropic", "bearer", "bearer"),
        ("openai", "", "bearer"),
    ],
)
def test_the_header_of_the_key_follows_the_api_format_unless_it_is_chosen(
    client, db, place, api_format, chosen, header
):
    """The first answers of the form are tried as a browser sends them: each field as it stands there."""
    page = client.get(place).text
    assert '<option selected value="">automatic (by the API format)' in page
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)[1]
    fields = {
        "csrf_token": token,
        "alias": "a",
        "base_url": "http://127.0.0.1:9/v1",
        "model": "m",
        "key": KEY,
        "stream": "auto",
        "currency": "USD",
        "api_format": api_format,
        "auth": chosen,
    }
    done = client.post(place.partition("?")[0], data=fields)
    assert done.status_code == 303
    with connected():
        assert configs.get("a").auth == header
    said = {"x-api-key": "in the header x-api-key", "bearer": "as Authorization: Bearer"}[header]
    assert (f"The key is sent {said}." in client.get(done.location).text) is (not chosen)
