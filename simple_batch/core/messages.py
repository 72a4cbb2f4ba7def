"""Sentences that the pages can say in another language.

A Text is its English sentence: what commands, logs and the Batch API say. It remembers how it was
made, so that a page can look the template up in its catalogue and fill the values in again
(``web.words.translated``).
"""

from collections.abc import Iterable
from functools import reduce


class Text(str):
    """Made by ``said``; values that are Texts are translated too."""

    template: str
    values: dict

    def kept(self) -> list:
        """Template and values as JSON can keep them."""
        return [self.template, {name: _kept(value) for name, value in self.values.items()}]


def said(template: str, **values) -> Text:
    """The template with the values filled in. ``tools/i18n.sh`` finds templates that stand here."""
    text = Text(template % values if values else template)
    text.template, text.values = template, values
    return text


def listed(words: Iterable[str]) -> str:
    """Words with commas between, each translated if it is a Text."""
    return reduce(lambda some, word: said("%(some)s, %(word)s", some=some, word=word), words)


def lines(texts: Iterable[str]) -> str:
    """Texts one below the other."""
    template = "%(some)s\n%(text)s"  # the same in every language
    return reduce(lambda some, text: said(template, some=some, text=text), texts)


def _kept(value):
    if isinstance(value, Text):
        return value.kept()
    return value if isinstance(value, int | float) else str(value)


def restored(kept: list) -> Text:
    """What ``Text.kept`` has kept."""
    template, values = kept
    made = {name: restored(it) if isinstance(it, list) else it for name, it in values.items()}
    return said(template, **made)
