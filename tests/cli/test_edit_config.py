"""add-config and edit-config: every field of a connection from the command line."""

import json
import sqlite3

import pytest

from simple_batch.services import configs
from simple_batch.store.database import connected

from .. import endpoint as e
from .. import postgres
from ..endpoint import MisbehavingEndpoint
from ..process import flask
from ..web.test_connect import BelowV1

KEY, SECRET = "sk-planted-0123456789", "secret-value-0123456789"


def listed(instance) -> dict:
    (config,) = json.loads(flask(instance, "list-configs", "--json").stdout)
    return config


def edit(instance, *options: str, stdin: str | None = None, **variables: str) -> dict:
    done = flask(instance, "edit-config", "a", *options, stdin=stdin, **variables)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return listed(instance)


def add(instance, base_url: str, *options: str, **variables: str):
    return flask(
        instance, "add-config", "a", "--base-url", base_url, "--model", "m", *options, **variables
    )


def test_a_batch_discount_is_kept_bounded_and_removed(instance):
    assert add(instance, "http://127.0.0.1:9/v1", "--batch-discount", "0.6").returncode == 0
    assert listed(instance)["batch_discount"] == 0.6
    assert edit(instance, "--rpm", "5")["batch_discount"] == 0.6
    refused = flask(instance, "edit-config", "a", "--batch-discount", "1.5")
    assert (refused.returncode, "Batch discount: 1.5 is not from 0 to 1" in refused.stderr) == (
        2,
        True,
    )
    assert edit(instance, "--batch-discount", "")["batch_discount"] is None


def test_the_rules_of_a_provider_go_with_prices_of_your_own(instance):
    """A model that the price table does not have, of a provider whose hours are known."""
    options = ("--provider", "deepseek", "--model", "deepseek-v4-new", "--input-price", "1")
    done = flask(
        instance, "add-config", "a", *options, "--output-price", "2", "--key-env", "KEY", KEY=KEY
    )
    assert done.returncode == 0, done.stderr
    assert "api-docs.deepseek.com" in done.stderr
    config = listed(instance)
    assert config["price_rules"]["hours"]["zone"] == "Asia/Shanghai"
    assert (config["input_price"], config["output_price"]) == (1, 2)


CONNECTION = (
    *("--header", "X-Title: reviews: all", "--header", "OpenAI-Project: p1"),
    *("--secret-header", "CF-Access-Client-Secret=CF", "--secret-query", "code=CF"),
    *("--query", "api-version=2024-10-21", "--auth", "api-key", "--stream", "always"),
    *("--service-tier", "flex", "--api-format", "openai", "--key-env", "KEY"),
)


def test_a_connection_from_the_command_line(instance):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        done = add(instance, endpoint.base_url, *CONNECTION, KEY=KEY, CF=SECRET)
        assert done.returncode == 0, done.stderr
        assert flask(instance, "test-config", "a").returncode == 0
        head, *_more = endpoint.heads
        config = listed(instance)
    line, *headers = head.split("\r\n")
    assert f"?api-version=2024-10-21&code={SECRET} " in line
    expected = ("X-Title: reviews: all", "OpenAI-Project: p1", f"api-key: {KEY}")
    assert set(headers) >= {*expected, f"CF-Access-Client-Secret: {SECRET}"}
    assert "Authorization" not in head
    assert config["headers"] == {"X-Title": "reviews: all", "OpenAI-Project": "p1"}
    assert config["secret_headers"] == {"CF-Access-Client-Secret": "••••6789"}
    assert config["query"] == {"api-version": "2024-10-21"}
    assert config["secret_query"] == {"code": "••••6789"}
    named = ("auth", "stream", "service_tier", "api_format", "max_tokens", "temperature")
    assert [config[name] for name in named] == ["api-key", "always", "flex", "openai", None, None]
    assert SECRET not in done.stdout + done.stderr
    if not postgres.CHOSEN:
        with sqlite3.connect(instance / "simple_batch.db") as database:
            assert SECRET not in "".join(database.iterdump())


