"""The gallery: each entry says where its facts are from, and a misspelt name is answered with the
nearest."""

from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from simple_batch.core.domain import ApiFormat, Auth
from simple_batch.core.errors import NotFound
from simple_batch.services import prices, provider_gallery

ROOT = Path(__file__).parent.parent
ENTRIES = provider_gallery.all()
NAMED = (
    "openai azure azure-dated anthropic gemini mistral xai deepseek dashscope dashscope-batch-chat "
    "zhipu moonshot volcengine minimax siliconflow openrouter groq together fireworks cerebras "
    "perplexity huggingface nvidia ollama vllm sglang lmstudio llama.cpp litellm simple-batch custom"
)


def test_the_gallery_has_every_provider_once():
    ids = [entry.id for entry in ENTRIES]
    assert sorted(ids) == sorted(NAMED.split())
    assert len({entry.name for entry in ENTRIES}) == len(ids)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_an_entry_says_when_and_where_its_facts_were_found(entry):
    sources = [entry.source, *entry.further_sources]
    sources += [rule.source for rule in entry.params]
    sources += [rules.source for rules in entry.price_rules]
    assert all(rules.date[:7] >= "2026-11" for rules in entry.price_rules)
    if entry.batch is not None:
        sources += [entry.batch.source, *entry.batch.further_sources]
        assert entry.batch.date[:7] >= "2026-11" and not entry.batch.tried
    for source in sources:
        written = source.startswith("docs/") and (ROOT / source).exists()
        assert written or urlsplit(source).scheme == "https", source
    assert entry.date[:7] >= "2026-11"
    assert not entry.tried  # until a call was made to the real service
    for rule in entry.params:
        assert (rule.action == "rename") == (rule.to is not None)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_an_entry_can_be_connected_to(entry):
    for url in entry.regions.values():
        parts = urlsplit(url)
        assert parts.scheme == "https" or entry.group == "local", url
        assert parts.hostname and not parts.query and not url.endswith("/")
    if entry.needs_key:
        assert urlsplit(entry.key_page).scheme == "https"
        assert entry.auth is not Auth.NONE
    for port in entry.local_ports:
        assert f":{port}/" in entry.base_url
    assert bool(entry.embedding_model) <= ("/v1/embeddings" in entry.endpoints)


def test_the_price_table_has_the_default_model_of_a_provider_that_it_lists(db):
    hosts = {price.host for price in prices.table()}
    for entry in ENTRIES:
        if entry.default_model and urlsplit(entry.base_url).hostname in hosts:
            assert prices.known(entry.base_url, entry.default_model), entry.id


def test_the_rules_of_a_provider_are_those_of_its_prices(db):
    """Where the price table has a model, the gallery says the same of it; a batch price is half only where
    that is stated."""
    compared = 0
    for price in prices.table():
        for entry in ENTRIES:
            hosts = {urlsplit(url).hostname for url in entry.regions.values()}
            rules = entry.rules_of(price.models[0]) if price.host in hosts else None
            if rules is not None:
                compared += 1
                assert rules.tier("batch") == price.rules.tier("batch"), price.models
                assert (rules.hours, rules.cache_write_1h) == (price.hours, price.cache_write_1h)
    assert compared > 40
    batches = {
        ("moonshot", "kimi-k2.5"): "0.6",
        ("moonshot", "kimi-k3"): None,
        ("zhipu", "glm-4-plus"): "0.5",
        ("zhipu", "glm-5"): None,
        ("together", "openai/gpt-oss-20b"): None,
        ("together", "Qwen/Qwen2.5-7B-Instruct-Turbo"): "0.5",
        ("cerebras", "gpt-oss-120b"): None,
        ("xai", "grok-4.3"): "0.8",
        ("mistral", "anything"): "0.5",
    }
    for (name, model), factor in batches.items():
        rules = provider_gallery.get(name).rules_of(model)
        found = None if rules is None else rules.batch
        assert found == (None if factor is None else Decimal(factor)), (name, model)


def test_what_is_special_about_a_provider_is_in_its_entry():
    anthropic = provider_gallery.get("anthropic")
    assert (anthropic.api_format, anthropic.auth) == (ApiFormat.ANTHROPIC, Auth.X_API_KEY)
    assert provider_gallery.get("azure-dated").query["api-version"]
    assert provider_gallery.get("dashscope-batch-chat").timeout_s == 3600
    assert provider_gallery.get("perplexity").endpoints == ("/v1/responses",)
    assert provider_gallery.get("azure").asks_base_url
    assert not provider_gallery.get("openai").asks_base_url


def test_a_misspelt_provider_names_the_nearest():
    assert provider_gallery.get("DeepSeek").name == "DeepSeek"
    with pytest.raises(NotFound, match="nearest is 'deepseek'"):
        provider_gallery.get("deepsek")
    with pytest.raises(NotFound, match=r"no provider .zzz.\."):
        provider_gallery.get("zzz")
