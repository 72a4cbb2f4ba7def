"""Sentences that the pages can say in another language.

A Message is its English sentence: what commands, logs and the Batch API say. It remembers how it was
made, so that a page can look the template up in its catalogue and fill the values in again
(``web.words.translated``).
"""

from collections.abc import Iterable
from functools import reduce
from typing import Any

from .earlier_wordings import PRESENT, Reworded


class Message(str):
    """Made by ``translatable``; values that are Messages are translated too."""

    template: str
    values: dict[str, Any]

    def kept(self) -> list[Any]:
        """[template, {name: value}] as JSON can keep them."""
        return [self.template, {name: _kept(value) for name, value in self.values.items()}]


def translatable(template: str, **values: Any) -> Message:
    """The template with the values filled in. ``tools/i18n.sh`` finds templates that stand here."""
    text = Message(template % values if values else template)
    text.template, text.values = template, values
    return text


def listed(words: Iterable[str]) -> str:
    """Words with commas between, each translated if it is a Message."""
    return reduce(
        lambda some, word: translatable("%(some)s, %(word)s", some=some, word=word), words
    )


def lines(texts: Iterable[str]) -> str:
    """Sentences one below the other."""
    template = "%(some)s\n%(text)s"  # the same in every language
    return reduce(lambda some, text: translatable(template, some=some, text=text), texts)


def _kept(value: object) -> list[Any] | float | str:
    if isinstance(value, Message):
        return value.kept()
    return value if isinstance(value, int | float) else str(value)


def restored(kept: list[Any]) -> Message:
    """What ``Message.kept`` has kept, in the present wording."""
    template, values = kept
    made = {name: restored(it) if isinstance(it, list) else it for name, it in values.items()}
    present = PRESENT.get(template, template)
    if not isinstance(present, Reworded):
        return translatable(present, **made)
    try:
        made = present.renamed(made)
    except KeyError:
        return translatable(template, **made)
    added = {name: translatable(text) if text else "" for name, text in present.texts.items()}
    return translatable(present.template, **made, **added)
