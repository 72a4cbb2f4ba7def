"""What is sent to every address: values that no page asks for, in the places that a page reads.

Which places these are is found out, not listed: the parameters of a query and the fields of a form are
those that a view reads when it is called, and the other fields of a form have the values that
its page shows.
"""

import os
import re
import zlib
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from urllib.parse import urlencode

from simple_batch.core import request_input

IDS = ("0", "-1", "9223372036854775807", "9223372036854775808", "1" * 400, "1" * 5000)
IDS += ("1.0", "1e3", "0x1", "٣", "²", "1%00", "%ff", "%ed%a0%80", "nan", "..%2f1", "1%0d%0aX:y")
NAMES = ("%00", "%ff%fe", "%ed%a0%80", "..%2f..%2fetc", "a" * 3000, "%F0%9F%98%80", "{{7*7}}", "%")
MOMENTS = (
    "0001-01-01T00:00",
    "9999-12-31T23:59",
    "2026-13-45T99:99",
    "T",
    "2026-01-01T00:00+99:99",
)
NESTED = (
    "[" * 20_000,
    "{" * 20_000,
    "[]",
    "null",
    '{"a": NaN}',
    '{"a":' * 2_000 + "1" + "}" * 2_000,
)
# each one caused a separate error once, or is the edge of a limit
VALUES = (
    str(2**63 - 1),
    str(2**63),
    "9" * 5000,
    "1e999999",
    "inf",
    "nan",
    "-1",
    "٣",
    "-1e16",
    "1e16",
)
VALUES += ("\0", "\U0010ffff\u202e", "é" * 300, "%s%n", *MOMENTS[:2], "T", "[" * 3_000)
OF_URL_FOR = (
    "_external",
    "_scheme",
    "_anchor",
    "_method",
    "endpoint",
    "values",
    "filename",
    "self",
)


# `make torture` sends every value to every place
EVERY_VALUE = bool(os.environ.get("SIMPLE_BATCH_TEST_EVERY_VALUE"))
PART = 5
FIELDS = 12


def some(values: Sequence, place: str) -> Sequence:
    """One in PART values, other ones for other places; all values with EVERY_VALUE."""
    return values if EVERY_VALUE else values[zlib.crc32(place.encode()) % PART :: PART]


def fields(names: set[str], place: str) -> list[str]:
    """FIELDS names of a form at most, other ones at each address that reads them; all with
    EVERY_VALUE."""
    if EVERY_VALUE:
        return sorted(names)
    return sorted(sorted(names, key=lambda name: zlib.crc32((place + name).encode()))[:FIELDS])


class ReadParameters:
    """Records which parameters of the query and the form are read during ``with``."""

    def __init__(self, monkeypatch):
        self.names: set[str] = set()
        for name in ("get", "getlist", "__getitem__", "__contains__"):
            monkeypatch.setattr(request_input.Parameters, name, self._noting(name))

    def _noting(self, method: str):
        before = getattr(request_input.Parameters, method)

        def noting(parameters, key, *args, **kwargs):
            if isinstance(key, str):
                self.names.add(key)
            return before(parameters, key, *args, **kwargs)

        return noting

    def taken(self) -> set[str]:
        """The parameters read since the last call."""
        names, self.names = self.names - {"csrf_token"}, set()
        return names


class Forms(HTMLParser):
    """The forms of a page as {address: {name: value}}."""

    def __init__(self, here: str, html: str):
        super().__init__()
        self.found: dict[str, dict[str, str]] = {}
        self._here, self._fields, self._named = here, None, None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        name = given.get("name")
        if tag == "form":
            self._fields = self.found.setdefault(given.get("action") or self._here, {})
        if tag == "button" and given.get("formaction") and self._fields is not None:
            self.found[given["formaction"]] = self._fields
        if self._fields is None:
            return
        if (
            tag == "option"
            and self._named
            and ("selected" in given or not self._fields[self._named])
        ):
            self._fields[self._named] = given.get("value", "")
        if name and tag in ("input", "select", "textarea") and given.get("type") != "checkbox":
            self._fields.setdefault(name, given.get("value") or "")
            self._named = name if tag == "select" else None
        self._text = name if tag == "textarea" else None

    def handle_data(self, data):
        if self._fields is not None and getattr(self, "_text", None):
            self._fields[self._text] = data.strip()

    def handle_endtag(self, tag):
        if tag == "form":
            self._fields = None
        if tag == "select":
            self._named = None
        self._text = None


def paths(rule, known: dict[str, object]) -> Iterator[str]:
    """Addresses of a rule with a hostile value in one place and the ``known`` ones in the others."""
    places = re.findall(r"<(?:(\w+)(?:\([^)]*\))?:)?(\w+)>", rule.rule)
    for kind, name in places:
        for value in IDS if kind == "int" else NAMES:
            yield _filled(rule, {**known, name: value})


def path(rule, known: dict[str, object]) -> str:
    """The address of something that exists."""
    return _filled(rule, known)


def _filled(rule, values: dict[str, object]) -> str:
    def value(found: re.Match) -> str:
        choice = re.search(r"any\((\w+)", found[0])
        return str(values.get(found[1], choice[1] if choice else "x"))

    return re.sub(r"<(?:[^:>]+:)?(\w+)>", value, rule.rule)


def queries(names: set[str], path: str) -> Iterator[str]:
    """Query strings with hostile values for each of these parameters of an address."""
    for name in sorted(names):
        for value in some(VALUES, path + name):
            yield urlencode({name: value[:3_000]})
        yield f"{name}=1&{name}=2&{name}=x"
        yield f"{name}[]=1&{name}[a][b]=2"
    yield from some([f"{name}={value}" for name in OF_URL_FOR for value in ("1", "")], path)
