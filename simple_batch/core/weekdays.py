"""Days of the week as users write them (“Mon-Fri”, “Sat Sun”, “weekend”, “周一至周五”), as sets of numbers
from 0 (Monday)."""

import re
from collections.abc import Iterable

EVERY_DAY = frozenset(range(7))
_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_GROUPS = {
    "daily": EVERY_DAY,
    "everyday": EVERY_DAY,
    "every day": EVERY_DAY,
    "weekday": frozenset(range(5)),
    "weekdays": frozenset(range(5)),
    "weekend": frozenset((5, 6)),
    "weekends": frozenset((5, 6)),
    "每天": EVERY_DAY,
    "每日": EVERY_DAY,
    "周末": frozenset((5, 6)),
}
_ENGLISH = (
    "mon(?:days?)?|tue(?:s|sdays?)?|wed(?:s|nesdays?)?|thu(?:rs?|rsdays?)?|fri(?:days?)?|"
    "sat(?:urdays?)?|sun(?:days?)?"
)
_DAY = rf"(?:(?:{_ENGLISH})\.?|(?:周|星期|礼拜)[一二三四五六日天])"
_TO = r"\s*(?:-|–|—|~|至|到|\bto\b|\bthrough\b)\s*"
_PIECE = re.compile(rf"({_DAY})(?:{_TO}({_DAY}))?", re.IGNORECASE)
_GAP = re.compile(r"\s*(?:[/&+、]|\band\b|和)?\s*", re.IGNORECASE)
_CHINESE = "一二三四五六日"


def read(text: str) -> frozenset[int] | None:
    """The days that a text names; None where it is no list of days."""
    group = _GROUPS.get(" ".join(text.split()).lower())
    if group is not None:
        return group
    days: set[int] = set()
    at = 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            return None
        first, last = (_number(name or piece[1]) for name in piece.groups())
        days.update((first + step) % 7 for step in range((last - first) % 7 + 1))
        gap = _GAP.match(text, piece.end())
        at = len(text) if gap is None else gap.end()
    return frozenset(days) or None


def written(days: Iterable[int]) -> str:
    """The same in English, as ``read`` reads it back: three days or more in a row as a range."""
    chosen = sorted(days)
    if len(chosen) == len(_NAMES):
        return "daily"
    runs: list[list[int]] = []
    for day in chosen:
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return " ".join(_run(run) for run in runs)


def _run(run: list[int]) -> str:
    if len(run) > 2:
        return f"{_NAMES[run[0]]}-{_NAMES[run[-1]]}"
    return " ".join(_NAMES[day] for day in run)


def _number(name: str) -> int:
    if name[-1] in _CHINESE or name[-1] == "天":
        return _CHINESE.index("日" if name[-1] == "天" else name[-1])
    return next(day for day, short in enumerate(_NAMES) if name.lower().startswith(short.lower()))
