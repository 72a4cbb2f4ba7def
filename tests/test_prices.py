"""The price table: the included one is complete, found by base URL and model, and overridden by the
user's own."""

import os
import time
import tomllib
from decimal import Decimal
from urllib.parse import urlsplit

import pytest

from simple_batch.core.errors import ConfigurationError
from simple_batch.services import prices

OWN = """
[[price]]
provider = "Mine"
host = "{host}"
models = ["{model}"]
currency = "EUR"
input = {price}
output = 2
date = "2026-01-31"
source = "https://example.com/prices"
"""


def write_own(settings, host="api.openai.com", model="gpt-5*", price='"1.5"', more="") -> None:
    text = OWN.format(host=host, model=model, price=price) + more
    (settings.instance / prices.OWN).write_text(text)


def test_every_price_that_ships_says_when_and_where_it_was_found(db):
    shipped = prices.table()
    assert len(shipped) >= 30
    for price in shipped:
        assert urlsplit(price.source).scheme == "https"
        assert "2025-01" <= price.date[:7] <= "2027-12"
        assert price.cached_input is None or price.cached_input < price.input < price.output
        assert price.cache_write is None or price.cache_write == price.input * Decimal("1.25")
        for model in price.models:  # none hides another
            plain = model.replace("*", "26-01-01")
            alike = [one for one in shipped if one.is_of(price.host, plain)]
            assert [one for one in alike if one.currency == price.currency] == [price]


@pytest.mark.parametrize(
    ("base_url", "model", "currency", "expected"),
    [
        ("https://api.openai.com/v1", "gpt-4.1-mini", "USD", ("USD", "0.4", "1.6")),
        ("https://api.openai.com/v1", "gpt-4.1-mini-2025-04-14", "", ("USD", "0.4", "1.6")),
        ("https://API.DeepSeek.com/v1", " deepseek-flash ", "cny", ("CNY", "2", "8")),
        ("https://api.deepseek.com", "deepseek-flash", "USD", ("USD", "0.3", "1.2")),
        ("https://api.deepseek.com", "deepseek-flash", "EUR", ("USD", "0.3", "1.2")),
    ],
)
def test_a_price_is_found_by_host_and_model(db, base_url, model, currency, expected):
    found = prices.known(base_url, model, currency)
    assert (found.currency, found.input, found.output) == (
        expected[0],
        Decimal(expected[1]),
        Decimal(expected[2]),
    )


@pytest.mark.parametrize(
    ("base_url", "model"),
    [
        ("https://api.openai.com/v1", "gpt-4.1-mini-of-mine"),
        ("https://openrouter.ai/api/v1", "gpt-4.1-mini"),
        ("https://api.openai.com.evil.example/v1", "gpt-4.1-mini"),
        ("http://[broken", "gpt-4.1-mini"),
        ("", ""),
    ],
)
def test_what_is_not_known_is_none(db, base_url, model):
    assert prices.known(base_url, model) is None


def test_the_users_own_table_comes_first(db):
    write_own(db)
    found = prices.known("https://api.openai.com/v1", "gpt-5-mini")
    assert (found.provider, found.currency, found.input) == ("Mine", "EUR", Decimal("1.5"))
    assert prices.known("https://api.openai.com/v1", "gpt-5-mini", "USD").provider == "OpenAI"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"price": '"cheap"'}, "price"),
        ({"price": "-1"}, "-1"),
        ({"more": "surprise = 1\n"}, "surprise"),
        ({"more": "[["}, "at end of document"),
    ],
)
def test_a_broken_own_price_table_is_reported_with_its_file(db, change, expected):
    write_own(db, **change)
    with pytest.raises(ConfigurationError, match=r"prices\.toml") as broken:
        prices.known("https://api.openai.com/v1", "gpt-5")
    assert expected in str(broken.value)


def age(settings, seconds: float) -> None:
    """Let the own table be that old."""
    path = settings.instance / prices.OWN
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


def test_a_table_is_parsed_again_only_once_it_has_changed(db, monkeypatch):
    read = []
    loads = tomllib.loads
    monkeypatch.setattr(tomllib, "loads", lambda text: read.append(text) or loads(text))
    prices.table()
    write_own(db)
    age(db, 60)
    assert prices.table()[0].input == Decimal("1.5")
    read.clear()
    assert prices.table()[0].input == Decimal("1.5")
    assert read == []
    write_own(db, price='"9.5"')  # as long as it was
    age(db, 50)
    assert prices.table()[0].input == Decimal("9.5")
    now = time.time()
    for price in ("7.5", "6.5"):  # two changes within a tick of the clock of the file system
        write_own(db, price=f'"{price}"')
        os.utime(db.instance / prices.OWN, (now, now))
        assert prices.table()[0].input == Decimal(price)
    for _ in range(2):
        write_own(db, more="[[")
        age(db, 60)
        with pytest.raises(ConfigurationError, match="at end of document"):
            prices.table()
    (db.instance / prices.OWN).unlink()
    assert prices.table()[0].provider != "Mine"
