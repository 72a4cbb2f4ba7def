"""Formulas in Markdown, as rules of markdown-it: $…$, $$…$$, \\(…\\) and \\[…\\].

A dollar sign before an amount of money is no formula. As in Pandoc's tex_math_dollars, nothing blank stands
inside the dollar signs, and no digit follows the closing one; names of variables of a shell and what reads
as prose are left as they are.
"""

import re
from collections.abc import Sequence
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import escapeHtml
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

_MAX_LINES = 200  # of a formula
_PAIRS = {"$$": "$$", "\\[": "\\]", "\\(": "\\)"}
_BLANK = " \t\n"
_TEX = re.compile(r"[\\^_{}=<>+*/]")
_PROSE = re.compile(r"[\d.,]+[^\w\s]?\s+[^\W\d_]{2,}|[\d.,]+\s*[kKmM]?\s*[-–—]\s*")  # 5 or, 5-
_WORD = re.compile(r"[A-Za-z]\w*[\w./-]+")


def add(parser: MarkdownIt) -> None:
    """Let a parser read formulas."""
    parser.inline.ruler.before("escape", "math_inline", _inline)
    interrupted = ["paragraph", "reference", "blockquote", "list"]
    parser.block.ruler.before("fence", "math_block", _block, {"alt": interrupted})


def inline_html(tokens: Sequence[Token], at: int, _options: Any, _env: Any) -> str:
    """A formula in a line of text."""
    kind = "math-display" if tokens[at].markup in ("$$", "\\[") else "math-inline"
    return f'<code class="{kind}">{escapeHtml(tokens[at].content)}</code>'


def block_html(tokens: Sequence[Token], at: int, _options: Any, _env: Any) -> str:
    """A formula between paragraphs."""
    return block(tokens[at].content)


def block(tex: str) -> str:
    """TeX as a formula between paragraphs."""
    return f'<div class="math-block"><code class="math-display">{escapeHtml(tex.strip())}</code></div>\n'


def _inline(state: StateInline, silent: bool) -> bool:
    text, start = state.src, state.pos
    opening = text[start : start + 2]
    if opening in _PAIRS:
        end = text.find(_PAIRS[opening], start + 2, state.posMax)
        content = text[start + 2 : end] if end >= 0 else ""
        length = 2
    elif opening[:1] == "$":
        opening, end, length = "$", _closing_dollar(text, start, state.posMax), 1
        content = text[start + 1 : end] if end >= 0 else ""
    else:
        return False
    if not content.strip():
        return False
    if not silent:
        token = state.push("math_inline", "math", 0)
        token.content, token.markup = content.strip(), opening
    state.pos = end + length
    return True


def _closing_dollar(text: str, start: int, end: int) -> int:
    """The place of the dollar sign that closes a formula; -1 where this is none."""
    before, first = text[start - 1 : start] if start else "", text[start + 1 : start + 2]
    if (before.isascii() and before.isalnum()) or before in ("$", "\\") or first in _BLANK:
        return -1
    at = text.find("$", start + 1, end)
    while at > 0 and text[at - 1] == "\\":
        at = text.find("$", at + 1, end)
    if at < 0 or text[at - 1] in _BLANK or text[at + 1 : at + 2].isdigit():
        return -1
    content, after = text[start + 1 : at], text[at + 1 : at + 2]
    is_name = after.isascii() and after.isalpha() and _WORD.fullmatch(content)
    is_prose = not _TEX.search(content) and _PROSE.match(content)
    return -1 if is_name or is_prose or "`" in content else at


def _block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    start = state.bMarks[first] + state.tShift[first]
    opening = state.src[start : start + 2]
    if state.is_code_block(first) or opening not in ("$$", "\\["):
        return False
    closing = _PAIRS[opening]
    if state.src.find(closing, start + 2, state.eMarks[min(last, first + _MAX_LINES) - 1]) < 0:
        return False
    lines, line = [state.src[start + 2 : state.eMarks[first]]], first
    while closing not in lines[-1]:
        line += 1
        if line >= min(last, first + _MAX_LINES) or state.sCount[line] < state.blkIndent:
            return False
        lines.append(state.getLines(line, line + 1, state.blkIndent, False))
    content, _closing, behind = "\n".join(lines).partition(closing)
    if behind.strip() or not content.strip():
        return False
    if silent:
        return True
    state.line = line + 1
    token = state.push("math_block", "math", 0)
    token.block, token.map = True, [first, state.line]
    token.content, token.markup = content, opening
    return True
