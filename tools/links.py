"""Checks the links in the documentation, without network: python -m tools.links

Each relative link must lead to a file, each #anchor to a heading of that file, and each page of docs/
must be reachable from README.md. Exit code 1 if one of them does not.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parent.parent
START = "README.md"
DOCUMENTS = ("README*.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs/**/*.md")
_HTML_LINK = re.compile(r'\b(?:href|src)="([^"]*)"')
_HTML_ANCHOR = re.compile(r'\b(?:id|name)="([^"]*)"')
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")


class Document(NamedTuple):
    """``links`` as they are written; ``anchors`` without the #."""

    links: list[str]
    anchors: set[str]


def read(path: Path) -> Document:
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text("utf-8"))
    links, anchors, seen = [], set(), Counter()
    for heading, token in zip([None, *tokens], tokens, strict=False):
        if heading is not None and heading.type == "heading_open":
            anchors.add(_anchor(token, seen))
        for part in (token, *(token.children or ())):
            if part.type in ("html_block", "html_inline"):
                links += _HTML_LINK.findall(part.content)
                anchors |= set(_HTML_ANCHOR.findall(part.content))
            else:
                links += [part.attrs[name] for name in ("href", "src") if name in part.attrs]
    return Document(links, anchors)


def _anchor(title: Token, seen: Counter) -> str:
    """GitHub's anchor of a heading; the second one of the same name gets -1, the third -2."""
    text = "".join(part.content for part in title.children or ())
    anchor = _NOT_IN_ANCHORS.sub("", text.lower()).replace(" ", "-")
    seen[anchor] += 1
    return anchor if seen[anchor] == 1 else f"{anchor}-{seen[anchor] - 1}"


def problems(root: Path) -> list[str]:
    """One line for each broken link and each page that no link leads to."""
    root = root.resolve()
    paths = sorted({path for pattern in DOCUMENTS for path in root.glob(pattern)})
    documents = {path: read(path) for path in paths}
    found, leads_to = [], {path: set() for path in paths}
    for path, document in documents.items():
        for link in document.links:
            target, fault = _followed(path, link, root, documents)
            leads_to[path] |= {target}
            if fault:
                found.append(f"{path.relative_to(root)}: {link}: {fault}")
    reached = set(_reachable(root / START, leads_to))
    return found + [
        f"{path.relative_to(root)}: no link leads here from {START}"
        for path in paths
        if path.is_relative_to(root / "docs") and path not in reached
    ]


def _followed(path: Path, link: str, root: Path, documents: dict[Path, Document]):
    """(target file or None, fault or ""); links to other sites are not followed."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None, ""
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_relative_to(root) or not target.exists():
        return None, "no such file"
    anchor = unquote(parts.fragment)
    if anchor and target in documents and anchor not in documents[target].anchors:
        return target, "no such heading"
    return target, ""


def _reachable(start: Path, leads_to: dict[Path, set[Path | None]]) -> Iterator[Path]:
    waiting, seen = [start], {start}
    while waiting:
        path = waiting.pop()
        yield path
        new = leads_to.get(path, set()) - seen - {None}
        seen |= new
        waiting += new


def main(root: str = str(ROOT)) -> int:
    found = problems(Path(root))
    print("\n".join(found) or "links: all of them lead somewhere")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
