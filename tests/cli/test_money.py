"""Prices and spend caps on the command line."""

import json

import pytest

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from ..process import flask

DEEPSEEK = ("--base-url", "https://api.deepseek.com/v1", "--model", "deepseek-flash")


def test_known_prices_are_taken_from_the_table_when_asked_for(instance):
    done = flask(instance, "add-config", "a", *DEEPSEEK, "--known-prices")
    assert done.returncode == 0, done.stderr
    assert "price table of 2026-11-15" in done.stderr
    assert "api-docs.deepseek.com" in done.stderr
    done = flask(instance, "add-config", "b", *DEEPSEEK, "--known-prices", "--currency", "cny")
    assert done.returncode == 0, done.stderr
    flask(instance, "add-config", "c", *DEEPSEEK)
    first, second, third = json.loads(flask(instance, "list-configs", "--json").stdout)
    names = ("currency", "input_price", "cached_input_price", "output_price")
    assert [first[name] for name in names] == ["USD", 0.3, 0.006, 1.2]
    assert [second[name] for name in names] == ["CNY", 2.0, 0.04, 8.0]
    assert [third[name] for name in names] == ["USD", None, None, None]


def test_a_cache_write_price_is_given_or_taken_from_the_table(instance):
    openai = ("--base-url", "https://api.openai.com/v1", "--model", "gpt-6-sol")
    prices = ("--input-price", "4", "--output-price", "9", "--cache-write-price", "5.5")
    for alias, options in (("a", ("--known-prices",)), ("b", prices), ("c", prices[:4])):
        done = flask(instance, "add-config", alias, *openai, *options)
        assert done.returncode == 0, done.stderr
    found = json.loads(flask(instance, "list-configs", "--json").stdout)
    assert [config["cache_write_price"] for config in found] == [2.5, 5.5, None]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((*DEEPSEEK, "--known-prices", "--input-price", "1"), "--input-price"),
        ((*DEEPSEEK, "--known-prices", "--currency", "EUR"), "EUR"),
        (("--base-url", "http://x/v1", "--model", "m", "--known-prices"), "has no price"),
        ((*DEEPSEEK, "--day-cap", "5"), "Daily spend cap"),
        ((*DEEPSEEK, "--known-prices", "--month-cap", "0"), "Monthly spend cap"),
    ],
)
def test_what_is_refused(instance, options, expected):
    done = flask(instance, "add-config", "a", *options)
    assert done.returncode == 2
    assert expected in done.stderr


def test_a_job_pauses_at_its_cap_and_goes_on_when_it_is_raised(instance, questions):
    with MisbehavingEndpoint(e.ok()) as endpoint:
        prices = ("--input-price", "100000", "--output-price", "100000")  # a row costs 1
        where = ("--base-url", endpoint.base_url, "--model", "m", "--concurrency", "1")
        done = flask(instance, "add-config", "a", *where, *prices, "--month-cap", "7")
        assert done.returncode == 0, done.stderr
        rows = str(questions(9))
        done = flask(instance, "run-job", rows, "--config", "a", "--spend-cap", "4")
        assert done.returncode == 1
        assert "spend cap of 4.00 USD is reached" in done.stderr
        assert endpoint.calls == 4
        again = flask(instance, "run-job", "1")
        assert again.returncode == 1
        assert "Settings" in again.stderr
        assert flask(instance, "resume-job", "1").returncode == 1
        raised = flask(instance, "resume-job", "1", "--spend-cap", "5")
        assert raised.returncode == 0, raised.stderr
        assert "spend cap of 5.00 USD" in flask(instance, "run-job", "1").stderr
        assert endpoint.calls == 5
        done = flask(instance, "run-job", rows, "--config", "a")
        assert "monthly spend cap of 7.00 USD" in done.stderr
        assert endpoint.calls == 7
