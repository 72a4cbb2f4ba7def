"""What another order of a template's texts would save: a prompt cache holds only what stands before the
first column."""

from collections.abc import Sequence

from .. import intake
from ..core.call_prices import in_units
from ..core.messages import Message, translatable
from ..core.prompt_prefix import HEAD_TOKENS
from ..core.stored_messages import COLUMN_BEFORE_TEXT
from ..engine import token_count
from ..store.models import ApiConfig
from .estimate import cache_saving

STEP = 128  # tokens: caches count in such steps, so less is not worth a change
_LONGEST = 200_000  # characters of a text that are counted


def order_advice(
    template: intake.Template, columns: Sequence[str], rows: int, config: ApiConfig | None
) -> Message | None:
    """What to change so that more of each request can be cached, and what that saves over ``rows`` at
    the prices of ``config``; None where nothing would be gained."""
    found = movable(template, columns, config.model if config is not None else "")
    if found is None:
        return None
    column, tokens = found
    saving = cache_saving(config, tokens * rows) if config is not None else None
    if config is None or not saving:
        return COLUMN_BEFORE_TEXT(column=column, tokens=f"{tokens:,}")
    return translatable(
        "The column “%(column)s” comes before fixed text. Put the fixed text first: then the "
        "provider's cache can hold about %(tokens)s more tokens of each request. In %(rows)s rows this "
        "saves up to %(money)s at the prices of “%(config)s”.",
        column=column,
        tokens=f"{tokens:,}",
        rows=f"{rows:,}",
        money=in_units(_rounded(saving), config.currency),
        config=config.alias,
    )


def movable(
    template: intake.Template, columns: Sequence[str], model: str = ""
) -> tuple[str, int] | None:
    """The first column, and how many tokens more a cache could hold if all fixed text stood before it;
    None where that is too little."""
    found = intake.fixed_text(template, columns)
    if found is None:
        return None
    count = token_count.by_vocabulary(model) or token_count.by_characters
    before, behind = (round(count(text[:_LONGEST])) for text in (found.before, found.behind))
    held = before if before >= HEAD_TOKENS else 0
    possible = before + behind if before + behind >= HEAD_TOKENS else 0
    return (found.column, possible - held) if possible - held >= STEP else None


def _rounded(nano: int) -> int:
    """To three digits: it is an estimate."""
    return round(nano, 3 - len(str(nano)))