def test_edit_config_changes_what_is_named_and_nothing_else(instance):
    add(instance, "http://x/v1", *CONNECTION, "--max-tokens", "9", "--rpm", "5", KEY=KEY, CF=SECRET)
    before = listed(instance)
    changed = edit(instance, "--header", "x-title: other", "--max-tokens", "", "--rpm", "7")
    headers = {"OpenAI-Project": "p1", "x-title": "other"}
    assert changed == {**before, "headers": headers, "max_tokens": None, "rpm": 7}
    options = (
        "--header",
        "X-Title:",
        "--header",
        "cf-access-client-secret:",
        "--query",
        "api-version=",
    )
    removed = edit(instance, *options, "--service-tier", "", "--stream", "", "--auth", "x-api-key")
    expected = {
        "headers": {"OpenAI-Project": "p1"},
        "secret_headers": {},
        "query": {},
        "service_tier": None,
        "stream": "auto",
        "auth": "x-api-key",
    }
    assert removed == {**changed, **expected}
    moved = edit(
        instance, "--secret-header", "openai-project=P", "--secret-query", "code=", P=SECRET
    )
    expected = {"headers": {}, "secret_headers": {"openai-project": "••••6789"}, "secret_query": {}}
    assert moved == {**removed, **expected}
    last = edit(
        instance,
        *(
            "--alias",
            "b",
            "--model",
            "m2",
            "--params",
            '{"top_p": 0.5}',
            "--notes",
            "n",
            "--no-key",
        ),
        "--inactive",
    )
    renamed = {"alias": "b", "model": "m2", "params": {"top_p": 0.5}, "notes": "n"}
    assert last == {**moved, **renamed, "key_last4": "", "active": False}


def test_a_key_and_secrets_stay_with_their_base_url(instance):
    add(
        instance, "http://x/v1", "--key-env", "KEY", "--secret-header", "X-A=CF", KEY=KEY, CF=SECRET
    )
    for options, said in (
        (("--base-url", "http://y/v1"), "Enter these secrets again, or remove them: X-A"),
        (("--base-url", "http://y/v1", "--secret-header", "X-A="), "Enter the key again"),
    ):
        done = flask(instance, "edit-config", "a", *options)
        assert done.returncode == 2
        assert said in done.stderr
    options = ("--base-url", "http://y/v1", "--secret-header", "X-A=CF", "--key-stdin")
    config = edit(instance, *options, stdin="sk-another-abcdefghij\n", CF=SECRET)
    assert (config["base_url"], config["key_last4"]) == ("http://y/v1", "ghij")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--header", "Host: x"), "the program sets it itself"),
        (("--header", SECRET), "Write a name and a value"),
        (("--header", "X-A:"), ""),
        (("--query", "a=1", "--query", "b=\x07"), "line breaks"),
        (("--secret-header", "X-A=NOT_SET"), "NOT_SET is not set"),
        (("--auth", "basic"), "bearer"),
        (("--stream", "maybe"), "always"),
        (("--params", "{"), "not valid JSON"),
        (("--key-stdin",), "The key is empty"),
        (("--key-env", "KEY", "--no-key"), "not both"),
        (("--provider", "deepsek"), "deepseek"),
        (("--provider", "openai", "--region", "moon"), "no region"),
        (("--region", "moon"), "--provider"),
    ],
)
def test_a_wrong_option_is_refused(instance, options, said):
    add(instance, "http://x/v1")
    before = listed(instance)
    done = flask(instance, "edit-config", "a", *options, stdin="", KEY=KEY)
    assert done.returncode == (2 if said and "deepseek" not in said else 1 if said else 0)
    assert said in done.stderr
    assert SECRET not in done.stderr
    assert listed(instance) == before


def test_the_gallery_fills_a_connection_in(instance):
    done = flask(
        instance,
        "add-config",
        "a",
        "--provider",
        "anthropic",
        "--model",
        "c",
        "--key-env",
        "K",
        K=KEY,
    )
    assert done.returncode == 0, done.stderr
    config = listed(instance)
    assert config["provider"] == "anthropic"
    assert config["base_url"].startswith("https://api.anthropic.com")
    assert (config["auth"], config["api_format"]) == ("x-api-key", "anthropic")
    assert "anthropic-version" in config["headers"]


HEADER = "The key is sent in the header {}; --auth changes that."
BEARER = "The key is sent as Authorization: Bearer; --auth changes that."


def auth_of_config() -> str:
    with connected():
        return configs.get("a").auth


def test_the_header_of_the_key_follows_the_api_format_and_is_said(app):
    runner = app.test_cli_runner(env={"K": KEY})
    new = ["add-config", "a", "--base-url", "http://127.0.0.1:9/v1", "--model", "m"]
    anthropic = ["--api-format", "anthropic"]
    assert HEADER.format("x-api-key") in runner.invoke(args=[*new, *anthropic]).stderr
    assert auth_of_config() == "x-api-key"
    for options, auth, said in (
        (["--api-format", "openai"], "bearer", BEARER),
        ([*anthropic, "--auth", "api-key"], "api-key", ""),
        (["--api-format", "openai"], "api-key", ""),  # it was chosen
        (["--rpm", "5"], "api-key", ""),
        (anthropic, "x-api-key", HEADER.format("x-api-key")),
        (["--api-format", ""], "bearer", BEARER),
    ):
        done = runner.invoke(args=["edit-config", "a", *options])
        assert done.exit_code == 0, done.output
        assert ("The key is sent" in done.stderr, said in done.stderr) == (bool(said), True)
        assert auth_of_config() == auth


