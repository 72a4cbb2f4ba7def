"""Suggests the nearest of some names for a misspelled one."""

import difflib
import unicodedata
from collections.abc import Iterable
from itertools import islice

_LONGEST = 100  # characters of a name that are compared
_LIMIT = 2_000  # names that are looked at
_TRIED = 20  # names that are compared letter by letter, which takes quadratic time


def folded(name: str) -> str:
    """The same for names that differ in case, or in how accents are composed."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def nearest(name: str, names: Iterable[str]) -> str:
    """The one of some names (at least one) that is most like this, whatever the case."""
    return _best(name, names)[1]


def near(name: str, names: Iterable[str]) -> str | None:
    """The same; None where none is much like it."""
    likeness, found = _best(name, names)
    return found if likeness >= 0.6 else None


def _best(name: str, names: Iterable[str]) -> tuple[float, str]:
    """How much alike (0 to 1), and which; of equals the first. Of none at all: -1, empty."""
    matcher = difflib.SequenceMatcher(None, "", folded(name[:_LONGEST])[:_LONGEST])
    bounds = []
    for number, one in enumerate(islice(names, _LIMIT)):
        matcher.set_seq1(folded(one[:_LONGEST])[:_LONGEST])
        bounds.append((-matcher.quick_ratio(), number, one))
    best, found = -1.0, ""
    for bound, _number, one in sorted(bounds)[:_TRIED]:
        if -bound <= best:
            break
        matcher.set_seq1(folded(one[:_LONGEST])[:_LONGEST])
        if matcher.ratio() > best:
            best, found = matcher.ratio(), one
    return best, found
