"""What arrives at an endpoint: the key as its authentication scheme has it, headers, query parameters
and the paths of Azure."""

import json

import pytest

from simple_batch.core.domain import Auth, Defaults, Endpoint
from simple_batch.core.errors import ConfigurationError
from simple_batch.engine import probe
from simple_batch.engine.exchange import Exchange

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .conftest import SETTINGS

KEY = "sk-planted-secret-0123456789"
SUBSCRIPTION = "0123456789abcdef0123456789abcdef"
CHAT, EMBEDDINGS, MODELS = "/v1/chat/completions", "/v1/embeddings", "/v1/models"


def sent(path=CHAT, base="/v1", body=b'{"model":"m"}', answer=None, **fields) -> tuple[str, dict]:
    """The request line and the headers, by their names in lower case, of one call."""
    with MisbehavingEndpoint(answer or e.ok()) as served:
        base_url = served.base_url.removesuffix("/v1") + base
        endpoint = Endpoint(1, "a", base_url, KEY, Defaults("m"), **fields)
        exchange = Exchange(endpoint, SETTINGS, width=1)
        if path == MODELS:
            exchange.get(path, 30.0)
        else:
            exchange.post(path, body, 30.0)
        exchange.close()
        line, *rest = served.heads[0].split("\r\n")
    pairs = [header.partition(": ")[::2] for header in rest]
    assert len(pairs) == len({name.lower() for name, _value in pairs}), pairs
    return line, {name.lower(): value for name, value in pairs}


@pytest.mark.parametrize("path", [CHAT, EMBEDDINGS, MODELS])
@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (Auth.BEARER, {"authorization": f"Bearer {KEY}"}),
        (Auth.API_KEY, {"api-key": KEY}),
        (Auth.X_API_KEY, {"x-api-key": KEY}),
        (Auth.NONE, {}),
    ],
)
def test_the_key_goes_where_the_scheme_says(path, auth, expected):
    _line, headers = sent(path, auth=auth)
    found = {name: headers.get(name) for name in ("authorization", "api-key", "x-api-key")}
    assert {name: value for name, value in found.items() if value} == expected


GATEWAYS = {
    "OpenRouter": {"HTTP-Referer": "https://example.org", "X-Title": "reviews"},
    "OpenAI": {"OpenAI-Organization": "org-1", "OpenAI-Project": "proj_1"},
    "Cloudflare Access": {
        "CF-Access-Client-Id": "1.access",
        "CF-Access-Client-Secret": SUBSCRIPTION,
    },
    "API Management": {"Ocp-Apim-Subscription-Key": SUBSCRIPTION},
    "latin-1": {"X-Team": "Köln"},
}


@pytest.mark.parametrize("path", [CHAT, EMBEDDINGS, MODELS])
@pytest.mark.parametrize("name", GATEWAYS)
def test_headers_of_the_config_arrive(path, name):
    _line, headers = sent(path, headers=tuple(GATEWAYS[name].items()))
    for header, value in GATEWAYS[name].items():
        assert headers[header.lower()] == value


def test_headers_of_the_config_replace_the_own_ones_whatever_their_case():
    given = (("AUTHORIZATION", "Basic abc"), ("user-agent", "ours"), ("accept", "text/plain"))
    _line, headers = sent(headers=given)
    assert {name: headers[name.lower()] for name, _ in given} == dict(given)


@pytest.mark.parametrize("path", [CHAT, EMBEDDINGS, MODELS])
def test_query_parameters_are_added_encoded_to_every_call(path):
    line, _headers = sent(path, query=(("api-version", "2024-10-21"), ("k", "a b&c=ü/?#+")))
    assert line.split(" ")[1] == (f"{path}?api-version=2024-10-21&k=a%20b%26c%3D%C3%BC%2F%3F%23%2B")


DATED = (("api-version", "2024-10-21"),)


@pytest.mark.parametrize(
    ("base", "path", "expected"),
    [
        ("/openai/deployments/mine", CHAT, "/openai/deployments/mine/chat/completions"),
        ("/openai/deployments/mine", EMBEDDINGS, "/openai/deployments/mine/embeddings"),
        ("/openai/deployments/mine", MODELS, "/openai/models"),
        ("/openai/deployments/mine", "/v1/responses", "/openai/responses"),
        ("/openai", CHAT, "/openai/deployments/gpt%204%2Fo/chat/completions"),
        ("/openai", EMBEDDINGS, "/openai/deployments/gpt%204%2Fo/embeddings"),
        ("/openai", "/v1/completions", "/openai/deployments/gpt%204%2Fo/completions"),
        ("/openai", MODELS, "/openai/models"),
        ("/apim/openai", CHAT, "/apim/openai/deployments/gpt%204%2Fo/chat/completions"),
    ],
)
def test_the_dated_api_of_azure(base, path, expected):
    body = json.dumps({"model": "gpt 4/o", "messages": []}).encode()
    line, headers = sent(path, base, body, auth=Auth.API_KEY, query=DATED)
    assert line.split(" ")[1] == f"{expected}?api-version=2024-10-21"
    assert headers["api-key"] == KEY
    assert "authorization" not in headers


def test_a_body_without_a_model_goes_to_the_deployment_of_the_config():
    line, _headers = sent(CHAT, "/openai", b"{}", query=DATED)
    assert "/openai/deployments/m/chat/completions?" in line


@pytest.mark.parametrize("path", [CHAT, EMBEDDINGS, MODELS])
@pytest.mark.parametrize("query", [(), (("api-version", "preview"),)])
def test_version_1_of_azure_is_openais(path, query):
    line, _headers = sent(path, "/openai/v1", auth=Auth.API_KEY, query=query)
    assert line.split(" ")[1].partition("?")[0] == f"/openai{path}"


def test_a_path_with_a_query_keeps_it():
    line, _headers = sent("/v1/models?limit=5", query=(("a", "1"),))
    assert line.split(" ")[1] == "/v1/models?limit=5&a=1"


def test_secrets_that_an_endpoint_quotes_are_masked():
    basic = "dXNlcjpwYXNzd29yZDEyMw=="
    secrets = (SUBSCRIPTION, f"Basic {basic}")
    endpoint_fields = {
        "headers": (("Authorization", secrets[1]),),
        "query": (("subscription-key", SUBSCRIPTION),),
        "secrets": secrets,
    }
    words = f"no access: GET /v1/models?subscription-key={SUBSCRIPTION}, {basic}"
    with MisbehavingEndpoint(e.error(403, words), e.error(401, words), e.says(words)) as served:
        endpoint = Endpoint(1, "a", served.base_url, "", Defaults("m"), **endpoint_fields)
        refused = probe.test_connection(endpoint, SETTINGS)
        with pytest.raises(ConfigurationError) as failed:
            probe.list_models(endpoint, SETTINGS)
        exchange = Exchange(endpoint, SETTINGS, width=1)
        answered = exchange.post(CHAT, b"{}", 30.0).body.decode()
        exchange.close()
        assert all(SUBSCRIPTION in head for head in served.heads)
    for text in (refused.message, str(failed.value), answered, repr(endpoint)):
        assert SUBSCRIPTION not in text
        assert basic not in text
    assert "[key]" in refused.message
    assert "no access" in answered
