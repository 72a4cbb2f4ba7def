"""Makes API configs from entries of the gallery."""

import msgspec

from ..core import context
from ..core.domain import Endpoint
from ..core.errors import ConfigurationError, InvalidInput
from ..core.messages import translatable
from ..engine import probe
from ..store.configs import endpoint_of
from ..store.models import ApiConfig
from . import configs, other_base_urls, prices
from .config_fields import ConfigFields
from .provider_gallery import GalleryEntry

MAX_ALIAS = 100


class Connection(msgspec.Struct, kw_only=True):
    """What a user enters to connect to a provider; an empty ``alias`` is made of both names. ``more`` are
    all other fields, where a user saw them: their currency is empty if it was not chosen."""

    entry: GalleryEntry
    base_url: str
    model: str
    key: str = ""
    alias: str = ""
    more: ConfigFields | None = None

    def fields(self) -> ConfigFields:
        """The config, with the prices that the table knows. Raises InvalidInput naming the field."""
        if self.entry.needs_key and not self.key.strip():
            raise InvalidInput(translatable("API key: it is required."), "key")
        if "{" in self.base_url:
            raise InvalidInput(
                translatable(
                    "Base URL: replace %(place)s with the name of yours.",
                    place=self.base_url[self.base_url.index("{") :].partition("}")[0] + "}",
                ),
                "base_url",
            )
        model = self.model.strip()
        fields = msgspec.structs.replace(
            self.more or usual_fields(self.entry),
            alias=self.alias.strip() or _unused_alias(self.entry, model),
            base_url=self.base_url,
            model=model,
            key=self.key.strip(),
        )
        _fill_prices_in(fields, self.entry)
        return fields


def connect(connection: Connection) -> ApiConfig:
    """Store the config. Raises InvalidInput naming the field."""
    return configs.create(connection.fields())


def usual_fields(entry: GalleryEntry) -> ConfigFields:
    """Those of a new connection to a provider, without name, base URL, key and model. The currency is
    empty: it is that of the price table."""
    return ConfigFields(
        alias="",
        base_url="",
        model="",
        timeout_s=entry.timeout_s,
        currency="",
        **configs.initial_values(),
        **given(entry),
    )


def _fill_prices_in(fields: ConfigFields, entry: GalleryEntry) -> None:
    """Prices of the table where none was entered, and no other currency was chosen. If the table lacks the
    model: what the provider's prices depend on."""
    found = price_fields(fields.base_url, fields.model)
    if not found:
        for name, value in rule_fields(entry, fields.model).items():
            setattr(fields, name, value)
    entered = any(getattr(fields, name) is not None for name in found if name.endswith("_price"))
    chosen = fields.currency.strip().upper()
    if found and not entered and chosen in ("", found["currency"]):
        for name, value in found.items():
            setattr(fields, name, value)
    fields.currency = fields.currency.strip() or "USD"


def models(connection: Connection) -> list[str]:
    """The endpoint's own list of models. Raises InvalidInput, and ConfigurationError saying why there is
    none."""
    return probe.list_models(_endpoint(connection), context.settings())


def listing_url(connection: Connection, error: ConfigurationError) -> str:
    """The base URL whose list of models is answered where this one refused it; empty if there is none."""
    return other_base_urls.listing(_endpoint(connection), error)


def known_price(base_url: str, model: str) -> prices.KnownPrice | None:
    """What the price table knows; None also where the user's own table is broken, which the page of the
    prices reports."""
    try:
        return prices.known(base_url, model)
    except ConfigurationError:
        return None


def price_fields(base_url: str, model: str) -> dict:
    """The fields of a config that the price table fills in; none where it does not know the model."""
    known = known_price(base_url, model)
    if known is None:
        return {}
    return {
        "currency": known.currency,
        "input_price": known.input,
        "cached_input_price": known.cached_input,
        "cache_write_price": known.cache_write,
        "output_price": known.output,
        "reasoning_price": known.reasoning,
        "price_rules": known.rules.to_json(),
    }


def rule_fields(entry: GalleryEntry, model: str) -> dict:
    """The field of a config that the gallery fills in where the price table does not know the model: what
    its prices depend on, for prices that the user enters. None where that is not known."""
    rules = entry.rules_of(model)
    return {} if rules is None else {"price_rules": rules.to_json()}


def _endpoint(connection: Connection) -> Endpoint:
    if not connection.model.strip():
        connection = msgspec.structs.replace(connection, model="-")
    return endpoint_of(configs.unsaved(connection.fields()), context.vault())


def given(entry: GalleryEntry) -> dict:
    """The fields of a config that the entry fills in."""
    return {
        "provider": "" if entry.id == "custom" else entry.id,
        "api_format": str(entry.api_format),
        "auth": str(entry.auth),
        "headers": dict(entry.headers),
        "query": dict(entry.query),
        "stream": str(entry.stream),
    }


def _unused_alias(entry: GalleryEntry, model: str) -> str:
    """Provider and model, with a number where another config has that name."""
    name = f"{entry.name.partition(' (')[0]} {model}"[: MAX_ALIAS - 4]
    taken = {config.alias for config in configs.list_all()}
    numbered = (f"{name} {number}" for number in range(2, len(taken) + 3))
    return next(one for one in (name, *numbered) if one not in taken)
