"""Regular expressions that are compiled when they are first used: the many that only read errors or odd
files would delay every start."""

import re
from typing import cast

_USED = ("search", "match", "fullmatch", "finditer", "findall", "sub", "subn", "split")


class _LazyPattern:
    def __init__(self, pattern: str, flags: int):
        self.pattern = pattern
        self.flags = flags

    def __getattr__(self, name: str) -> object:
        """Compile; from then on the methods are those of the compiled pattern."""
        if name.startswith("__"):
            raise AttributeError(name)
        compiled = re.compile(self.pattern, self.flags)
        self.__dict__.update({used: getattr(compiled, used) for used in _USED})
        return getattr(compiled, name)


def lazy_pattern(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """What re.compile returns, as far as its methods go: functions of ``re`` do not take it."""
    return cast(re.Pattern[str], _LazyPattern(pattern, flags))
