"""What a request brings, read in one place: ids in addresses, queries and forms.

Every id in an address and every number in a query or form fits in 64 bits, which is what the databases
take; no text has a NUL byte or half a surrogate pair, which PostgreSQL refuses and UTF-8 cannot
hold. What is otherwise is refused here with 404 or 400, whatever the view would have done with it.
"""

import re
from collections.abc import Callable
from typing import Any

from flask import Flask, current_app, request
from flask import Request as FlaskRequest
from werkzeug.datastructures import ImmutableMultiDict, MultiDict
from werkzeug.exceptions import BadRequest
from werkzeug.routing import IntegerConverter, Map

from .errors import InvalidInput
from .messages import translatable

LARGEST_ID = 2**63 - 1  # an integer in SQLite and PostgreSQL
LARGEST = 2**62  # of other numbers: sums and differences of them fit as well
# of an encoded form, and of a text field of another: reading more holds the event loop. The longest
# text of a form, a template of 200,000 bytes, has three times as many when it is encoded.
MAX_FORM_BYTES = 1 << 20
MAX_LARGE_FIELD = 20 << 20
_URL_ENCODED = "application/x-www-form-urlencoded"
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_LAST_PAGE = 1_000_000_000
_MAX_DIGITS = 40  # spaces and zeros included
_SHOWN = 60  # characters of what is refused


class Id(IntegerConverter):
    """``<int:…>`` in a rule: what no database can hold is no address (404)."""

    regex = "[0-9]{1,19}"

    def __init__(self, map: Map, *args: Any, **kwargs: Any):
        kwargs.setdefault("max", LARGEST_ID)
        super().__init__(map, *args, **kwargs)


class Parameters(ImmutableMultiDict[str, str]):
    """A query or a form. ``type`` of ``get`` and ``getlist`` says what a value has to be: one that
    is something else raises InvalidInput naming the parameter; an empty one counts as missing."""

    def get(  # type: ignore[override]  # one signature for werkzeug's overloads
        self, key: str, default: Any = None, type: Callable[[str], Any] | None = None
    ) -> Any:
        """The first value, or the default where there is none. Raises InvalidInput."""
        value = super().get(key)
        if value is None:
            return default
        if type is None:
            return value
        return default if value == "" else _converted(key, value, type)

    def getlist(self, key: str, type: Callable[[str], Any] | None = None) -> list[Any]:
        """All values. Raises InvalidInput."""
        values = super().getlist(key)
        if type is None:
            return values
        return [_converted(key, value, type) for value in values if value != ""]


class Request(FlaskRequest):
    """Flask's, with these parameters; a form with unstorable text raises BadRequest as it is read, and
    one with too much of it RequestEntityTooLarge."""

    parameter_storage_class = Parameters

    def _load_form_data(self) -> None:
        read_before = "form" in self.__dict__
        if not read_before and self.mimetype == _URL_ENCODED:  # werkzeug decodes it in one go
            self.max_content_length = MAX_FORM_BYTES
        super()._load_form_data()
        if not read_before:
            _check_parameters(self.form)


def whole(text: str) -> int:
    """An integer of at most 2^62, in decimal digits. Raises ValueError."""
    if len(text) > _MAX_DIGITS or not text.isascii():
        raise ValueError(text[:_SHOWN])
    number = int(text)
    if not -LARGEST <= number <= LARGEST:
        raise ValueError(text)
    return number


def within(low: int, high: int) -> Callable[[str], int]:
    """Reads an integer that lies in these bounds; what is returned raises ValueError."""

    def bounded(text: str) -> int:
        number = whole(text)
        if not low <= number <= high:
            raise ValueError(text)
        return number

    return bounded


def page_number(text: str) -> int:
    """The number of a page; beyond the first and the last that there can be, it is one of these.
    Raises ValueError."""
    return max(1, min(whole(text), _LAST_PAGE))


def storable(text: str) -> bool:
    """Whether databases and UTF-8 can hold the text."""
    return _UNSTORABLE.search(text) is None


def register(app: Flask) -> None:
    """Have the app read its requests so; to be called before its first rule is added."""
    app.request_class = Request
    app.url_map.converters["int"] = Id
    app.config["MAX_FORM_MEMORY_SIZE"] = MAX_FORM_BYTES
    app.before_request(_check_address)
    app.before_request(_allow_large_field)


def with_large_field(view: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of a view whose form has a text field of up to MAX_LARGE_FIELD bytes. The form must be
    sent as multipart/form-data."""
    view.large_field = True  # type: ignore[attr-defined]
    return view


def _allow_large_field() -> None:
    view = current_app.view_functions.get(request.endpoint or "")
    if getattr(view, "large_field", False):
        request.max_form_memory_size = MAX_LARGE_FIELD


def _check_address() -> None:
    """Raises BadRequest for an address with text that cannot be stored."""
    if not storable(request.path):
        raise _refused("")
    _check_parameters(request.args)


def _check_parameters(parameters: MultiDict[str, str]) -> None:
    """Raises BadRequest naming a parameter with text that cannot be stored."""
    for key, value in parameters.items(multi=True):
        if not storable(key) or (isinstance(value, str) and not storable(value)):
            raise _refused(key)


def _refused(name: str) -> BadRequest:
    where = f"“{_UNSTORABLE.sub('?', name)[:_SHOWN]}”" if name else "the address"
    return BadRequest(f"There is a NUL byte, or half a character, in {where}: leave it out.")


def _converted(key: str, value: str, type: Callable[[str], Any]) -> Any:
    try:
        return whole(value) if type is int else type(value)
    except (ValueError, OverflowError):
        raise InvalidInput(
            translatable("%(name)s=%(value)r: not a number.", name=key, value=value[:_SHOWN]), key
        ) from None
