"""The table of docs/half-price.md, from simple_batch/core/data/providers.toml (see generated_docs.py)."""

from simple_batch.engine.batch_api.opening import KINDS
from simple_batch.engine.batch_api.profiles import BatchProfile
from simple_batch.services import provider_gallery
from simple_batch.services.provider_gallery import GalleryEntry

HEAD = (
    "| provider | endpoints | limits of a batch | window | price | notes | source | tried |",
    "|---|---|---|---|---|---|---|---|",
)
MB = 1_000_000


def table() -> str:
    offered = [entry for entry in provider_gallery.all() if entry.batch is not None]
    return "\n".join([*HEAD, *(_row(entry, entry.batch) for entry in offered if entry.batch)])


def _row(entry: GalleryEntry, batch: BatchProfile) -> str:
    if batch.kind not in KINDS:
        cells = (entry.name, "", "", "", "", _unsupported(batch), *_proof(batch))
    else:
        cells = (
            entry.name,
            ", ".join(f"`{url}`" for url in batch.limits.urls) or "any",
            _limits(batch),
            f"{batch.window_h or 24} h",
            f"{batch.discount:.0%}"
            if batch.discount is not None
            else "by the price table, else unknown",
            _notes(batch),
            *_proof(batch),
        )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _unsupported(batch: BatchProfile) -> str:
    return f"Not supported yet. {batch.note}".rstrip()


def _limits(batch: BatchProfile) -> str:
    found = [
        f"{count:,} {word}"
        for count, word in (
            (batch.max_requests, "requests"),
            (batch.max_bytes and batch.max_bytes // MB, "MB"),
            (batch.max_line_bytes and batch.max_line_bytes // MB, "MB a line"),
            (batch.max_tokens, "tokens"),
            (batch.max_inputs, "inputs"),
        )
        if count
    ]
    return ", ".join(found) or "not stated"


def _notes(batch: BatchProfile) -> str:
    counts = "Counts only at the end." if batch.counts_at_end else ""
    return " ".join(filter(None, [batch.note, counts]))


def _proof(batch: BatchProfile) -> tuple[str, str]:
    place = batch.source.split("/")[2] if batch.source.startswith("https://") else batch.source
    link = (
        batch.source if batch.source.startswith("https://") else batch.source.removeprefix("docs/")
    )
    return f"[{place}]({link}), {batch.date}", "yes" if batch.tried else "no"
