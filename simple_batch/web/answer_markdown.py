"""Texts of messages and answers in Markdown as HTML that is safe in a page.

The server does it: a page without scripts has the formatted text, and what is sent to the browser is clean
already. HTML in a text stays text, and what is made of the Markdown is cleaned once more. Nothing is fetched
from elsewhere: only images whose bytes are in the text are shown, others are links. Formulas stay their TeX
until static/js/answer.js sets them.
"""

import re
from collections.abc import Sequence
from typing import Any

import nh3
from flask_babel import gettext
from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markupsafe import Markup

from . import formula_rules
from .text_shape import visible

# longer texts are shown unformatted: some nestings of marks take quadratic time
MAX_MARKDOWN = 50_000  # characters
MAX_MARKS = 5_000
_MARKS = "*_[]()!`~|<>&\\#-+=:\n"

_MAX_IMAGES = 20  # of a text, whose bytes are in it
_IMAGE = re.compile(
    r"!\[([^\[\]\n]{0,200})\]\((data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]++)\)"
)
_IMAGE_AT = "image-in-text:"
_LANGUAGE = re.compile(r"[\w+#.-]{1,30}")
_DIRECTED = {  # whose direction follows their text
    f"{name}_open"
    for name in ("paragraph", "heading", "bullet_list", "ordered_list", "blockquote", "th", "td")
}

_TAGS = {
    "p",
    "br",
    "hr",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "strong",
    "em",
    "s",
    "blockquote",
    "ul",
    "ol",
}
_TAGS |= {"li", "pre", "code", "a", "table", "thead", "tbody", "tr", "th", "td", "div", "img"}
_DIRECTION = {
    tag: {"dir"}
    for tag in ("p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "th", "td")
}
_ATTRIBUTES = {
    **_DIRECTION,
    "a": {"href"},
    "code": {"class"},
    "ol": {"start", "dir"},
    "pre": {"tabindex"},
    "div": {"class", "role", "tabindex", "aria-label"},
    "img": {"src", "alt", "class"},
}


def rendered(text: str) -> Markup:
    """Markdown as HTML that is safe in a page."""
    images: list[str] = []

    def taken_out(found: re.Match[str]) -> str:
        if len(images) == _MAX_IMAGES:
            return found[0]
        images.append(found[2])
        return f"![{found[1]}]({_IMAGE_AT}{len(images) - 1})"

    short = _IMAGE.sub(taken_out, text) if "](data:image/" in text else text
    if len(short) > MAX_MARKDOWN or sum(map(short.count, _MARKS)) > MAX_MARKS:
        return Markup('<div class="prewrap" dir="auto">{}</div>').format(visible(text))
    html = nh3.clean(
        _parser.render(visible(short), {"images": images}),
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        url_schemes={"http", "https", "mailto", "data"},
        link_rel="noopener noreferrer nofollow",
    )
    return Markup(html)  # noqa: S704 - nh3 has just cleaned it # nosec B704


def _attribute(tag: str, name: str, value: str) -> str | None:
    """Images have their bytes with them, links lead to pages."""
    has_bytes = value.lower().startswith("data:")
    if (tag, name) == ("img", "src"):
        return value if has_bytes else None
    return None if name == "href" and has_bytes else value


def _directions(state: StateCore) -> None:
    for token in state.tokens:
        if token.type in _DIRECTED:
            token.attrSet("dir", "auto")


def _code(tokens: Sequence[Token], at: int, _options: Any, _env: Any) -> str:
    """A block of code with its language, in a box that keys can scroll."""
    token = tokens[at]
    words = token.info.split()
    language = words[0] if words and _LANGUAGE.fullmatch(words[0]) else ""
    if language == "math":
        return formula_rules.block(token.content)
    kind = f' class="language-{language.lower()}"' if language else ""
    name = language or escapeHtml(gettext("code"))
    head = f'<div class="code-head">{name}</div>'
    code = f"<code{kind}>{escapeHtml(token.content)}</code>"
    return f'<div class="code-block">{head}<pre tabindex="0">{code}</pre></div>\n'


def _table_open(_tokens: Sequence[Token], _at: int, _options: Any, _env: Any) -> str:
    label = escapeHtml(gettext("Table"))
    return f'<div class="table-box" role="group" tabindex="0" aria-label="{label}"><table>\n'


def _table_close(_tokens: Sequence[Token], _at: int, _options: Any, _env: Any) -> str:
    return "</table></div>\n"


def _image(tokens: Sequence[Token], at: int, _options: Any, env: Any) -> str:
    """An image whose bytes are in the text; of another a link, as loading it would tell its server who
    reads this."""
    token = tokens[at]
    alt = "".join(part.content for part in token.children or ())
    source = str(token.attrs.get("src", ""))
    if source.startswith(_IMAGE_AT):
        number = source.removeprefix(_IMAGE_AT)
        images = env.get("images", ())
        if number.isdecimal() and int(number) < len(images):
            name = escapeHtml(alt or gettext("image in the message"))
            return f'<img class="picture" src="{images[int(number)]}" alt="{name}">'
    if not source.startswith(("http://", "https://")):
        return escapeHtml(alt)
    label = gettext("image:")
    words = f"{label} {alt or source}"
    return f'<a href="{escapeHtml(source)}">{escapeHtml(words)}</a>'


def _made() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(
        ["table", "strikethrough"]
    )
    formula_rules.add(parser)
    parser.core.ruler.push("directions", _directions)
    rules = {
        "fence": _code,
        "code_block": _code,
        "table_open": _table_open,
        "table_close": _table_close,
        "image": _image,
        "math_inline": formula_rules.inline_html,
        "math_block": formula_rules.block_html,
    }
    parser.renderer.rules.update(rules)  # type: ignore[attr-defined]
    return parser


_parser = _made()
