"""Elements that end a paragraph are not written inside one: a browser would put them behind it, where scripts and
styles of the paragraph miss them (html.spec.whatwg.org/multipage/grouping-content.html#the-p-element, read
2026-11-30)."""

# ruff: noqa: F811 - fixtures that are imported

from html.parser import HTMLParser

from .test_default_buttons import paths  # noqa: F401 (fixture)
from .test_malformed import known  # noqa: F401 (fixture)

ENDING = {
    "address",
    "article",
    "aside",
    "blockquote",
    "details",
    "dialog",
    "div",
    "dl",
    "fieldset",
    "figure",
}
ENDING |= {
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "main",
    "menu",
    "nav",
    "ol",
    "p",
}
ENDING |= {"pre", "search", "section", "table", "ul"}


class InParagraphs(HTMLParser):
    """``found``: what is inside of a paragraph and ends it, with its line."""

    def __init__(self, html: str):
        super().__init__()
        self.found: list[tuple[str, int]] = []
        self._open = False
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if self._open and tag in ENDING:
            self.found.append((tag, self.getpos()[0]))
        self._open = tag == "p" or (self._open and tag not in ENDING)

    def handle_endtag(self, tag):
        if tag == "p":
            self._open = False


def test_no_paragraph_of_a_page_is_ended_by_what_is_in_it(client, paths):
    wrong = []
    for path in paths:
        answer = client.get(path)
        if answer.mimetype == "text/html":
            wrong += [(path, *one) for one in InParagraphs(answer.text).found]
        answer.close()
    assert wrong == []


def test_what_ends_a_paragraph_is_seen():
    assert InParagraphs("<p>a <span>b</span></p><form></form>").found == []
    assert InParagraphs("<p>a\n<span>b</span> <form>c</form></p>").found == [("form", 2)]
