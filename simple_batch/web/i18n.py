"""Languages: ``?lang=`` (kept in a cookie), the cookie, the browser, the setting; and times in the time
zone of the page."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.dates import LOCALTZ, get_timezone_name
from babel.support import NullTranslations, Translations
from flask import Flask, Response, g, request, url_for
from flask_babel import Babel, get_locale, get_timezone, get_translations

from ..core.errors import InvalidInput
from ..core.languages import LANGUAGES
from ..core.messages import translatable
from ..core.request_input import Parameters

_COOKIE = "lang"
_YEAR_S = 365 * 86_400


def register(app: Flask) -> None:
    settings = app.extensions["simple_batch"].settings
    app.config["BABEL_TRANSLATION_DIRECTORIES"] = "core/translations"

    def chosen() -> str:
        for given in (request.args.get("lang"), request.cookies.get(_COOKIE)):
            if given in LANGUAGES:
                return given
        # “zh-CN” becomes zh_Hans_CN inside Babel: match on the plain names
        return request.accept_languages.best_match(list(LANGUAGES), settings.LANGUAGE)

    Babel(
        app,
        locale_selector=chosen,
        timezone_selector=lambda: _browser_zone() or settings.TIMEZONE or LOCALTZ,
    )

    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]  # by an extension
        lambda text: _catalogue().ugettext(text),
        lambda one, several, n: _catalogue().ungettext(one, several, n),
        newstyle=True,
    )

    @app.before_request
    def remember_choice() -> None:
        g.language_chosen = request.args.get("lang") in LANGUAGES

    @app.after_request
    def keep_choice(response: Response) -> Response:
        if g.get("language_chosen"):
            response.set_cookie(_COOKIE, request.args["lang"], max_age=_YEAR_S, samesite="Lax")
        return response

    @app.context_processor
    def languages() -> dict:
        current = str(get_locale() or "en").split("_")[0]
        return {
            "languages": LANGUAGES,
            "language": current,
            "other_language": _switch,
            "zone": get_timezone_name(get_timezone(), locale=get_locale(), return_zone=True),
        }


def _catalogue() -> Translations | NullTranslations:
    """The translations in the language of the page. Kept with the page: it has hundreds of texts, and
    Flask-Babel finds out the language for each."""
    if not g:
        return NullTranslations()
    found = g.get("catalogue")
    if found is None:
        found = g.catalogue = get_translations()
    return found


def _browser_zone() -> ZoneInfo | None:
    """The zone of the browser, from the cookie that static/js/theme.js sets."""
    name = request.cookies.get("zone", "")
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return None


def _switch(code: str) -> str:
    """The URL of this page in another language."""
    if request.method != "GET" or request.endpoint is None:
        return "?lang=" + code
    given = [(name, value) for name, value in request.args.items(multi=True) if name != "lang"]
    # not by url_for: a parameter of the address may have the name of one of url_for's
    path = url_for(request.endpoint, **(request.view_args or {}))
    return f"{path}?{urlencode([*given, ('lang', code)])}"


def epoch_ms(local: datetime) -> int:
    """A time as epoch milliseconds; one without a time zone is in that of the page."""
    return round(
        (local if local.tzinfo else local.replace(tzinfo=get_timezone())).timestamp() * 1000
    )


def with_epochs(args, names: Sequence[str] = ("from", "to")) -> dict | None:
    """URL parameters with the ``names`` of datetime fields converted to epoch seconds, which links
    can pass on; those that end with ``<`` to the end of the second, or of the day where there is but a date.
    None if there is nothing to convert. Raises InvalidInput."""
    if not any(_is_local(text) for name in names for text in args.getlist(name)):
        return None
    found = {**args.to_dict(flat=False)}
    for name in names:
        found[name] = [_converted(name, text) for text in args.getlist(name)]
    return {name: values for name, values in found.items() if values not in ([], [""])}


def _converted(name: str, text: str) -> str | int | float:
    try:
        return _epoch(text, name.endswith("<")) if _is_local(text) else text
    except (ValueError, OverflowError):
        raise InvalidInput(
            translatable("%(name)s=%(value)r: not a time.", name=name, value=text), name
        ) from None


def _is_local(text: str) -> bool:
    return "T" in text or text.count("-") == 2


def _epoch(text: str, is_end: bool) -> int | float:
    moment = datetime.fromisoformat(text)
    if is_end and not moment.microsecond:
        unit = timedelta(seconds=1) if "T" in text else timedelta(days=1)
        return (epoch_ms(moment + unit) - 1) / 1000
    ms = epoch_ms(moment)
    return ms / 1000 if ms % 1000 else ms // 1000


def as_parameters(converted: dict) -> Parameters:
    """What ``with_epochs`` returns, as URL parameters are read."""
    pairs = (
        (name, given if isinstance(given, list) else [given]) for name, given in converted.items()
    )
    return Parameters([(name, str(one)) for name, values in pairs for one in values])


def zone_is_known() -> bool:
    """Whether the browser has told its time zone: it does when a page opens for the first time."""
    return _browser_zone() is not None
