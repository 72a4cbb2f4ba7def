"""The price table: what providers ask, as found stated on a date at a source. It is offered, never
silently applied: prices move, and each API config keeps its own.

``instance/prices.toml``, in the same form, is asked before the table that ships.
"""

import re
import tomllib
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from ..core import context
from ..core.data_files import FileState, data_file, file_state
from ..core.errors import ConfigurationError
from ..core.messages import translatable
from ..core.price_rules import HourRates, LongContext, PriceRules, Rate

SHIPPED = data_file("prices.toml")
OWN = "prices.toml"
_FILES = 8  # that are kept parsed


class KnownPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Per million tokens in units of ``currency``; ``cached_input``, ``cache_write`` and ``reasoning``
    None where none is named: then as input and as output. ``tiers``, ``batch``, ``long_context``,
    ``hours`` and ``cache_write_1h`` are what core/price_rules.py says. ``models`` may hold ``*``; ``date`` is a day or a month."""

    provider: str
    host: str
    models: list[str]
    currency: str
    input: Decimal
    output: Decimal
    date: str
    source: str
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    reasoning: Decimal | None = None
    tiers: dict[str, Rate] = {}
    batch: Decimal | None = None
    long_context: tuple[LongContext, ...] = ()
    hours: HourRates | None = None
    cache_write_1h: Decimal | None = None
    note: str = ""

    def __post_init__(self):
        if not re.fullmatch(r"\d{4}-\d\d(-\d\d)?", self.date):
            raise ValueError(f"date {self.date!r} is not like 2026-11-24")
        if not re.fullmatch("[A-Z]{3}", self.currency):
            raise ValueError(f"currency {self.currency!r} is not three letters")
        further = self.cached_input, self.cache_write, self.reasoning
        for price in (self.input, self.output, *further):
            if price is not None and (not price.is_finite() or price < 0):
                raise ValueError(f"{price} is no price")

        self.rules  # noqa: B018 - raises ValueError where they do not go together

    @property
    def rules(self) -> PriceRules:
        """What the prices depend on."""
        return PriceRules(
            self.tiers,
            self.batch,
            self.long_context,
            self.hours,
            self.cache_write_1h,
            self.date,
            self.source,
        )

    def is_of(self, host: str, model: str) -> bool:
        return self.host == host and any(fnmatchcase(model, name) for name in self.models)


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    price: list[KnownPrice] = []


def known(base_url: str, model: str, currency: str = "") -> KnownPrice | None:
    """The price of a model at an endpoint; where there are several, the one in ``currency``. None
    where the table does not know it. Raises ConfigurationError where the user's own is broken."""
    try:
        host = urlsplit((base_url or "").strip()).hostname
    except ValueError:
        host = None
    if not host:
        return None
    found = [price for price in table() if price.is_of(host, (model or "").strip())]
    in_currency = [price for price in found if price.currency == currency.upper()]
    return next(iter(in_currency or found), None)


def table() -> list[KnownPrice]:
    """All prices, the user's own first. Raises ConfigurationError."""
    return [*_read(context.settings().instance / OWN), *_read(SHIPPED)]


def _read(path: Path) -> tuple[KnownPrice, ...]:
    """The prices of a file, which is parsed again only once it has changed."""
    try:
        state = file_state(path)
        return (_parsed if state.settled else _parse)(path, state)
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            translatable("%(path)s: %(error)s.", path=path, error=error)
        ) from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigurationError(
            translatable(
                "%(path)s: %(error)s. Correct the file or remove it.", path=path, error=error
            )
        ) from None


def _parse(path: Path, _state: FileState) -> tuple[KnownPrice, ...]:
    table = tomllib.loads(path.read_text("utf-8"))
    return tuple(msgspec.convert(table, _Table, strict=False).price)


_parsed = lru_cache(_FILES)(_parse)  # errors are not kept
