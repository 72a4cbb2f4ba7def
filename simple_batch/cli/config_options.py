"""The options of add-config and edit-config, and what they change in the fields of a config."""

import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

import click

from ..core.domain import ApiFormat
from ..core.errors import InvalidInput
from ..core.json_faults import text_fault
from ..services import configs, connections, price_texts, prices, provider_gallery
from ..services.config_fields import FIELDS, usual_auth
from ..services.fields import Field, Kind
from ..services.header_lines import pair
from .base import say
from .option_fields import CLEARED, chosen, options_of

PRICES = (
    "input_price",
    "cached_input_price",
    "cache_write_price",
    "output_price",
    "reasoning_price",
)
_SECRET = "Name=ENV_VAR"  # noqa: S105 # nosec B105: a metavar


def config_options(clearable: bool) -> Callable:
    """Decorator that adds the options; ``clearable`` ones may be empty."""
    options = [
        click.option(
            "--provider", metavar="NAME", help="From flask list-providers: base URL, auth, headers."
        ),
        click.option("--region", metavar="NAME", help="Of the provider; default: its first."),
        click.option("--base-url", metavar="URL", help="For example https://api.openai.com/v1."),
        click.option("--model", metavar="NAME"),
        click.option("--key-env", metavar="VAR", help="Environment variable that holds the key."),
        click.option("--key-stdin", is_flag=True, help="Read the key from standard input."),
        _several("--header", "'Name: value'", "Sent with every call; repeatable."),
        _several("--secret-header", _SECRET, "The same, kept like a key; repeatable."),
        _several("--query", "k=v", "Query parameter of every call; repeatable."),
        _several("--secret-query", _SECRET, "The same, kept like a key; repeatable."),
        *options_of(FIELDS.values(), clearable),
        click.option("--params", metavar="JSON", help='More parameters, as {"top_p": 0.9}.'),
        click.option("--notes", metavar="TEXT"),
        click.option("--known-prices", is_flag=True, help="Use the built-in price table."),
    ]

    def decorate(function: Callable) -> Callable:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def _several(flag: str, metavar: str, text: str) -> Callable:
    return click.option(flag, multiple=True, metavar=metavar, help=text)


def apply(fields: configs.ConfigFields, options: dict[str, Any]) -> None:
    """Change the fields as the options say, and nothing else; an empty value removes. Raises
    InvalidInput, NotFound or click.UsageError."""
    if options["provider"]:
        _apply_provider(fields, options)
    elif options["region"]:
        raise click.UsageError("--region belongs to --provider.")
    before = fields.api_format
    for name in ("base_url", "model", "notes"):
        if options[name] is not None:
            setattr(fields, name, options[name])
    if options["params"] is not None:
        fields.params = _json(options["params"])
    for name, field in FIELDS.items():
        value = options.get(name) if field.flag else None
        if value is not None:
            setattr(fields, name, field.default if value is CLEARED else _value(field, value))
    if options["auth"] is None:
        _apply_usual_auth(fields, options["api_format"], before)
    _apply_pairs(fields.headers, fields.secret_headers, options["header"], ":", "headers")
    _apply_pairs(fields.query, fields.secret_query, options["query"], "=", "query")
    _apply_secrets(fields.headers, fields.secret_headers, options["secret_header"])
    _apply_secrets(fields.query, fields.secret_query, options["secret_query"])
    fields.key = key_of(options["key_env"], options["key_stdin"])
    for note in configs.put_in_place(fields):
        say(note)
    if options["known_prices"]:
        _apply_known_prices(fields, options)
    elif options["provider"]:
        _apply_prices_of_provider(fields, options["currency"])


def _apply_usual_auth(fields: configs.ConfigFields, given: Any, before: str) -> None:
    """Send the key as the API format does that is given: Anthropic's always, OpenAI's in place of the header
    of Anthropic's."""
    left = fields.api_format != before and fields.auth == usual_auth(before)
    if given == ApiFormat.ANTHROPIC or (given is not None and left):
        fields.auth = usual_auth(fields.api_format)
        say(f"The key is sent {key_place(fields.auth)}; --auth changes that.")


def key_place(auth: str) -> str:
    """Where a call has the key."""
    bearer = "as Authorization: Bearer"
    return {"bearer": bearer, "none": "nowhere"}.get(auth, f"in the header {auth}")


def _value(field: Field, value: Any) -> Any:
    return chosen(field, value) if field.kind is Kind.CHOICE else value


