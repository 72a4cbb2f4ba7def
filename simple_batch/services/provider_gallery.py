"""The gallery: what is known of each provider, as found stated on a date at a source.

``data/providers.toml`` holds the entries. Connections are made from them (pages, ``add-config
--provider``); a connection keeps its own copy of what it was given.
"""

import re
import tomllib
from fnmatch import fnmatchcase
from functools import cache
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from ..core.data_files import data_file
from ..core.domain import ApiFormat, Auth, StreamMode
from ..core.errors import NotFound
from ..core.messages import translatable
from ..core.nearest_name import near
from ..core.price_rules import PriceRules
from ..engine.batch_api.profiles import BatchProfile

SHIPPED = data_file("providers.toml")
CHAT = "/v1/chat/completions"
Group = Literal["models", "china", "hosts", "local"]


class ParameterRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What models whose names match ``models`` (with ``*``) do with a parameter, as an adjustment:
    it is renamed to ``to``, left out, or ``system`` messages become ``developer`` ones."""

    models: list[str]
    parameter: str
    action: Literal["rename", "leave_out", "developer_role"]
    to: str | None = None
    source: str = ""

    def is_of(self, model: str) -> bool:
        """Whether the rule is about this model."""
        return any(fnmatchcase(model, name) for name in self.models)


class ModelRules(PriceRules, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the prices of the models whose names match ``models`` (with ``*``) depend on."""

    models: list[str]

    @property
    def rules(self) -> PriceRules:
        """The same without the names."""
        return PriceRules(*(getattr(self, name) for name in PriceRules.__struct_fields__))


class PromptCache(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requests may have a ``prompt_cache_key``, of which each is good for ``key_rpm`` calls a minute
    (None: any number), and ``breakpoints`` where the model has them (engine/prompt_caching.py)."""

    key_rpm: int | None = None
    breakpoints: bool = False
    source: str = ""


class GalleryEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider. ``regions`` maps names to base URLs, the usual one first; a base URL may hold
    places to fill in, as ``{resource}``. ``endpoints`` are paths of OpenAI's API. ``tried`` is False
    where no call was made to the real service. ``date`` is the day on which ``source`` (a URL, or a
    page of these docs) was read."""

    id: str
    name: str
    name_zh: str = ""  # on Chinese pages; empty: the same
    group: Group
    regions: dict[str, str]
    source: str
    date: str
    key_page: str = ""
    needs_key: bool = True
    auth: Auth = Auth.BEARER
    api_format: ApiFormat = ApiFormat.OPENAI
    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    params: list[ParameterRule] = []
    batch: BatchProfile | None = None
    prompt_cache: PromptCache | None = None
    tiers: list[str] = []
    price_rules: list[ModelRules] = []
    stream: StreamMode = StreamMode.AUTO
    timeout_s: float | None = None  # where the usual one is too short
    endpoints: tuple[str, ...] = (CHAT,)  # none: it answers batches only
    default_model: str = ""
    embedding_model: str = ""  # of a provider whose embeddings are OpenAI's
    local_ports: list[int] = []
    quirks: list[str] = []
    further_sources: list[str] = []
    tried: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.id):
            raise ValueError(f"id {self.id!r} is not lower-case letters, digits, dots and hyphens")
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", self.date):
            raise ValueError(f"date {self.date!r} is not like 2026-11-24")

    def named(self, language: str) -> str:
        """Its name on pages in a language."""
        return self.name_zh if language == "zh" and self.name_zh else self.name

    @property
    def base_url(self) -> str:
        """The usual base URL; empty for an endpoint of the user's own."""
        return next(iter(self.regions.values()), "")

    def rules_of(self, model: str) -> PriceRules | None:
        """What the prices of a model depend on; None where no source says it."""
        found = (
            it for it in self.price_rules if any(fnmatchcase(model, name) for name in it.models)
        )
        rules = next(found, None)
        return None if rules is None else rules.rules

    @property
    def host(self) -> str:
        """The host of the usual base URL, with its port where that is not the scheme's."""
        return urlsplit(self.base_url).netloc

    @property
    def is_local(self) -> bool:
        """Whether it usually runs on the user's machine."""
        return bool(self.local_ports)

    @property
    def asks_base_url(self) -> bool:
        """Whether the user has to give, or often changes, the base URL."""
        return self.is_local or not self.base_url or "{" in self.base_url


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    provider: list[GalleryEntry]


def get(name: str) -> GalleryEntry:
    """The entry with this id, whatever the case. Raises NotFound, with the nearest id."""
    wanted = name.strip().lower()
    entries = _entries()
    if wanted in entries:
        return entries[wanted]
    nearest = near(wanted, entries)
    if nearest is None:
        raise NotFound(
            translatable("There is no provider %(name)r. See flask list-providers.", name=name)
        )
    raise NotFound(
        translatable(
            "There is no provider %(name)r; the nearest is %(nearest)r. See flask list-providers.",
            name=name,
            nearest=nearest,
        )
    )


def all() -> list[GalleryEntry]:
    """All entries, in the order of the gallery."""
    return list(_entries().values())


def entry_of(provider: str) -> GalleryEntry | None:
    """The entry that a config names as its provider; None for a custom one."""
    return _entries().get(provider)


def path_of_test(provider: str) -> str:
    """The path that a test of a config calls: chat completions where the provider has them, empty where
    it answers no single calls."""
    entry = _entries().get(provider)
    if entry is None or CHAT in entry.endpoints:
        return CHAT
    return next(iter(entry.endpoints), "")


@cache
def _entries() -> dict[str, GalleryEntry]:
    table = msgspec.convert(tomllib.loads(SHIPPED.read_text("utf-8")), _Table)
    return {entry.id: entry for entry in table.provider}
