"""add-config, list-configs, test-config, remove-config."""

import json
import os
import sys
from collections.abc import Callable

import click
import msgspec

from ..core.errors import InvalidInput
from ..services import adjusted_parameters, configs, price_texts, prices
from ..services.config_fields import FIELDS
from .base import ExitStatus, command, put, put_json, put_table, say
from .option_fields import options_of

_PRICES = (
    "input_price",
    "cached_input_price",
    "cache_write_price",
    "output_price",
    "reasoning_price",
)


def _config_options(function: Callable) -> Callable:
    for option in reversed(options_of(FIELDS.values())):
        function = option(function)
    return function


@command("add-config")
@click.argument("alias")
@click.option("--base-url", required=True, help="For example https://api.openai.com/v1.")
@click.option("--model", required=True)
@click.option("--key-env", metavar="VAR", help="Environment variable that holds the key.")
@click.option("--key-stdin", is_flag=True, help="Read the key from standard input.")
@_config_options
@click.option("--known-prices", is_flag=True, help="Use the prices of the built-in price table.")
def add_config(alias, base_url, model, key_env, key_stdin, known_prices, **fields):
    """Create an API config."""
    if known_prices:
        fields |= _known_prices(base_url, model, fields)
    fields["currency"] = fields["currency"] or "USD"
    config = configs.create(
        configs.ConfigFields(
            alias=alias,
            base_url=base_url,
            model=model,
            key=_key(key_env, key_stdin),
            **fields,
        )
    )
    say(f"Saved “{config.alias}” ({config.model} at {config.base_url}).")


def _known_prices(base_url: str, model: str, fields: dict) -> dict:
    """Prices and currency from the price table."""
    named = [name for name in _PRICES if fields[name] is not None]
    if named:
        option = named[0].replace("_", "-")
        raise click.UsageError(f"Give --known-prices or --{option}, not both.")
    currency = fields["currency"] or ""
    found = prices.known(base_url, model, currency)
    if found is None or (currency and found.currency != currency.upper()):
        wanted = f" in {currency.upper()}" if currency else ""
        raise InvalidInput(
            f"The price table has no price{wanted} for {model!r} at {base_url}: give --input-price "
            "and --output-price.",
            "input_price",
        )
    say(
        f"Prices from the price table of {found.date}: {found.input} in, {found.output} out, in "
        f"{found.currency} ({found.source}){'; ' if found.note else ''}{found.note}."
    )
    for rule in price_texts.rules_in_words(found.rules):
        say(f"  {rule}")
    return {
        "currency": found.currency,
        "price_rules": found.rules.to_json(),
        **{name: getattr(found, name[:-6]) for name in _PRICES},
    }


def _key(key_env: str | None, key_stdin: bool) -> str:
    if key_env and key_stdin:
        raise click.UsageError("Give --key-env or --key-stdin, not both.")
    if key_env:
        if not os.environ.get(key_env):
            raise InvalidInput(f"The environment variable {key_env} is not set.")
        return os.environ[key_env]
    if key_stdin:
        return sys.stdin.readline().strip()
    if sys.stdin.isatty():
        return click.prompt("Key (empty for none)", default="", hide_input=True, err=True)
    return ""


@command("list-configs")
@click.option("--json", "as_json", is_flag=True)
def list_configs(as_json):
    """List the API configs, without their keys."""
    found = configs.list_all()
    if as_json:
        put_json([_shown(config) for config in found])
        return
    if not found:
        say("No API configs yet: add one with flask add-config.")
        return
    put_table(
        ["alias", "model", "base URL", "key", "active"],
        [
            [
                config.alias,
                config.model,
                config.base_url,
                f"…{config.key_last4}" if config.key_last4 else "",
                "yes" if config.active else "no",
            ]
            for config in found
        ],
    )
    for config in found:
        for adjustment in adjusted_parameters.of_config(config):
            say(f"{config.alias}: {adjusted_parameters.named(adjustment)}")


def _shown(config) -> dict:
    fields = configs.fields_of(config)
    prices = {
        name: None if getattr(fields, name) is None else float(getattr(fields, name))
        for name in (*_PRICES, "day_cap", "month_cap")
    }
    return {
        "id": config.id,
        "alias": config.alias,
        "base_url": config.base_url,
        "model": config.model,
        "key_last4": config.key_last4,
        "max_tokens": config.max_tokens,
        "temperature": config.temperature,
        "timeout": config.timeout_s,
        "concurrency": config.concurrency,
        "rpm": config.rpm,
        "tpm": config.tpm,
        "params": fields.params,
        "adjustments": msgspec.to_builtins(adjusted_parameters.of_config(config)),
        "currency": config.currency,
        **prices,
        "price_rules": json.loads(config.price_rules),
        "active": config.active,
    }


@command("test-config")
@click.argument("alias")
def test_config(alias):
    """Make one small call with a config and print the result."""
    found = configs.test(configs.get(alias).id)
    if found.ok:
        put(f"ok: {found.message} ({found.latency_ms} ms)")
        return ExitStatus.DONE
    say(f"failed: {found.message}")
    return ExitStatus.CONFIGURATION


@command("remove-config")
@click.argument("alias")
def remove_config(alias):
    """Delete a config that no job uses."""
    configs.delete(configs.get(alias).id)
    say(f"Removed “{alias}”.")


COMMANDS = (add_config, list_configs, test_config, remove_config)