def _apply_provider(fields: configs.ConfigFields, options: dict[str, Any]) -> None:
    """What the gallery knows of a provider."""
    entry = provider_gallery.get(options["provider"])
    region = options["region"] or next(iter(entry.regions), "")
    if region and region not in entry.regions:
        raise InvalidInput(
            f"{entry.name} has no region {region!r}: {', '.join(entry.regions)}.", "region"
        )
    fields.base_url = entry.regions.get(region, "")
    for name, value in connections.given(entry).items():
        setattr(fields, name, value)
    fields.timeout_s = entry.timeout_s or fields.timeout_s
    fields.model = fields.model or entry.default_model
    if "{" in fields.base_url and options["base_url"] is None:
        raise click.UsageError(f"{entry.name} needs --base-url, as {fields.base_url}.")


def _apply_prices_of_provider(fields: configs.ConfigFields, currency: str | None) -> None:
    """What the price table knows, if no price was given, in the currency that is asked for; of a model that
    it does not have, what the gallery knows."""
    known = connections.known_price(fields.base_url, fields.model)
    if known is None:
        _apply_rules_of_provider(fields)
        return
    if fields.input_price is not None or fields.output_price is not None:
        return
    if currency and currency.upper() != known.currency:
        return
    for name, value in connections.price_fields(fields.base_url, fields.model).items():
        setattr(fields, name, value)
    say(
        f"Prices from the price table of {known.date}: {known.input} in, {known.output} out, in "
        f"{known.currency} ({known.source})."
    )


def _apply_rules_of_provider(fields: configs.ConfigFields) -> None:
    entry = provider_gallery.entry_of(fields.provider)
    rules = None if entry is None else entry.rules_of(fields.model)
    if rules is not None:
        fields.price_rules = rules.to_json()
        say(f"Price rules of {rules.date} ({rules.source}):")
        for rule in price_texts.rules_in_words(rules):
            say(f"  {rule}")


def _apply_pairs(plain: dict, secret: dict, given: Iterable[str], mark: str, field: str) -> None:
    """A name with an empty value is removed, also among the secrets."""
    for text in given:
        name, value = pair(text, mark, field)
        _remove(plain, secret, name)
        if value:
            plain[name] = value


def _apply_secrets(plain: dict, secret: dict, given: Iterable[str]) -> None:
    """The value is in the environment variable that is named."""
    for text in given:
        name, variable = pair(text, "=", "secrets")
        _remove(plain, secret, name)
        if variable:
            secret[name] = of_environment(variable)


def _remove(plain: dict, secret: dict, name: str) -> None:
    for pairs in (plain, secret):
        for known in [it for it in pairs if it.lower() == name.lower()]:
            del pairs[known]
    secret[name] = None


def of_environment(variable: str) -> str:
    """The value of an environment variable. Raises InvalidInput where it is not set."""
    if not os.environ.get(variable):
        raise InvalidInput(f"The environment variable {variable} is not set.")
    return os.environ[variable]


def key_of(key_env: str | None, key_stdin: bool) -> str | None:
    """The key that is given; None where none is. Raises InvalidInput for an empty one."""
    if key_env and key_stdin:
        raise click.UsageError("Give --key-env or --key-stdin, not both.")
    if key_env:
        return of_environment(key_env)
    return sys.stdin.readline().strip() if key_stdin else None


def _json(text: str) -> dict:
    try:
        return json.loads(text or "{}")
    except (ValueError, RecursionError):
        raise InvalidInput(
            f"--params: not valid JSON: {text_fault(text) or ''}", "params"
        ) from None


def _apply_known_prices(fields: configs.ConfigFields, options: dict[str, Any]) -> None:
    """Prices and currency from the price table."""
    named = [name for name in PRICES if options[name] is not None]
    if named:
        option = named[0].replace("_", "-")
        raise click.UsageError(f"Give --known-prices or --{option}, not both.")
    currency = (options["currency"] or "") if options["currency"] is not CLEARED else ""
    found = prices.known(fields.base_url, fields.model, currency)
    if found is None or (currency and found.currency != currency.upper()):
        wanted = f" in {currency.upper()}" if currency else ""
        raise InvalidInput(
            f"The price table has no price{wanted} for {fields.model!r} at {fields.base_url}: give "
            "--input-price and --output-price.",
            "input_price",
        )
    say(
        f"Prices from the price table of {found.date}: {found.input} in, {found.output} out, in "
        f"{found.currency} ({found.source}){'; ' if found.note else ''}{found.note}."
    )
    fields.currency = found.currency
    for name in PRICES:
        setattr(fields, name, getattr(found, name.removesuffix("_price")))
    fields.price_rules = found.rules.to_json()
    for rule in price_texts.rules_in_words(found.rules):
        say(f"  {rule}")
