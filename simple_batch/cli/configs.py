"""add-config, edit-config, list-configs, test-config, remove-config."""

import json
import sys
from collections.abc import Iterator
from shlex import quote

import click
import msgspec

from ..core.domain import Cause
from ..core.errors import ConfigurationError, InvalidInput
from ..services import adjusted_parameters, configs
from .base import ExitStatus, command, counted, put, put_json, put_table, say
from .config_options import PRICES, apply, config_options, key_place


@command("add-config")
@click.argument("alias")
@config_options(clearable=False)
def add_config(alias, **options):
    """Create a connection."""
    fields = configs.ConfigFields(alias=alias, base_url="", model="", **configs.initial_values())
    _refuse_empty(options)
    apply(fields, options)
    for option, value in (("--base-url", fields.base_url), ("--model", fields.model)):
        if not value:
            raise click.UsageError(f"Missing option '{option}'.")
    if fields.key is None and fields.auth != "none":
        fields.key = _asked_key()
    config = configs.create(fields)
    say(f"Saved “{config.alias}” ({config.model} at {config.base_url}).")


def _refuse_empty(options: dict) -> None:
    """A new config has nothing that an empty value could remove."""
    for name, mark in (
        ("header", ":"),
        ("secret_header", "="),
        ("query", "="),
        ("secret_query", "="),
    ):
        for text in options[name]:
            if text.strip().endswith(mark) and text.count(mark) == 1:
                raise click.UsageError(f"--{name.replace('_', '-')} {text.strip()} has no value.")


def _asked_key() -> str:
    if not sys.stdin.isatty():
        return ""
    return click.prompt("Key (empty for none)", default="", hide_input=True, err=True)


@command("edit-config")
@click.argument("alias")
@click.option("--alias", "new_alias", metavar="NAME", help="Rename the connection.")
@click.option("--no-key", is_flag=True, help="Delete the stored key.")
@click.option("--active/--inactive", default=None, help="Offer it for new jobs, or don't.")
@click.option(
    "--forget-adjustments",
    is_flag=True,
    help="Send the parameters that its models reject as they were; list-configs shows them.",
)
@config_options(clearable=True)
def edit_config(alias, new_alias, no_key, active, forget_adjustments, **options):
    """Change what is named of a connection. An empty value removes one: --max-tokens '',
    --header 'X-Title:', --secret-header 'X-Token='."""
    config = configs.get(alias)
    fields = configs.fields_of(config)
    apply(fields, options)
    if no_key and fields.key is not None:
        raise click.UsageError("Give a key or --no-key, not both.")
    if fields.key == "":
        raise InvalidInput("The key is empty. --no-key deletes the stored one.", "key")
    fields.remove_key = no_key
    if new_alias is not None:
        fields.alias = new_alias
    if active is not None:
        fields.active = active
    config = configs.update(config.id, fields)
    if forget_adjustments:
        count = adjusted_parameters.forget(config.id)
        say(f"Forgot {counted(count, 'adjustment')} of parameters.")
    say(f"Saved “{config.alias}” ({config.model} at {config.base_url}).")


@command("list-configs")
@click.option("--json", "as_json", is_flag=True)
def list_configs(as_json):
    """List the connections, without their keys."""
    found = configs.list_all()
    if as_json:
        put_json([_shown(config) for config in found])
        return
    if not found:
        say("No connections yet: add one with flask add-config.")
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
        for name in (*PRICES, "day_cap", "month_cap")
    }
    return {
        "id": config.id,
        "alias": config.alias,
        "provider": config.provider,
        "base_url": config.base_url,
        "model": config.model,
        "key_last4": config.key_last4,
        "auth": config.auth,
        "api_format": config.api_format,
        "headers": fields.headers,
        "query": fields.query,
        **_masked(config),
        "stream": config.stream,
        "service_tier": config.service_tier,
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
        "batch_discount": config.batch_discount,
        "notes": config.notes,
        "active": config.active,
    }


def _masked(config) -> dict[str, dict[str, str] | None]:
    """The secret headers and query parameters with their last characters; None where no key opens
    them."""
    places = "headers", "query"
    try:
        stored = configs.secrets_shown(config)
    except ConfigurationError:
        return {f"secret_{place}": None for place in places}
    return {
        f"secret_{place}": {it.name: it.masked for it in stored if it.place == place}
        for place in places
    }


@command("test-config")
@click.argument("alias")
@click.option("--quick", is_flag=True, help="One call only.")
@click.option("--json", "as_json", is_flag=True)
def test_config(alias, quick, as_json):
    """Make a few small calls with a connection: does it answer, and what does its model accept?"""
    config = configs.get(alias)
    found = configs.Report(configs.test(config.id), 1) if quick else configs.report(config.id)
    result = found.result
    if as_json:
        put_json(_report(found))
    elif result.ok:
        put(f"ok: {result.message} ({result.latency_ms} ms)")
        for line in _report_lines(found):
            put(line)
    else:
        say(f"failed: {result.message}")
        if result.cause is Cause.AUTH:
            _say_key_place(config)
        if result.suggested_url:
            say(f"It answers under {result.suggested_url}. To use that:")
            say(f"    flask edit-config {quote(alias)} --base-url {quote(result.suggested_url)}")
    return ExitStatus.DONE if result.ok else ExitStatus.CONFIGURATION


def _say_key_place(config) -> None:
    """What to look at where the endpoint does not accept the key."""
    if not config.key_encrypted:
        say("The connection has no key. To give it one:")
        say(f"    flask edit-config {quote(config.alias)} --key-stdin")
    else:
        say(f"The key is sent {key_place(config.auth)}. To change that:")
        say(f"    flask edit-config {quote(config.alias)} --auth bearer|api-key|x-api-key|none")


def _report(found: configs.Report) -> dict:
    return {
        "ok": found.result.ok,
        "message": str(found.result.message),
        "latency_ms": found.result.latency_ms,
        "model": found.result.model,
        "suggested_base_url": found.result.suggested_url or None,
        "rejected": [{"parameter": it.name, "message": it.message} for it in found.rejected],
        "schema": None if found.schema is None else found.schema.accepted,
        "stream": None if found.stream is None else found.stream.accepted,
        "first_token_ms": found.first_token_ms,
        "calls": found.calls,
    }


def _report_lines(found: configs.Report) -> Iterator[str]:
    """What the further calls showed; nothing where there were none."""
    if found.schema is None or found.stream is None:
        return
    yield f"model: {found.result.model}"
    for it in found.parameters:
        yield f"{it.name}: {_word(it)}"
    yield f"JSON Schema: {_word(found.schema)}"
    first = "" if found.first_token_ms is None else f", first token after {found.first_token_ms} ms"
    yield f"streams: {_word(found.stream)}{first}"
    yield f"calls made: {found.calls}"


def _word(found: configs.Capability) -> str:
    words = {True: "accepted", False: "rejected", None: "unknown"}
    return f"{words[found.accepted]}{f' ({found.message})' if found.message else ''}"


@command("remove-config")
@click.argument("alias")
def remove_config(alias):
    """Delete a connection that no job uses."""
    configs.delete(configs.get(alias).id)
    say(f"Removed “{alias}”.")


COMMANDS = (add_config, edit_config, list_configs, test_config, remove_config)