def test_test_config_says_where_a_refused_key_is_sent(app, add_config):
    runner = app.test_cli_runner()
    with MisbehavingEndpoint(e.error(401, "Incorrect API key provided.")) as endpoint:
        add_config(endpoint.base_url, "a", auth="api-key", key=KEY)
        done = runner.invoke(args=["test-config", "a"])
        assert done.exit_code == 4
        assert "The key is sent in the header api-key. To change that:" in done.stderr
        assert "flask edit-config a --auth bearer|" in done.stderr
        assert f"api-key: {KEY}\r\n" in endpoint.heads[-1]
        assert runner.invoke(args=["edit-config", "a", "--no-key"]).exit_code == 0
        done = runner.invoke(args=["test-config", "a"])
        assert "flask edit-config a --key-stdin" in done.stderr


def test_a_provider_brings_its_prices_unless_others_are_given(instance):
    for options, expected in (((), 1.2), (("--output-price", "9", "--input-price", "8"), 9)):
        command = ("add-config", "a", "--provider", "deepseek", "--model", "deepseek-flash")
        done = flask(instance, *command, *options)
        assert done.returncode == 0, done.stderr
        assert listed(instance)["output_price"] == expected
        flask(instance, "remove-config", "a")


def test_what_is_missing_is_named(instance):
    for options, missing in (
        (("--model", "m"), "--base-url"),
        (("--base-url", "http://x/v1"), "--model"),
        (("--base-url", "http://x/v1", "--model", "m", "--header", "X-A:"), "has no value"),
        (("--base-url", "http://x/v1", "--model", "m", "--secret-query", "k="), "has no value"),
    ):
        done = flask(instance, "add-config", "a", *options)
        assert done.returncode == 2
        assert missing in done.stderr


def test_the_query_of_a_base_url_is_moved(instance):
    done = add(instance, f"http://x/openai?api-version=1&key={SECRET}", "--auth", "api-key")
    assert done.returncode == 0
    assert "Moved from the base URL to the query parameters: api-version, key." in done.stderr
    assert "Stored as secret because of the name: key." in done.stderr
    assert SECRET not in done.stderr
    config = listed(instance)
    assert (config["base_url"], config["query"]) == ("http://x/openai", {"api-version": "1"})
    assert config["secret_query"] == {"key": "••••6789"}


def test_settings_that_the_user_sets_are_the_defaults_of_new_configs(instance):
    settings = {"SIMPLE_BATCH_DEFAULT_MAX_TOKENS": "99", "SIMPLE_BATCH_DEFAULT_TEMPERATURE": "0.2"}
    add(instance, "http://x/v1", "--temperature", "0.5", **settings)
    assert [listed(instance)[name] for name in ("max_tokens", "temperature")] == [99, 0.5]


def test_a_job_paused_by_a_bad_key_is_fixed_and_resumed(instance, questions):
    with MisbehavingEndpoint(e.error(401, "Incorrect API key")) as endpoint:
        add(instance, endpoint.base_url, "--key-env", "KEY", KEY=KEY)
        stopped = flask(instance, "run-job", str(questions(3)), "--config", "a")
        assert stopped.returncode == 4, stopped.stderr
        endpoint.script[:] = [e.ok()]
        edit(instance, "--key-env", "KEY", KEY="sk-the-right-one-0123")
        resumed = flask(instance, "resume-job", "1")
        assert resumed.returncode == 0, resumed.stderr
        done = flask(instance, "run-job", "1")
        assert done.returncode == 0, done.stderr
        assert "Bearer sk-the-right-one-0123" in endpoint.heads[-1]
    (job,) = json.loads(flask(instance, "list-jobs", "--json").stdout)
    assert (job["status"], job["succeeded"]) == ("completed", 3)


def test_a_base_url_without_v1_is_said_with_the_command_that_changes_it(instance):
    with BelowV1(e.ok()) as endpoint:
        assert add(instance, endpoint.root, "--key-env", "K", K=KEY).returncode == 0
        failed = flask(instance, "test-config", "a", "--quick")
        command = f"flask edit-config a --base-url {endpoint.base_url}"
        assert (failed.returncode != 0, command in failed.stderr) == (True, True)
        assert listed(instance)["base_url"] == endpoint.root
        assert edit(instance, "--base-url", endpoint.base_url)["base_url"] == endpoint.base_url
        assert flask(instance, "test-config", "a", "--quick").returncode == 0
        assert f"Bearer {KEY}" in endpoint.heads[-1]
