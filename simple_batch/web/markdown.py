"""Answers are mostly Markdown: rendered without HTML of their own, and sanitised all the same."""

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

# Characters, and of those the ones that mean something, which some nestings take quadratic time for;
# what is longer is shown as it is.
LONGEST = 50_000
MOST_MARKS = 5_000
_MARKS = "*_[]()!`~|<>&\\#-+=:\n"

_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "blockquote"),
    *("ul", "ol", "li", "pre", "code", "a", "table", "thead", "tbody", "tr", "th", "td"),
}
# images would be fetched from anywhere: their text is enough
_parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
_parser.disable("image")


def rendered(text: str) -> Markup:
    """Markdown as HTML that is safe in a page."""
    if len(text) > LONGEST or sum(map(text.count, _MARKS)) > MOST_MARKS:
        return Markup('<div class="prewrap">{}</div>').format(text)
    html = nh3.clean(
        _parser.render(text),
        tags=_TAGS,
        attributes={"a": {"href"}, "code": {"class"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return Markup(html)  # noqa: S704 - nh3 has just cleaned it # nosec B704
