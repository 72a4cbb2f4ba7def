"""What a message quotes: names, values, and parts of the request, whose words are not the provider's."""

import re

from ..core.lazy_pattern import lazy_pattern

QUOTED = lazy_pattern(
    r"`[^`]*`|\"[^\"]*\"|“[^“”]*”|‘[^‘’]*’|«[^«»]*»|「[^「」]*」|(?<!\w)'[^']*'(?!\w)"
)
# before a quotation: the words of another program, or the name of a limit
_SAID = lazy_pattern(
    r"(?:errors?|messages?|reasons?|details?|said|says|upstream|exception|metric|limit|quota|code|type|status"
    r"|category|categories|返回|错误|原因)\W{0,3}$",
    re.IGNORECASE,
)
_REACH = 20  # characters


def unquoted(text: str) -> str:
    """A text without its quotations, but for those that say what has happened."""

    def kept(found: re.Match[str]) -> str:
        before = text[max(0, found.start() - _REACH) : found.start()]
        return found[0] if _SAID.search(before) else " "

    rest = QUOTED.sub(kept, text)
    return rest if rest.strip() else text
