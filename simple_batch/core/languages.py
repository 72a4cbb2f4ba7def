"""The languages of the pages, and how a Message gets into one of them."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from .command_names import in_words_of_program
from .messages import Message

LANGUAGES = {"en": "English", "zh": "中文"}
_CATALOGUES = Path(__file__).parent / "translations"


@cache
def catalogue(language: str) -> Callable[[str], str]:
    """The ``gettext`` of a language, for use outside of a request. Without a catalogue it returns the
    English text."""
    from babel.support import Translations  # not needed by every command

    return Translations.load(str(_CATALOGUES), [language]).gettext


def translated(text: str, gettext: Callable[[str], str]) -> str:
    """The text in the language of ``gettext`` if it is a Message, else as it is. The commands that a
    Message names are those of the program that runs."""
    if not isinstance(text, Message):
        return str(text)
    template = in_words_of_program(gettext(text.template))
    if not text.values:
        return template
    values = text.values.items()
    return template % {
        name: translated(it, gettext) if isinstance(it, Message) else it for name, it in values
    }
