"""The table of docs/providers.md, from simple_batch/core/data/providers.toml (see generated_docs.py)."""

from urllib.parse import urlsplit

from simple_batch.core.domain import ApiFormat
from simple_batch.engine.batch_api.opening import KINDS
from simple_batch.services import provider_gallery
from simple_batch.services.provider_gallery import GalleryEntry

HEAD = (
    "| provider | base URL | key | needs, and what is special | batch API | source | tried |",
    "|---|---|---|---|---|---|---|",
)


def table() -> str:
    return "\n".join([*HEAD, *map(_row, provider_gallery.all())])


def _row(entry: GalleryEntry) -> str:
    cells = (
        f"{entry.name} (`{entry.id}`)",
        _places(entry),
        _key(entry),
        " ".join([*_needs(entry), *entry.quirks]),
        _batch(entry),
        _source(entry),
        "yes" if entry.tried else "no",
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _places(entry: GalleryEntry) -> str:
    if len(entry.regions) < 2:
        return f"`{entry.base_url}`" if entry.base_url else "yours"
    return "<br>".join(f"{region}: `{url}`" for region, url in entry.regions.items())


def _key(entry: GalleryEntry) -> str:
    if not entry.needs_key:
        return "if yours asks for one"
    return f"[needed]({entry.key_page}), `{entry.auth}`"


def _needs(entry: GalleryEntry) -> list[str]:
    found = []
    if entry.api_format is ApiFormat.ANTHROPIC:
        found.append("Speaks the Messages API.")
    if pairs := {**entry.headers, **entry.query}:
        found.append("Sends " + ", ".join(f"`{name}: {pairs[name]}`" for name in pairs) + ".")
    if entry.timeout_s:
        found.append(f"Time-out {entry.timeout_s:g} s.")
    if entry.tiers:
        found.append("Tiers: " + ", ".join(entry.tiers) + ".")
    return found


def _batch(entry: GalleryEntry) -> str:
    batch = entry.batch
    if batch is None:
        return ""
    if batch.kind not in KINDS:
        return "not supported yet"
    facts = [batch.kind]
    if batch.max_requests:
        facts.append(f"{batch.max_requests:,} requests")
    if batch.max_bytes:
        facts.append(f"{batch.max_bytes // 1_000_000:,} MB")
    if batch.discount:
        facts.append(f"{batch.discount:.0%} of the price")
    return ", ".join(facts)


def _source(entry: GalleryEntry) -> str:
    shown = urlsplit(entry.source).hostname
    place = entry.source.removeprefix("docs/")
    return f"[{shown or place}]({place}), {entry.date}"
